"""Discs seen from the side: thick and thin discs, dust lanes, slight warps."""

import torch
from torch import Tensor

from ..draw import Draw
from ..light import attenuate, combine, match_total
from ..profiles import edge_on_disc, exponential
from ..texture import smooth_field


def draw_edge_on(draw: Draw) -> dict[str, Tensor]:
    """Structure of edge-on discs, [N]."""
    return {
        "lane_depth": draw.chance(0.6) * draw.uniform(0.3, 2.2),
        "lane_side": draw.sign(),
        "warp": draw.normal(0.0, 0.06),
    }


def inclined_disc(u: Tensor, v: Tensor, parameters: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Disc with a dust lane, [B, 3, H, W], flux per square arcsecond.

    Up to an axis ratio of 0.15 it is the disc of van der Kruit & Searle (1981) seen exactly from the side, from 0.25 on
    an inclined exponential, in between a blend. The lane is the near half of a thin dust disc.

    Args:
        u: Along the major axis in arcsec, [B, H, W].
        v: Along the minor axis.
        parameters: From `draw_galaxies`.
        generator: Source of the random fields.
    """
    part = {name: value[:, None, None] for name, value in parameters.items()}
    radius, axis_ratio = parameters["disc_radius"], parameters["axis_ratio"]
    reach = u / part["disc_radius"]
    v = v - part["warp"] * part["disc_radius"] * 0.1 * reach**3 / (1 + 0.1 * reach**2)
    inclined = ((part["axis_ratio"] - 0.15) / 0.1).clamp(0, 1)
    clumps = smooth_field(len(u), u.shape[-1], u.shape[-1] // 6, generator)

    def disc(scale: float, ratio: Tensor) -> Tensor:
        distance = torch.sqrt(u**2 + (v / ratio[:, None, None]) ** 2 + 0.01) / (scale * part["disc_radius"])
        flat = exponential(distance, scale * radius, ratio)
        return torch.lerp(edge_on_disc(u, v, scale * radius, ratio), flat, inclined)

    smooth = disc(1.0, axis_ratio)
    young = disc(1.15, 0.8 * axis_ratio) * torch.exp(0.35 * clumps)
    knots = young * (clumps - 0.8).clamp(min=0) + 1e-9 * smooth

    # the near side of the dust disc, which is a line when seen exactly from the side
    bow = (1 - (reach / 1.9) ** 2).clamp(min=0).sqrt()
    lane = v - part["lane_side"] * part["axis_ratio"] * part["disc_radius"] * 0.45 * inclined * bow
    thickness = (0.28 * part["axis_ratio"] * part["disc_radius"]).clamp(min=0.2)
    depth = part["lane_depth"] * torch.exp(-((lane / thickness) ** 2) - (reach / 1.5) ** 2)
    depth = depth * (1 + 0.4 * clumps).clamp(min=0)
    components = [
        (smooth, "old_flux"),
        (match_total(young, smooth), "young_flux"),
        (match_total(knots, smooth), "knot_flux"),
    ]
    return combine([(image, parameters[flux]) for image, flux in components], attenuate(depth, 0.75))
