"""Discs seen more or less from above: logarithmic arms, flocculence, knots of young stars, dust, bars and rings."""

import torch
from torch import Tensor

from ..draw import Draw
from ..light import attenuate, combine, match_total
from ..profiles import exponential
from ..texture import polar_field, smooth_field

LOG_OFFSET = 0.05  # keeps the logarithm of the radius finite in the middle


def draw_arms(draw: Draw, late: Tensor) -> dict[str, Tensor]:
    """Structure of discs, [N].

    Args:
        late: How late the type is, from 0 (Sa) to 1 (Sd): arms open and grow ragged along the sequence.
    """
    barred = draw.chance(0.35)
    number = 2.0 + draw.chance(0.3) + draw.chance(0.12)
    return {
        "handedness": draw.sign(),
        "arm_number": torch.where(barred, 2.0, number),
        "pitch": torch.deg2rad((12 + 14 * late + draw.normal(0.0, 4.0)).clamp(8, 36)),
        "arm_phase": draw.uniform(0, 2 * torch.pi),
        "arm_strength": draw.uniform(0.5, 1.0),
        "arm_sharpness": draw.uniform(1.0, 2.6),
        "flocculence": (draw.uniform(-0.2, 0.7) + 0.3 * late).clamp(0, 1),
        "bar_strength": barred * draw.uniform(0.08, 0.28),
        "bar_length": draw.uniform(0.45, 0.85),
        "bar_angle": draw.uniform(0, torch.pi),
        "ring": draw.chance(0.2) * draw.uniform(0.1, 0.5),
        "dust": draw.uniform(0.0, 0.9),
        "lopsidedness": draw.uniform(0.0, 0.16),
        "lopsided_angle": draw.uniform(0, 2 * torch.pi),
    }


def spiral_disc(u: Tensor, v: Tensor, parameters: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Disc with arms, [B, 3, H, W], flux per square arcsecond.

    The arms are log spirals (Danver 1942) whose phase wanders; a flocculent disc has short pieces of arms at the same
    pitch instead (Elmegreen & Elmegreen 1987). Old stars follow the arms weakly, young stars strongly, and dust lies
    along the inner edges.

    Args:
        u: Along the major axis in arcsec, [B, H, W].
        v: Along the minor axis.
        parameters: From `draw_galaxies`; lengths of bar and ring in half-light radii of the disc.
        generator: Source of the random fields.
    """
    part = {name: value[:, None, None] for name, value in parameters.items()}
    radius, axis_ratio = parameters["disc_radius"], parameters["axis_ratio"]
    height = v / part["axis_ratio"]
    angle = torch.atan2(height, u)
    distance = torch.sqrt(u**2 + height**2 + 0.01) / part["disc_radius"]
    smooth = exponential(distance, radius, axis_ratio)
    distance = distance * (1 + part["lopsidedness"] * torch.cos(angle - part["lopsided_angle"]))
    disc = exponential(distance, radius, axis_ratio)

    size = u.shape[-1]
    wander = smooth_field(len(u), size, 7, generator)
    log_radius = torch.log(distance + LOG_OFFSET)
    winding = part["handedness"] / torch.tan(part["pitch"])
    wound = angle - winding * log_radius + 0.22 * wander
    barred = part["bar_strength"] > 0
    # The arms of a barred galaxy begin at the ends of the bar.
    at_bar = part["arm_number"] * (winding * torch.log(part["bar_length"] + LOG_OFFSET) - part["bar_angle"])
    phase = part["arm_number"] * wound + torch.where(barred, at_bar, part["arm_phase"])
    crest = torch.exp(part["arm_sharpness"] * (torch.cos(phase) - 1))
    pieces = torch.exp(1.1 * polar_field(wound, log_radius, 13, 21, generator) - 0.9)
    clumps = smooth_field(len(u), size, size // 4, generator)
    arms = torch.lerp(crest * (1 + 0.3 * torch.cos(wound - part["arm_phase"])), 0.7 * pieces, part["flocculence"])

    start = torch.where(barred, 0.9 * part["bar_length"], 0.35)
    among = torch.sigmoid((distance - start) / 0.08) * torch.exp(-((distance / 3.2) ** 4))
    ring = part["ring"] * torch.exp(-(((distance - part["bar_length"]) / 0.13) ** 2))
    contrast = among * part["arm_strength"]
    young = disc * (
        (1 - contrast) * (0.35 + 0.65 * among) + contrast * 2.6 * arms * torch.exp(0.45 * clumps) + 2 * ring
    )
    old = disc * (1 + contrast * (0.9 * arms - 0.35) + 0.5 * ring)
    knots = young * (clumps + 1.5 * arms - 1.2).clamp(min=0) ** 2 * among

    along = distance * torch.cos(angle - part["bar_angle"]) / part["bar_length"]
    across = distance * torch.sin(angle - part["bar_angle"]) / (0.3 * part["bar_length"])
    bar = torch.exp(-((along**2 + across**2) ** 1.4)) + 1e-12 * smooth

    lane = torch.exp(3 * (torch.cos(phase + part["handedness"] * 0.7) - 1)) * (0.2 + 0.8 * among)
    depth = part["dust"] * lane * torch.exp(-0.5 * distance) * (1 + 0.5 * clumps).clamp(min=0)
    components = [(old, "old_flux"), (young, "young_flux"), (knots, "knot_flux"), (bar, "bar_flux")]
    return combine(
        [(match_total(image, smooth), parameters[flux]) for image, flux in components], attenuate(depth, 0.8)
    )
