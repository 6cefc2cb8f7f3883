"""Measurements of lens detectors, side by side on the same fields."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..data.fields import FieldDataset
from ..evaluation.detection import detect_fields, measure_completeness, measure_precision
from ..evaluation.detection.figures import SCORE, picture_examples, plot_completeness, plot_precision
from .detect import load_model
from .embed import resolve_checkpoint
from .measure import Measurement

KINDS = ("boxes", "masks")


def measure_detectors(models: Sequence[str], data: Path, out: Path, device: str = "auto") -> Measurement:
    """Average precision of boxes and masks of one or more detectors; with figures in `out`.

    Completeness and false alarms are measured where the fields are simulated, so that they have catalogues.

    Args:
        models: Names or folders of checkpoints; what `training/detect.py` made of a ResNet50 is one too.
        data: Folder of fields with annotations.
        out: Folder for the figures.
        device: As torch names it, or "auto".
    """
    from ..evaluation.provenance import provenance

    fields = FieldDataset([data])
    names = _distinct(models)
    found, precisions, surveys, results = {}, {}, {}, {}
    simulated = all(Path(image["path"]).suffix == ".fits" for image in fields.images)
    for name, model in zip(names, models, strict=True):
        found[name] = detect_fields(*load_model(model, device), fields)
        precisions[name] = {kind: measure_precision(fields, found[name], kind) for kind in KINDS}
        results[name] = {
            kind: {metric: asdict(getattr(result, metric)) for metric in ("ap", "ap50", "ap75")}
            for kind, result in precisions[name].items()
        }
        if simulated:
            survey = surveys[name] = measure_completeness(fields, found[name])
            results[name]["completeness"] = float((survey.score >= SCORE).mean())
            results[name]["false_alarms_per_square_degree"] = float((survey.false_score >= SCORE).sum() / survey.area)
    plot_precision(precisions, out / "precision.png")
    picture_examples(fields, found, out / "examples.png")
    if simulated:
        plot_completeness(surveys, out / "completeness.png")
    folders = [Path(resolve_checkpoint(model)) for model in models]
    record = {
        "task": "detection",
        "results": results,
        "made_by": provenance([data], models=names),
        "weights": [provenance([], folder)["weights"] for folder in folders],
    }
    lenses = sum(len(image["annotations"]) for image in fields.images)
    rows = [("", *(f"{metric} of {kind}" for kind in KINDS for metric in ("AP", "AP50", "AP75")))]
    for name in names:
        measured = precisions[name]
        rows.append((name, *(str(getattr(measured[kind], key)) for kind in KINDS for key in ("ap", "ap50", "ap75"))))
    heading = f"{lenses} lenses in {len(fields)} fields, 95 % intervals over fields"
    return Measurement(heading, rows, record)


def _distinct(models: Sequence[str]) -> list[str]:
    """The last part of each folder's name, or two where that would not tell them apart."""
    short = [Path(model).name for model in models]
    if len(set(short)) == len(short):
        return short
    return ["/".join(Path(model).parts[-2:]) for model in models]
