"""Faint blue galaxies far behind a lens: discs with knots of star formation, some with arms."""

import math

import torch
from torch import Tensor

from ..draw import Draw
from ..profiles import EXPONENTIAL_HALF_LIGHT, rotate, sersic_b, to_flux

KNOTS = 8
SMALLEST_KNOT = 0.045  # arcsec: about 400 pc, and half the distance between rays, which would miss smaller ones
RASTER_SIDE = 96
RASTER_EXTENT = 5.0  # half-light radii from the centre to the edge of the raster


def draw_sources(number: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Parameters of sources.

    Redshifts follow those of lensed sources that ground-based surveys find (Collett 2015), magnitudes the slope of the
    galaxy counts (Metcalfe et al. 2001), sizes those of small star-forming galaxies (Shibuya et al. 2015: about
    2 kpc), knots those of clumpy galaxies (Guo et al. 2015).

    Returns:
        Each [N] but `flux` [N, 3] and the knots [N, K]: `redshift`, `flux` (nanomaggies, unlensed), `radius`
        (half-light semi-major axis, arcsec), `axis_ratio`, `position_angle` (radians), `sersic_index`, `red_share` (of
        the r flux in an older centre), `arms` (strength, 0 without), `turn`, `knot_share`, `knot_x`, `knot_y`,
        `knot_width` (half-light radii), `knot_flux`.
    """
    draw = Draw(number, generator)
    bright, faint, slope = 21.5, 24.8, 0.33
    share = draw.uniform(0, 1)
    low, high = 10 ** (slope * bright), 10 ** (slope * faint)
    magnitude = torch.log10(low + share * (high - low)) / slope
    older = draw.chance(0.12)
    g_r = torch.where(older, draw.normal(0.7, 0.15), draw.normal(0.16, 0.14))
    r_z = 0.1 + 0.8 * g_r + draw.normal(0, 0.13)
    radius = (10 ** (math.log10(0.24) - 0.08 * (magnitude - 24) + draw.normal(0, 0.16))).clamp(min=0.12)
    distance, angle = -0.55 * torch.log(draw.uniform(1e-3, 1, KNOTS)), draw.uniform(0, 2 * math.pi, KNOTS)
    return {
        "redshift": torch.exp(draw.normal(math.log(1.7), 0.33)).clamp(0.6, 4.5),
        "flux": to_flux(magnitude[:, None] + torch.stack([g_r, torch.zeros(number), -r_z], dim=-1)),
        "radius": radius,
        "axis_ratio": draw.uniform(0.3, 1.0),
        "position_angle": draw.uniform(0, math.pi),
        "sersic_index": draw.uniform(0.7, 1.6),
        "red_share": draw.uniform(0, 0.3),
        "arms": draw.uniform(0.3, 0.8) * draw.chance(0.4),
        "turn": draw.sign() * draw.uniform(2.0, 4.0),
        "knot_share": draw.uniform(0, 0.5),
        "knot_x": distance * angle.cos(),
        "knot_y": distance * angle.sin(),
        "knot_width": draw.uniform(0.05, 0.25, KNOTS).maximum(SMALLEST_KNOT / radius[:, None]),
        "knot_flux": draw.uniform(0, 1, KNOTS) ** 2,
    }


def render_sources(parameters: dict[str, Tensor]) -> Tensor:
    """Surface brightness of sources, face of a raster in their own axes: major along the columns, minor along the rows.

    Returns:
        Nanomaggies per square arcsec, [B, 3, 96, 96]; the raster reaches `RASTER_EXTENT` half-light radii from the
        centre, along the minor axis those of the minor axis.
    """
    axis = (torch.arange(RASTER_SIDE) + 0.5) / RASTER_SIDE * 2 * RASTER_EXTENT - RASTER_EXTENT
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    distance = torch.hypot(u, v).expand(len(parameters["radius"]), -1, -1)
    index, arms, turn = (parameters[name][:, None, None] for name in ("sersic_index", "arms", "turn"))
    disc = torch.exp(-sersic_b(index) * distance ** (1 / index))
    phase = 2 * torch.atan2(v, u) - turn * torch.log(distance + 0.1) * 2
    disc = disc * (1 + arms * torch.cos(phase) * (1 - torch.exp(-((distance / 0.6) ** 2))))
    # A knot is the product of two one-dimensional Gaussians, so all of them are one matrix product.
    across, along = (
        torch.exp(-0.5 * ((axis - parameters[name][..., None]) / parameters["knot_width"][..., None]) ** 2)
        for name in ("knot_y", "knot_x")
    )
    height = parameters["knot_flux"] / parameters["knot_width"] ** 2
    knots = (across * height[..., None]).mT @ along
    centre = torch.exp(-2 * EXPONENTIAL_HALF_LIGHT * distance)
    disc, knots, centre = (part / part.sum(dim=(-2, -1), keepdim=True) for part in (disc, knots, centre))

    red = parameters["red_share"][:, None, None]
    knot_share = (1 - red) * parameters["knot_share"][:, None, None]
    young = (1 - red - knot_share) * disc + knot_share * knots
    # the centre is redder than the whole by 0.4 mag in g - r and in r - z; the total stays what it was
    reddening = torch.tensor([10**-0.16, 1.0, 10**0.16])[:, None, None]
    light = young[:, None] + (red * centre)[:, None] * reddening
    light = light / light.sum(dim=(-2, -1), keepdim=True)
    cell = (2 * RASTER_EXTENT / RASTER_SIDE) ** 2 * parameters["radius"] ** 2 * parameters["axis_ratio"]
    return light * (parameters["flux"] / cell[:, None])[..., None, None]


def sample_sources(raster: Tensor, parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Surface brightness at points of the source plane.

    Args:
        raster: From `render_sources`, [B, 3, 96, 96].
        parameters: From `draw_sources`.
        x, y: Arcsec from the centre of the source, [B, H, W].

    Returns:
        Nanomaggies per square arcsec, [B, 3, H, W]; zero beyond the raster.
    """
    u, v = rotate(x, y, parameters["position_angle"])
    reach = (RASTER_EXTENT * parameters["radius"])[:, None, None]
    points = torch.stack([u / reach, v / (reach * parameters["axis_ratio"][:, None, None])], dim=-1)
    return torch.nn.functional.grid_sample(raster, points, align_corners=False)
