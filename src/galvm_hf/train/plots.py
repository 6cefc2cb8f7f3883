"""Plots of a run, drawn from its log."""

from pathlib import Path
from typing import Any

from ..files import whole_file

SMOOTHING_STEPS = 50


def plot_run(log: list[dict[str, Any]], folder: Path) -> None:
    """Draw losses, learning rate, validation metrics and shares of the tasks to `plots.png`.

    Args:
        log: Lines of a run's log.
        folder: Of the run.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.figure import Figure

    evaluated = [line for line in log if "validation" in line]
    steps = [line["step"] for line in evaluated]
    metrics = sorted({metric for line in evaluated for metric in _metrics(line)})
    panels = ["loss", "learning rate", *(["shares"] if any("shares" in line for line in evaluated) else []), *metrics]
    figure = Figure(figsize=(5 * min(len(panels), 3), 3.2 * -(-len(panels) // 3)), layout="constrained")
    axes = dict(
        zip(panels, figure.subplots(-(-len(panels) // 3), min(len(panels), 3), squeeze=False).flat, strict=False)
    )
    for task in sorted({line["task"] for line in log}):
        own = [line for line in log if line["task"] == task]
        axes["loss"].plot([line["step"] for line in own], _smooth([line["loss"] for line in own]), label=task)
    axes["loss"].set_yscale("log")
    axes["loss"].legend()
    axes["learning rate"].plot([line["step"] for line in log], [line["learning_rate"] for line in log])
    for task in evaluated[-1].get("shares", {}):
        axes["shares"].plot(steps, [line["shares"][task] for line in evaluated], label=task)
    if "shares" in axes:
        axes["shares"].legend()
    for metric in metrics:
        axes[metric].plot(steps, [_metrics(line)[metric] for line in evaluated], marker=".")
    for name, panel in axes.items():
        panel.set_title(name)
        panel.set_xlabel("step")
    with whole_file(folder / "plots.png") as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _metrics(line: dict[str, Any]) -> dict[str, float]:
    """Validation metrics as `task metric`, but not the errors, which say the same."""
    found = {}
    for task, scores in line["validation"].items():
        if isinstance(scores, dict):
            found |= {f"{task} {metric}": value for metric, value in scores.items() if metric != "error"}
        else:
            found[task] = scores
    return found


def _smooth(values: list[float]) -> list[float]:
    """A running mean over the last steps."""
    means, total = [], 0.0
    for index, value in enumerate(values):
        total += value - (values[index - SMOOTHING_STEPS] if index >= SMOOTHING_STEPS else 0.0)
        means.append(total / min(index + 1, SMOOTHING_STEPS))
    return means
