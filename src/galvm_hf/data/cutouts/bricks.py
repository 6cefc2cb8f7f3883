"""Images of the sky in several bands: which files belong together, which one holds an object best, a stamp from it."""

import glob
import math
import re
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..readers.checks import check_file, damage
from ..readers.fits import BAND_FIELD
from ..readers.units import ZERO_POINT_KEYWORDS, nanomaggies_per_unit
from ..readers.wcs import same_grid
from ..stamp import UnreadableStampError
from .resample import resample

# An image is not resampled if its pixels are right to this fraction: a fifth of a pixel over 192.
SCALE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Cutout:
    """What a brick gives of one object.

    Attributes:
        pixels: float32 [C, size, size], NaN where an image does not reach.
        wcs: Celestial WCS of the pixels.
        padded: Fraction that the images do not reach.
    """

    pixels: np.ndarray
    wcs: Any
    padded: float


@dataclass(frozen=True)
class Image:
    """One band of a brick, as its header describes it.

    Attributes:
        path: The file.
        hdu: Number of the HDU.
        shape: Height and width.
        wcs: Celestial WCS.
        factor: What pixels are multiplied by to be in `units`.
        units: Of the flux: "nanomaggy" where it can be converted.
    """

    path: Path
    hdu: int
    shape: tuple[int, int]
    wcs: Any
    factor: float
    units: str | None


class Brick:
    """A region of the sky in several bands, one image each.

    Where an image has pixels of the wanted size and north-east parity (east to the left of north), stamps are cut along
    its pixels, and only bands that lie on another grid are resampled to it. Else all bands are resampled to a grid with
    north up and the object in the middle.

    Args:
        files: One a band, in the order of the planes.
        pixel_scale: Of the stamps, arcseconds per pixel.

    Raises:
        UnreadableStampError: If a file is no image with a celestial WCS, or bands are in different units.
    """

    def __init__(self, files: Sequence[Path], pixel_scale: float):
        from astropy.wcs.utils import proj_plane_pixel_scales

        self.images = [_read_header(path) for path in files]
        self.pixel_scale = pixel_scale
        if len({image.units for image in self.images}) > 1:
            told = ", ".join(f"{image.path.name} {image.units}" for image in self.images)
            raise UnreadableStampError(
                files[0], f"has bands in different units ({told})", "Bring them to one, nanomaggy"
            )
        self.units = self.images[0].units
        self._grid = next((index for index, image in enumerate(self.images) if self._is_ready(image)), None)
        self._same = [self._grid is not None and self._is_aligned(image) for image in self.images]
        self._scales = [float(np.mean(proj_plane_pixel_scales(image.wcs))) * 3600 for image in self.images]
        self._stack: ExitStack | None = None
        self._pixels: list[Any] = []

    def __enter__(self) -> Self:
        """Open the files: memory-mapped, or read tile by tile, where their format has that."""
        from astropy.io import fits

        with ExitStack() as stack:
            for image in self.images:
                with damage(image.path, "FITS file"), warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # what is wrong with the header was said before
                    stream = stack.enter_context(image.path.open("rb"))  # astropy leaves it open on an error
                    hdu = stack.enter_context(fits.open(stream, memmap=True))[image.hdu]
                    self._pixels.append(hdu.data if image.path.suffix.lower() == ".gz" else hdu.section)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._pixels = []
        self._stack.close()

    def depths(self, coordinates: Any) -> np.ndarray:
        """How far objects lie from the nearest edge of any band, in arcseconds [N]; negative or -inf outside."""
        from astropy.wcs.utils import skycoord_to_pixel

        depths = np.full(len(coordinates), np.inf)
        for image, scale in zip(self.images, self._scales, strict=True):
            height, width = image.shape
            centre = image.wcs.pixel_to_world((width - 1) / 2, (height - 1) / 2)
            corners = image.wcs.pixel_to_world([-0.5, -0.5, width, width], [-0.5, height, -0.5, height])
            # Far from the image its projection means nothing.
            near = np.flatnonzero(coordinates.separation(centre) <= corners.separation(centre).max() * 1.01)
            depth = np.full(len(coordinates), -np.inf)
            if len(near):
                x, y = skycoord_to_pixel(coordinates[near], image.wcs)
                inside = np.minimum.reduce([x + 0.5, width - 0.5 - x, y + 0.5, height - 0.5 - y])
                depth[near] = np.where(np.isfinite(inside), inside * scale, -np.inf)
            depths = np.minimum(depths, depth)
        return depths

    def cut(self, position: Any, size: int) -> Cutout:
        """A stamp around a `SkyCoord`.

        Raises:
            UnreadableStampError: If the pixels of a file cannot be read.
        """
        planes, padded = [None] * len(self.images), [0.0] * len(self.images)
        wcs = None if self._grid is not None else _tangent_grid(position, size, self.pixel_scale)
        for index in sorted(range(len(self.images)), key=lambda index: not self._same[index]):
            image, pixels = self.images[index], self._pixels[index]
            with damage(image.path, "FITS file"):
                if self._same[index]:
                    planes[index], wcs, padded[index] = _cut(pixels, position, size, self.images[self._grid].wcs)
                else:
                    per_area = _is_per_area(image.units)
                    planes[index], padded[index] = resample(pixels, image.wcs, wcs, size, per_area)
        flux = np.stack([plane * np.float32(image.factor) for plane, image in zip(planes, self.images, strict=True)])
        return Cutout(flux, wcs, float(np.mean(padded)))

    def _is_ready(self, image: Image) -> bool:
        """Whether its pixels are squares of the wanted size, with east to the left of north."""
        height, width = image.shape
        x, y = (width - 1) / 2, (height - 1) / 2
        centre, right, above = image.wcs.pixel_to_world([x, x + 1, x], [y, y, y + 1])
        steps = np.array([[angle.arcsec for angle in centre.spherical_offsets_to(end)] for end in (right, above)])
        sides = np.linalg.svd(steps, compute_uv=False)
        return bool((np.abs(sides / self.pixel_scale - 1) < SCALE_TOLERANCE).all() and np.linalg.det(steps) < 0)

    def _is_aligned(self, image: Image) -> bool:
        """Whether its pixels are those of the grid that stamps are cut along."""
        grid = self.images[self._grid]
        return image.shape == grid.shape and same_grid(image.wcs, grid.wcs, grid.shape)


