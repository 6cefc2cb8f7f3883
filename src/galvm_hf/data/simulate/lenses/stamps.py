"""Stamps of simulated strong lenses and of what is mistaken for them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...boxes import box_of_mask
from ..draw import take
from ..galaxies.population import draw_galaxies
from ..galaxies.stamps import render_galaxies
from ..neighbours import draw_neighbours, render_neighbours
from ..sky import draw_conditions, observe
from ..survey import BANDS, ZERO_POINT
from .lookalikes import LOOKALIKES, draw_lookalikes, render_lookalikes
from .red_galaxies import render_red_galaxies
from .systems import MASK_SIGMA, arc_side, arc_significance, draw_lenses
from .systems import TRUTH as LENS_TRUTH

KINDS = ("lens", *LOOKALIKES, "galaxy")
TRUTH = (
    "kind",
    *LENS_TRUTH,
    *(f"magnitude_{band}" for band in BANDS),
    "half_light_radius",
    "axis_ratio",
    "position_angle",
    "psf_fwhm",
)
GALAXY_SHARE = 0.2  # of the stamps without a lens; the rest are look-alikes
MARGIN = 8  # pixels rendered beyond each edge, so that the circular convolution does not wrap into the stamp
RENDER_BATCH = 16


@dataclass(frozen=True)
class SimulatedLenses:
    """Simulated stamps, half of them strong lenses, and the truth about each.

    Attributes:
        flux: Nanomaggies per pixel, float32 [N, 3, H, W], bands g, r, z, 0.262 arcsec per pixel.
        labels: 1 for a strong lens, 0 for anything else, int64 [N].
        masks: Where the lensed light, all bands together, stands out of the sky by `MASK_SIGMA`, bool [N, H, W].
        boxes: The smallest box round each mask: first column and row, last column and row plus one, int64 [N, 4];
            zeros without a lens.
        truth: One value a stamp, each [N]; what belongs to a lens is not a number for the others. `kind`: index into
            `KINDS`. `einstein_radius`: arcsec, of the circle with the area inside the critical curve.
            `mass_axis_ratio`, `mass_position_angle`: of the isodensity curves, radians from the column axis towards
            the row axis. `shear_1`, `shear_2`. `source_x`, `source_y`: arcsec from the middle of the stamp.
            `lens_redshift`, `source_redshift`. `velocity_dispersion`: km/s. `magnification`: of the source's flux.
            `images`: of the source's centre. `arc_snr`: of the arcs in all bands, optimally weighted. `arc_flux_g`,
            `arc_flux_r`, `arc_flux_z`: nanomaggies. `magnitude_g`, `magnitude_r`, `magnitude_z`: of the red galaxy,
            or of the galaxy. `half_light_radius`, `axis_ratio`, `position_angle`: of the same. `psf_fwhm`: arcsec,
            in r.
    """

    flux: Tensor
    labels: Tensor
    masks: Tensor
    boxes: Tensor
    truth: dict[str, Tensor]


def simulate_lenses(
    number: int, generator: torch.Generator, size: int = 128, lens_fraction: float = 0.5
) -> SimulatedLenses:
    """Draw and render strong lenses, look-alikes and ordinary galaxies in random order, each in the middle.

    Args:
        number: How many stamps.
        generator: Source of every random number, on the CPU: the same seed gives the same stamps.
        size: Height and width of a stamp in pixels.
        lens_fraction: Share of the stamps that are lenses.

    Raises:
        ValueError: If `number` is not positive, `size` is less than 32 or `lens_fraction` is not a share.
    """
    if number < 1 or size < 32:
        raise ValueError(f"`number` must be positive and `size` at least 32 pixels, got {number} and {size}.")
    if not 0 <= lens_fraction <= 1:
        raise ValueError(f"`lens_fraction` is a share from 0 to 1, got {lens_fraction}.")
    side = size + 2 * MARGIN
    order = torch.randperm(number, generator=generator)
    lenses = round(number * lens_fraction)
    galaxies = round((number - lenses) * GALAXY_SHARE)
    rows = order.split([lenses, number - lenses - galaxies, galaxies])
    conditions = draw_conditions(number, generator)
    neighbours = draw_neighbours(number, generator, side)
    parts = []
    for kind_rows, render in zip(rows, (_lens_part, _lookalike_part, _galaxy_part), strict=True):
        for some in kind_rows.split(RENDER_BATCH):
            if len(some):
                image, truth, significance = render(take(conditions, some), side, generator)
                image += render_neighbours(take(neighbours, some), side)
                image = observe(image, **take(conditions, some), generator=generator)
                truth["psf_fwhm"] = conditions["psf_fwhm"][some, 1]
                parts.append((image, significance > MASK_SIGMA, truth))
    truth = {
        name: torch.cat([part.get(name, torch.full((len(image),), torch.nan)) for image, _, part in parts])
        for name in TRUTH
    }
    back = torch.cat(rows).argsort()
    inner = slice(MARGIN, MARGIN + size)
    flux, masks = (torch.cat(list(column))[back][..., inner, inner] for column in list(zip(*parts, strict=True))[:2])
    truth = take(truth, back)
    return SimulatedLenses(
        flux.contiguous(),
        (truth["kind"] == KINDS.index("lens")).long(),
        masks.contiguous(),
        torch.stack([box_of_mask(mask) for mask in masks]),
        truth,
    )


def _lens_part(conditions: dict[str, Tensor], side: int, generator: torch.Generator) -> tuple[Tensor, dict, Tensor]:
    """Light before the PSF [B, 3, S, S], truth, and signal to noise of the lensed light [B, S, S]."""
    systems = draw_lenses(**conditions, size=side, generator=generator)
    image = render_red_galaxies(systems.lens, side)
    significance = torch.zeros(len(image), side, side)
    # the ray-traced area and the stamp have one middle
    traced = arc_side(side)
    first, cut = max(0, (side - traced) // 2), max(0, (traced - side) // 2)
    inner, part = slice(first, first + traced), slice(cut, cut + side)
    image[..., inner, inner] += systems.arcs[..., part, part]
    significance[..., inner, inner] = arc_significance(systems.arcs, **conditions)[..., part, part]
    kind = torch.full((len(image),), KINDS.index("lens"))
    return image, {"kind": kind} | systems.truth | _shape_truth(systems.lens), significance


def _lookalike_part(
    conditions: dict[str, Tensor], side: int, generator: torch.Generator
) -> tuple[Tensor, dict, Tensor]:
    parameters = draw_lookalikes(len(conditions["sky"]), generator)
    image = render_lookalikes(parameters, side)
    return image, {"kind": parameters["kind"] + 1} | _shape_truth(parameters), torch.zeros_like(image[:, 0])


def _galaxy_part(conditions: dict[str, Tensor], side: int, generator: torch.Generator) -> tuple[Tensor, dict, Tensor]:
    parameters = draw_galaxies(len(conditions["sky"]), generator)
    image = render_galaxies(parameters, side, generator)
    kind = torch.full((len(image),), KINDS.index("galaxy"))
    truth = {name: parameters[name] for name in ("half_light_radius", "axis_ratio", "position_angle")}
    truth |= {f"magnitude_{band}": parameters["magnitude"][:, index] for index, band in enumerate(BANDS)}
    return image, {"kind": kind} | truth, torch.zeros_like(image[:, 0])


def _shape_truth(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """What is known of a red galaxy."""
    magnitude = ZERO_POINT - 2.5 * torch.log10(parameters["flux"])
    truth = {f"magnitude_{band}": magnitude[:, index] for index, band in enumerate(BANDS)}
    truth |= {name: parameters[name] for name in ("axis_ratio", "position_angle")}
    return truth | {"half_light_radius": parameters["radius"]}
