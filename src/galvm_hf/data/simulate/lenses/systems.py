"""Strong lenses: a massive red galaxy in front of a blue one, ray-traced, as the Legacy Surveys would see them.

A system counts as a lens when a survey would find it: the criteria of Collett (2015), made stricter. The
images are resolved, the source is stretched, and the arcs stand out of the noise and of the lens galaxy.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..draw import Draw, take
from ..profiles import pixel_grid
from ..sky import blur
from ..survey import BANDS, PIXEL_SCALE
from .raytrace import count_images, trace_rays
from .red_galaxies import draw_red_galaxies, einstein_radius, render_red_galaxies
from .sources import draw_sources, render_sources, sample_sources

EINSTEIN_RADII = (0.7, 3.0)  # arcsec
ARC_SIDE = 64  # pixels a side of the area that is ray-traced, one more in stamps of odd size
OVERSAMPLING = 3  # rays a side of a pixel
GROUP_BOOST = 1.4  # by how much the richest group widens the images
SOURCE_REACH = 0.8  # sources lie within so many Einstein radii of the axis
RESOLVED = 0.75  # of the seeing, half of which is Collett's limit: closer images melt into the lens galaxy
LEAST_MAGNIFICATION = 3.0
LEAST_ARC_SNR = 20.0
# The light of the lens galaxy hides arcs: this share of it counts as noise when the lens is looked for.
LENS_RESIDUAL = 1.0
MASK_SIGMA = 1.5  # of a pixel, all bands together, to belong to the mask of a lens
MARGIN = 8  # pixels beyond the edges while blurring, so that the circular convolution does not wrap
CANDIDATES = 2  # systems tried at a time for each that is wanted
BATCH = 16

TRUTH = (
    "einstein_radius",
    "mass_axis_ratio",
    "mass_position_angle",
    "shear_1",
    "shear_2",
    "source_x",
    "source_y",
    "lens_redshift",
    "source_redshift",
    "velocity_dispersion",
    "magnification",
    "images",
    "arc_snr",
    *(f"arc_flux_{band}" for band in BANDS),
)


@dataclass(frozen=True)
class LensSystems:
    """Lenses that the survey would find.

    Attributes:
        lens: Parameters of the lens galaxies' light, as `draw_red_galaxies` gives them.
        truth: `TRUTH`, one value a system, each [N].
        arcs: Light of the lensed source, nanomaggies a pixel before the PSF, [N, 3, S, S] with S from `arc_side`, the
            middle of the stamp in its middle.
    """

    lens: dict[str, Tensor]
    truth: dict[str, Tensor]
    arcs: Tensor


def draw_lenses(psf_fwhm: Tensor, sky: Tensor, size: int, generator: torch.Generator) -> LensSystems:
    """Draw one lens for each stamp, again and again until the survey would find it.

    Args:
        psf_fwhm: Seeing of each stamp, arcsec [N, 3].
        sky: Noise of each stamp, nanomaggies a pixel [N, 3].
        size: Height and width of the stamps in pixels: odd ones have their middle on a pixel, even ones between pixels.
        generator: Source of every random number.
    """
    number, side = len(sky), arc_side(size)
    found: dict[int, dict[str, Tensor]] = {}
    while len(found) < number:
        missing = [index for index in range(number) if index not in found][:BATCH]
        stamp = torch.tensor(missing).repeat_interleave(CANDIDATES)
        system = _draw_systems(stamp, psf_fwhm[stamp, 1], generator)
        stamp = stamp[system.pop("candidate")]
        if not len(stamp):
            continue
        arcs = lens_sources(system, side)
        magnification = arcs[:, 1].sum(dim=(-2, -1)) / system["source_flux"][:, 1]
        stretched = magnification * system["source_radius"] > psf_fwhm[stamp, 1]
        snr = total_snr(arc_significance(arcs, psf_fwhm[stamp], sky[stamp]))
        system |= {"arcs": arcs, "magnification": magnification, "arc_snr": snr}
        good = (stretched & (magnification > LEAST_MAGNIFICATION) & (snr > LEAST_ARC_SNR)).nonzero().flatten()
        system, stamp = take(system, good), stamp[good]
        glare = LENS_RESIDUAL * _blur_apart(render_red_galaxies(_lens_of(system), side), psf_fwhm[stamp])
        seen = total_snr(arc_significance(system["arcs"], psf_fwhm[stamp], sky[stamp], glare)) > LEAST_ARC_SNR
        system["images"] = count_images(mass_of(system), system["source_x"], system["source_y"])
        for row in (seen & (system["images"] > 1)).nonzero().flatten().tolist():
            found.setdefault(int(stamp[row]), {name: value[row] for name, value in system.items()})
    systems = {name: torch.stack([found[index][name] for index in range(number)]) for name in found[0]}
    return _as_lens_systems(systems)


def arc_side(size: int) -> int:
    """Side of the area that is ray-traced, so that its middle can lie on that of a stamp of that size."""
    return ARC_SIDE + size % 2


def arc_significance(arcs: Tensor, psf_fwhm: Tensor, sky: Tensor, glare: Tensor | None = None) -> Tensor:
    """Signal to noise of each pixel of the arcs [B, 3, H, W], all bands together, after the PSF: [B, H, W].

    The noise is that of the sky, and `glare` [B, 3, H, W], what a lens galaxy leaves uncertain, nanomaggies a pixel.
    """
    variance = sky[..., None, None].square()
    if glare is not None:
        variance = variance + glare.square()
    return (_blur_apart(arcs, psf_fwhm).square() / variance).sum(dim=1).sqrt()


def total_snr(significance: Tensor) -> Tensor:
    """Signal to noise [B] of an optimally weighted measurement, from that of the pixels [B, H, W]."""
    return significance.square().sum(dim=(-2, -1)).sqrt()


def _blur_apart(image: Tensor, psf_fwhm: Tensor) -> Tensor:
    """An image [B, 3, H, W] as the PSF [B, 3] blurs it, with nothing beyond its edges."""
    padded = torch.nn.functional.pad(image, (0, 2 * MARGIN, 0, 2 * MARGIN))
    return blur(padded, psf_fwhm)[..., : -2 * MARGIN, : -2 * MARGIN]


def _draw_systems(stamp: Tensor, seeing: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Systems with Einstein radii in range and resolved images; `candidate` says for which of the stamps, bool [N]."""
    number = len(stamp)
    draw = Draw(number, generator)
    lens, source = draw_red_galaxies(number, generator), draw_sources(number, generator)
    # A group adds to the mass inside the images: separations grow with its richness (Limousin et al. 2009).
    radius = einstein_radius(lens["dispersion"], lens["redshift"], source["redshift"])
    radius = radius * (1 + GROUP_BOOST * lens["richness"])
    # Mass follows light closely in lens galaxies (Koopmans et al. 2006); shear as the surroundings give it
    # (Wong et al. 2011).
    shear, shear_angle = 0.05 * (-2 * draw.uniform(1e-4, 1).log()).sqrt(), draw.uniform(0, 2 * math.pi)
    # Denser towards the axis than on the sky, so that rings and quads are not rare.
    offset, angle = draw.uniform(0, SOURCE_REACH), draw.uniform(0, 2 * math.pi)
    system = {f"lens_{name}": value for name, value in lens.items()}
    system |= {f"source_{name}": value for name, value in source.items()}
    system |= {
        "einstein_radius": radius,
        "mass_axis_ratio": (lens["axis_ratio"] * draw.normal(0.99, 0.11)).clamp(0.4, 0.98),
        "mass_position_angle": lens["position_angle"] + draw.normal(0, math.radians(10)),
        "shear_1": shear.clamp(max=0.2) * shear_angle.cos(),
        "shear_2": shear.clamp(max=0.2) * shear_angle.sin(),
        "source_x": lens["x"] + offset * radius * angle.cos(),
        "source_y": lens["y"] + offset * radius * angle.sin(),
    }
    in_range = (radius > EINSTEIN_RADII[0]) & (radius < EINSTEIN_RADII[1])
    resolved = radius**2 > source["radius"] ** 2 + (RESOLVED * seeing) ** 2
    behind = source["redshift"] > lens["redshift"] + 0.2
    chosen = in_range & resolved & behind
    return {name: value[chosen] for name, value in system.items()} | {"candidate": chosen}


