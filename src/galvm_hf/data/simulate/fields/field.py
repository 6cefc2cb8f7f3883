"""Wide fields of sky: galaxies and stars in the numbers of the sky, large galaxies, strong lenses, and look-alikes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...boxes import box_of_mask
from ...coco import Instance
from ..draw import take
from ..galaxies.population import CLASSES, draw_galaxies
from ..galaxies.stamps import render_galaxies
from ..lenses.lookalikes import LOOKALIKES, draw_lookalikes, render_lookalikes
from ..lenses.red_galaxies import render_red_galaxies
from ..lenses.systems import MASK_SIGMA, arc_side, arc_significance, draw_lenses
from ..neighbours import SPIKES_FROM, render_stars
from ..profiles import pixel_grid, rotate, sersic, sersic_b, sersic_total, to_flux
from ..sky import draw_conditions, observe
from ..survey import BANDS, PIXEL_SCALE, ZERO_POINT
from .counts import (
    FAINT_RANGE,
    LARGE_RANGE,
    STAR_RANGE,
    draw_faint_galaxies,
    draw_stars,
    galaxies_expected,
    stars_expected,
)

if TYPE_CHECKING:
    from astropy.wcs import WCS

MARGIN = 64  # pixels round the field that are rendered too: objects there shine into it, and the PSF's wrap stays there
STAMP_SIDE = 191  # pixels a side of the stamps that large galaxies and lenses are rendered on
FAINT_SIDES = (17, 33, 65, 129, 257)
BATCH_PIXELS = 2**20
STAMP_BATCH = 16
STAR_SIDE = 5
# Light below this share of the sky's noise in a pixel is not rendered.
NEGLIGIBLE = 0.05


@dataclass(frozen=True)
class SimulatedField:
    """A simulated field and the truth about it.

    Attributes:
        flux: Nanomaggies per pixel, float32 [3, H, W], bands g, r, z.
        wcs: Celestial WCS (TAN) of the H x W grid, north towards higher rows, east towards lower columns.
        catalogue: One value an object, each [N], of all objects with their centre in the field. `ra`, `dec`: degrees,
            ICRS. `x`, `y`: column and row of the centre, whole numbers at pixel centres, from 0. `class`: "galaxy",
            "star", "lens", one of `CLASSES` for large galaxies, one of `LOOKALIKES` for what is mistaken for a lens.
            `magnitude_g`, `magnitude_r`, `magnitude_z`: AB; of a lens or a look-alike those of its red galaxy.
            `half_light_radius`: arcsec. `instance`: 1 and up for lenses that have a mask, else 0. The truth of lenses
            as `simulate_lenses` gives it, not a number for everything else.
        instances: Box and mask of each lens, in the order of `instance`: where its lensed light, all bands together,
            stands out of the sky by `MASK_SIGMA`. A lens whose arcs lie outside the field has none.
        psf_fwhm: Seeing in g, r, z, arcsec.
        sky: Noise of the sky in g, r, z, nanomaggies a pixel.
    """

    flux: Tensor
    wcs: "WCS"
    catalogue: dict[str, np.ndarray]
    instances: list[Instance]
    psf_fwhm: tuple[float, ...]
    sky: tuple[float, ...]


def simulate_field(
    size: tuple[int, int], generator: torch.Generator, lenses: int = 4, lookalikes: int = 6, density: float = 1.0
) -> SimulatedField:
    """Draw and render a field.

    Args:
        size: Height and width in pixels of 0.262 arcsec.
        generator: Source of every random number, on the CPU: the same seed gives the same field.
        lenses: How many strong lenses. The sky has about one that such a survey finds in two square degrees (Collett
            2015): with no more than that there would be nothing to learn from.
        lookalikes: How many look-alikes.
        density: Galaxies and stars relative to the counts of the sky.

    Raises:
        ValueError: If `size` is under 64 pixels, or a number is negative.
    """
    height, width = size
    if min(size) < 64 or min(lenses, lookalikes, density) < 0:
        raise ValueError(
            f"A field needs at least 64 x 64 pixels and no negative numbers, got a size of {size}, {lenses} lenses, "
            f"{lookalikes} look-alikes and a density of {density}."
        )
    conditions = draw_conditions(1, generator)
    wcs = _make_wcs(size, generator)
    canvas = torch.zeros(3, height + 2 * MARGIN, width + 2 * MARGIN)
    area = canvas[0].numel() * (PIXEL_SCALE / 3600) ** 2 * density

    tables = [
        _add_faint(canvas, _poisson(galaxies_expected(area, *FAINT_RANGE), generator), conditions["sky"], generator),
        _add_large(canvas, _poisson(galaxies_expected(area, *LARGE_RANGE), generator), generator),
        _add_lookalikes(canvas, lookalikes, size, generator),
    ]
    lens_table, masks = _add_lenses(canvas, lenses, size, conditions, generator)
    stars = _poisson(stars_expected(area, *STAR_RANGE), generator)
    tables += [_add_stars(canvas, stars, generator), lens_table]

    flux = observe(canvas[None], **conditions, generator=generator)[0]
    flux = flux[:, MARGIN : MARGIN + height, MARGIN : MARGIN + width].clone()
    catalogue = _join(tables, size, wcs)
    instances = list(_clip_instances(masks, np.flatnonzero(catalogue["class"] == "lens").tolist(), size))
    catalogue["instance"] = np.zeros(len(catalogue["x"]), dtype=np.int32)
    for number, instance in enumerate(instances, 1):
        catalogue["instance"][instance.row] = number
    psf_fwhm, sky = (tuple(conditions[name][0].tolist()) for name in ("psf_fwhm", "sky"))
    return SimulatedField(flux, wcs, catalogue, instances, psf_fwhm, sky)


def _poisson(expected: float, generator: torch.Generator) -> int:
    return int(torch.poisson(torch.tensor(expected), generator=generator))


def _make_wcs(size: tuple[int, int], generator: torch.Generator) -> "WCS":
    """A tangential projection about a random place between -15 and 33 degrees of declination."""
    try:
        from astropy.wcs import WCS
    except ImportError as error:
        raise ImportError('Simulated fields need astropy: pip install "galvm_hf[simulate]"') from error
    ra, dec = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [360 * ra, -15 + 48 * dec]
    wcs.wcs.crpix = [(size[1] + 1) / 2, (size[0] + 1) / 2]
    wcs.wcs.cdelt = [-PIXEL_SCALE / 3600, PIXEL_SCALE / 3600]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    wcs.wcs.set()
    return wcs


def _draw_places(number: int, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Columns and rows, uniform over an image, [N, 2]."""
    return torch.rand(number, 2, generator=generator) * torch.tensor([shape[1], shape[0]]) - 0.5


