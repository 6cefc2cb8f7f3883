"""Temperature scaling (Guo et al. 2017): stated probabilities that are true ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...files import whole_file

BINS = 10
# A handful of galaxies that are all told right would ask for certainty.
COLDEST, HOTTEST = 0.2, 20.0


@dataclass(frozen=True)
class Reliability:
    """Stated probability of the answer against the share of right answers, in bins of equal width.

    Attributes:
        stated: Mean stated probability in each bin that has galaxies, [K].
        right: Share of right answers there, [K].
        number: Galaxies there, [K].
        error: Expected calibration error: the mean distance of the two.
    """

    stated: np.ndarray
    right: np.ndarray
    number: np.ndarray
    error: float


def fit_temperature(logits: Tensor, targets: Tensor, class_weights: Tensor) -> float:
    """What the logits of galaxies that were not trained on have to be divided by for the smallest cross-entropy.

    Args:
        logits: [N, K].
        targets: Classes, [N].
        class_weights: What a galaxy of each class counts, [K]: with those of the training, probabilities are true where
            all classes are equally frequent.
    """
    candidates = torch.logspace(np.log10(COLDEST), np.log10(HOTTEST), 200)
    losses = torch.stack([F.cross_entropy(logits / candidate, targets, class_weights) for candidate in candidates])
    return candidates[losses.argmin()].item()


def reliability(probabilities: Tensor, targets: Tensor, class_weights: Tensor) -> Reliability:
    """Compare stated probabilities [N, K] with the truth [N], galaxies weighted by class as `fit_temperature` does."""
    stated, answers = probabilities.double().max(1)
    right, weights = (answers == targets).double(), class_weights.double()[targets]
    bins = (stated * BINS).long().clamp(max=BINS - 1)
    number = bins.bincount(minlength=BINS)
    weight, said, told = (
        bins.bincount(value * weights, minlength=BINS) for value in (torch.ones_like(right), stated, right)
    )
    error = ((said - told).abs().sum() / weight.sum()).item()
    filled = number > 0
    return Reliability((said / weight)[filled].numpy(), (told / weight)[filled].numpy(), number[filled].numpy(), error)


def plot_reliability(before: Reliability, after: Reliability, path: Path) -> None:
    """Draw the reliability diagram without and with temperature as a PNG file; the number of galaxies stands by."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot(before.stated, before.right, "o--", color="tab:grey", label=f"as trained, error {before.error:.3f}")
    axes.plot(after.stated, after.right, "o-", color="tab:blue", label=f"with temperature, error {after.error:.3f}")
    for stated, right, number in zip(after.stated, after.right, after.number, strict=True):
        axes.annotate(str(number), (stated, right), textcoords="offset points", xytext=(5, -10), fontsize=8)
    axes.set(xlabel="stated probability of the answer", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1.03))
    axes.legend(loc="upper left", frameon=False)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
