"""FITS: image cubes, one band an extension, one band a file, plain, tile-compressed and gzipped."""

import gzip
import io
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..stamp import DEFAULT_BANDS, Stamp, UnreadableStampError
from .bands import BANDS_BY_WAVELENGTH, band_name, is_image_name
from .checks import MAX_BYTES, check_file, check_shape, check_start, damage, flux_stamp
from .units import ZERO_POINT_KEYWORDS, nanomaggies_per_unit
from .wcs import celestial_wcs

BAND_FIELD = "{band}"
BAND_KEYWORDS = ("EXTNAME", "FILTER", "BAND")
# Their decoders in cfitsio, which astropy uses, believe sizes in what they decode and write beyond the image.
_TRUSTING_CODECS = ("HCOMPRESS_1", "PLIO_1")
# Answers of astropy's `verify_checksum`; a third one is that there is no checksum.
_CHECKSUM_FAILS, _CHECKSUM_HOLDS = 0, 1


@dataclass(frozen=True)
class _Plane:
    """An image of an HDU, with what its header says of it.

    Attributes:
        pixels: float32 [C, H, W], or [H, W] of one band.
        header: Of the HDU.
        place: The file and the HDU.
        wcs: Celestial WCS, or `None`.
        pixel_scale: Arcseconds per pixel, or `None`.
    """

    pixels: np.ndarray
    header: Any
    place: str
    wcs: Any
    pixel_scale: float | None


def iter_fits(path: Path, name: str, report: Callable[[UnreadableStampError], None]) -> Iterator[Stamp]:
    """The one stamp of a FITS file, or of the files of one object, where `path` has `{band}` in its name."""
    if BAND_FIELD in path.name:
        yield _read_band_files(path, name)
        return
    with path.open("rb") as stream:
        stamp = read_fits(stream, str(path), name, path)
    yield stamp


def read_fits(
    stream: BinaryIO, place: str, name: str, source: str | Path, columns: Mapping[str, Any] | None = None
) -> Stamp:
    """The first image cube of a FITS file, or else its images of one band each.

    Bands of a cube are those of BANDS ("grz", "g,r,z"), else of BAND0 onwards, else g, r, z. Bands of images are those
    of EXTNAME, FILTER or BAND.

    Args:
        stream: The file, plain or gzipped.
        place: As in `UnreadableStampError`.
        name: The stamp's `id`.
        source: The stamp's `source`.
        columns: The stamp's `columns`.

    Raises:
        UnreadableStampError: If it is damaged, does not match its checksums, or holds no stamp.
    """
    with damage(place, "FITS file"):
        planes = _read_planes(stream, place)
        first = planes[0]
        if first.pixels.ndim == 3:
            bands = cube_bands(first.header, len(first.pixels))
            units, zero_point = _units(first.header), _zero_point(first.header, first.place)
            return flux_stamp(
                first.pixels, bands, first.place, name, source, first.pixel_scale, units, zero_point, first.wcs, columns
            )
        named = [(band, plane) for plane in planes if (band := image_band(plane.header)) is not None]
        if not named:
            raise UnreadableStampError(
                place,
                "holds no image cube, and no image that names its band",
                "Stack the bands to one image [3, H, W], or name each by EXTNAME",
            )
        return _stack(named, place, name, source, columns)


def find_band_files(pattern: Path) -> dict[str, Path]:
    """By band, the files that `name-{band}.fits` stands for."""
    found = {}
    for band in BANDS_BY_WAVELENGTH:
        for spelling in (band, band.upper()):
            path = pattern.with_name(pattern.name.replace(BAND_FIELD, spelling))
            if path.is_file():
                found.setdefault(band, path)
    return found


def _read_band_files(pattern: Path, name: str) -> Stamp:
    files = find_band_files(pattern)
    if not files:
        raise UnreadableStampError(pattern, "stands for no file", "Check the spelling of the path")
    named = []
    for band, path in files.items():
        check_file(path)
        with damage(path, "FITS file"), path.open("rb") as stream:
            plane = _read_planes(stream, str(path))[0]
        if plane.pixels.ndim != 2:
            raise UnreadableStampError(
                plane.place, f"has {len(plane.pixels)} planes, but is one of the files of one band", "Rename it"
            )
        named.append((band, plane))
    with damage(pattern, "set of FITS files"):
        return _stack(named, str(pattern), name, pattern)


def _stack(
    named: list[tuple[str, _Plane]],
    place: str,
    name: str,
    source: str | Path,
    columns: Mapping[str, Any] | None = None,
) -> Stamp:
    """One stamp of planes [H, W] of one band each."""
    bands, planes = [band for band, _ in named], [plane for _, plane in named]
    for plane in planes[1:]:
        if plane.pixels.shape != planes[0].pixels.shape:
            raise UnreadableStampError(
                plane.place,
                f"is {plane.pixels.shape}, where the first band is {planes[0].pixels.shape}",
                "Bring all bands to one grid of pixels",
            )
    units = {_convert(plane) for plane in planes}
    if len(units) > 1:
        raise UnreadableStampError(
            place, f"has bands in different units: {units}", "Bring all bands to one unit, nanomaggy"
        )
    pixels = np.stack([plane.pixels for plane in planes])
    scale, wcs = planes[0].pixel_scale, planes[0].wcs
    return flux_stamp(pixels, bands, place, name, source, scale, units.pop(), None, wcs, columns)


def _convert(plane: _Plane) -> str | None:
    """Bring a plane to nanomaggies, in place, by a zero point that may be its own; returns the units it has then."""
    factor, units = flux_units(plane.header, plane.place)
    np.multiply(plane.pixels, np.float32(factor), out=plane.pixels)
    return units