def mass_of(system: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of a system that bends light, as `raytrace` names it."""
    return {
        "x": system["lens_x"],
        "y": system["lens_y"],
        "einstein_radius": system["einstein_radius"],
        "axis_ratio": system["mass_axis_ratio"],
        "position_angle": system["mass_position_angle"],
        "shear_1": system["shear_1"],
        "shear_2": system["shear_2"],
    }


def lens_sources(system: dict[str, Tensor], side: int) -> Tensor:
    """Light of the lensed sources, nanomaggies a pixel before the PSF, [B, 3, side, side].

    Gravity bends all colours alike: each ray is traced once and reads three bands.
    """
    x, y = (axis.expand(len(system["lens_x"]), -1, -1) for axis in pixel_grid(side * OVERSAMPLING))
    source_x, source_y = trace_rays(mass_of(system), x / OVERSAMPLING, y / OVERSAMPLING)
    source = {name.removeprefix("source_"): value for name, value in system.items() if name.startswith("source_")}
    x, y = source_x - source.pop("x")[:, None, None], source_y - source.pop("y")[:, None, None]
    brightness = sample_sources(render_sources(source), source, x, y)
    return torch.nn.functional.avg_pool2d(brightness, OVERSAMPLING) * PIXEL_SCALE**2


def _as_lens_systems(systems: dict[str, Tensor]) -> LensSystems:
    arcs = systems["arcs"]
    systems["velocity_dispersion"] = systems["lens_dispersion"]
    systems |= {f"arc_flux_{band}": arcs[:, index].sum(dim=(-2, -1)) for index, band in enumerate(BANDS)}
    return LensSystems(_lens_of(systems), {name: systems[name] for name in TRUTH}, arcs)


def _lens_of(system: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of the lens galaxies' light."""
    return {name.removeprefix("lens_"): value for name, value in system.items() if name.startswith("lens_")}
