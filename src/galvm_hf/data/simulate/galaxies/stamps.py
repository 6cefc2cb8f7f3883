"""Simulate galaxy stamps in flux as the Legacy Surveys would see them, with the truth about each.

This is the embedded default data, so that a fresh machine can run everything. It is simulation, and whatever shows it
says so. Noise, seeing and colours follow Legacy Surveys DR10; docs/simulation.md says how, and what gives it away.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..draw import take
from ..neighbours import draw_neighbours, render_neighbours
from ..profiles import exponential, pixel_grid, rotate, sersic
from ..sky import draw_conditions, observe
from ..survey import BANDS, PIXEL_SCALE
from .edge_on import inclined_disc
from .irregulars import irregular_body
from .mergers import merging_pair
from .population import CLASSES, draw_galaxies
from .spirals import spiral_disc

MARGIN = 8  # pixels rendered beyond each edge, so that the circular convolution does not wrap into the stamp
RENDER_BATCH = 40
TRUTH = (
    "redshift",
    "half_light_radius",
    "axis_ratio",
    "position_angle",
    "sersic_index",
    "bulge_fraction",
    "handedness",
    "arm_number",
    "pitch",
    "bar_strength",
)


@dataclass(frozen=True)
class SimulatedGalaxies:
    """Simulated stamps and the truth about each.

    Attributes:
        flux: Nanomaggies per pixel, float32 [N, 3, H, W], bands g, r, z, 0.262 arcsec per pixel.
        labels: Index into `CLASSES`, int64 [N].
        truth: One value a galaxy, each [N]. `magnitude_g`, `magnitude_r`, `magnitude_z`: AB, total, as seen through
            dust. `redshift`. `half_light_radius`: arcsec, along the major axis, in r; of a disc, in its plane; of a
            merger, of its brighter galaxy. `axis_ratio`: of the elliptical, the disc or the irregular's body.
            `position_angle`: radians, from the column axis towards the row axis. `sersic_index`: of the bulge, which is
            all of an elliptical. `bulge_fraction`: in r. `handedness`: the sense in which a spiral's arms turn
            outwards, +1 from the column axis towards the row axis, else -1. `arm_number`; `pitch` of the arms in
            radians; these three are 0 without arms. `bar_strength`: share of the disc's light that is in a bar, 0 for
            none; irregulars may have one too. `psf_fwhm`: arcsec, in r.
    """

    flux: Tensor
    labels: Tensor
    truth: dict[str, Tensor]


def simulate_galaxies(
    number: int, generator: torch.Generator, size: int = 128, classes: Sequence[str] = CLASSES
) -> SimulatedGalaxies:
    """Draw and render galaxies, the classes in equal parts, each in the middle of its stamp.

    Args:
        number: How many.
        generator: Source of every random number: the same seed gives the same stamps. They are made on its device.
        size: Height and width of a stamp in pixels.
        classes: Some of `CLASSES`.

    Raises:
        ValueError: If `number` or `size` is not positive, or a class is unknown.
    """
    if number < 1 or size < 1:
        raise ValueError(f"`number` and `size` must be positive, got {number} and {size}.")
    galaxies = draw_galaxies(number, generator, classes)
    side = size + 2 * MARGIN
    neighbours = draw_neighbours(number, generator, side)
    conditions = draw_conditions(number, generator)
    parts = []
    for start in range(0, number, RENDER_BATCH):
        rows = slice(start, start + RENDER_BATCH)
        image = render_galaxies(take(galaxies, rows), side, generator)
        image += render_neighbours(take(neighbours, rows), side)
        image = observe(image, **take(conditions, rows), generator=generator)
        parts.append(image[..., MARGIN : MARGIN + size, MARGIN : MARGIN + size])
    truth = {name: galaxies[name] for name in TRUTH}
    truth |= {f"magnitude_{band}": galaxies["magnitude"][:, index] for index, band in enumerate(BANDS)}
    truth["psf_fwhm"] = conditions["psf_fwhm"][:, 1]
    return SimulatedGalaxies(torch.cat(parts), galaxies["label"], truth)


def render_galaxies(parameters: dict[str, Tensor], size: int, generator: torch.Generator) -> Tensor:
    """Nanomaggies a pixel of galaxies in the middle of their stamps, before the PSF, [B, 3, size, size].

    Args:
        parameters: From `draw_galaxies`.
        size: Height and width in pixels.
        generator: Source of what is random in arms, clumps and tails.
    """
    image = torch.empty(len(parameters["label"]), 3, size, size, device=parameters["label"].device)
    for index, render in enumerate(RENDERERS):
        chosen = (parameters["label"] == index).nonzero()[:, 0]
        if len(chosen):
            image[chosen] = render(take(parameters, chosen), size, generator)
    return image.mul_(PIXEL_SCALE**2)


def _aligned(parameters: dict[str, Tensor], size: int) -> tuple[Tensor, Tensor]:
    """Coordinates along and across the major axis in arcsec, each [B, size, size]."""
    return rotate(*pixel_grid(size, parameters["label"].device), parameters["position_angle"])


def _bulge(u: Tensor, v: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    """Bulge, or an elliptical, [B, 3, H, W] per square arcsecond."""
    shape = (parameters["bulge_radius"], parameters["bulge_axis_ratio"], parameters["sersic_index"])
    return sersic(u, v, *shape, softening=PIXEL_SCALE / 3)[:, None] * parameters["bulge_flux"][..., None, None]


def _smooth_disc(u: Tensor, v: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    """Disc of a lenticular, [B, 3, H, W] per square arcsecond; its flux is zero for a true elliptical."""
    axis_ratio, radius = parameters["axis_ratio"], parameters["disc_radius"]
    distance = torch.hypot(u, v / axis_ratio[:, None, None]) / radius[:, None, None]
    return exponential(distance, radius, axis_ratio)[:, None] * parameters["old_flux"][..., None, None]


def _elliptical(parameters: dict[str, Tensor], size: int, generator: torch.Generator) -> Tensor:
    u, v = _aligned(parameters, size)
    return _bulge(u, v, parameters) + _smooth_disc(u, v, parameters)


def _edge_on(parameters: dict[str, Tensor], size: int, generator: torch.Generator) -> Tensor:
    u, v = _aligned(parameters, size)
    return _bulge(u, v, parameters) + inclined_disc(u, v, parameters, generator)


def _spiral(parameters: dict[str, Tensor], size: int, generator: torch.Generator) -> Tensor:
    u, v = _aligned(parameters, size)
    return _bulge(u, v, parameters) + spiral_disc(u, v, parameters, generator)


def _irregular(parameters: dict[str, Tensor], size: int, generator: torch.Generator) -> Tensor:
    return irregular_body(*_aligned(parameters, size), parameters, generator)


def _merger(parameters: dict[str, Tensor], size: int, generator: torch.Generator) -> Tensor:
    return merging_pair(*pixel_grid(size, parameters["label"].device), parameters, generator)


# in the order of `CLASSES`
RENDERERS: tuple[Callable[[dict[str, Tensor], int, torch.Generator], Tensor], ...] = (
    _elliptical,
    _edge_on,
    _spiral,
    _irregular,
    _merger,
)