def _add(canvas: Tensor, stamp: Tensor, column: int, row: int) -> None:
    """Add a stamp [3, S, S] of odd side to the canvas, its middle at that pixel, where the two overlap."""
    half = stamp.shape[-1] // 2
    top, left = row - half, column - half
    rows = slice(max(0, -top), stamp.shape[-2] - max(0, row + half + 1 - canvas.shape[-2]))
    columns = slice(max(0, -left), stamp.shape[-1] - max(0, column + half + 1 - canvas.shape[-1]))
    part = stamp[:, rows, columns]
    canvas[:, max(0, top) : max(0, top) + part.shape[1], max(0, left) : max(0, left) + part.shape[2]] += part


def _add_faint(canvas: Tensor, number: int, sky: Tensor, generator: torch.Generator) -> dict[str, np.ndarray]:
    """Faint galaxies, each on a stamp as large as it can be seen, many of one size at a time."""
    galaxies = draw_faint_galaxies(number, generator)
    places = _draw_places(number, canvas.shape[-2:], generator)
    pixels = places.round()
    reach = _visible_radius(galaxies, sky) / PIXEL_SCALE
    sides = torch.tensor(FAINT_SIDES)
    group = torch.searchsorted(sides // 2, reach.contiguous()).clamp(max=len(sides) - 1)
    for index, side in enumerate(FAINT_SIDES):
        x, y = pixel_grid(side)
        for rows in (group == index).nonzero().flatten().split(max(1, BATCH_PIXELS // side**2)):
            part, offset = take(galaxies, rows), (places[rows] - pixels[rows]) * PIXEL_SCALE
            u, v = rotate(x - offset[:, :1, None], y - offset[:, 1:, None], part["position_angle"])
            shape = (part[name] for name in ("radius", "axis_ratio", "sersic_index"))
            profile = sersic(u, v, *shape, PIXEL_SCALE / 3)
            # of small ones a cusp softened over a pixel would lose light that the catalogue has
            profile /= profile.sum(dim=(-2, -1), keepdim=True)
            stamps = profile[:, None] * part["flux"][..., None, None]
            for stamp, (column, row) in zip(stamps, pixels[rows].int().tolist(), strict=True):
                _add(canvas, stamp, column, row)
    columns = {name: galaxies[name] for name in ("axis_ratio", "position_angle")}
    columns |= {"half_light_radius": galaxies["radius"]}
    return _table(["galaxy"] * number, places - MARGIN, galaxies["flux"], columns)


def _visible_radius(galaxies: dict[str, Tensor], sky: Tensor) -> Tensor:
    """Semi-major axis in arcsec beyond which a Sersic profile is negligible in every band, [N]."""
    radius, axis_ratio, index = (galaxies[name] for name in ("radius", "axis_ratio", "sersic_index"))
    centre = galaxies["flux"] * PIXEL_SCALE**2 / sersic_total(radius, axis_ratio, index)[:, None]
    decay = torch.log((centre / (NEGLIGIBLE * sky)).amax(dim=1)).clamp(min=0)
    return radius * (decay / sersic_b(index)) ** index


def _add_large(canvas: Tensor, number: int, generator: torch.Generator) -> dict[str, np.ndarray]:
    """Large galaxies of every class, their centres at whole pixels."""
    if not number:
        return {}
    galaxies = draw_galaxies(number, generator)
    pixels = _draw_places(number, canvas.shape[-2:], generator).round()
    for rows in torch.arange(number).split(STAMP_BATCH):
        stamps = render_galaxies(take(galaxies, rows), STAMP_SIDE, generator)
        for stamp, place in zip(stamps, pixels[rows].int().tolist(), strict=True):
            _add(canvas, stamp, *place)
    kinds = [CLASSES[index] for index in galaxies["label"].tolist()]
    flux = to_flux(galaxies["magnitude"])
    columns = {name: galaxies[name] for name in ("half_light_radius", "axis_ratio", "position_angle")}
    return _table(kinds, pixels - MARGIN, flux, columns)


def _add_lookalikes(
    canvas: Tensor, number: int, size: tuple[int, int], generator: torch.Generator
) -> dict[str, np.ndarray]:
    """Look-alikes, their centres inside the field."""
    if not number:
        return {}
    parameters = draw_lookalikes(number, generator)
    pixels = _draw_places(number, size, generator).round()
    for rows in torch.arange(number).split(STAMP_BATCH):
        stamps = render_lookalikes(take(parameters, rows), STAMP_SIDE)
        for stamp, place in zip(stamps, (pixels[rows] + MARGIN).int().tolist(), strict=True):
            _add(canvas, stamp, *place)
    kinds = [LOOKALIKES[index] for index in parameters["kind"].tolist()]
    return _red_table(kinds, pixels, parameters)


def _add_lenses(
    canvas: Tensor, number: int, size: tuple[int, int], conditions: dict[str, Tensor], generator: torch.Generator
) -> tuple[dict[str, np.ndarray], list[tuple[int, int, np.ndarray]]]:
    """Lenses, their centres inside the field; and of each the first column and row of its mask, and the mask."""
    if not number:
        return {}, []
    conditions = {name: value.expand(number, -1) for name, value in conditions.items()}
    systems = draw_lenses(**conditions, size=STAMP_SIDE, generator=generator)
    masks = arc_significance(systems.arcs, **conditions) > MASK_SIGMA
    pixels = _draw_places(number, size, generator).round()
    reach, found = arc_side(STAMP_SIDE) // 2, []
    inner = slice(STAMP_SIDE // 2 - reach, STAMP_SIDE // 2 + reach + 1)
    for row, (column, line) in enumerate(pixels.int().tolist()):
        stamp = render_red_galaxies(take(systems.lens, slice(row, row + 1)), STAMP_SIDE)[0]
        stamp[:, inner, inner] += systems.arcs[row]
        _add(canvas, stamp, column + MARGIN, line + MARGIN)
        found.append((column - reach, line - reach, masks[row].numpy()))
    return _red_table(["lens"] * number, pixels, systems.lens, systems.truth), found


def _add_stars(canvas: Tensor, number: int, generator: torch.Generator) -> dict[str, np.ndarray]:
    """Stars; bright ones on stamps that are large enough for their halo and spikes."""
    flux = draw_stars(number, generator)
    places = _draw_places(number, canvas.shape[-2:], generator)
    pixels = places.round()
    bright = flux[:, 1] > to_flux(torch.tensor(SPIKES_FROM))
    for chosen, side in ((~bright, STAR_SIDE), (bright, STAMP_SIDE)):
        rows = chosen.nonzero().flatten()
        for some in rows.split(max(1, BATCH_PIXELS // side**2)):
            offset = (places[some] - pixels[some]) * PIXEL_SCALE
            stars = {"star_flux": flux[some, None], "star_x": offset[:, :1], "star_y": offset[:, 1:]}
            for stamp, place in zip(render_stars(stars, side), pixels[some].int().tolist(), strict=True):
                _add(canvas, stamp, *place)
    return _table(["star"] * number, places - MARGIN, flux, {})


def _red_table(
    kinds: list[str], pixels: Tensor, parameters: dict[str, Tensor], truth: dict[str, Tensor] | None = None
) -> dict[str, np.ndarray]:
    """Rows of objects round a red galaxy that lies a little off the middle of its stamp."""
    places = pixels + torch.stack([parameters["x"], parameters["y"]], dim=1) / PIXEL_SCALE
    columns = {name: parameters[name] for name in ("axis_ratio", "position_angle")}
    columns |= {"half_light_radius": parameters["radius"]} | (truth or {})
    return _table(kinds, places, parameters["flux"], columns)


def _table(kinds: list[str], places: Tensor, flux: Tensor, columns: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Columns of the catalogue that need no WCS."""
    magnitude = ZERO_POINT - 2.5 * torch.log10(flux)
    columns = columns | {f"magnitude_{band}": magnitude[:, index] for index, band in enumerate(BANDS)}
    columns |= {"x": places[:, 0].double(), "y": places[:, 1].double()}
    return {"class": np.array(kinds)} | {name: value.numpy() for name, value in columns.items()}


def _join(tables: list[dict[str, np.ndarray]], size: tuple[int, int], wcs: "WCS") -> dict[str, np.ndarray]:
    """One catalogue of the objects inside the field; a column that an object has no value for is not a number there."""
    tables = [table for table in tables if table]
    names = sorted({name for table in tables for name in table})
    joined = {
        name: np.concatenate([table.get(name, np.full(len(table["x"]), np.nan, np.float32)) for table in tables])
        for name in names
    }
    x, y = joined["x"], joined["y"]
    inside = (x >= -0.5) & (x <= size[1] - 0.5) & (y >= -0.5) & (y <= size[0] - 0.5)
    joined = {name: column[inside] for name, column in joined.items()}
    ra, dec = wcs.all_pix2world(joined["x"], joined["y"], 0)
    return {"ra": ra, "dec": dec} | joined


def _clip_instances(
    masks: list[tuple[int, int, np.ndarray]], rows: list[int], size: tuple[int, int]
) -> Iterator[Instance]:
    """Masks cut at the edges of the field, and what is left of them in the smallest box."""
    for row, (left, top, mask) in zip(rows, masks, strict=True):
        left_cut, top_cut = max(0, -left), max(0, -top)
        mask = mask[top_cut : size[0] - top, left_cut : size[1] - left]
        x0, y0, x1, y1 = box_of_mask(torch.from_numpy(mask)).tolist()
        if x1:
            x, y = left + left_cut, top + top_cut
            yield Instance(row, (x + x0, y + y0, x + x1, y + y1), mask[y0:y1, x0:x1].copy())
