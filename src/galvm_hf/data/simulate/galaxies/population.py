"""Which galaxies there are: luminosities, sizes, redshifts, colours and structure, drawn for a flux-limited survey."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import cosmology
from ..draw import Draw
from ..profiles import EXPONENTIAL_HALF_LIGHT, sersic_b, to_flux
from ..survey import ZERO_POINT
from .edge_on import draw_edge_on
from .irregulars import draw_irregular
from .mergers import MERGING_BULGE, draw_merger
from .spirals import draw_arms

CLASSES = ("elliptical", "edge-on", "spiral", "irregular", "merger")

# Galaxies are spread evenly over the volume in which they are brighter than this in r and not larger than that.
MAGNITUDE_LIMIT = 17.8
LARGEST_RADIUS = 6.0  # arcsec
NEAREST_REDSHIFT = 0.008

# By class: absolute magnitude in r with its scatter; log10 of the half-light radius in kpc at the mean magnitude, its
# change by magnitude, and its scatter (Shen et al. 2003, roughly).
LUMINOSITY = ((-21.5, 0.8), (-20.8, 0.8), (-21.2, 0.7), (-18.6, 0.9), (-21.4, 0.7))
SIZE = ((0.58, -0.22, 0.13), (0.66, -0.14, 0.13), (0.68, -0.14, 0.12), (0.40, -0.12, 0.15), (0.58, -0.16, 0.12))

# Rest-frame g - r and r - z of stellar populations with their scatter, and the K corrections in g, r, z by redshift.
RED, OLD, YOUNG, KNOTS = (
    ((0.76, 0.04), (0.62, 0.04)),
    ((0.60, 0.05), (0.48, 0.05)),
    ((0.18, 0.08), (0.12, 0.08)),
    ((0.08, 0.10), (0.02, 0.10)),
)
RED_SHIFT, BLUE_SHIFT = (2.4, 0.95, 0.40), (1.1, 0.45, 0.20)
REDDENING = (0.45, 0.0, -0.55)  # relative to r, by magnitude of extinction in g


def draw_galaxies(number: int, generator: torch.Generator, classes: Sequence[str] = CLASSES) -> dict[str, Tensor]:
    """Parameters of galaxies, the classes in equal parts and mixed.

    Args:
        number: How many.
        generator: Source of every random number.
        classes: Some of `CLASSES`.

    Returns:
        What `render_galaxies` reads, [N], [N, 2] or [N, 3]. Angles are in radians, radii in arcsec, fluxes in
        nanomaggies by band. `label` is the index into `CLASSES`.

    Raises:
        ValueError: If a class is unknown, or none is named.
    """
    if not classes or not set(classes) <= set(CLASSES):
        raise ValueError(f"`classes` must be some of {', '.join(CLASSES)}, got {tuple(classes)}.")
    draw, device = Draw(number, generator), generator.device
    place = torch.randperm(number, generator=generator, device=device) % len(classes)
    label = torch.tensor([CLASSES.index(name) for name in classes], device=device)[place]
    redshift, magnitude_r, radius = _draw_sizes(draw, label)
    parameters = {"label": label, "redshift": redshift, "disc_radius": radius}
    parameters |= _draw_structure(draw, label, radius)
    parameters |= _draw_light(draw, parameters, magnitude_r)
    seen = sum(value for name, value in parameters.items() if name.endswith("_flux"))
    parameters["magnitude"] = ZERO_POINT - 2.5 * torch.log10(seen)
    parameters["half_light_radius"] = _half_light_radius(parameters)
    return parameters


def _by_class(label: Tensor, *values: Tensor | float) -> Tensor:
    """One of the values [N] for each galaxy, by its class."""
    columns = [torch.as_tensor(value, dtype=torch.float32, device=label.device).expand(len(label)) for value in values]
    return torch.stack(columns, dim=-1).gather(-1, label[:, None])[:, 0]


def _draw_structure(draw: Draw, label: Tensor, radius: Tensor) -> dict[str, Tensor]:
    """Everything but fluxes, each [N] or [N, 2]."""
    elliptical, spiral = (label == CLASSES.index(name) for name in ("elliptical", "spiral"))
    late = draw.uniform(0, 1)  # of a spiral, from Sa to Sd
    # Lenticulars and other discs without structure pass for ellipticals, and so do small blue galaxies.
    lenticular, blue = elliptical & draw.chance(0.35), elliptical & draw.chance(0.13)
    axis_ratio = _by_class(
        label,
        torch.where(lenticular, draw.uniform(0.4, 1.0), 1 - 0.5 * draw.uniform(0, 1) ** 1.2),
        draw.uniform(0.09, 0.40),
        draw.uniform(0.38, 1.0),
        draw.uniform(0.4, 0.95),
        draw.uniform(0.4, 1.0),
    )
    bulge_fraction = _by_class(
        label,
        torch.where(lenticular, draw.uniform(0.35, 0.7), 1.0),
        draw.uniform(0.02, 0.35),
        0.02 + 0.38 * (1 - late) ** 1.5 * draw.uniform(0.5, 1.2),
        0.0,
        draw.uniform(0.25, 0.6),
    )
    index = torch.where(lenticular, draw.uniform(2, 4), draw.uniform(2.8, 6))
    sersic_index = _by_class(
        label,
        torch.where(blue, draw.uniform(1.0, 2.2), index),
        draw.uniform(1, 3),
        1 + 2 * (1 - late) * draw.uniform(0.3, 1),
        1.0,
        draw.uniform(1.5, 4),
    )
    bulge_size = torch.where(lenticular, draw.uniform(0.3, 0.6), 1.0)  # relative to the disc
    bulge_size = _by_class(label, bulge_size, draw.uniform(0.15, 0.35), draw.uniform(0.1, 0.25), 0.2, MERGING_BULGE)
    flatter = axis_ratio.clamp(min=0.75)
    arms = draw_arms(draw, late)
    for name in ("handedness", "arm_number", "pitch"):
        arms[name] = arms[name] * spiral
    arms["bar_strength"] = _by_class(label, 0.0, 0.0, arms["bar_strength"], draw.uniform(0, 0.12), 0.0)
    return {
        "lateness": late,
        "lenticular": lenticular,
        "blueness": blue * draw.uniform(0.25, 0.8),
        "axis_ratio": axis_ratio,
        "position_angle": draw.uniform(0, math.pi),
        "sersic_index": sersic_index,
        "bulge_fraction": bulge_fraction,
        "bulge_radius": radius * bulge_size,
        "bulge_axis_ratio": _by_class(label, axis_ratio, draw.uniform(0.45, 0.8), flatter, axis_ratio, axis_ratio),
        **arms,
        **draw_edge_on(draw),
        **draw_irregular(draw),
        **draw_merger(draw, radius),
    }


def _draw_light(draw: Draw, parameters: dict[str, Tensor], magnitude_r: Tensor) -> dict[str, Tensor]:
    """Flux of each part of the galaxies, [N, 3], nanomaggies."""
    label, redshift, late = (parameters[name] for name in ("label", "redshift", "lateness"))
    irregular, merger = (label == CLASSES.index(name) for name in ("irregular", "merger"))
    young = _by_class(
        label, 0.0, draw.uniform(0.0, 0.75), 0.2 + 0.5 * late, draw.uniform(0.35, 0.6), 0.35 * parameters["wet"]
    )
    knots = _by_class(label, 0.0, 0.08 * young, young * draw.uniform(0.05, 0.2), draw.uniform(0.02, 0.18), 0.0)
    # shares of the light in r: a merger's is the brighter galaxy's, the other's, the halo's and the tides'
    tidal, halo = merger * draw.uniform(0.05, 0.2), merger * draw.uniform(0.05, 0.15)
    ratio = parameters["mass_ratio"]
    second = merger * (1 - tidal - halo) * ratio / (1 + ratio)
    first = 1 - second - tidal - halo
    bulge, bar = parameters["bulge_fraction"], parameters["bar_strength"]
    disc = first * (1 - bulge) * (1 - bar)

    young_colour = _colours(draw, YOUNG, BLUE_SHIFT, redshift)
    red_colour = _colours(draw, RED, RED_SHIFT, redshift)
    red_colour = torch.lerp(red_colour, young_colour, parameters["blueness"][:, None])
    old_colour = torch.where(parameters["lenticular"][:, None], red_colour, _colours(draw, OLD, RED_SHIFT, redshift))
    knot_colour = _colours(draw, KNOTS, BLUE_SHIFT, redshift)
    torn_colour = torch.lerp(old_colour, young_colour, (0.4 * parameters["wet"] * draw.uniform(0, 1))[:, None])
    dust = _by_class(label, 0.0, draw.uniform(0.1, 0.6), 0.25 * draw.uniform(0, 1), 0.0, 0.3 * draw.uniform(0, 1))
    reddening = dust[:, None] * torch.tensor(REDDENING, device=label.device)

    def flux(share: Tensor, colour: Tensor) -> Tensor:
        return (to_flux(magnitude_r) * share)[:, None] * 10 ** (-0.4 * (colour + reddening))

    return {
        "bulge_flux": flux(first * bulge, red_colour),
        "old_flux": flux(disc * (1 - young - knots), old_colour),
        "young_flux": flux(disc * young, young_colour),
        "knot_flux": flux(disc * knots, knot_colour),
        "bar_flux": flux(first * (1 - bulge) * bar, torch.where(irregular[:, None], young_colour, red_colour)),
        "companion_bulge_flux": flux(second * bulge, red_colour),
        "companion_disc_flux": flux(second * (1 - bulge), torn_colour),
        "tail_flux": flux(tidal, torn_colour),
        "halo_flux": flux(halo, old_colour),
    }


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


def _draw_sizes(draw: Draw, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Redshift, apparent magnitude in r and half-light radius in arcsec, each [N]."""
    mean, scatter = torch.tensor(LUMINOSITY, device=label.device)[label].unbind(-1)
    absolute = mean + scatter * draw.normal(0, 1).clamp(-2.5, 2.5)
    zero, slope, spread = torch.tensor(SIZE, device=label.device)[label].unbind(-1)
    kpc = 10 ** (zero + slope * (absolute - mean) + spread * draw.normal(0, 1).clamp(-2.5, 2.5))
    grid = torch.linspace(0.002, 0.45, 600, device=label.device)
    dimming = cosmology.distance_modulus(grid) + RED_SHIFT[1] * grid
    farthest = cosmology.interpolate(MAGNITUDE_LIMIT - absolute, dimming, grid)
    largest = torch.where(label == CLASSES.index("merger"), 0.55, 1.0) * LARGEST_RADIUS
    nearest = cosmology.interpolate(kpc / largest, cosmology.kpc_per_arcsec(grid), grid).clamp(min=NEAREST_REDSHIFT)
    farthest = torch.maximum(farthest, 1.05 * nearest)
    redshift = (nearest**3 + draw.uniform(0, 1) * (farthest**3 - nearest**3)) ** (1 / 3)
    magnitude = absolute + cosmology.distance_modulus(redshift) + RED_SHIFT[1] * redshift
    return redshift, magnitude, kpc / cosmology.kpc_per_arcsec(redshift)


def _colours(
    draw: Draw, table: tuple[tuple[float, float], ...], shift: tuple[float, float, float], redshift: Tensor
) -> Tensor:
    """Observed magnitudes of a population relative to r, [N, 3]."""
    blue, red = (draw.normal(mean, scatter) for mean, scatter in table)
    shifts = torch.tensor(shift, device=redshift.device)
    return torch.stack([blue, torch.zeros_like(blue), -red], dim=-1) + redshift[:, None] * (shifts - shifts[1])
