"""Simulate galaxy stamps in flux: ellipticals, edge-on discs and spirals as the Legacy Surveys would see them.

This is the embedded default data, so that a fresh machine can run everything. It is simulation, and whatever shows it
says so. Noise, seeing and colours follow Legacy Surveys DR10.
"""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..psf import moffat_transfer
from .profiles import EXPONENTIAL_HALF_LIGHT, edge_on_disc, rotate, sersic, sersic_b, spiral_disc
from .survey import BANDS, PIXEL_SCALE, PSF_FWHM, SKY_NOISE, ZERO_POINT

CLASSES = ("elliptical", "edge-on", "spiral")
NEIGHBOURS = 9
MARGIN = 8  # pixels rendered beyond each edge, so that the circular convolution does not wrap into the stamp
RENDER_BATCH = 16

# Mean and scatter of g - r and r - z, by class, for the bulge and for the disc.
BULGE_COLOURS = ((0.86, 0.05), (0.70, 0.05))
DISC_COLOURS = ((0.52, 0.10), (0.38, 0.10))
EDGE_ON_COLOURS = ((0.64, 0.10), (0.52, 0.10))


@dataclass(frozen=True)
class SimulatedGalaxies:
    """Simulated stamps and the truth about each.

    Attributes:
        flux: Nanomaggies per pixel, float32 [N, 3, H, W], bands g, r, z, 0.262 arcsec per pixel.
        labels: Index into `CLASSES`, int64 [N].
        truth: One value a galaxy, each [N]. `magnitude_g`, `magnitude_r`, `magnitude_z`: AB, total.
            `half_light_radius`: arcsec, in the plane of the disc, in r. `axis_ratio`: of the second moments of the
            elliptical or the disc. `position_angle`: radians, from the column axis towards the row axis.
            `sersic_index`: of the bulge, which is all of an elliptical. `bulge_fraction`: in r. `handedness`: the
            sense in which a spiral's arms turn outwards, +1 from the column axis towards the row axis, else -1; 0
            without arms. `psf_fwhm`: arcsec, in r.
    """

    flux: Tensor
    labels: Tensor
    truth: dict[str, Tensor]


def simulate_galaxies(number: int, generator: torch.Generator, size: int = 128) -> SimulatedGalaxies:
    """Draw and render galaxies, the classes in equal parts, each in the middle of its stamp.

    Args:
        number: How many.
        generator: Source of every random number: the same seed gives the same stamps.
        size: Height and width of a stamp in pixels.

    Raises:
        ValueError: If `number` or `size` is not positive.
    """
    if number < 1 or size < 1:
        raise ValueError(f"`number` and `size` must be positive, got {number} and {size}.")
    draw = _Draw(number, generator)
    galaxies = _draw_galaxies(draw)
    neighbours = _draw_neighbours(draw, size)
    flux = torch.cat(
        [
            _render(
                *(_take(part, slice(start, start + RENDER_BATCH)) for part in (galaxies, neighbours)), size, generator
            )
            for start in range(0, number, RENDER_BATCH)
        ]
    )
    truth = {name: galaxies[name] for name in ("axis_ratio", "position_angle", "sersic_index", "handedness")}
    truth |= {f"magnitude_{band}": galaxies["magnitude"][:, index] for index, band in enumerate(BANDS)}
    truth |= {"bulge_fraction": galaxies["bulge_fraction"], "psf_fwhm": galaxies["psf_fwhm"][:, 1]}
    truth["half_light_radius"] = _half_light_radius(galaxies)
    return SimulatedGalaxies(flux, galaxies["label"], truth)


