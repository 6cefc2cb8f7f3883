"""What a reader hands out: one stamp, or the one kind of error that says why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from astropy.wcs import WCS

DEFAULT_BANDS = ("g", "r", "z")


class UnreadableStampError(ValueError):
    """A stamp that cannot be read.

    Args:
        path: The file, with `:row` behind it for a row of a Parquet file.
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
            uint8 [H, W, 3], red first.
        bands: Names of the C planes in the order of wavelength, or `None` for a picture.
        pixel_scale: Arcseconds per pixel, or `None` where the file does not say.
        id: Name of the object, as unique as its file makes it.
        source: Path of the file.
        units: Of the flux, as FITS spells them ("nanomaggy", "uJy"), or `None` where the file does not say.
        wcs: Celestial `astropy.wcs.WCS` of the H x W grid, or `None`.
        columns: Scalar columns that came with it (`label`, `objid`, ...); the integers of a `ClassLabel` are
            replaced by their names.
    """

    pixels: np.ndarray
    bands: tuple[str, ...] | None
    pixel_scale: float | None
    id: str
    source: str
    units: str | None = None
    wcs: "WCS | None" = None
    columns: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
