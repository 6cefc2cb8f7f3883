"""Fields composed of real stamps: lenses, what was mistaken for lenses, and galaxies, under one sky."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..boxes import box_of_mask
from ..coco import Instance
from ..simulate.lenses.systems import LEAST_ARC_SNR, MASK_SIGMA
from ..simulate.survey import PSF_FWHM, SKY_NOISE
from .arcs import find_arcs
from .matching import LEAST_GAIN, Conditions, Cutout, UnusableStampError, cut_out, resample
from .noise import draw_noise, field_power
from .objects import RealObject

# A field lies between the two surveys that its lenses are from: seeing and noise of the Legacy Surveys DR10 times a
# factor between these and one.
BEST_SEEING, LEAST_NOISE = 0.72, 0.5
WITH_LENSES = 2 / 3  # of the fields
LENSES = (1, 3)
NEGATIVES, GALAXIES = (2, 4), (3, 7)  # in `UNIT_AREA`
UNIT_AREA = 256 * 256
# Galaxies of SDSS are near: here they get 1.2 to 4 arcsec (see `surveys.SDSS_RADIUS`), and as much fainter as if they
# were at the redshifts of lens galaxies, where the surface brightness is down by (1 + z)^4 (Tolman 1930).
SDSS_SHRINK, SDSS_DIMMING = (0.12, 0.4), (0.08, 0.5)
MARGIN = 20  # pixels between the edge of a field and the middle of an object
MOST_OVERLAP = 0.03  # of a cutout with those that are there
PLACES = 60  # tried for a cutout
LEAST_INSIDE = 0.5  # of a lens's mask
BANDS = 3


@dataclass(frozen=True)
class PastedObject:
    """What was pasted where.

    Attributes:
        real: The object.
        x: Column of its middle.
        y: Row of its middle.
        gain: What its light was multiplied with.
        shrink: How much smaller it is than on the sky, or than `surveys` takes it to be.
        flipped: Whether left and right were exchanged, first of all.
        turns: Quarter turns after that, anticlockwise as rows count upwards.
    """

    real: RealObject
    x: int
    y: int
    gain: float
    shrink: float
    flipped: bool
    turns: int


@dataclass(frozen=True)
class CompositeField:
    """A field of real objects.

    Attributes:
        flux: Nanomaggies in a pixel of 0.262 arcsec, float32 [3, H, W], bands g, r, z (z extrapolated from r and i).
        objects: What was pasted, in the order of pasting.
        instances: Box and mask of each lens; `row` counts in `objects`.
        conditions: Seeing and noise.
    """

    flux: np.ndarray
    objects: list[PastedObject]
    instances: list[Instance]
    conditions: Conditions


@dataclass
class Canvas:
    """A field while it is being made: what shines, the noise that is not the stamps' own, and what is taken.

    Attributes:
        light: Light and noise of the stamps, [3, H, W].
        noise: Noise that is added, [3, H, W].
        covered: Opacity of what was pasted, [H, W].
    """

    light: np.ndarray
    noise: np.ndarray
    covered: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.covered = np.zeros(self.light.shape[1:], dtype=np.float32)

    @classmethod
    def empty(cls, size: tuple[int, int], sky: np.ndarray, random: np.random.Generator) -> "Canvas":
        """Nothing but the noise of a sky of standard deviation `sky` [3]."""
        return cls(np.zeros((BANDS, *size), dtype=np.float32), draw_noise(field_power(sky, size), size, random))

    def paste(self, cutout: Cutout, x: int, y: int, sky: np.ndarray, random: np.random.Generator) -> None:
        """Add a cutout, its middle at column `x` and row `y`, and take as much noise away as it brings along.

        Under an opacity m the field keeps sqrt(1 - m^2) of its noise, and gets m times what the stamp's noise lacks to
        the field's: the power at every frequency stays what it was, also where one fades into the other.
        """
        size = cutout.opacity.shape
        missing = (field_power(sky, size) - cutout.noise.power(size)).clip(min=0)
        added = draw_noise(missing, size, random)
        here, there = self._overlap(size, x, y)
        opacity = cutout.opacity[there]
        self.light[:, *here] += opacity * cutout.flux[:, *there]
        self.noise[:, *here] *= np.sqrt(1 - opacity**2)
        self.noise[:, *here] += opacity * added[:, *there]
        np.maximum(self.covered[here], opacity, out=self.covered[here])

    def overlap(self, cutout: Cutout, x: int, y: int) -> float:
        """Share of a cutout that would lie on others."""
        here, there = self._overlap(cutout.opacity.shape, x, y)
        opacity = cutout.opacity[there]
        return float((opacity * self.covered[here]).sum() / max(opacity.sum(), 1e-6))

    def _overlap(self, size: tuple[int, int], x: int, y: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where a window with its middle at (x, y) lies on the canvas, and which part of the window that is."""
        here, there = [], []
        for middle, side, whole in zip((y, x), size, self.covered.shape, strict=True):
            first = middle - side // 2
            here.append(slice(max(first, 0), min(first + side, whole)))
            there.append(slice(here[-1].start - first, here[-1].stop - first))
        return tuple(here), tuple(there)


def draw_conditions(random: np.random.Generator) -> Conditions:
    """Seeing and noise of a field, between those of CFHTLS and those of the Legacy Surveys."""
    share = random.uniform()
    seeing, noise = (best ** (1 - share) for best in (BEST_SEEING, LEAST_NOISE))
    return Conditions(seeing * np.array(PSF_FWHM), noise * np.array(SKY_NOISE))


