"""Overlapping tiles that together are a field."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tile:
    """A window of a field, in pixels.

    Attributes:
        number: From 0, row by row.
        top: Its first row.
        left: Its first column.
        height: Number of rows.
        width: Number of columns.
    """

    number: int
    top: int
    left: int
    height: int
    width: int

    @property
    def rows(self) -> slice:
        """Its rows in the field."""
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        """Its columns in the field."""
        return slice(self.left, self.left + self.width)

    @property
    def box(self) -> np.ndarray:
        """Its edges in the field: x0, y0, x1, y1, [4]."""
        return np.array([self.left, self.top, self.left + self.width, self.top + self.height])


def plan_tiles(shape: tuple[int, int], side: int, overlap: int) -> list[Tile]:
    """The fewest tiles of one size that cover a field, evenly spaced, neighbours sharing `overlap` pixels or more.

    An object no larger than the overlap lies whole in at least one of them.

    Args:
        shape: Height and width of the field.
        side: Height and width of a tile; a field that is smaller is one tile in that direction, as large as it is.
        overlap: Pixels that neighbours share at least.

    Raises:
        ValueError: If tiles would overlap by more than half.
    """
    if not 0 <= overlap <= side // 2:
        raise ValueError(
            f"The overlap is {overlap} px with tiles of {side} px, but it must be 0 to {side // 2}: give larger tiles "
            "or less overlap."
        )
    height, width = (min(side, length) for length in shape)
    corners = [(top, left) for top in _starts(shape[0], side, overlap) for left in _starts(shape[1], side, overlap)]
    return [Tile(number, top, left, height, width) for number, (top, left) in enumerate(corners)]


def _starts(length: int, side: int, overlap: int) -> list[int]:
    if length <= side:
        return [0]
    number = math.ceil((length - overlap) / (side - overlap))
    return np.linspace(0, length - side, number).round().astype(int).tolist()
