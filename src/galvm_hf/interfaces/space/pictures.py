"""How galaxies are shown: the stretch and the bands that a person chose, as JPEG in the page itself."""

import base64
import io
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import PIL.Image

from ...data.stamp import Stamp, UnreadableStampError
from ...hitl import Collection
from ...hitl.collection import encode_thumbnail
from ...image_transforms_galvm import BAND_SCALES, BANDS, display_to_flux, fill_hidden, flux_to_display

COLOUR, NEGATIVE = "colour", "negative"
LOOKS = (COLOUR, *BANDS, NEGATIVE)
DEEPEST = 3.0  # mag
LARGEST_SIDE = 768  # px
_KEPT = 4096  # pictures in memory, of some kB


@dataclass(frozen=True)
class Look:
    """What a person chose.

    Args:
        depth: Magnitudes by which all is shown brighter.
        bands: One of `LOOKS`.

    Raises:
        ValueError: If there is no such look.
    """

    depth: float = 0.0
    bands: str = COLOUR

    def __post_init__(self):
        if self.bands not in LOOKS or not abs(self.depth) <= DEEPEST:
            raise ValueError(f"There are {', '.join(LOOKS)}, up to {DEEPEST:g} mag; got {self.bands}, {self.depth}.")

    def apply(self, flux: np.ndarray) -> np.ndarray:
        """Display image [3, H, W] in [0, 1] of flux [3, H, W] in nanomaggies."""
        flux = flux * np.float32(10 ** (0.4 * self.depth))
        if self.bands == COLOUR:
            return flux_to_display(flux)
        scaled = flux * BAND_SCALES
        grey = scaled.mean(0) if self.bands == NEGATIVE else scaled[BANDS.index(self.bands)]
        display = flux_to_display(grey / BAND_SCALES)  # the same in all three channels
        return 1 - display if self.bands == NEGATIVE else display


class Pictures:
    """Pictures of the galaxies of a collection, the last ones kept in memory."""

    def __init__(self, collection: Collection):
        self._collection = collection
        self.small = lru_cache(_KEPT)(self._small)
        self.large = lru_cache(_KEPT // 64)(self._large)

    def _small(self, row: int, look: Look) -> bytes:
        """A JPEG as the model sees the galaxy, or grey if there is none."""
        try:
            kept = self._collection.thumbnail(row)
        except UnreadableStampError:
            return encode_thumbnail(np.full((3, 32, 32), 0.25, np.float32))
        return kept if look == Look() else encode_thumbnail(look.apply(display_to_flux(decode_display(kept))))

    def _large(self, row: int, look: Look) -> bytes:
        """A JPEG of the whole stamp, from its own flux where the file is still there; else the small one."""
        try:
            stamp = self._collection.stamp(row).select()
        except UnreadableStampError:
            return self._small(row, look)
        return draw_stamp(stamp, look)


def draw_stamp(stamp: Stamp, look: Look) -> bytes:
    """A JPEG of a stamp of flux in g, r, z, or of a picture."""
    if stamp.bands is not None:
        display = look.apply(fill_hidden(stamp.pixels)[0])
    else:
        display = np.ascontiguousarray(stamp.pixels[..., ::-1].transpose(2, 0, 1), np.float32) / 255
        if look != Look():
            display = look.apply(display_to_flux(display))
    height, width = display.shape[1:]
    zoom = LARGEST_SIDE / max(height, width)
    if zoom < 1:
        size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
        display = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in display])
    return encode_thumbnail(display)


def decode_display(encoded: bytes) -> np.ndarray:
    """Display image [3, H, W] in [0, 1], bands g, r, z, of a JPEG that we made."""
    with PIL.Image.open(io.BytesIO(encoded)) as picture:
        pixels = np.array(picture.convert("RGB"))
    return np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1), np.float32) / 255


def as_data(picture: bytes) -> str:
    """A JPEG as the address of an image in a page."""
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
