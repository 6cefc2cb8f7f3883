"""Two galaxies that merge: two nuclei, bent discs, tails, a bridge, shells, and a common halo."""

import torch
from torch import Tensor

from ..draw import Draw
from ..light import combine, match_total
from ..profiles import exponential, rotate, sersic
from ..survey import PIXEL_SCALE
from ..texture import smooth_field

MERGING_BULGE = 0.3  # half-light radius of a bulge, in those of its disc


def draw_merger(draw: Draw, radius: Tensor) -> dict[str, Tensor]:
    """Structure of mergers, [N].

    Args:
        radius: Half-light radius of the disc of the brighter galaxy in arcsec.
    """
    ratio = draw.uniform(0.2, 1.0)
    return {
        "wet": 1.0 * draw.chance(0.6),
        "mass_ratio": ratio,
        "separation": (draw.uniform(0.7, 2.0) * radius).clamp(min=1.8),
        "separation_angle": draw.uniform(0, 2 * torch.pi),
        "companion_radius": radius * ratio.sqrt() * draw.uniform(0.6, 1.0),
        "companion_axis_ratio": draw.uniform(0.4, 1.0),
        "companion_angle": draw.uniform(0, torch.pi),
        "tail_turn": draw.sign(2) * draw.uniform(0.4, 1.5, 2),
        "tail_length": draw.uniform(0.6, 2.2, 2),
        "tail_angle": draw.normal(0.0, 0.7, 2),
        "tail_share": draw.uniform(0.2, 1.0, 2),
        "bridge_share": draw.uniform(0.0, 0.6),
        "shell_share": draw.chance(0.4) * draw.uniform(0.1, 0.6),
        "shell_spacing": draw.uniform(0.5, 0.9),
        "disturbance": draw.uniform(0.1, 0.5),
    }


def merging_pair(x: Tensor, y: Tensor, parameters: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """Both galaxies and what the tides pulled out, [B, 3, H, W], flux per square arcsecond.

    The middle of the stamp divides the line between the nuclei as their masses do.

    Args:
        x: Along the columns in arcsec, [H, W].
        y: Along the rows.
        parameters: From `draw_galaxies`.
        generator: Source of the random fields.
    """
    part = {name: value[:, None, None] for name, value in parameters.items() if value.ndim == 1}
    size, number = x.shape[-1], len(parameters["separation"])
    cos, sin = torch.cos(part["separation_angle"]), torch.sin(part["separation_angle"])
    weight = part["mass_ratio"] / (1 + part["mass_ratio"])
    bend = 0.5 * part["disturbance"] * part["disc_radius"]
    bends = [bend * smooth_field(number, size, size // 16, generator) for _ in range(2)]
    clumps = smooth_field(number, size, size // 5, generator)

    halo_radius = parameters["disc_radius"] + 0.5 * parameters["separation"]
    halo = _disc(*rotate(x, y, parameters["separation_angle"]), halo_radius, torch.full_like(halo_radius, 0.75))
    components, tails = [(halo, parameters["halo_flux"])], torch.zeros_like(halo)
    galaxies = (
        ("disc_radius", "axis_ratio", "position_angle", "bulge_flux"),
        ("companion_radius", "companion_axis_ratio", "companion_angle", "companion_bulge_flux"),
    )
    disc_fluxes = (parameters["old_flux"] + parameters["young_flux"], parameters["companion_disc_flux"])
    for index, (names, place) in enumerate(zip(galaxies, (-weight, 1 - weight), strict=True)):
        radius, axis_ratio, angle, bulge_flux = (parameters[name] for name in names)
        dx, dy = (x - place * part["separation"] * cos, y - place * part["separation"] * sin)
        u, v = rotate(dx, dy, angle)
        round_ratio = axis_ratio.clamp(min=0.7)
        bulge = sersic(u, v, MERGING_BULGE * radius, round_ratio, parameters["sersic_index"], PIXEL_SCALE / 3)
        bent = _disc(*rotate(dx + bends[0], dy + bends[1], angle), radius, axis_ratio)
        bent = match_total(bent * torch.exp(0.5 * part["wet"] * clumps), _disc(u, v, radius, axis_ratio))
        components += [(bulge, bulge_flux), (bent, disc_fluxes[index])]

        apart, azimuth = torch.hypot(dx, dy) / radius[:, None, None] + 0.02, torch.atan2(dy, dx)
        turn = parameters["tail_turn"][:, index, None, None] * torch.log(apart)
        outwards = part["separation_angle"] + torch.pi * (index == 0) + parameters["tail_angle"][:, index, None, None]
        tail = _ridge(azimuth - outwards - turn, apart, parameters["tail_length"][:, index, None, None])
        tails = tails + parameters["tail_share"][:, index, None, None] * tail
        if index == 0:
            axis = azimuth - part["separation_angle"]
            tails = tails + part["bridge_share"] * _ridge(axis - 0.4 * turn, apart, 0.5)
            tails = tails + part["shell_share"] * _shells(axis, apart, part["shell_spacing"])
    components.append((match_total(tails * torch.exp(0.4 * clumps), halo), parameters["tail_flux"]))
    return combine(components)


def _disc(u: Tensor, v: Tensor, radius: Tensor, axis_ratio: Tensor) -> Tensor:
    distance = torch.sqrt(u**2 + (v / axis_ratio[:, None, None]) ** 2 + 0.01) / radius[:, None, None]
    return exponential(distance, radius, axis_ratio)


def _shells(axis: Tensor, apart: Tensor, spacing: Tensor) -> Tensor:
    """Arcs with sharp outer edges on both sides along angle zero, in turn (Quinn 1984)."""
    side = 0.5 * (torch.cos(axis) < 0)
    saw = torch.remainder(apart / spacing + side, 1) ** 3
    return saw * torch.cos(axis) ** 4 * torch.exp(-apart / 1.3) * (apart > 0.6)


def _ridge(angle: Tensor, apart: Tensor, length: Tensor | float) -> Tensor:
    """A tail along angle zero: about as wide in arcsec all along, and fainter outwards."""
    across = 6 * apart.clamp(max=4) ** 1.2 * (torch.cos(angle) - 1)
    along = (apart - 1).clamp(min=0) / length
    return torch.exp(across - along) * torch.sigmoid((apart - 0.8) / 0.12)
