"""What else is in a stamp: galaxies behind and beside, and stars of our own Galaxy."""

import math

import torch
from torch import Tensor

from .draw import Draw
from .profiles import EXPONENTIAL_HALF_LIGHT, pixel_grid, to_flux
from .survey import PIXEL_SCALE

# Room for this many of each in a square arcminute; not every place is taken. The counts are those of the DR10 cutouts.
GALAXIES, FAINT_GALAXIES, STARS = 16.0, 42.0, 6.0
TAKEN = 0.7
# Magnitudes in r: the faintest, the slope of the counts (natural logarithm by magnitude), the brightest. The faint
# galaxies are too small and too noisy to show a shape.
GALAXY_COUNTS, FAINT_COUNTS, STAR_COUNTS = (23.0, 0.8, 17.0), (24.8, 0.8, 23.0), (23.0, 0.5, 14.5)
# A star brighter than this in r shows spikes and a halo, which hold these shares of its light.
SPIKES_FROM, SPIKES, HALO = 16.5, 0.02, 0.06
FAR = 50.0  # scale lengths from a galaxy, where it has no light any more


def draw_neighbours(number: int, generator: torch.Generator, size: int) -> dict[str, Tensor]:
    """Parameters of background galaxies and stars.

    Args:
        number: How many stamps.
        generator: Source of every random number.
        size: Height and width in pixels of the area that they are spread over.

    Returns:
        For galaxies `flux` [N, K, 3] in nanomaggies, `radius` (half-light, arcsec), `axis_ratio`, `position_angle`, `x`
        and `y` (arcsec from the centre), each [N, K]; for stars, and for galaxies that are too faint to show a shape,
        `star_flux` [N, L, 3], `star_x`, `star_y`, each [N, L]. An empty place has no flux.
    """
    draw, area = Draw(number, generator), (size * PIXEL_SCALE / 60) ** 2
    places, faint_places, star_places = (
        max(1, math.ceil(density * area)) for density in (GALAXIES, FAINT_GALAXIES, STARS)
    )
    magnitude, flux = _draw_galaxies(draw, places, *GALAXY_COUNTS)
    _, faint_flux = _draw_galaxies(draw, faint_places, *FAINT_COUNTS)
    faint = ((magnitude - 17) / 6).clamp(0, 1)

    star_magnitude = _magnitudes(draw, star_places, *STAR_COUNTS)
    # The stellar locus: for M dwarfs, beyond g - r = 1.4, only r - z grows.
    cool = draw.uniform(0.25, 2.2, star_places)
    locus = cool.clamp(max=1.4), 0.68 * cool - 0.09 + 0.8 * (cool - 1.4).clamp(min=0)
    star_colours = _relative_to_r(*(colour + draw.normal(0, 0.04, star_places) for colour in locus))
    star_flux = to_flux(star_magnitude[..., None] + star_colours) * draw.chance(TAKEN, star_places)[..., None]

    def place(many: int) -> Tensor:
        return draw.uniform(-0.5, 0.5, many) * size * PIXEL_SCALE

    return {
        "flux": flux,
        "radius": draw.uniform(0.3, 0.8, places) * (2.2 - 1.3 * faint),
        "axis_ratio": draw.uniform(0.3, 1.0, places),
        "position_angle": draw.uniform(0, math.pi, places),
        "x": place(places),
        "y": place(places),
        "star_flux": torch.cat([star_flux, faint_flux], dim=1),
        "star_x": place(star_places + faint_places),
        "star_y": place(star_places + faint_places),
    }


def render_neighbours(parameters: dict[str, Tensor], size: int) -> Tensor:
    """Nanomaggies a pixel of the neighbours, before the PSF, [B, 3, size, size].

    Args:
        parameters: From `draw_neighbours`.
        size: Height and width in pixels.
    """
    return _galaxies(parameters, size) + render_stars(parameters, size)


def _draw_galaxies(draw: Draw, places: int, faintest: float, slope: float, brightest: float) -> tuple[Tensor, Tensor]:
    """Magnitudes in r [N, K], and fluxes [N, K, 3] of the places that are taken."""
    magnitude = _magnitudes(draw, places, faintest, slope, brightest)
    red = draw.uniform(0, 1, places)
    colours = _relative_to_r(
        0.35 + 1.2 * red + draw.normal(0, 0.08, places), 0.2 + 0.95 * red + draw.normal(0, 0.08, places)
    )
    return magnitude, to_flux(magnitude[..., None] + colours) * draw.chance(TAKEN, places)[..., None]


