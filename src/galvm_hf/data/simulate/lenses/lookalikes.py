"""What looks like a strong lens and is none: rings, arms, companions, tidal arcs and edge-on discs, blue beside red.

The kinds are those that people and networks confuse with lenses in practice (More et al. 2016; Rojas et al.
2022). Their blue light has the brightness and colours of lensed arcs, so that neither gives them away.
"""

import math

import torch
from torch import Tensor

from ..draw import Draw, take
from ..profiles import EXPONENTIAL_HALF_LIGHT, pixel_grid, rotate, to_flux
from .red_galaxies import draw_red_galaxies, render_group, render_red_galaxies

LOOKALIKES = ("ring", "arms", "companions", "tidal arc", "edge-on neighbour", "red galaxy")
COMPANIONS = 3
CLUMPS = 6


def draw_lookalikes(number: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Parameters of look-alikes, the kinds in equal parts.

    Returns:
        Each [N] or [N, ...]: those of `draw_red_galaxies` for the red galaxy, `kind` (index into `LOOKALIKES`), and
        of the blue light `blue_flux` (nanomaggies [N, 3]), `size` (arcsec: radius or distance of the feature), `width`
        (arcsec), `ratio`, `angle`, `turn`, `shift`, `clump_angle`, `clump_height`, and `companion_*` [N, K].
    """
    draw = Draw(number, generator)
    kind = torch.randperm(number, generator=generator) % len(LOOKALIKES)
    ring, arms, companions, tidal, edge_on, plain = (kind == index for index in range(len(LOOKALIKES)))
    parameters = draw_red_galaxies(number, generator)
    # In a ring galaxy or a spiral the red light is a bulge, smaller and rounder than a massive elliptical.
    bulge = ring | arms
    parameters["flux"] = parameters["flux"] * torch.where(bulge, draw.uniform(0.1, 0.6), 1.0)[:, None]
    parameters["radius"] = parameters["radius"] * torch.where(bulge, draw.uniform(0.25, 0.6), 1.0)
    parameters["axis_ratio"] = torch.where(bulge, parameters["axis_ratio"].clamp(min=0.7), parameters["axis_ratio"])

    magnitude = torch.where(bulge, draw.normal(19.8, 0.7), draw.normal(21.2, 0.7)).clamp(18.0, 22.5)
    # Tails are of old stars; the discs that rings and arms belong to are nearer and older than sources of lenses.
    mean = torch.where(tidal, 0.72, torch.where(bulge, 0.45, 0.2))
    g_r = draw.normal(mean, 0.13)
    r_z = 0.1 + 0.8 * g_r + draw.normal(0, 0.1)
    blue_flux = to_flux(magnitude[:, None] + torch.stack([g_r, torch.zeros(number), -r_z], dim=-1))

    shape = (COMPANIONS,)
    distance, around = draw.uniform(1.2, 3.5, *shape), draw.uniform(0, 2 * math.pi, *shape)
    along = around + math.pi / 2 + draw.normal(0, 0.6, *shape)
    present = draw.chance(0.5, *shape)
    present[:, 0] = True
    present &= (companions | edge_on)[:, None]
    present[:, 1:] &= companions[:, None]
    share = draw.uniform(0.2, 1.0, *shape) * present
    share = share / share.sum(dim=1, keepdim=True).clamp(min=1e-9)
    disc = edge_on[:, None]
    return parameters | {
        "kind": kind,
        "blue_flux": blue_flux * (~plain)[:, None],
        "size": torch.where(tidal, draw.uniform(2.5, 5.0), draw.uniform(1.3, 3.6)),
        "width": torch.where(tidal, draw.uniform(0.3, 0.7), draw.uniform(0.15, 0.4)),
        "ratio": draw.uniform(0.65, 1.0),
        "angle": draw.uniform(0, 2 * math.pi),
        "turn": draw.sign() / torch.tan(draw.uniform(math.radians(9), math.radians(20))),
        "shift": draw.uniform(0, 1),
        "clump_angle": draw.uniform(0, 2 * math.pi, CLUMPS),
        "clump_height": draw.uniform(0, 1.5, CLUMPS),
        "companion_flux": blue_flux[:, None] * share[..., None],
        "companion_radius": torch.where(disc, draw.uniform(1.0, 1.8, *shape), draw.uniform(0.3, 0.6, *shape)),
        "companion_axis_ratio": torch.where(disc, draw.uniform(0.22, 0.32, *shape), draw.uniform(0.35, 1.0, *shape)),
        "companion_position_angle": along,
        "companion_x": parameters["x"][:, None] + distance * around.cos(),
        "companion_y": parameters["y"][:, None] + distance * around.sin(),
    }


def render_lookalikes(parameters: dict[str, Tensor], size: int) -> Tensor:
    """Nanomaggies a pixel before the PSF, [B, 3, size, size]."""
    x, y = pixel_grid(size)
    image = render_red_galaxies(parameters, size) + render_group(parameters, "companion", size)
    for name, feature in (("ring", _ring), ("arms", _arms), ("tidal arc", _tidal_arc)):
        chosen = parameters["kind"] == LOOKALIKES.index(name)
        part = take(parameters, chosen)
        u, v = rotate(x - part["x"][:, None, None], y - part["y"][:, None, None], part["angle"])
        light = feature(part, u, v)
        light = light / light.sum(dim=(-2, -1), keepdim=True)
        image[chosen] += light[:, None] * part["blue_flux"][..., None, None]
    return image


def _ring(part: dict[str, Tensor], u: Tensor, v: Tensor) -> Tensor:
    """A knotty ring, a little off centre as collisions leave it, with a faint disc inside; [B, H, W]."""
    size, width, ratio, shift = (part[name][:, None, None] for name in ("size", "width", "ratio", "shift"))
    u, v = u - 0.2 * shift * size, v / ratio
    distance = u.hypot(v)
    ring = torch.exp(-0.5 * ((distance - size) / width) ** 2) * _knots(part, torch.atan2(v, u))
    disc = torch.exp(-EXPONENTIAL_HALF_LIGHT * distance / (0.6 * size))
    return ring + 0.15 * disc


def _arms(part: dict[str, Tensor], u: Tensor, v: Tensor) -> Tensor:
    """Tightly wound arms in an exponential disc, [B, H, W]."""
    size, ratio, turn = (part[name][:, None, None] for name in ("size", "ratio", "turn"))
    v = v / ratio
    distance, angle = u.hypot(v) / size, torch.atan2(v, u)
    crest = torch.exp(2.2 * (torch.cos(2 * (angle - turn * torch.log(distance + 0.05))) - 1))
    disc = torch.exp(-EXPONENTIAL_HALF_LIGHT * distance)
    return disc * (0.25 + crest * _knots(part, angle) * torch.sigmoid((distance - 0.5) / 0.08))


def _tidal_arc(part: dict[str, Tensor], u: Tensor, v: Tensor) -> Tensor:
    """A tail on a circle that is not centred on the galaxy, the core of its parent at one end, [B, H, W]."""
    size, width, shift = (part[name][:, None, None] for name in ("size", "width", "shift"))
    curvature = size * (0.8 + 1.2 * shift)
    u = u - size + curvature  # the circle passes the galaxy at `size`
    angle = torch.atan2(v, u)
    length = size * (0.5 + 0.5 * shift) / curvature  # radians
    across = (u.hypot(v) - curvature) / (width * (1 + 0.8 * angle / length).clamp(0.5, 2.0))
    tail = torch.exp(-0.5 * across**2 - 0.5 * (angle / length) ** 2)
    end = -0.9 * length
    core = torch.hypot(u - curvature * end.cos(), v - curvature * end.sin())
    return tail + 2.0 * torch.exp(-core / (0.5 * width))


def _knots(part: dict[str, Tensor], angle: Tensor) -> Tensor:
    """Brightness along the angle, [B, H, W]: star formation comes in knots."""
    near = torch.cos(angle[:, None] - part["clump_angle"][..., None, None]) - 1
    return 0.6 + (part["clump_height"][..., None, None] * torch.exp(14 * near)).sum(dim=1)