def flux_units(header: Any, place: str) -> tuple[float, str | None]:
    """What pixels are to be multiplied by, and the unit that they have then, as `nanomaggies_per_unit` tells."""
    return nanomaggies_per_unit(_units(header), _zero_point(header, place), place)


def _units(header: Any) -> str:
    return str(header.get("BUNIT", ""))


def _read_planes(stream: BinaryIO, place: str) -> list[_Plane]:
    """The first cube [C, H, W] alone, or the images [H, W] of the file, the first one and all that name a band."""
    try:
        from astropy.io import fits
    except ImportError as error:
        raise ImportError('Reading FITS needs astropy: pip install "galvm_hf[data]"') from error

    if _start(stream, place).startswith(b"\x1f\x8b"):
        stream = _unpack(stream, place)
    if not _start(stream, place).startswith(b"SIMPLE"):
        raise UnreadableStampError(place, "is not FITS: it does not begin with SIMPLE", "Fetch it again")
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    planes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of habits of old surveys; damage is looked for below
        options = {"memmap": False, "lazy_load_hdus": True, "disable_image_compression": True}
        with fits.open(stream, **options) as hdus:
            for hdu, image, here in iter_images(hdus, place):
                check_shape((len(planes) + 1, *image.shape), here)
                check_hdu(hdu, size, here)
                planes.append(_read_plane(image, here))
    if not planes:
        raise UnreadableStampError(place, "holds no image", "Stack the bands g, r, z to one image [3, H, W]")
    return planes[-1:] if planes[-1].pixels.ndim == 3 else planes


def iter_images(hdus: Iterable[Any], place: str) -> Iterator[tuple[Any, Any, str]]:
    """The images of a file: those [H, W] that come before its first cube, the first and all that name a band; the cube.

    Args:
        hdus: Of a file opened with `disable_image_compression`.
        place: Of the file.

    Yields:
        An HDU as it lies in the file, the image in it, which is another HDU where it is compressed, and its place.
    """
    from astropy.io import fits

    found = False
    for index, hdu in enumerate(hdus):
        packed = isinstance(hdu, fits.BinTableHDU) and fits.CompImageHDU.match_header(hdu.header)
        if not packed and not isinstance(hdu, fits.PrimaryHDU | fits.ImageHDU):
            continue
        image = fits.CompImageHDU(bintable=hdu) if packed else hdu
        if len(image.shape) not in (2, 3):
            continue
        if len(image.shape) == 2 and found and image_band(image.header) is None:
            continue
        found = True
        yield hdu, image, f"{place}[{index}]"
        if len(image.shape) == 3:
            return


def _start(stream: BinaryIO, place: str) -> bytes:
    stream.seek(0)
    start = stream.read(256)
    stream.seek(0)
    check_start(start, place)
    return start


def check_whole(hdu: Any, size: int, place: str) -> None:
    """Refuse an HDU that reaches beyond the end of a file of this many bytes."""
    end = hdu.fileinfo()["datLoc"] + hdu.size
    if end > size:
        raise UnreadableStampError(place, f"is cut short: {size} bytes, where it needs {end}", "Fetch it again")


def check_hdu(hdu: Any, size: int, place: str) -> None:
    """Refuse an HDU that the file does not hold whole, or that does not match its checksums."""
    check_whole(hdu, size, place)
    sums = hdu.verify_checksum(), hdu.verify_datasum()
    if _CHECKSUM_FAILS in sums:
        raise UnreadableStampError(place, "is damaged: it does not match its checksum", "Fetch it again")
    if hdu.header.get("ZCMPTYPE") in _TRUSTING_CODECS and sums[0] != _CHECKSUM_HOLDS:
        raise UnreadableStampError(
            place,
            f"is compressed by {hdu.header['ZCMPTYPE']} without a checksum, and damage to it could end the program",
            "Compress it again by RICE_1, or add checksums (`fitscheck --write`, `fchecksum`)",
        )


def _unpack(stream: BinaryIO, place: str) -> io.BytesIO:
    with gzip.GzipFile(fileobj=stream) as packed:
        content = packed.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UnreadableStampError(place, f"unpacks to more than {MAX_BYTES} bytes", "Cut stamps from it")
    return io.BytesIO(content)


def _read_plane(hdu: Any, place: str) -> _Plane:
    header = hdu.header.copy()
    with np.errstate(all="ignore"):  # what float32 cannot hold is no light, and becomes infinite
        pixels = np.array(hdu.data, dtype=np.float32)
    return _Plane(pixels, header, place, *celestial_wcs(header, place))


def cube_bands(header: Any, count: int) -> list[str]:
    if "BANDS" in header:
        listed = str(header["BANDS"])
        bands = listed.replace(",", " ").split() if any(mark in listed for mark in ", ") else list(listed)
    elif "BAND0" in header:
        bands = [str(header[f"BAND{index}"]) for index in range(count) if f"BAND{index}" in header]
    else:
        bands = list(DEFAULT_BANDS)
    return [band_name(band) or band for band in bands]


def image_band(header: Any) -> str | None:
    if not is_image_name(str(header.get("EXTNAME", ""))):
        return None
    stated = (band_name(str(header.get(keyword, ""))) for keyword in BAND_KEYWORDS)
    return next((band for band in stated if band is not None), None)


def _zero_point(header: Any, place: str) -> float | None:
    keyword = next((keyword for keyword in ZERO_POINT_KEYWORDS if keyword in header), None)
    if keyword is None:
        return None
    try:
        value = float(header[keyword])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise UnreadableStampError(
            place, f"has {header[keyword]!r} as {keyword}", "Set it to the AB magnitude of one count"
        )
    return value