def _magnitudes(draw: Draw, places: int, faintest: float, slope: float, brightest: float) -> Tensor:
    """Magnitudes [N, K] of which there are more towards the faint end, as on the sky."""
    return (faintest + draw.uniform(1e-6, 1, places).log() / slope).clamp(min=brightest)


def _relative_to_r(g_r: Tensor, r_z: Tensor) -> Tensor:
    """Magnitudes in g, r, z relative to r, [..., 3]."""
    return torch.stack([g_r, torch.zeros_like(g_r), -r_z], dim=-1)


def _galaxies(parameters: dict[str, Tensor], size: int) -> Tensor:
    """Exponentials, [B, 3, size, size].

    There are many, so the squared elliptical distance is expanded to a polynomial in x and y: one matrix product.
    """
    x, y = pixel_grid(size, parameters["x"].device)
    cos, sin = parameters["position_angle"].cos(), parameters["position_angle"].sin()
    length = parameters["radius"] / EXPONENTIAL_HALF_LIGHT
    steep = parameters["axis_ratio"] ** -2
    xx, xy, yy = cos**2 + steep * sin**2, 2 * cos * sin * (1 - steep), sin**2 + steep * cos**2
    x0, y0 = parameters["x"], parameters["y"]
    constant = xx * x0**2 + xy * x0 * y0 + yy * y0**2 + (PIXEL_SCALE / 3) ** 2
    terms = torch.stack([xx, xy, yy, -2 * xx * x0 - xy * y0, -2 * yy * y0 - xy * x0, constant], dim=-1)
    basis = torch.stack([x**2, x * y, y**2, x, y, torch.ones_like(x)]).flatten(1)
    # far out the exponential would be a denormal number, which processors are slow at
    profiles = (terms / length[..., None] ** 2 @ basis).clamp_(0, FAR**2).sqrt_().neg_().exp_()
    flux = parameters["flux"] * (PIXEL_SCALE**2 / (2 * math.pi * parameters["axis_ratio"] * length**2))[..., None]
    return (flux.mT @ profiles).unflatten(-1, x.shape)


def render_stars(parameters: dict[str, Tensor], size: int) -> Tensor:
    """Points, each shared by the four nearest pixels; bright ones with halo and spikes.

    Args:
        parameters: `star_flux` in nanomaggies [B, K, 3]; `star_x` and `star_y` in arcsec from the middle, [B, K].
        size: Height and width in pixels.

    Returns:
        Nanomaggies a pixel, before the PSF, [B, 3, size, size].
    """
    flux = parameters["star_flux"].mT
    bright = flux[:, 1] > to_flux(torch.tensor(SPIKES_FROM)).item()
    column, row = (parameters[name] / PIXEL_SCALE + (size - 1) / 2 for name in ("star_x", "star_y"))
    image = flux.new_zeros(*flux.shape[:2], size * size)
    for right in (0, 1):
        for below in (0, 1):
            place_x, place_y = column.floor() + right, row.floor() + below
            share = (1 - (column - place_x).abs()) * (1 - (row - place_y).abs())
            inside = (place_x >= 0) & (place_x < size) & (place_y >= 0) & (place_y < size)
            index = (place_y * size + place_x).where(inside, 0).long()
            image.scatter_add_(-1, index[:, None].expand_as(flux), flux * (share * inside)[:, None])
    image = image.unflatten(-1, (size, size))
    x, y = pixel_grid(size, flux.device)
    for stamp, star in bright.nonzero().tolist():
        dx, dy = x - parameters["star_x"][stamp, star], y - parameters["star_y"][stamp, star]
        squared = dx**2 + dy**2
        # the secondary mirror's vanes stand diagonally
        vanes = torch.exp(-(((dx + dy) / 0.5) ** 2)) + torch.exp(-(((dx - dy) / 0.5) ** 2))
        spikes = vanes * torch.exp(-squared.sqrt() / 5)
        halo = (1 + squared / 4) ** -1.3
        wings = SPIKES * spikes / spikes.sum() + HALO * halo / halo.sum()
        image[stamp] += flux[stamp, :, star, None, None] * wings
    return image