def find_bricks(pattern: str, bands: Sequence[str]) -> list[dict[str, Path]]:
    """The files that a pattern stands for, by band, brick by brick in sorted order.

    Args:
        pattern: A path with `{band}` in it, and `*`, `?` and `**/` where bricks differ.
        bands: Names that stand in the place of `{band}`.

    Raises:
        ValueError: If there is no `{band}`, no file, or a brick that lacks a band.
    """
    if BAND_FIELD not in pattern:
        raise ValueError(f"--images is {pattern}, without {{band}}. Put it where the names of the files have the band.")
    found: dict[tuple[str, ...], dict[str, Path]] = {}
    for band in bands:
        expression = _as_expression(pattern, band)
        for name in glob.glob(pattern.replace(BAND_FIELD, glob.escape(band)), recursive=True):
            if match := expression.fullmatch(name):
                found.setdefault(match.groups(), {})[band] = Path(name)
    if not found:
        raise ValueError(f"No file matches {pattern} with one of {', '.join(bands)} as the band. Check the path.")
    for files in found.values():
        if missing := [band for band in bands if band not in files]:
            raise ValueError(
                f"{next(iter(files.values()))} has no counterpart in the band {', '.join(missing)}. Add the file, "
                "leave the brick out of --images, or leave the band out of --bands."
            )
    return [{band: files[band] for band in bands} for _, files in sorted(found.items())]


def _as_expression(pattern: str, band: str) -> re.Pattern:
    """What finds the wildcards' parts in a name, which are the same for all bands of a brick."""
    wildcards = {BAND_FIELD: re.escape(band), "**/": "((?:.*/)?)", "*": "([^/]*)", "?": "([^/])"}
    parts = re.split(r"(\{band\}|\*\*/|\*|\?)", pattern)
    return re.compile("".join(wildcards.get(part) or re.escape(part) for part in parts))


def _read_header(path: Path) -> Image:
    try:
        from astropy.io import fits
    except ImportError as error:
        raise ImportError('Reading FITS needs astropy: pip install "galvm_hf[data]"') from error
    from astropy.wcs import WCS

    check_file(path)
    with damage(path, "FITS file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # obsolete keywords of old surveys
        warnings.filterwarnings("error", message=".*truncated.*")
        with path.open("rb") as stream, fits.open(stream, memmap=True) as hdus:
            number = next((number for number, hdu in enumerate(hdus) if hdu.is_image and len(hdu.shape) == 2), None)
            if number is None:
                raise UnreadableStampError(path, "holds no image [H, W]", "Give images of one band each")
            hdu = hdus[number]
            header, shape, place = hdu.header.copy(), hdu.shape, f"{path}[{number}]"
            if hdu.section.dtype.kind != "f":
                raise UnreadableStampError(place, "holds integers, which is no calibrated flux", "Calibrate it first")
        wcs = WCS(header)
    if not wcs.has_celestial:
        raise UnreadableStampError(place, "has no celestial WCS", "Add one to its header: CTYPE, CRVAL, CRPIX, CD")
    keyword = next((keyword for keyword in ZERO_POINT_KEYWORDS if keyword in header), None)
    zero_point = float(header[keyword]) if keyword else None
    factor, units = nanomaggies_per_unit(str(header.get("BUNIT", "")), zero_point, place)
    return Image(path, number, shape, wcs.celestial, factor, units)


def _cut(pixels: Any, position: Any, size: int, wcs: Any) -> tuple[np.ndarray, Any, float]:
    from astropy.nddata import Cutout2D

    cutout = Cutout2D(pixels, position, size, wcs=wcs, mode="partial", fill_value=np.nan)
    rows, columns = cutout.slices_original
    reached = (rows.stop - rows.start) * (columns.stop - columns.start)
    return np.asarray(cutout.data, dtype=np.float32), cutout.wcs, 1 - reached / size**2


def _tangent_grid(position: Any, size: int, pixel_scale: float) -> Any:
    """A gnomonic WCS with north up and the position in the middle."""
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = position.icrs.ra.deg, position.icrs.dec.deg
    wcs.wcs.crpix = (size + 1) / 2, (size + 1) / 2
    wcs.wcs.cdelt = -pixel_scale / 3600, pixel_scale / 3600
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def _is_per_area(units: str | None) -> bool:
    """Whether pixels in these units are a surface brightness: "MJy / sr", not "nanomaggy"."""
    from astropy import units as u

    try:
        bases = u.Unit(units or "").decompose()
    except ValueError:
        return False
    return math.isclose(dict(zip(bases.bases, bases.powers, strict=True)).get(u.rad, 0), -2)
