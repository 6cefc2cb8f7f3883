"""Wide images of the sky, read window by window: FITS of any size, and pictures."""

import gzip
import math
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils import logging

from ..stamp import DEFAULT_BANDS, UnreadableStampError, select_planes
from .checks import check_bands, check_file, damage
from .fits import BAND_FIELD, check_hdu, check_whole, cube_bands, find_band_files, flux_units, image_band, iter_images
from .sources import FITS_SUFFIXES, PICTURE_SUFFIXES, read_stamp
from .wcs import celestial_wcs, same_grid

logger = logging.get_logger(__name__)

GZIP_START = b"\x1f\x8b"
MORE_SPACE = "Fetch it again, or let TMPDIR name a folder with more space"
# Rows of a compressed image that are decompressed at a time.
STRIP_ROWS = 256


@dataclass(frozen=True)
class WideField:
    """A wide image that stays in its file.

    Attributes:
        source: Path of the file, with `{band}` in it where there is one a band.
        shape: Height and width in pixels.
        bands: g, r, z; or `None` of a picture.
        read: Gives the window of these rows and columns, two slices: flux in nanomaggies (or units that the file does
            not state), float32 [3, h, w], or of a picture uint8 [h, w, 3], red first.
        wcs: Celestial `astropy.wcs.WCS` of the H x W grid, or `None`.
        pixel_scale: Arcseconds per pixel, or `None`.
        simulated: Whether its header says that it is (SIMULATD), as `galvm simulate` writes it.
    """

    source: Path
    shape: tuple[int, int]
    bands: tuple[str, ...] | None
    read: Callable[[slice, slice], np.ndarray]
    wcs: Any = None
    pixel_scale: float | None = None
    simulated: bool = False


