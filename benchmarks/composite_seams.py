"""Can a classifier find the border of what was pasted into a composite field?

    OMP_NUM_THREADS=1 python benchmarks/composite_seams.py --data DIR --number 400

Discs of real sky without objects are pasted as objects are, into a field's noise; as often nothing is pasted. Boosted
trees on the statistics of the noise in, on and round the border tell the two apart, or do not: an area under the curve
of 0.5 is a guess. The same of a naive paste, without matched noise, which has to be found. Then galaxies: the noise on
the fading border of real ones, against the same border in plain noise.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from galvm_hf.data.composites.field import Canvas, draw_conditions
from galvm_hf.data.composites.matching import (
    FEATHER,
    Conditions,
    Cutout,
    UnusableStampError,
    cut_out,
    detect,
    distance_outside,
    resample,
)
from galvm_hf.data.composites.objects import RealObject, read_objects
from galvm_hf.evaluation.intervals import Estimate, bootstrap_interval
from galvm_hf.image_transforms_galvm import flux_to_display

SIDE = 96
RADII = (4, 8)  # pixels of a disc of blank sky, without its fading rim
GALAXY_SHRINK, GALAXY_DIMMING = 0.25, 0.2
FOLDS = 5
RINGS = ((0.95, 1.01), (0.5, 0.95), (0.05, 0.5))  # of opacity
LEAST_PIXELS = 20


def measure_seams(objects: Sequence[RealObject], number: int, paste: str, seed: int = 0) -> Estimate:
    """How well a classifier tells a pasted border from plain field.

    Args:
        objects: Real objects of one data set.
        number: How many pasted patches, and as many plain ones.
        paste: "sky" and "galaxies" as fields are made; "naive": sky, without noise that makes up for the stamp's.
        seed: Of everything drawn.

    Returns:
        The area under the ROC curve of cross-validated scores, with its 95 % interval.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    random = np.random.default_rng(seed)
    features, labels = [], []
    while len(labels) < 2 * number:
        conditions = draw_conditions(random)
        cutout = _draw_cutout(objects, conditions, random, sky=paste != "galaxies")
        if cutout is None:
            continue
        for pasted in (False, True):
            canvas = Canvas.empty((SIDE, SIDE), conditions.sky, random)
            if pasted and paste == "naive":
                _paste_naively(canvas, cutout)
            elif pasted:
                canvas.paste(cutout, SIDE // 2, SIDE // 2, conditions.sky, random)
            display = flux_to_display(canvas.light + canvas.noise)
            features.append(_describe(display, _centred(cutout.opacity), level=paste != "galaxies"))
            labels.append(pasted)
    truth = np.array(labels)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    classifier = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=8, random_state=seed)
    scores = cross_val_predict(classifier, np.array(features), truth, cv=folds, method="predict_proba")[:, 1]
    return bootstrap_interval(lambda y, s: float(roc_auc_score(y, s)), truth, scores, strata=truth)


def _draw_cutout(
    objects: Sequence[RealObject], conditions: Conditions, random: np.random.Generator, sky: bool
) -> Cutout | None:
    """A real object, or a disc of blank sky that fades as objects do; `None` where one cannot be had."""
    try:
        cutout = cut_out(_match(objects[random.integers(len(objects))], conditions), conditions, least_gain=0)
    except UnusableStampError:
        return None
    if not sky:
        return cutout
    reach = int(random.integers(*RADII) + FEATHER)
    rows, columns = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    fading = ((reach - np.hypot(rows, columns)) / FEATHER).clip(0, 1)
    disc = (fading * fading * (3 - 2 * fading)).astype(np.float32)
    far = distance_outside(detect(cutout.flux, conditions)) > reach
    far[: reach + 1], far[-reach - 1 :], far[:, : reach + 1], far[:, -reach - 1 :] = (False,) * 4
    if not far.any():
        return None
    rows, columns = np.nonzero(far)
    place = random.integers(len(rows))
    top, left = rows[place] - reach, columns[place] - reach
    flux = cutout.flux[:, top : top + 2 * reach + 1, left : left + 2 * reach + 1]
    return Cutout(flux, disc, cutout.noise, cutout.gain)


def _match(real: RealObject, conditions: Conditions) -> np.ndarray:
    flux, _ = real.read()
    galaxy = real.kind == "galaxy"
    shrink, dimming = (GALAXY_SHRINK, GALAXY_DIMMING) if galaxy else (1.0, 1.0)
    return resample(flux, real.survey.pixel_scale, real.survey.psf_fwhm, conditions, shrink) * np.float32(dimming)


def _paste_naively(canvas: Canvas, cutout: Cutout) -> None:
    opacity = _centred(cutout.opacity)
    canvas.light += opacity * np.stack([_centred(plane) for plane in cutout.flux])
    canvas.noise *= 1 - opacity


def _centred(plane: np.ndarray) -> np.ndarray:
    """A window in the middle of an empty plane of `SIDE`, where `Canvas.paste` puts it."""
    whole = np.zeros((SIDE, SIDE), dtype=np.float32)
    starts = [SIDE // 2 - side // 2 for side in plane.shape]
    window = tuple(slice(max(start, 0), start + side) for start, side in zip(starts, plane.shape, strict=True))
    inner = tuple(slice(max(-start, 0), SIDE - start) for start in starts)
    whole[window] = plane[inner]
    return whole


def _describe(display: np.ndarray, opacity: np.ndarray, level: bool) -> np.ndarray:
    """Statistics of the noise under each ring of opacity, and in the field round them, of a display image [3, H, W]."""
    around = (opacity == 0) & (distance_outside(opacity > 0) < 12)
    regions = [(opacity > low) & (opacity < high) for low, high in RINGS] + [around]
    found = []
    for plane in display.astype(np.float64):
        for region in regions if level else regions[-2:]:
            if region.sum() < LEAST_PIXELS:
                found += [[np.nan] * (5 if level else 2)]
                continue
            # differences over one pixel and over three: what is smooth, as a galaxy's light, hardly shows
            near, far = (np.var(_differences(plane, region, step)) for step in (1, 3))
            found.append([near, far])
            if level:
                rest = plane[region] - plane[region].mean()
                found[-1] += [plane[region].mean() - plane[around].mean(), rest.var(), np.mean(rest**3)]
    return np.concatenate(found)


def _differences(plane: np.ndarray, region: np.ndarray, step: int) -> np.ndarray:
    across, down = region[:, step:] & region[:, :-step], region[step:] & region[:-step]
    return np.concatenate([(plane[:, step:] - plane[:, :-step])[across], (plane[step:] - plane[:-step])[down]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real images")
    parser.add_argument("--number", type=int, default=400, help="pasted patches, and as many plain ones")
    arguments = parser.parse_args()
    objects = read_objects(arguments.data, "test")
    for source in sorted({real.source for real in objects}):
        of_source = [real for real in objects if real.source == source]
        for paste in ("sky", "galaxies", "naive"):
            print(f"{source}, {paste}: {measure_seams(of_source, arguments.number, paste)}", flush=True)


if __name__ == "__main__":
    main()
