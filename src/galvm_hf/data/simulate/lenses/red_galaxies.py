"""Massive red galaxies with their satellites: those that act as strong lenses, and the like of them that do not.

The velocity dispersion fixes the mean luminosity (Faber & Jackson 1976; zero point and slope after Bernardi et al.
2003), the luminosity the size (Hyde & Bernardi 2009), the redshift the colours: those of an old stellar population as
the red sequence of the DECam bands shows them (Rykoff et al. 2016; Zhou et al. 2023).
"""

import math

import torch
from torch import Tensor

from ..cosmology import comoving_distance, interpolate
from ..draw import Draw
from ..neighbours import render_neighbours
from ..profiles import pixel_grid, rotate, sersic, to_flux
from ..survey import PIXEL_SCALE

SPEED_OF_LIGHT = 299792.458  # km/s
ARCSEC = math.radians(1 / 3600)

# Mean and scatter of the dispersions in km/s, as found in lens surveys (Bolton et al. 2008; Sonnenfeld et al. 2013).
DISPERSION, DISPERSION_RANGE = (280.0, 50.0), (180.0, 450.0)
# By redshift: g - r, r - z, and K correction less passive evolution in r.
SEQUENCE_REDSHIFT = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SEQUENCE_G_R = (0.76, 0.95, 1.18, 1.40, 1.60, 1.70, 1.74, 1.76, 1.78, 1.80, 1.82)
SEQUENCE_R_Z = (0.60, 0.66, 0.73, 0.82, 0.96, 1.15, 1.38, 1.64, 1.90, 2.10, 2.25)
SEQUENCE_DIMMING = (0.0, 0.02, 0.06, 0.11, 0.20, 0.36, 0.50, 0.66, 0.82, 1.00, 1.15)
LEAST_REDSHIFT = 0.15
SATELLITES = 6


def einstein_radius(dispersion: Tensor, lens_redshift: Tensor, source_redshift: Tensor) -> Tensor:
    """Einstein radius in arcsec of an isothermal lens with that velocity dispersion in km/s; zero if nothing is behind.

    Bovy (2024), Dynamics and Astrophysics of Galaxies, equation 16.22.
    """
    ratio = 1 - comoving_distance(lens_redshift) / comoving_distance(source_redshift)  # D_ls / D_s in a flat universe
    return 4 * math.pi * (dispersion / SPEED_OF_LIGHT) ** 2 * ratio.clamp(min=0) / ARCSEC


def draw_red_galaxies(number: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Massive ellipticals as lens surveys find them.

    Returns:
        Each [N] but `flux`: `redshift`, `dispersion` (km/s), `flux` (nanomaggies, [N, 3]), `radius` (half-light
        semi-major axis in arcsec), `axis_ratio`, `position_angle` (radians, from the column axis towards the row axis),
        `sersic_index`, the centre `x`, `y`, in arcsec from the middle of the stamp, less than half a pixel off it,
        `richness` of the group it is in, 0 to 1, and of its satellites `satellite_*` what `render_neighbours` needs,
        [N, K] and [N, K, 3].
    """
    draw = Draw(number, generator)
    dispersion = draw.normal(*DISPERSION).clamp(*DISPERSION_RANGE)
    redshift = (LEAST_REDSHIFT + (draw.normal(0.58, 0.17) - LEAST_REDSHIFT).abs()).clamp(max=1.0)
    absolute = -22.3 - 5.0 * torch.log10(dispersion / 220) + draw.normal(0, 0.3)
    radius_kpc = 10 ** (0.74 - 0.26 * (absolute + 22.5) + draw.normal(0, 0.10))
    distance = comoving_distance(redshift)
    tables = torch.tensor([SEQUENCE_REDSHIFT, SEQUENCE_G_R, SEQUENCE_R_Z, SEQUENCE_DIMMING])
    g_r, r_z, dimming = (interpolate(redshift, tables[0], row) for row in tables[1:])
    magnitude = absolute + 5 * torch.log10(distance * (1 + redshift)) + 25 + dimming
    colours = torch.stack([g_r + draw.normal(0, 0.05), torch.zeros(number), -r_z - draw.normal(0, 0.05)], dim=-1)
    galaxies = {
        "redshift": redshift,
        "dispersion": dispersion,
        "flux": to_flux(magnitude[:, None] + colours),
        "radius": radius_kpc * 1e-3 * (1 + redshift) / distance / ARCSEC,
        "axis_ratio": draw.normal(0.78, 0.13).clamp(0.45, 0.98),
        "position_angle": draw.uniform(0, math.pi),
        "sersic_index": draw.normal(4.2, 0.8).clamp(2.5, 6.0),
        "x": draw.uniform(-0.5, 0.5) * PIXEL_SCALE,
        "y": draw.uniform(-0.5, 0.5) * PIXEL_SCALE,
    }
    return galaxies | _draw_satellites(draw, galaxies)


def _draw_satellites(draw: Draw, galaxies: dict[str, Tensor]) -> dict[str, Tensor]:
    """Red galaxies of the same group: three in four galaxies are in one, and up to six of it in sight."""
    shape = (SATELLITES,)
    richness = draw.chance(0.75) * draw.uniform(0, 1)
    present = draw.chance(richness[:, None], *shape)
    share = 10 ** draw.uniform(-2.1, -0.7, *shape) * present
    distance, around = 2.5 + draw.uniform(0, 14, *shape), draw.uniform(0, 2 * math.pi, *shape)
    return {
        "richness": richness,
        "satellite_flux": galaxies["flux"][:, None] * share[..., None],
        "satellite_radius": (galaxies["radius"][:, None] * share.clamp(min=1e-3) ** 0.6).clamp(min=0.15),
        "satellite_axis_ratio": draw.uniform(0.5, 1.0, *shape),
        "satellite_position_angle": draw.uniform(0, math.pi, *shape),
        "satellite_x": galaxies["x"][:, None] + distance * around.cos(),
        "satellite_y": galaxies["y"][:, None] + distance * around.sin(),
    }


def render_red_galaxies(parameters: dict[str, Tensor], size: int) -> Tensor:
    """Nanomaggies a pixel of galaxies and satellites, before the PSF, [B, 3, size, size]."""
    x, y = pixel_grid(size)
    u, v = rotate(x - parameters["x"][:, None, None], y - parameters["y"][:, None, None], parameters["position_angle"])
    shape = (parameters[name] for name in ("radius", "axis_ratio", "sersic_index"))
    profile = sersic(u, v, *shape, PIXEL_SCALE / 3) * PIXEL_SCALE**2
    return profile[:, None] * parameters["flux"][..., None, None] + render_group(parameters, "satellite", size)


def render_group(parameters: dict[str, Tensor], prefix: str, size: int) -> Tensor:
    """Small galaxies whose parameters are named `<prefix>_flux` and so on, as `render_neighbours` gives them."""
    names = ("flux", "radius", "axis_ratio", "position_angle", "x", "y")
    group = {name: parameters[f"{prefix}_{name}"] for name in names}
    no_star = group["x"][:, :0]
    group |= {"star_x": no_star, "star_y": no_star, "star_flux": group["flux"][:, :0]}
    return render_neighbours(group, size)
