"""What a reader hands out: one stamp, or the one kind of error that says why there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from astropy.wcs import WCS

DEFAULT_BANDS = ("g", "r", "z")
NANOMAGGY = "nanomaggy"


class UnreadableStampError(ValueError):
    """A stamp that cannot be read.

    Args:
        path: The file, and behind it the part that is meant: `a.fits[1]` is an HDU, `a.parquet:17` a row (of HDF5 and
            NumPy stacks too), `a.tar:key.jpg` a member.
        cause: What is wrong with it.
        remedy: What its owner can do about it.
    """

    def __init__(self, path: str | Path, cause: str, remedy: str):
        self.path, self.cause, self.remedy = str(path), cause, remedy
        super().__init__(f"{path}: {cause}. {remedy}.")


@dataclass(frozen=True)
class Stamp:
    """An image centred on one object.

    Attributes:
        pixels: Flux, float32 [C, H, W] in native byte order, where `bands` is given; else a colour picture,
            uint8 [H, W, 3], red first. Flux that is missing is NaN.
        bands: Names of the C planes, g, r, z and perhaps others, in the order of wavelength where it is known; or
            `None` for a picture.
        pixel_scale: Arcseconds per pixel, or `None` where the file does not say.
        id: Name of the object, as unique as its file makes it.
        source: Path of the file, or for a row of one of our shards the path of the file it was made from.
        units: Of the flux. What a reader can convert is in "nanomaggy"; else it is the file's own unit ("adu"), or
            `None` where the file does not say.
        wcs: Celestial `astropy.wcs.WCS` of the H x W grid, or `None`.
        columns: Scalar columns that came with it (`label`, `objid`, ...); the integers of a `ClassLabel` are
            replaced by their names.
        encoded: The JPEG or PNG file that a picture was decoded from, or `None`.
    """

    pixels: np.ndarray
    bands: tuple[str, ...] | None
    pixel_scale: float | None
    id: str
    source: str
    units: str | None = None
    wcs: "WCS | None" = None
    columns: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    encoded: bytes | None = field(default=None, repr=False)

    def select(self, bands: Sequence[str] = DEFAULT_BANDS, units: str | None = NANOMAGGY) -> "Stamp":
        """The stamp with these bands alone, in this order: what the image processor reads. A picture stays as it is.

        Args:
            bands: Names of the planes to keep.
            units: What the flux has to be in; `None` takes any. Flux of unstated units is let through.

        Raises:
            UnreadableStampError: If a band is missing, or the flux is in other units.
        """
        if self.bands is None:
            return self
        order = select_planes(self.bands, self.units, f"{self.source} ({self.id})", bands, units)
        if self.bands == tuple(bands):
            return self
        return replace(self, pixels=self.pixels[order], bands=tuple(bands))


def select_planes(
    present: Sequence[str],
    stated: str | None,
    place: str | Path,
    bands: Sequence[str] = DEFAULT_BANDS,
    units: str | None = NANOMAGGY,
) -> list[int]:
    """Which planes of an image are these bands, in this order.

    Args:
        present: Names of the planes there are.
        stated: The units of the flux, `None` where they are not stated.
        place: As in `UnreadableStampError`.
        bands: Names of the planes that are wanted.
        units: What the flux has to be in; `None` takes any. Flux of unstated units is let through.

    Raises:
        UnreadableStampError: If a band is missing, or the flux is in other units.
    """
    if missing := [band for band in bands if band not in present]:
        raise UnreadableStampError(
            place,
            f"has the bands {', '.join(present)}, and not {', '.join(missing)}",
            "Add the missing band to the file, or name its planes rightly",
        )
    if units is not None and stated not in (None, units):
        raise UnreadableStampError(
            place,
            f"is in {stated}, which no zero point turns into {units}",
            "Set MAGZERO in its header: the AB magnitude of one unit",
        )
    return [present.index(band) for band in bands]
