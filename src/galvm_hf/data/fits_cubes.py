"""Read calibrated flux from FITS image cubes."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from .stamp import DEFAULT_BANDS, UnreadableStampError

# astropy only warns about these, and the pixels that follow are wrong.
DAMAGE_WARNINGS = ("truncated", "verification failed")


def read_fits(path: Path) -> tuple[np.ndarray, tuple[str, ...], float | None]:
    """The first image cube of a FITS file: flux [C, H, W], its bands, its pixel scale in arcseconds."""
    try:
        from astropy.io import fits
    except ImportError as error:
        raise ImportError('Reading FITS needs astropy: pip install "galvm_hf[data]"') from error

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with fits.open(path, memmap=False, checksum=True) as hdus:
                cubes = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) == 3]
                pixels = cubes[0].data if cubes else None
                header = cubes[0].header if cubes else None
        except Exception as error:  # astropy raises whatever the damage happens to break
            raise UnreadableStampError(path, f"is not a readable FITS file ({error})", "Fetch it again") from error
    for warning in caught:
        if any(sign in str(warning.message).lower() for sign in DAMAGE_WARNINGS):
            raise UnreadableStampError(path, f"is damaged ({' '.join(str(warning.message).split())})", "Fetch it again")
    if pixels is None or header is None:
        raise UnreadableStampError(path, "holds no image cube", "Stack the bands g, r, z to one image [3, H, W]")
    return np.ascontiguousarray(pixels, dtype=np.float32), _fits_bands(header, len(pixels), path), _pixel_scale(header)


def _fits_bands(header: Any, count: int, path: Path) -> tuple[str, ...]:
    """Band names from `BANDS` ("grz", "g,r,z"), else from `BAND0` onwards, else g, r, z."""
    if "BANDS" in header:
        listed = str(header["BANDS"])
        bands = tuple(listed.replace(",", " ").split()) if any(mark in listed for mark in ", ") else tuple(listed)
    elif "BAND0" in header:
        bands = tuple(str(header[f"BAND{index}"]) for index in range(count) if f"BAND{index}" in header)
    else:
        bands = DEFAULT_BANDS
    if len(bands) != count:
        raise UnreadableStampError(
            path,
            f"has {count} planes and names the bands {bands}",
            "Set BANDS in its header, one letter for each plane",
        )
    return bands


def _pixel_scale(header: Any) -> float | None:
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # obsolete keywords of old surveys: the scale is right all the same
        try:
            wcs = WCS(header).celestial
            return float(np.mean(proj_plane_pixel_scales(wcs))) * 3600 if wcs.has_celestial else None
        except Exception:  # a broken WCS loses the scale, not the image
            return None