@dataclass(frozen=True)
class _Plane:
    """One band, uncompressed in a file.

    Attributes:
        band: Its name; `None` of an image that names none.
        path: The file, or where it was decompressed to.
        offset: Bytes before the first pixel.
        dtype: Of the pixels in the file.
        shape: Height and width.
        scaling: BSCALE, BZERO and BLANK, where the header has them.
        factor: What flux is multiplied by to be in `units`.
        units: Of the flux, "nanomaggy" where it can be converted, or `None`.
        wcs: Celestial WCS, or `None`.
        pixel_scale: Arcseconds per pixel, or `None`.
        simulated: As in `WideField`.
        place: As in `UnreadableStampError`.
    """

    band: str | None
    path: Path
    offset: int
    dtype: np.dtype
    shape: tuple[int, int]
    scaling: tuple[float, float, int | None]
    factor: float
    units: str | None
    wcs: Any
    pixel_scale: float | None
    simulated: bool
    place: str

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Flux of a window, float32 [h, w].

        The file is mapped for this window alone, so that what was read of it before takes no memory.
        """
        window = np.memmap(self.path, self.dtype, "r", self.offset, self.shape)[rows, columns]
        scale, zero, blank = self.scaling
        with np.errstate(all="ignore"):  # what float32 cannot hold is no light, and becomes infinite
            if (scale, zero) != (1, 0):
                flux = (window * float(scale) + float(zero)).astype(np.float32)
            else:
                flux = window.astype(np.float32)
            if self.factor != 1:
                flux *= np.float32(self.factor)
        if blank is not None:
            flux[window == blank] = np.nan
        return flux


@contextmanager
def open_wide_field(path: str | Path) -> Iterator[WideField]:
    """Open a field to read windows of it.

    FITS has the bands g, r and z as `read_fits` finds them: in a cube, in an extension each, or, with `{band}` in the
    path, in a file each. Uncompressed files are mapped into memory; their checksums are not verified, which would read
    them whole. Compressed ones are first decompressed to the temporary directory (TMPDIR), and a warning says so.

    Raises:
        UnreadableStampError: If it is damaged, misses g, r or z, has its bands on different grids or in units that
            cannot be converted, or is neither FITS nor a picture.
        ImportError: If astropy is not installed.
    """
    path = Path(path)
    if path.name.lower().endswith(PICTURE_SUFFIXES):
        picture = read_stamp(path).pixels
        yield WideField(path, picture.shape[:2], None, lambda rows, columns: picture[rows, columns])
        return
    if not path.name.lower().endswith(FITS_SUFFIXES):
        check_file(path)
        raise UnreadableStampError(
            path,
            "is no field of a known kind",
            f"Give a file that ends in {', '.join(FITS_SUFFIXES + PICTURE_SUFFIXES)}",
        )
    with tempfile.TemporaryDirectory(prefix="galvm-field-") as unpacked:
        planes = _find_bands(path, Path(unpacked))
        units = {plane.units for plane in planes if plane.band in DEFAULT_BANDS}
        if len(units) > 1:
            raise UnreadableStampError(
                path, f"has bands in different units: {units}", "Bring all bands to one unit, nanomaggy"
            )
        order = select_planes([plane.band for plane in planes], next(iter(units), None), path)
        chosen = [planes[index] for index in order]
        _require_one_grid(chosen)

        def read(rows: slice, columns: slice) -> np.ndarray:
            return np.stack([plane.read(rows, columns) for plane in chosen])

        first = chosen[0]
        yield WideField(path, first.shape, DEFAULT_BANDS, read, first.wcs, first.pixel_scale, first.simulated)


def _find_bands(path: Path, unpacked: Path) -> list[_Plane]:
    """The bands of a field, in the order of the file."""
    if BAND_FIELD not in path.name:
        planes = _open_planes(path, unpacked)
        check_bands([plane.band for plane in planes], len(planes), path)
        return planes
    files = find_band_files(path)
    if not files:
        raise UnreadableStampError(path, "stands for no file", "Check the spelling of the path")
    return [plane for band in DEFAULT_BANDS if band in files for plane in _open_planes(files[band], unpacked, band)]


def _open_planes(path: Path, unpacked: Path, band: str | None = None) -> list[_Plane]:
    """The planes of a file's first cube, or else its images [H, W] in g, r and z; or the one image of a band's file."""
    try:
        from astropy.io import fits
    except ImportError as error:
        raise ImportError('Reading FITS needs astropy: pip install "galvm_hf[data]"') from error

    check_file(path)
    place, planes = str(path), []
    with path.open("rb") as stream:
        zipped = stream.read(2) == GZIP_START
    if zipped:
        path = _unzip(path, unpacked)
    with damage(place, "FITS file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of habits of old surveys; damage is looked for
        with fits.open(path, memmap=True, lazy_load_hdus=True, disable_image_compression=True) as hdus:
            for hdu, image, here in iter_images(hdus, place):
                in_cube = len(image.shape) == 3
                if band is not None and in_cube:
                    raise UnreadableStampError(here, "is a cube, in a file of one band", "Rename it")
                if band is None and not in_cube and image_band(image.header) not in DEFAULT_BANDS:
                    continue
                if image is hdu:
                    check_whole(hdu, path.stat().st_size, here)
                    parts = _map_planes(path, hdu, here)
                else:
                    check_hdu(hdu, path.stat().st_size, here)
                    parts = _decompress(image, unpacked, here)
                if in_cube:
                    return parts
                if band is not None:
                    return [replace(parts[0], band=band)]
                planes += parts
    if not planes:
        raise UnreadableStampError(
            place,
            "holds no image cube, and no image that names g, r or z as its band",
            f"Stack the bands to one image [3, H, W], name each by EXTNAME, or give name-{BAND_FIELD}.fits",
        )
    return planes


def _map_planes(path: Path, hdu: Any, place: str) -> list[_Plane]:
    """The planes of an uncompressed HDU, where they lie."""
    from astropy.io import fits

    header = hdu.header
    dtype = np.dtype(fits.BITPIX2DTYPE[header["BITPIX"]]).newbyteorder(">")
    blank = header.get("BLANK") if dtype.kind != "f" else None
    scaling = header.get("BSCALE", 1), header.get("BZERO", 0), blank
    return _describe(header, hdu.shape, path, hdu.fileinfo()["datLoc"], dtype, scaling, place)


def _decompress(image: Any, unpacked: Path, place: str) -> list[_Plane]:
    """The planes of a compressed HDU, decompressed strip by strip to a file of float32."""
    path = unpacked / f"{len(list(unpacked.iterdir()))}.float32"
    _tell_unpacking(place, path, 4 * math.prod(image.shape))
    header, shape = image.header.copy(), image.shape
    with damage(place, "compressed image", MORE_SPACE), path.open("wb") as stream:
        for plane in range(shape[0]) if len(shape) == 3 else [...]:
            for top in range(0, shape[-2], STRIP_ROWS):
                strip = image.section[plane, top : top + STRIP_ROWS]
                strip.astype(np.float32).tofile(stream)
    return _describe(header, shape, path, 0, np.dtype(np.float32), (1, 0, None), place)


def _describe(
    header: Any,
    shape: Sequence[int],
    path: Path,
    offset: int,
    dtype: np.dtype,
    scaling: tuple[float, float, int | None],
    place: str,
) -> list[_Plane]:
    """A plane for each band of an image [C, H, W] or [H, W]."""
    bands = [image_band(header)]
    if len(shape) == 3:
        bands = cube_bands(header, shape[0])
        check_bands(bands, shape[0], place)
    step = dtype.itemsize * shape[-2] * shape[-1]
    sky = *flux_units(header, place), *celestial_wcs(header, place), bool(header.get("SIMULATD"))
    common = (dtype, tuple(shape[-2:]), scaling, *sky, place)
    return [_Plane(band, path, offset + index * step, *common) for index, band in enumerate(bands)]


def _unzip(path: Path, unpacked: Path) -> Path:
    target = unpacked / path.name
    _tell_unpacking(path, target)
    with damage(path, "gzip file", MORE_SPACE), gzip.open(path) as packed, target.open("wb") as stream:
        shutil.copyfileobj(packed, stream, 2**20)
    return target


def _tell_unpacking(place: str | Path, target: Path, size: int | None = None) -> None:
    bytes_ = "" if size is None else f", {size / 2**20:.0f} MiB"
    logger.warning(f"{place} is compressed: it is decompressed to {target.parent}{bytes_}, and removed in the end.")


def _require_one_grid(planes: Sequence[_Plane]) -> None:
    first = planes[0]
    for plane in planes[1:]:
        if plane.shape != first.shape:
            raise UnreadableStampError(
                plane.place,
                f"is {plane.shape}, where the first band is {first.shape}",
                "Bring all bands to one grid of pixels",
            )
        if None not in (plane.wcs, first.wcs) and not same_grid(plane.wcs, first.wcs, first.shape):
            raise UnreadableStampError(
                plane.place, "has a WCS that differs from the first band's", "Bring all bands to one grid of pixels"
            )
