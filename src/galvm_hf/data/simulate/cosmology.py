"""Distances in a flat universe of matter and a cosmological constant (H0 = 70 km/s/Mpc, Omega_m = 0.3)."""

import torch
from torch import Tensor

HUBBLE_DISTANCE = 299792.458 / 70.0  # Mpc
MATTER = 0.3
MAX_REDSHIFT = 6.0
STEPS = 12001


def _table() -> tuple[Tensor, Tensor]:
    """Redshifts and comoving distances in Mpc, by the trapezoidal rule."""
    redshift = torch.linspace(0, MAX_REDSHIFT, STEPS, dtype=torch.float64)
    inverse = (MATTER * (1 + redshift) ** 3 + 1 - MATTER).rsqrt()
    return redshift, torch.nn.functional.pad(torch.cumulative_trapezoid(inverse, redshift), (1, 0)) * HUBBLE_DISTANCE


_REDSHIFT, _COMOVING = _table()


def comoving_distance(redshift: Tensor) -> Tensor:
    """Line-of-sight comoving distance in Mpc, for redshifts up to 6."""
    return interpolate(redshift, _REDSHIFT, _COMOVING)


def distance_modulus(redshift: Tensor) -> Tensor:
    """Apparent minus absolute magnitude, without any K correction."""
    return 5 * torch.log10(comoving_distance(redshift) * (1 + redshift)) + 25


def kpc_per_arcsec(redshift: Tensor) -> Tensor:
    """Proper length across the line of sight that one arcsecond shows."""
    return comoving_distance(redshift) / (1 + redshift) * (1000 / 206264.8)


def interpolate(x: Tensor, grid: Tensor, values: Tensor) -> Tensor:
    """Linear interpolation of `values` on an increasing `grid`, both [M], at `x` of any shape; constant outside."""
    grid, values = grid.to(x), values.to(x)
    right = torch.searchsorted(grid, x.contiguous()).clamp(1, len(grid) - 1)
    share = ((x - grid[right - 1]) / (grid[right] - grid[right - 1])).clamp(0, 1)
    return values[right - 1] + share * (values[right] - values[right - 1])
