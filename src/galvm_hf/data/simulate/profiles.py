"""Light profiles of galaxies on pixel grids.

Sersic (1963) in the form of Graham & Driver (2005); edge-on, the projected exponential disc of van der Kruit & Searle
(1981); spirals with logarithmic arms. Coordinates `u` along the major and `v` along the minor axis are
[B, H, W] in arcseconds, parameters [B]; a profile is flux per square arcsecond, normalised to total flux one.
"""

import math

import torch
from torch import Tensor

# Half-light radius of an exponential disc in scale lengths.
EXPONENTIAL_HALF_LIGHT = 1.678
# Young stars make spiral arms stand out in the blue: contrast in g, r, z.
ARM_CONTRAST = (0.85, 0.68, 0.45)
ARM_SHARPNESS = 1.6
ARMS_START = 0.35  # in half-light radii: inside is the bulge's place


def rotate(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates along and across an axis that lies at `angle` (radians, from x towards y), each [B, H, W]."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return x * cos + y * sin, y * cos - x * sin


def sersic_b(index: Tensor) -> Tensor:
    """The constant that makes a Sersic profile's radius hold half the light (Prugniel & Simien 1997)."""
    return 2 * index - 1 / 3 + 0.009876 / index


def sersic(u: Tensor, v: Tensor, radius: Tensor, axis_ratio: Tensor, index: Tensor, softening: float) -> Tensor:
    """Sersic profile [B, H, W]; `radius` is the half-light semi-major axis.

    A pixel averages over the cusp; softening the distance by a third of a pixel stands in for the average.
    """
    b = sersic_b(index)
    total = 2 * math.pi * axis_ratio * radius**2 * index * torch.exp(torch.lgamma(2 * index) - 2 * index * b.log())
    distance = torch.sqrt(u**2 + (v / axis_ratio[:, None, None]) ** 2 + softening**2) / radius[:, None, None]
    return torch.exp(-b[:, None, None] * distance ** (1 / index)[:, None, None]) / total[:, None, None]


def edge_on_disc(u: Tensor, v: Tensor, radius: Tensor, axis_ratio: Tensor) -> Tensor:
    """Exponential disc seen from its side, [B, 1, H, W]; `radius` is the half-light radius seen face-on."""
    length = radius / EXPONENTIAL_HALF_LIGHT
    height = 1.91 * axis_ratio * length  # gives the second moments that axis ratio
    t = (u.abs() / length[:, None, None]).clamp(min=1e-3)
    along = t * torch.special.modified_bessel_k1(t)
    across = torch.cosh((v / height[:, None, None]).clamp(-30, 30)) ** -2
    return (along * across / (2 * math.pi * length * height)[:, None, None])[:, None]


def spiral_disc(
    u: Tensor, v: Tensor, radius: Tensor, axis_ratio: Tensor, arms: dict[str, Tensor], generator: torch.Generator
) -> Tensor:
    """Exponential disc with clumpy logarithmic arms, [B, 3, H, W] for g, r, z, total flux one to a few per cent.

    Args:
        arms: `number` of arms, `handedness` (+1: they turn outwards from u towards v), `pitch` and `phase` in radians.
    """
    number, handedness, pitch, phase = (arms[key][:, None, None] for key in ("number", "handedness", "pitch", "phase"))
    height = v / axis_ratio[:, None, None]
    distance = torch.sqrt(u**2 + height**2) / radius[:, None, None]
    disc = torch.exp(-EXPONENTIAL_HALF_LIGHT * distance)
    disc = disc * (EXPONENTIAL_HALF_LIGHT**2 / (2 * math.pi * axis_ratio * radius**2))[:, None, None]
    angle = number * (torch.atan2(height, u) - handedness * torch.log(distance + 0.05) / torch.tan(pitch)) + phase
    mean = torch.special.i0(torch.tensor(ARM_SHARPNESS))  # of the exponential over the angle
    clumps = torch.randn(len(u), 1, 40, 40, generator=generator)
    clumps = torch.nn.functional.interpolate(clumps, u.shape[-2:], mode="bicubic")[:, 0]
    arm = torch.exp(ARM_SHARPNESS * torch.cos(angle)) / mean * (1 + 0.25 * clumps)
    excess = torch.sigmoid((distance - ARMS_START) / 0.08) * (arm - 1)
    return disc[:, None] * (1 + torch.tensor(ARM_CONTRAST)[:, None, None] * excess[:, None]).clamp(min=0)