def compose_field(objects: Sequence[RealObject], size: tuple[int, int], random: np.random.Generator) -> CompositeField:
    """Compose a field.

    An object is in a field once at most. Those that cannot be cut out, lenses whose arcs would not stand out under the
    field's conditions, and what finds no free place make way for others.

    Args:
        objects: To draw from, as `read_objects` gives them.
        size: Height and width in pixels.
        random: Source of every random number.
    """
    conditions = draw_conditions(random)
    canvas = Canvas.empty(size, conditions.sky, random)
    pasted: list[PastedObject] = []
    instances: list[Instance] = []
    units = size[0] * size[1] / UNIT_AREA
    numbers = {
        "lens": int(random.integers(*LENSES, endpoint=True)) if random.uniform() < WITH_LENSES else 0,
        "negative": round(units * random.uniform(*NEGATIVES)),
        "galaxy": round(units * random.uniform(*GALAXIES)),
    }
    for kind, number in numbers.items():
        for real in _in_random_order(objects, kind, random):
            if number == 0:
                break
            number -= _add(canvas, real, conditions, pasted, instances, random)
    return CompositeField(canvas.light + canvas.noise, pasted, instances, conditions)


def _in_random_order(objects: Sequence[RealObject], kind: str, random: np.random.Generator) -> list[RealObject]:
    """Objects of a kind, each data set having the same chance at every turn."""
    of_kind = [real for real in objects if real.kind == kind]
    sources = sorted({real.source for real in of_kind})
    shuffled = {source: [real for real in of_kind if real.source == source] for source in sources}
    order = []
    for members in shuffled.values():
        random.shuffle(members)
    while shuffled:
        source = sources[random.integers(len(sources))]
        order.append(shuffled[source].pop())
        if not shuffled[source]:
            del shuffled[source]
            sources.remove(source)
    return order


def _add(
    canvas: Canvas,
    real: RealObject,
    conditions: Conditions,
    pasted: list[PastedObject],
    instances: list[Instance],
    random: np.random.Generator,
) -> bool:
    """Paste an object at a free place, if it can be cut out, and a lens can be seen; whether it was."""
    flipped, turns = bool(random.integers(2)), int(random.integers(4))
    galaxy = real.kind == "galaxy"
    shrink, dimming = (np.exp(random.uniform(*np.log(limits))) for limits in (SDSS_SHRINK, SDSS_DIMMING))
    if not galaxy:
        shrink = dimming = 1.0

    def turn(image: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(image[..., ::-1] if flipped else image, turns, axes=(-2, -1)))

    flux, clipped = real.read()
    survey = real.survey
    seen = resample(turn(flux), survey.pixel_scale, survey.psf_fwhm, conditions, shrink) * np.float32(dimming)
    try:
        cutout = cut_out(seen, conditions, least_gain=0.0 if galaxy else LEAST_GAIN)
    except UnusableStampError:
        return False
    mask = _lens_mask(real, flux, clipped, turn, cutout, conditions) if real.kind == "lens" else None
    if mask is not None and not mask.any():
        return False
    place = _free_place(canvas, cutout, mask, random)
    if place is None:
        return False
    canvas.paste(cutout, *place, conditions.sky, random)
    pasted.append(PastedObject(real, *place, float(dimming) * cutout.gain, float(shrink), flipped, turns))
    if mask is not None:
        instances.append(_instance(mask, *place, canvas.covered.shape, len(pasted) - 1))
    return True


def _lens_mask(
    real: RealObject,
    flux: np.ndarray,
    clipped: np.ndarray,
    turn: Callable[[np.ndarray], np.ndarray],
    cutout: Cutout,
    conditions: Conditions,
) -> np.ndarray:
    """Where a lens's arcs stand out of the field's sky, as in simulated lenses, bool [H, W]; nowhere if too faint."""
    survey = real.survey
    arcs = turn(find_arcs(flux, clipped, survey.pixel_scale, survey.psf_fwhm))
    arcs = np.repeat(arcs[None], BANDS, axis=0)
    light = resample(arcs, survey.pixel_scale, survey.psf_fwhm, conditions) * cutout.gain * cutout.opacity
    significance = np.sqrt(np.square(light / conditions.sky[:, None, None]).sum(axis=0))
    visible = np.sqrt(np.square(significance).sum()) > LEAST_ARC_SNR
    return (significance > MASK_SIGMA) & visible


def _free_place(
    canvas: Canvas, cutout: Cutout, mask: np.ndarray | None, random: np.random.Generator
) -> tuple[int, int] | None:
    """Column and row where a cutout lies on nothing else; of a lens, most of its mask inside the field."""
    height, width = canvas.covered.shape
    for _ in range(PLACES):
        x, y = (int(random.integers(MARGIN, side - MARGIN)) for side in (width, height))
        if canvas.overlap(cutout, x, y) > MOST_OVERLAP:
            continue
        if mask is None or _clip(mask, x, y, (height, width)).sum() > LEAST_INSIDE * mask.sum():
            return x, y
    return None


def _clip(mask: np.ndarray, x: int, y: int, size: tuple[int, int]) -> np.ndarray:
    """A mask with its middle at (x, y), on the whole field, bool [H, W]."""
    whole = np.zeros(size, dtype=bool)
    rows, columns = np.nonzero(mask)
    rows, columns = rows + y - mask.shape[0] // 2, columns + x - mask.shape[1] // 2
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    whole[rows[inside], columns[inside]] = True
    return whole


def _instance(mask: np.ndarray, x: int, y: int, size: tuple[int, int], row: int) -> Instance:
    whole = _clip(mask, x, y, size)
    x0, y0, x1, y1 = box_of_mask(torch.from_numpy(whole)).tolist()
    return Instance(row, (x0, y0, x1, y1), whole[y0:y1, x0:x1])
