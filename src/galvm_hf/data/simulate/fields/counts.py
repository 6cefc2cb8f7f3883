"""What fills a wide field: faint galaxies and stars, as many of each magnitude as on the sky."""

import math

import torch
from torch import Tensor

from ..draw import Draw
from ..profiles import to_flux

# Galaxies per square degree and magnitude at r = 24, and the slope of its logarithm (Metcalfe et al. 2001; Yasuda et
# al. 2001), and stars at r = 20 at high galactic latitude (Bahcall & Soneira 1980).
GALAXY_COUNT, GALAXY_SLOPE = 10**4.65, 0.36
STAR_COUNT, STAR_SLOPE = 10**2.85, 0.12
LARGE_RANGE, FAINT_RANGE, STAR_RANGE = (15.5, 18.5), (18.5, 24.8), (14.5, 24.0)


def galaxies_expected(area: float, bright: float, faint: float) -> float:
    """Galaxies between two magnitudes in r on an area in square degrees."""
    return area * _integral(GALAXY_COUNT, 24.0, GALAXY_SLOPE, bright, faint)


def stars_expected(area: float, bright: float, faint: float) -> float:
    """Stars between two magnitudes in r on an area in square degrees."""
    return area * _integral(STAR_COUNT, 20.0, STAR_SLOPE, bright, faint)


def _integral(count: float, at: float, slope: float, bright: float, faint: float) -> float:
    return count * (10 ** (slope * (faint - at)) - 10 ** (slope * (bright - at))) / (slope * math.log(10))


def draw_faint_galaxies(number: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Parameters of faint galaxies: `flux` [N, 3] in nanomaggies, `radius`, `axis_ratio`, `position_angle`, and
    `sersic_index`, each [N].

    A quarter is red and concentrated, the rest blue discs. Half-light radii fall with magnitude as in deep images
    (Roche et al. 1996).
    """
    draw = Draw(number, generator)
    magnitude = _draw_magnitude(draw, GALAXY_SLOPE, *FAINT_RANGE)
    red = draw.chance(0.25)
    faintness = (magnitude - 18.5) / 6
    g_r = torch.where(red, draw.normal(1.25, 0.3), draw.normal(0.55, 0.22))
    r_z = 0.85 * g_r - 0.1 + draw.normal(0, 0.12) + 0.3 * red * faintness
    return {
        "flux": to_flux(magnitude[:, None] + torch.stack([g_r, torch.zeros(number), -r_z], dim=-1)),
        "radius": 10 ** (0.36 - 0.14 * (magnitude - 18) + draw.normal(0, 0.16)),
        "axis_ratio": torch.where(red, draw.uniform(0.5, 1.0), draw.uniform(0.2, 1.0)),
        "position_angle": draw.uniform(0, math.pi),
        "sersic_index": torch.where(red, draw.uniform(2.5, 4.5), draw.uniform(0.7, 1.6)),
    }


def draw_stars(number: int, generator: torch.Generator) -> Tensor:
    """Fluxes of stars in nanomaggies, [N, 3], along the stellar locus of main-sequence stars (Covey et al. 2007)."""
    draw = Draw(number, generator)
    magnitude = _draw_magnitude(draw, STAR_SLOPE, *STAR_RANGE)
    # Faint stars are red dwarfs more often: their g - r stops at 1.5, their r - z goes on.
    cool = draw.chance(0.35 + 0.3 * ((magnitude - 16) / 6).clamp(0, 1))
    g_r = torch.where(cool, draw.normal(1.45, 0.08), draw.uniform(0.25, 1.2))
    r_z = torch.where(cool, draw.uniform(0.9, 2.2), 0.6 * g_r - 0.05) + draw.normal(0, 0.04)
    return to_flux(magnitude[:, None] + torch.stack([g_r, torch.zeros(number), -r_z], dim=-1))


def _draw_magnitude(draw: Draw, slope: float, bright: float, faint: float) -> Tensor:
    """Magnitudes whose counts rise by that power of ten a magnitude."""
    low, high = 10 ** (slope * bright), 10 ** (slope * faint)
    return torch.log10(draw.uniform(low, high)) / slope
