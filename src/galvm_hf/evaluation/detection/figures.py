"""Figures of an evaluation: precision and recall, completeness and false alarms, examples (the paper's Fig. 6)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...data.fields import FieldDataset
from ...files import whole_file
from .completeness import Completeness
from .detections import FieldDetections
from .precision import RECALLS, Precision

SCORE = 0.5  # from which a detection counts in the figures
RADIUS_BINS = np.arange(0.6, 3.31, 0.3)  # arcsec
MAGNITUDE_BINS = np.arange(19.0, 25.1, 0.5)  # AB, r
EXAMPLES = 6


def plot_precision(results: Mapping[str, Mapping[str, Precision]], path: Path) -> None:
    """Precision against recall at an overlap of one half, boxes and masks side by side.

    Args:
        results: By model, by "boxes" and "masks".
        path: PNG file.
    """
    figure, panels = _figure(1, 2)
    for panel, kind in zip(panels.flat, ("boxes", "masks"), strict=True):
        for name, precisions in results.items():
            panel.plot(RECALLS, precisions[kind].curve, label=f"{name}, AP50 {precisions[kind].ap50.value:.3f}")
        panel.set(xlabel="recall", ylabel="precision", title=kind, xlim=(0, 1), ylim=(0, 1.02))
        panel.legend(loc="lower left")
    _save(figure, path)


def plot_completeness(results: Mapping[str, Completeness], path: Path) -> None:
    """The share of lenses found and false alarms a square degree, by Einstein radius and by brightness of the arcs.

    Args:
        results: By model.
        path: PNG file.
    """
    figure, panels = _figure(2, 2)
    columns = (("radius", RADIUS_BINS, "Einstein radius (arcsec)"), ("magnitude", MAGNITUDE_BINS, "arcs in r (AB)"))
    for (completeness, alarms), (column, bins, label) in zip(panels.T, columns, strict=True):
        middle = (bins[1:] + bins[:-1]) / 2
        for name, result in results.items():
            there = np.histogram(getattr(result, column), bins)[0]
            found = np.histogram(getattr(result, column)[result.score >= SCORE], bins)[0]
            share, low, high = _wilson(found, there)
            seen = there > 0
            errors = np.maximum([(share - low)[seen], (high - share)[seen]], 0)
            completeness.errorbar(middle[seen], share[seen], errors, marker="o", capsize=2, label=name)
            false = getattr(result, f"false_{column}")[result.false_score >= SCORE]
            alarms.stairs(np.histogram(false.clip(bins[0], bins[-1]), bins)[0] / result.area, bins, label=name)
        completeness.set(ylabel=f"share of lenses found, score ≥ {SCORE}", ylim=(0, 1.05))
        alarms.set(xlabel=f"{label}; of a false alarm, by its mask", ylabel="false alarms per square degree")
        completeness.legend()
    _save(figure, path)


def picture_examples(fields: FieldDataset, detections: Mapping[str, Sequence[FieldDetections]], path: Path) -> None:
    """The first fields with lenses: what is there, and what each model finds, with its scores.

    Args:
        fields: Whole fields.
        detections: By model, one for each field.
        path: PNG file.
    """
    from pycocotools import mask

    chosen = [index for index, image in enumerate(fields.images) if image["annotations"]][:EXAMPLES]
    figure, panels = _figure(1 + len(detections), len(chosen), side=2.2)
    for column, index in enumerate(chosen):
        field = fields.read(index)
        picture = field.pixel_values.flip(0).permute(1, 2, 0).numpy()
        for panel, name in zip(panels[:, column], ("truth", *detections), strict=True):
            panel.imshow(picture, origin="lower", interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            if not column:
                panel.set_ylabel(name)
            if name == "truth":
                outlines = [(plane.numpy(), None, None) for plane in field.masks]
            else:
                found = detections[name][index]
                good = found.scores >= SCORE
                outlines = [
                    (mask.decode(found.masks[row]), found.scores[row], found.boxes[row]) for row in np.flatnonzero(good)
                ]
            for plane, score, box in outlines:
                if plane.any():
                    panel.contour(plane, [0.5], colors="lime" if score is None else "orange", linewidths=0.8)
                if score is not None:
                    panel.text(box[2] + 2, box[3], f"{score:.2f}", color="orange", fontsize=6, clip_on=True)
    _save(figure, path)


def _wilson(found: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares and their 68 % intervals (Wilson 1927); zeros where nothing is there."""
    number = np.maximum(there, 1)
    share = found / number
    middle = (share + 1 / (2 * number)) / (1 + 1 / number)
    half = np.sqrt(share * (1 - share) / number + 1 / (4 * number**2)) / (1 + 1 / number)
    return share, middle - half, middle + half


def _figure(rows: int, columns: int, side: float = 4.0):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(side * columns, side * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _save(figure, path: Path) -> None:
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