class _Draw:
    """Random numbers of shape [number, ...] from one generator."""

    def __init__(self, number: int, generator: torch.Generator):
        self.number, self.generator = number, generator

    def uniform(self, low: float | Tensor, high: float | Tensor, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(self.number, *shape, generator=self.generator)

    def normal(self, mean: float, deviation: float, *shape: int) -> Tensor:
        return mean + deviation * torch.randn(self.number, *shape, generator=self.generator)

    def colours(self, table: tuple[tuple[float, float], ...]) -> Tensor:
        """Magnitudes relative to r, [N, 3]."""
        blue, red = (self.normal(mean, scatter) for mean, scatter in table)
        return torch.stack([blue, torch.zeros_like(blue), -red], dim=-1)


def _draw_galaxies(draw: _Draw) -> dict[str, Tensor]:
    """Parameters of the central galaxies, [N] or [N, 3]: a bulge, which is all of an elliptical, and a disc."""
    label = torch.randperm(draw.number, generator=draw.generator) % len(CLASSES)
    elliptical, edge_on, spiral = (label == index for index in range(len(CLASSES)))

    def by_class(*values: Tensor | float) -> Tensor:
        return torch.where(elliptical, values[0], torch.where(edge_on, values[1], values[2]))

    radius = draw.uniform(math.log(2.0), by_class(*(torch.full((), math.log(top)) for top in (4.5, 6.5, 6.5)))).exp()
    bulge_fraction = by_class(torch.ones(()), draw.uniform(0.05, 0.3), draw.uniform(0.05, 0.25))
    # The mean surface brightness inside the half-light radius is what varies little: it fixes the magnitude.
    brightness = by_class(draw.normal(20.6, 0.5), draw.normal(20.9, 0.5), draw.normal(21.6, 0.45))
    axis_ratio = by_class(draw.uniform(0.5, 1.0), draw.uniform(0.07, 0.16), draw.uniform(0.55, 1.0))
    total_r = brightness - 2.5 * torch.log10(2 * math.pi * radius**2 * by_class(axis_ratio, 3 * axis_ratio, axis_ratio))
    bulge = draw.colours(BULGE_COLOURS) + (total_r - 2.5 * torch.log10(bulge_fraction))[:, None]
    disc_colours = torch.where(edge_on[:, None], draw.colours(EDGE_ON_COLOURS), draw.colours(DISC_COLOURS))
    disc = disc_colours + (total_r - 2.5 * torch.log10((1 - bulge_fraction).clamp(min=1e-9)))[:, None]
    bulge_flux, disc_flux = _to_flux(bulge), _to_flux(disc) * (~elliptical)[:, None]
    return {
        "label": label,
        "axis_ratio": axis_ratio,
        "position_angle": draw.uniform(0, math.pi),
        "sersic_index": by_class(draw.uniform(3, 5), draw.uniform(1.5, 3), draw.uniform(1, 2.5)),
        "bulge_fraction": bulge_fraction,
        "bulge_radius": by_class(radius, draw.uniform(0.15, 0.3) * radius, draw.uniform(0.12, 0.25) * radius),
        "bulge_axis_ratio": by_class(axis_ratio, draw.uniform(0.5, 0.8), axis_ratio.clamp(min=0.75)),
        "disc_radius": radius,
        "bulge_flux": bulge_flux,
        "disc_flux": disc_flux,
        "magnitude": ZERO_POINT - 2.5 * torch.log10(bulge_flux + disc_flux),
        "handedness": spiral * (2.0 * (draw.uniform(0, 1) < 0.5) - 1),
        "number": 2.0 + (draw.uniform(0, 1) > 0.75),
        "pitch": draw.uniform(math.radians(14), math.radians(30)),
        "phase": draw.uniform(0, 2 * math.pi),
        "psf_fwhm": torch.tensor(PSF_FWHM) * draw.normal(1.0, 0.08, 3).clamp(0.8, 1.3),
        "sky": torch.tensor(SKY_NOISE) * draw.normal(0.0, 0.2, 1).exp(),
    }


def _draw_neighbours(draw: _Draw, size: int) -> dict[str, Tensor]:
    """Parameters of background galaxies and stars, [N, K]; most of the K slots of a stamp are left empty."""
    shape = (NEIGHBOURS,)
    star = draw.uniform(0, 1, *shape) < 0.3
    # Counts rise towards the faint end, as they do on the sky.
    magnitude = 23.5 - torch.empty(draw.number, *shape).exponential_(0.85, generator=draw.generator).clamp(max=6.5)
    faint = ((magnitude - 17) / 6.5).clamp(0, 1)
    present = draw.uniform(0, 1, *shape) < 0.7
    colours = torch.stack(
        [draw.normal(0.75, 0.35, *shape), torch.zeros(draw.number, *shape), -draw.normal(0.5, 0.35, *shape)], dim=-1
    )
    return {
        "flux": _to_flux(magnitude[..., None] + colours) * present[..., None],
        "radius": torch.where(star, 0.15, draw.uniform(0.35, 0.9, *shape) * (2.2 - 1.2 * faint)),
        "axis_ratio": torch.where(star, 1.0, draw.uniform(0.35, 1.0, *shape)),
        "position_angle": draw.uniform(0, math.pi, *shape),
        "x": draw.uniform(-0.55, 0.55, *shape) * size * PIXEL_SCALE,
        "y": draw.uniform(-0.55, 0.55, *shape) * size * PIXEL_SCALE,
    }


def _take(part: dict[str, Tensor], rows: slice | Tensor) -> dict[str, Tensor]:
    return {name: value[rows] for name, value in part.items()}


def _to_flux(magnitude: Tensor) -> Tensor:
    return 10 ** (-0.4 * (magnitude - ZERO_POINT))


def _render(
    galaxies: dict[str, Tensor], neighbours: dict[str, Tensor], size: int, generator: torch.Generator
) -> Tensor:
    """Flux of a batch of stamps, [B, 3, H, W]: profiles, seeing, shot noise of the sky."""
    side = size + 2 * MARGIN
    axis = (torch.arange(side) - (side - 1) / 2) * PIXEL_SCALE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    u, v = rotate(x, y, galaxies["position_angle"])

    bulge = sersic(
        u, v, galaxies["bulge_radius"], galaxies["bulge_axis_ratio"], galaxies["sersic_index"], PIXEL_SCALE / 3
    )
    image = bulge[:, None] * galaxies["bulge_flux"][..., None, None]
    for name in ("edge-on", "spiral"):
        chosen = galaxies["label"] == CLASSES.index(name)
        part = _take(galaxies, chosen)
        disc = edge_on_disc if name == "edge-on" else partial(spiral_disc, arms=part, generator=generator)
        profile = disc(u[chosen], v[chosen], part["disc_radius"], part["axis_ratio"])
        image[chosen] += profile * part["disc_flux"][..., None, None]
    image += _render_neighbours(x, y, neighbours)

    transfer = moffat_transfer(galaxies["psf_fwhm"], (side, side), PIXEL_SCALE)
    image = torch.fft.irfft2(torch.fft.rfft2(image) * transfer, s=(side, side))
    image = image[..., MARGIN : MARGIN + size, MARGIN : MARGIN + size] * PIXEL_SCALE**2
    return image + galaxies["sky"][..., None, None] * torch.randn(image.shape, generator=generator)


def _render_neighbours(x: Tensor, y: Tensor, neighbours: dict[str, Tensor]) -> Tensor:
    """Flux of the neighbours, all of them exponentials, [B, 3, H, W] per square arcsecond.

    There are many, so the squared elliptical distance is expanded to a polynomial in x and y: one matrix product.
    """
    cos, sin = neighbours["position_angle"].cos(), neighbours["position_angle"].sin()
    length = neighbours["radius"] / EXPONENTIAL_HALF_LIGHT
    steep = neighbours["axis_ratio"] ** -2
    xx, xy, yy = cos**2 + steep * sin**2, 2 * cos * sin * (1 - steep), sin**2 + steep * cos**2
    x0, y0 = neighbours["x"], neighbours["y"]
    constant = xx * x0**2 + xy * x0 * y0 + yy * y0**2 + (PIXEL_SCALE / 3) ** 2
    terms = torch.stack([xx, xy, yy, -2 * xx * x0 - xy * y0, -2 * yy * y0 - xy * x0, constant], dim=-1)
    basis = torch.stack([x**2, x * y, y**2, x, y, torch.ones_like(x)]).flatten(1)
    profiles = (terms / length[..., None] ** 2 @ basis).clamp_(min=0).sqrt_().neg_().exp_()
    flux = neighbours["flux"] / (2 * math.pi * neighbours["axis_ratio"] * length**2)[..., None]
    return (flux.mT @ profiles).unflatten(-1, x.shape)


def _half_light_radius(galaxies: dict[str, Tensor]) -> Tensor:
    """Radius that holds half the light of bulge and disc in r, arcsec [N], by bisection."""
    low, high = torch.zeros_like(galaxies["disc_radius"]), 2 * galaxies["disc_radius"]
    share, index = galaxies["bulge_fraction"], galaxies["sersic_index"]
    for _ in range(40):
        middle = (low + high) / 2
        power = (middle / galaxies["bulge_radius"]) ** (1 / index)
        bulge = torch.special.gammainc(2 * index, sersic_b(index) * power)
        disc = torch.special.gammainc(
            torch.full_like(index, 2.0), EXPONENTIAL_HALF_LIGHT * middle / galaxies["disc_radius"]
        )
        inside = share * bulge + (1 - share) * disc < 0.5
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return (low + high) / 2
