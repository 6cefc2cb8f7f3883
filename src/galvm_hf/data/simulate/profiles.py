"""Light profiles of galaxies on pixel grids.

Sersic (1963) in the form of Graham & Driver (2005); edge-on, the projected exponential disc of van der Kruit & Searle
(1981). Coordinates `u` along the major and `v` along the minor axis are
[B, H, W] in arcseconds, parameters [B]; a profile is flux per square arcsecond, normalised to total flux one.
"""

import math

import torch
from torch import Tensor

from .survey import PIXEL_SCALE, ZERO_POINT

# Half-light radius of an exponential disc in scale lengths.
EXPONENTIAL_HALF_LIGHT = 1.678


def pixel_grid(size: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Coordinates x along the columns and y along the rows, in arcsec from the centre of a stamp, [size, size]."""
    axis = (torch.arange(size, device=device) - (size - 1) / 2) * PIXEL_SCALE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return x, y


def to_flux(magnitude: Tensor) -> Tensor:
    """Nanomaggies of an AB magnitude."""
    return 10 ** (-0.4 * (magnitude - ZERO_POINT))


def rotate(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates along and across an axis that lies at `angle` (radians, from x towards y), each [B, H, W]."""
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return x * cos + y * sin, y * cos - x * sin


def sersic_b(index: Tensor) -> Tensor:
    """The constant that makes a Sersic profile's radius hold half the light (Prugniel & Simien 1997)."""
    return 2 * index - 1 / 3 + 0.009876 / index


def sersic_total(radius: Tensor, axis_ratio: Tensor, index: Tensor) -> Tensor:
    """Flux of a Sersic profile whose centre is one per square arcsecond, [N] (Graham & Driver 2005, equation 2)."""
    b = sersic_b(index)
    return 2 * math.pi * axis_ratio * radius**2 * index * torch.exp(torch.lgamma(2 * index) - 2 * index * b.log())


def sersic(u: Tensor, v: Tensor, radius: Tensor, axis_ratio: Tensor, index: Tensor, softening: float) -> Tensor:
    """Sersic profile [B, H, W]; `radius` is the half-light semi-major axis.

    A pixel averages over the cusp; softening the distance by a third of a pixel stands in for the average.
    """
    b, total = sersic_b(index), sersic_total(radius, axis_ratio, index)
    distance = torch.sqrt(u**2 + (v / axis_ratio[:, None, None]) ** 2 + softening**2) / radius[:, None, None]
    return torch.exp(-b[:, None, None] * distance ** (1 / index)[:, None, None]) / total[:, None, None]


def exponential(distance: Tensor, radius: Tensor, axis_ratio: Tensor) -> Tensor:
    """Exponential disc [B, H, W]; `distance` is in its plane, in half-light radii; `radius` in arcsec."""
    total = 2 * math.pi * axis_ratio * (radius / EXPONENTIAL_HALF_LIGHT) ** 2
    return torch.exp(-EXPONENTIAL_HALF_LIGHT * distance) / total[:, None, None]


def edge_on_disc(u: Tensor, v: Tensor, radius: Tensor, axis_ratio: Tensor) -> Tensor:
    """Exponential disc seen from its side, [B, H, W]; `radius` is the half-light radius seen face-on."""
    length = radius / EXPONENTIAL_HALF_LIGHT
    height = 1.91 * axis_ratio * length  # gives the second moments that axis ratio
    t = (u.abs() / length[:, None, None]).clamp(min=1e-3)
    along = t * torch.special.modified_bessel_k1(t)
    across = torch.cosh((v / height[:, None, None]).clamp(-30, 30)) ** -2
    return along * across / (2 * math.pi * length * height)[:, None, None]
