"""The numbers of a fine-tuned model, with their intervals, and the plots that show them."""

from pathlib import Path
from typing import Any

import numpy as np

from ...evaluation.classification import measure_classification, plot_confusion
from ...evaluation.intervals import Estimate
from ...evaluation.regression import measure_regression
from ...files import whole_file
from .calibration import plot_reliability, reliability
from .data import LabelledStamps
from .objective import Objective
from .plans import Outcome

MOST_PLOTTED = 5000


def measure(outcome: Outcome, stamps: LabelledStamps, objective: Objective, folder: Path, seed: int) -> dict[str, Any]:
    """Measure an outcome and write its plots.

    Args:
        outcome: Predictions for galaxies that were kept out of training.
        stamps: What was trained on, for the names.
        objective: Of the training.
        folder: For `confusion.png` and `calibration.png`, or `predicted.png`.
        seed: Of the intervals.

    Returns:
        Numbers and `Estimate`s by name. Of classes: `accuracy`, `balanced_accuracy`, `largest_class` (the accuracy of
        always answering it), `recall` and `precision` by class, `confusion`, `calibration_error` and
        `calibration_error_as_trained`. Of values: `mean_absolute_error` and `r2` by column.
    """
    if not stamps.is_classification:
        return _measure_values(outcome, stamps, objective, folder, seed)
    stated = (outcome.outputs / outcome.temperatures[:, None]).softmax(-1)
    after = reliability(stated, outcome.targets, objective.class_weights)
    before = reliability(outcome.outputs.softmax(-1), outcome.targets, objective.class_weights)
    result = measure_classification(stated.double().numpy(), outcome.targets.numpy(), stamps.names, seed)
    plot_confusion(result, folder / "confusion.png")
    plot_reliability(before, after, folder / "calibration.png")
    return {
        "accuracy": result.accuracy,
        "balanced_accuracy": result.balanced_accuracy,
        "largest_class": outcome.targets.bincount().max().item() / len(outcome.targets),
        "recall": result.recall,
        "precision": result.precision,
        "confusion": result.confusion.tolist(),
        "calibration_error": after.error,
        "calibration_error_as_trained": before.error,
    }


def plain(value: Any) -> Any:
    """Numbers for JSON."""
    if isinstance(value, Estimate):
        return {"value": value.value, "interval95": [value.low, value.high], "n": value.number}
    return {name: plain(entry) for name, entry in value.items()} if isinstance(value, dict) else value


def _measure_values(
    outcome: Outcome, stamps: LabelledStamps, objective: Objective, folder: Path, seed: int
) -> dict[str, Any]:
    predicted, truth = (
        (values * objective.deviations + objective.means).double().numpy()
        for values in (outcome.outputs, outcome.targets)
    )
    results = measure_regression(predicted, truth, stamps.names, seed)
    _plot_values(predicted, truth, stamps.names, folder / "predicted.png")
    return {
        "mean_absolute_error": {name: result.mean_absolute_error for name, result in results.items()},
        "r2": {name: result.r2 for name, result in results.items()},
    }


def _plot_values(predicted: np.ndarray, truth: np.ndarray, names: tuple[str, ...], path: Path) -> None:
    """Draw predicted against true values, [N, P] each, a panel a column, as a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(names), 4), layout="constrained")
    for axes, name, said, true in zip(
        figure.subplots(1, len(names), squeeze=False)[0], names, predicted.T, truth.T, strict=True
    ):
        ends = [true.min(), true.max()]
        axes.plot(ends, ends, color="grey", linewidth=1)
        axes.scatter(true[:MOST_PLOTTED], said[:MOST_PLOTTED], s=8, alpha=0.6)
        axes.set(xlabel=f"{name}, label", ylabel=f"{name}, predicted")
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
