"""Random views of a galaxy: a box of the image, moved and scaled, mirrored and turned."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from ...image_transforms_galvm import Crop, apply_crop, rim_median


@dataclass(frozen=True)
class Augmentation:
    """Random views of a galaxy, each drawn for itself (Fu et al. 2024, section 2: flips, rotations, crops).

    With free rotation all of them are one affine map, so that a pixel is interpolated once. Otherwise the box is a
    whole number of pixels, at a whole pixel, resized as the image processor does it: the noise of the pixels is then
    what averaging leaves of it, and is not smoothed once more by a place between pixels.

    Attributes:
        flip: Whether half of the samples are mirrored.
        rotation: "free" for any angle, "quarter" for multiples of 90 degrees, None for none.
        zoom: Range of the side of the box that is cut out, relative to that of the crop.
        shift: How far its centre moves at most, along either axis, relative to the side of the crop.
    """

    flip: bool = True
    rotation: Literal["free", "quarter"] | None = "free"
    zoom: tuple[float, float] = (0.9, 1.1)
    shift: float = 0.05

    def __post_init__(self):
        if self.rotation not in ("free", "quarter", None):
            raise ValueError(f"`rotation` must be 'free', 'quarter' or None, got {self.rotation!r}.")
        if not 0 < self.zoom[0] <= self.zoom[1] or not 0 <= self.shift < 1:
            raise ValueError(f"`zoom` must be two rising positive numbers and `shift` in [0, 1), got {self}.")

    def view(self, display: np.ndarray, crop: Crop, uniform: Sequence[float], out: np.ndarray) -> float:
        """Cut a view out of an image; outside the image lies its background, the median of its rim.

        Args:
            display: `[H, W, 3]` float32.
            crop: The box round the galaxy, a square.
            uniform: Five random numbers in [0, 1): mirror, turn, zoom, shift to the right and down.
            out: Where the view goes, float32 `[size, size, 3]`.

        Returns:
            Pixels of the image per pixel of the view.
        """
        mirror, turn, zoom, right, down = uniform
        mirrored = self.flip and mirror < 0.5
        side = crop.width * (self.zoom[0] + (self.zoom[1] - self.zoom[0]) * zoom)
        centre_x = crop.left + crop.width * (0.5 + self.shift * (2 * right - 1))
        centre_y = crop.top + crop.height * (0.5 + self.shift * (2 * down - 1))
        size = len(out)
        if self.rotation == "free":
            _warp(display, _affine_map(centre_x, centre_y, side / size, 2 * math.pi * turn, mirrored, size), out)
            return side / size
        whole = max(1, round(side))
        box = Crop(round(centre_y - whole / 2), round(centre_x - whole / 2), whole, whole)
        turned = np.rot90(cut_out(display, box, size), int(4 * turn) if self.rotation else 0)
        out[...] = turned[:, ::-1] if mirrored else turned
        return whole / size


def cut_out(display: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """`apply_crop` of an image `[H, W, 3]`: float32 `[size, size, 3]`."""
    return apply_crop(display.transpose(2, 0, 1), crop, (size, size)).transpose(1, 2, 0)


def _affine_map(centre_x: float, centre_y: float, scale: float, angle: float, mirrored: bool, size: int) -> np.ndarray:
    """A map from the columns and rows of a view to those of the image, float64 `[2, 3]`, pixel centres whole.

    Args:
        centre_x: Of the view, in px of the image from the left of its first pixel.
        centre_y: From the top, likewise.
        scale: Pixels of the image per pixel of the view.
        angle: Of the turn, in radians.
        mirrored: Whether the view is mirrored, right and left.
        size: Height and width of the view, px.
    """
    flip = -scale if mirrored else scale
    x = flip * math.cos(angle), -scale * math.sin(angle)
    y = flip * math.sin(angle), scale * math.cos(angle)
    # a pixel's centre lies half a pixel behind its corner, from which boxes are measured
    middle = (size - 1) / 2
    return np.array([(*x, centre_x - 0.5 - middle * sum(x)), (*y, centre_y - 0.5 - middle * sum(y))])


def _warp(display: np.ndarray, source_of: np.ndarray, out: np.ndarray) -> None:
    """Resample an image along an affine map; outside it lies its background, the median of its rim.

    Args:
        display: `[H, W, 3]` float32.
        source_of: From columns and rows of the result to those of the image, `[2, 3]`.
        out: Where the result goes, float32 `[size, size, 3]`: area averages where the image shrinks, bilinear in
            between.
    """
    size = len(out)
    height, width = display.shape[:2]
    (xx, xy, left), (yx, yy, top) = source_of.tolist()
    columns = [left + size * step for step in (0, xx, xy, xx + xy)]
    rows = [top + size * step for step in (0, yx, yy, yx + yy)]
    inside = min(columns) >= 0 and max(columns) <= width - 1 and min(rows) >= 0 and max(rows) <= height - 1
    background = 0 if inside else [rim_median(plane) for plane in display.transpose(2, 0, 1)]
    shrink = math.sqrt(abs(xx * yy - xy * yx))
    if shrink > 1:
        small = (max(1, round(width / shrink)), max(1, round(height / shrink)))
        display = cv2.resize(display, small, interpolation=cv2.INTER_AREA)
        factor = np.array(small) / (width, height)
        source_of = source_of * factor[:, None]
        source_of[:, 2] += (factor - 1) / 2
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cv2.warpAffine(display, source_of, (size, size), dst=out, flags=flags, borderValue=background)
