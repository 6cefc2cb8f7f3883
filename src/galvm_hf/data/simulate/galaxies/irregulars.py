"""Irregular galaxies: lopsided, without a bulge or arms, lit up by clumps of young stars."""

import torch
from torch import Tensor

from ..draw import Draw
from ..light import combine, match_total
from ..profiles import exponential
from ..texture import smooth_field


def draw_irregular(draw: Draw) -> dict[str, Tensor]:
    """Structure of irregulars, [N]."""
    return {
        "raggedness": draw.uniform(0.25, 0.7),
        "offset": draw.uniform(0.1, 0.5),
        "offset_angle": draw.uniform(0, 6.2832),
    }


def irregular_body(u: Tensor, v: Tensor, parameters: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """An irregular, [B, 3, H, W], flux per square arcsecond: a bent exponential, clumps, and a bar off its centre.

    Args:
        u: Along the major axis in arcsec, [B, H, W].
        v: Along the minor axis.
        parameters: From `draw_galaxies`.
        generator: Source of the random fields.
    """
    part = {name: value[:, None, None] for name, value in parameters.items()}
    radius, axis_ratio = parameters["disc_radius"], parameters["axis_ratio"]
    size, number = u.shape[-1], len(u)
    # The fields' cells follow the size of the galaxy roughly: they are two sizes, of arms' and of clusters' scale.
    broad = smooth_field(number, size, size // 9, generator)
    fine = smooth_field(number, size, size // 4, generator)
    bend_u, bend_v = (smooth_field(number, size, size // 12, generator) for _ in range(2))
    smooth = exponential(
        torch.sqrt(u**2 + (v / part["axis_ratio"]) ** 2 + 0.01) / part["disc_radius"], radius, axis_ratio
    )
    bend = 0.35 * part["raggedness"] * part["disc_radius"]
    u, v = u + bend * bend_u, v + bend * bend_v
    distance = torch.sqrt(u**2 + (v / part["axis_ratio"]) ** 2 + 0.01) / part["disc_radius"]
    body = torch.exp(-(distance**1.3) * 1.3)  # flatter in the middle than an exponential
    old = body * torch.exp(0.5 * part["raggedness"] * broad)
    young = body * torch.exp(1.5 * part["raggedness"] * broad + 0.35 * fine)
    knots = body * (fine + broad - 0.9).clamp(min=0) ** 2 + 1e-9 * smooth

    shift = part["offset"] * part["disc_radius"]
    du, dv = (
        u - shift * torch.cos(part["offset_angle"]),
        v - shift * torch.sin(part["offset_angle"]) * part["axis_ratio"],
    )
    bar = torch.exp(-((du / (0.5 * part["disc_radius"])) ** 2 + (dv / (0.2 * part["disc_radius"])) ** 2))
    components = [(old, "old_flux"), (young, "young_flux"), (knots, "knot_flux"), (bar, "bar_flux")]
    return combine([(match_total(image, smooth), parameters[flux]) for image, flux in components])
