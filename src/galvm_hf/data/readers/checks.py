"""What every reader asks of a file before it trusts it, and of pixels before they leave."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..stamp import DEFAULT_BANDS, Stamp, UnreadableStampError
from .bands import wavelength_order
from .units import nanomaggies_per_unit

# The largest stamp: 4,700 x 4,700 px in three bands, which is more than a brick of the Legacy Surveys. A damaged header
# or a decompression bomb may claim any size, and is asked before memory is taken.
MAX_VALUES = 2**26
# The largest file that is unpacked into memory: a stamp in float64, and room for other extensions.
MAX_BYTES = 8 * MAX_VALUES + 2**24

_WEB_PAGE_STARTS = (b"<!doctype", b"<html", b"<head", b"<body", b"<?xml")


@contextmanager
def damage(place: str | Path, kind: str, remedy: str = "Fetch it again") -> Iterator[None]:
    """Turn whatever a library raises on a damaged file into the one error.

    A library fails wherever the damage happens to lead it, with any exception there is. A missing package is not
    damage, and passes.

    Args:
        place: As in `UnreadableStampError`.
        kind: What the file was taken for, "FITS file".
        remedy: What its owner can do.
    """
    try:
        yield
    except (UnreadableStampError, ImportError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UnreadableStampError(place, f"is not a readable {kind} ({reason})", remedy) from error


def check_file(path: Path) -> None:
    """Refuse what is no file, cannot be opened, is empty, or is the page of a failed download."""
    try:
        if not path.exists():
            raise UnreadableStampError(path, "does not exist", "Check the spelling of the path")
        if path.is_dir():
            raise UnreadableStampError(path, "is a folder, not a file", "Read it with `iter_stamps`")
        if not path.is_file():
            raise UnreadableStampError(path, "is no regular file", "Give a file or a folder")
        with path.open("rb") as stream:
            check_start(stream.read(256), path)
    except OSError as error:
        raise UnreadableStampError(path, f"cannot be opened ({error.strerror})", "Check its permissions") from error


def check_start(start: bytes, place: str | Path) -> None:
    """Refuse content that is empty, or begins as a web page does."""
    if not start:
        raise UnreadableStampError(place, "is empty", "Fetch it again")
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_WEB_PAGE_STARTS):
        raise UnreadableStampError(
            place, "is a web page, not an image: the download failed", "Fetch it again, and look at the page for why"
        )


def check_shape(shape: Sequence[int], place: str | Path) -> None:
    """Refuse what has no pixels, and what is too large to be one stamp, before anything is allocated."""
    values = math.prod(int(side) for side in shape)
    if values < 1 or any(side < 1 for side in shape):
        raise UnreadableStampError(place, f"has the shape {_listed(shape)}, without a pixel", "Leave it out")
    if values > MAX_VALUES:
        raise UnreadableStampError(
            place,
            f"claims the shape {_listed(shape)}, more than the {MAX_VALUES} values of the largest stamp",
            "Fetch it again if it is damaged; cut stamps from it if it is a field",
        )


def check_bands(bands: Sequence[str], planes: int, place: str | Path) -> None:
    """Refuse names that do not fit the planes, come twice, or leave one of g, r, z out of fewer than three planes."""
    if len(bands) != planes:
        raise UnreadableStampError(
            place,
            f"has {planes} planes and names the bands {', '.join(bands)}",
            "Name one band for each plane: in FITS by BANDS in the header",
        )
    if len(set(bands)) != len(bands):
        raise UnreadableStampError(
            place, f"names a band twice: {', '.join(bands)}", "Give each band once, or each set in a file of its own"
        )
    if len(bands) < len(DEFAULT_BANDS):
        missing = [band for band in DEFAULT_BANDS if band not in bands]
        raise UnreadableStampError(
            place, f"has the bands {', '.join(bands)} and misses {', '.join(missing)}", "Add the missing band"
        )


def flux_stamp(
    pixels: np.ndarray,
    bands: Sequence[str],
    place: str | Path,
    name: str,
    source: str | Path,
    pixel_scale: float | None = None,
    units: str | None = None,
    zero_point: float | None = None,
    wcs: Any = None,
    columns: Mapping[str, Any] | None = None,
) -> Stamp:
    """A stamp of flux as `Stamp` promises it: float32, native, nanomaggies where that can be told, by wavelength.

    Args:
        pixels: [C, H, W] of any number type and byte order.
        bands: Names of the C planes, in their order.
        place: As in `UnreadableStampError`.
        name: The stamp's `id`.
        source: The stamp's `source`.
        pixel_scale: Arcseconds per pixel.
        units: As the file spells them.
        zero_point: AB magnitude of one unit.
        wcs: Celestial WCS.
        columns: Scalar columns.

    Raises:
        UnreadableStampError: If planes and names do not agree, g, r or z is missing where there are fewer than three
            planes, a name comes twice, or no pixel is finite in every band.
    """
    check_bands(bands, len(pixels), place)
    factor, units = nanomaggies_per_unit(units, zero_point, place)
    order = wavelength_order(bands)
    if order != list(range(len(bands))):
        pixels, bands = pixels[order], [bands[index] for index in order]
    with np.errstate(all="ignore"):  # what float32 cannot hold is no light, and becomes infinite
        pixels = np.ascontiguousarray(pixels, dtype=np.float32)
        if factor != 1:
            pixels = pixels * np.float32(factor)
    if not np.isfinite(pixels).all(axis=0).any():
        raise UnreadableStampError(place, "has no pixel that is finite in every band", "Leave it out")
    return Stamp(
        pixels, tuple(bands), pixel_scale, name, str(source), units, wcs, MappingProxyType(dict(columns or {}))
    )


def _listed(shape: Sequence[int]) -> str:
    return " x ".join(str(side) for side in shape)
