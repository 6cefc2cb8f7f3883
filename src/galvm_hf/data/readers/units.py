"""Every flux in one unit: the nanomaggy, 10^-0.4 (m - 22.5) of an AB magnitude m, which is 3.631e-6 Jy."""

import math
import warnings
from functools import lru_cache
from pathlib import Path

from ..stamp import NANOMAGGY, UnreadableStampError

NANOMAGGY_ZERO_POINT = 22.5
# Keywords of the AB magnitude of one count, in the order in which they are believed.
ZERO_POINT_KEYWORDS = ("MAGZERO", "MAGZPT", "MAGZP", "ZP", "PHOTZP")
_NANOMAGGY_NAMES = {NANOMAGGY, "nanomaggies", "nanomaggie", "nmgy", "nmaggy"}


def nanomaggies_per_unit(units: str | None, zero_point: float | None, place: str | Path) -> tuple[float, str | None]:
    """What pixels are to be multiplied by, and the unit that they have then.

    A unit of flux density (`astropy.units`: "nJy", "3.631e-6 Jy") or maggies decides. For any other, counts among them,
    the zero point does. Without either, the pixels stay as they are: the unit is the file's own ("adu", "MJy / sr"), or
    `None` if it has none.

    Raises:
        UnreadableStampError: If the zero point is no magnitude.
    """
    units = (units or "").strip() or None
    factor = _flux_density(units) if units is not None else None
    if factor is None and zero_point is not None:
        if not (math.isfinite(zero_point) and abs(zero_point) < 100):
            raise UnreadableStampError(
                place, f"has a zero point of {zero_point}", f"Give an AB magnitude as {ZERO_POINT_KEYWORDS[0]}"
            )
        factor = 10 ** ((NANOMAGGY_ZERO_POINT - zero_point) / 2.5)
    return (1.0, units) if factor is None else (factor, NANOMAGGY)


@lru_cache(maxsize=64)
def _flux_density(units: str) -> float | None:
    """Nanomaggies in one of these units, or `None` where they are no flux density per frequency."""
    if units.lower() in _NANOMAGGY_NAMES:
        return 1.0
    try:
        from astropy import units as u
    except ImportError as error:
        raise ImportError(f'Converting from {units} needs astropy: pip install "galvm_hf[data]"') from error

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spellings that FITS has given up are understood all the same
        try:
            factor = float(u.Unit(units).to(u.nmgy, equivalencies=u.zero_point_flux(1 * u.ABflux)))
        except (ValueError, TypeError, OverflowError):  # u.UnitConversionError is a TypeError
            return None
    return factor if math.isfinite(factor) and factor > 0 else None
