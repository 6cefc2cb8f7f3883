"""The celestial WCS of an image, and its pixel scale."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils import logging

logger = logging.get_logger(__name__)

# Bands are on one grid if their pixels agree to this.
SAME_GRID_PIXELS = 0.02


def celestial_wcs(header: Any, place: str | Path) -> tuple[Any, float | None]:
    """The two-dimensional celestial `astropy.wcs.WCS` of a FITS header and its arcseconds per pixel, or twice `None`.

    A broken WCS loses the scale, not the image; a warning says so.

    Args:
        header: As astropy gives it.
        place: What the header is of, for the warning.
    """
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # obsolete keywords of old surveys: the scale is right all the same
        try:
            wcs = WCS(header).celestial
            scale = float(np.mean(proj_plane_pixel_scales(wcs))) * 3600 if wcs.has_celestial else math.nan
        except Exception as error:  # wcslib and astropy fail at whatever is wrong first, each in its own way
            reason = " ".join(str(error).split())
            logger.warning(f"{place}: its WCS is broken and left out, and with it the pixel scale ({reason}).")
            return None, None
    return (wcs, scale) if math.isfinite(scale) and scale > 0 else (None, None)


def celestial_wcs_from_text(text: str, place: str | Path) -> Any:
    """The same WCS from the text of a header, cards of 80 characters or lines."""
    try:
        from astropy.io import fits
    except ImportError as error:
        raise ImportError('Reading a WCS needs astropy: pip install "galvm_hf[data]"') from error

    return celestial_wcs(fits.Header.fromstring(text, sep="\n" if "\n" in text else ""), place)[0]


def same_grid(wcs: Any, other: Any, shape: tuple[int, int]) -> bool:
    """Whether two WCS put the corners of an image [H, W] at the same places."""
    from astropy.wcs.utils import pixel_to_pixel

    height, width = shape
    x, y = np.array([0, width - 1, 0, width - 1]), np.array([0, 0, height - 1, height - 1])
    there = pixel_to_pixel(wcs, other, x, y)
    return bool(np.hypot(there[0] - x, there[1] - y).max() < SAME_GRID_PIXELS)
