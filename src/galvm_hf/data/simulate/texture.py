"""Random fields for what is irregular in galaxies: small grids of random numbers, interpolated."""

import math

import torch
from torch import Tensor


def smooth_field(number: int, size: int, cells: int, generator: torch.Generator) -> Tensor:
    """Gaussian random fields [number, size, size] of mean zero and unit variance at the nodes, `cells` across."""
    grid = torch.randn(number, 1, cells, cells, generator=generator, device=generator.device)
    return torch.nn.functional.interpolate(grid, (size, size), mode="bicubic", align_corners=False)[:, 0]


def polar_field(angle: Tensor, log_radius: Tensor, rings: int, sectors: int, generator: torch.Generator) -> Tensor:
    """Gaussian random fields on polar coordinates, periodic in the angle.

    Args:
        angle: Radians, any number of turns, [B, H, W].
        log_radius: Natural logarithm of the radius, [B, H, W]; the field spans -3 to 2.
        rings: Cells along the logarithm of the radius.
        sectors: Cells round a turn.

    Returns:
        The fields, [B, H, W].
    """
    grid = torch.randn(len(angle), 1, rings, sectors, generator=generator, device=generator.device)
    grid = torch.cat([grid, grid[..., :1]], dim=-1)
    turns = angle / (2 * math.pi)
    place = torch.stack([2 * (turns - turns.floor()) - 1, (log_radius + 0.5) / 2.5], dim=-1)
    return torch.nn.functional.grid_sample(grid, place, align_corners=True, padding_mode="border")[:, 0]
