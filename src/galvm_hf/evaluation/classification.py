"""Classification of labelled galaxies: accuracy, precision, recall, F1, the confusion matrix, and calibration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ..files import whole_file
from .intervals import Estimate, bootstrap_interval, estimate_balanced_accuracy

CALIBRATION_BINS = 10


@dataclass(frozen=True)
class ClassificationResult:
    """How well classes are told, each number with its interval over galaxies, drawn again within each class.

    Attributes:
        names: The K classes.
        accuracy: Share of galaxies told right.
        balanced_accuracy: The same for each class, and then the mean over the classes.
        precision: By class: of the galaxies said to be of it, the share that are.
        recall: By class: of the galaxies that are of it, the share said to be.
        f1: By class: harmonic mean of the two.
        calibration_error: Expected calibration error: how far the stated probability of the answer is from the share
            of right answers, on average.
        confusion: Number of galaxies, true class down the rows and answer along the columns, int `[K, K]`.
    """

    names: tuple[str, ...]
    accuracy: Estimate
    balanced_accuracy: Estimate
    precision: dict[str, Estimate]
    recall: dict[str, Estimate]
    f1: dict[str, Estimate]
    calibration_error: Estimate
    confusion: np.ndarray


@torch.inference_mode()
def class_probabilities(model: nn.Module, images: Tensor, batch_size: int = 32) -> np.ndarray:
    """Stated probabilities `[N, K]` of a `GalvmForImageClassification` for display images `[N, 3, H, W]`."""
    parameter = next(model.parameters())
    model.eval()
    parts = [model(part.to(parameter.device, parameter.dtype)).logits for part in images.split(batch_size)]
    return torch.cat(parts).float().softmax(-1).cpu().numpy()


def class_numbers(labels: Sequence[str | None], names: Sequence[str]) -> np.ndarray:
    """Numbers [N] of the classes that the labels name.

    Raises:
        ValueError: If a label is missing, or the model does not know it.
    """
    unknown = sorted({str(label) for label in labels if label not in names})
    if unknown:
        raise ValueError(
            f"The labels {', '.join(unknown)} are none of the model's classes {', '.join(names)}. Name another column "
            "by --label, or leave those galaxies out."
        )
    return np.array([names.index(label) for label in labels], dtype=int)


def measure_classification(
    probabilities: ArrayLike, labels: ArrayLike, names: Sequence[str], seed: int = 0
) -> ClassificationResult:
    """Measure stated probabilities against the truth.

    Args:
        probabilities: Of each class, [N, K], rows of sum 1.
        labels: Numbers of the true classes, [N].
        names: Of the K classes.
        seed: Of the intervals.

    Raises:
        ValueError: If shapes disagree or a label is not one of the K.
    """
    from sklearn.metrics import confusion_matrix

    probabilities, labels = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if probabilities.shape != (len(labels), len(names)):
        raise ValueError(
            f"probabilities must be [N, K] for {len(labels)} labels and {len(names)} classes, got "
            f"{probabilities.shape}."
        )
    if not np.isin(labels, np.arange(len(names))).all():
        raise ValueError(f"labels must be from 0 to {len(names) - 1}, got {np.unique(labels).tolist()}.")
    answers = probabilities.argmax(1)
    stated, right = probabilities.max(1), answers == labels

    def by_class(statistic: Callable[..., float]) -> dict[str, Estimate]:
        return {
            name: bootstrap_interval(statistic, labels == number, answers == number, strata=labels, seed=seed)
            for number, name in enumerate(names)
        }

    return ClassificationResult(
        names=tuple(names),
        accuracy=bootstrap_interval(np.mean, right, strata=labels, seed=seed),
        balanced_accuracy=estimate_balanced_accuracy(right, labels, seed),
        precision=by_class(lambda true, said: _share((true & said).sum(), said.sum())),
        recall=by_class(lambda true, said: _share((true & said).sum(), true.sum())),
        f1=by_class(lambda true, said: _share(2 * (true & said).sum(), true.sum() + said.sum())),
        calibration_error=bootstrap_interval(expected_calibration_error, stated, right, strata=labels, seed=seed),
        confusion=confusion_matrix(labels, answers, labels=range(len(names))),
    )


def expected_calibration_error(stated: np.ndarray, right: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """How far stated probabilities are from the share of right answers (Guo et al. 2017), in bins of equal width.

    Args:
        stated: Probability that the model gives its answer, in [0, 1], [N].
        right: Whether the answer is right, bool [N].
        bins: Number of bins.
    """
    which = np.minimum((stated * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights=stated - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(stated))


def plot_confusion(result: ClassificationResult, path: Path) -> None:
    """Draw the confusion matrix, in shares of each true class with the number of galaxies, as a PNG file."""
    from matplotlib.figure import Figure

    totals = result.confusion.sum(1, keepdims=True)
    shares = result.confusion / np.maximum(totals, 1)
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(result.confusion):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(
            column, row, f"{shares[row, column]:.0%}\n{number}", ha="center", va="center", color=colour, fontsize=9
        )
    places = range(len(result.names))
    axes.set_xticks(places, result.names, rotation=45, ha="right")
    axes.set_yticks(places, result.names)
    axes.set(xlabel="answer", ylabel="label", title=f"balanced accuracy {result.balanced_accuracy}")
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _share(part: int, whole: int) -> float:
    """Nothing of nothing is nothing: a class that is never the answer has a precision of zero."""
    return part / whole if whole else 0.0
