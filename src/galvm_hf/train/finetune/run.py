"""Fine-tuning from settings to a folder that every loader reads, with its numbers, plots and card."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors.torch import load_file
from transformers.utils import cached_file

from ...checkpoints import released_checkpoint
from ...configuration_galvm import GalvmConfig
from ...evaluation.intervals import Estimate
from ...evaluation.provenance import provenance
from ...files import whole_file
from ...image_processing_galvm import GalvmImageProcessor
from ...modeling_galvm import GalvmForImageClassification, GalvmModel
from ..release import save_checkpoint_folder
from .card import write_card
from .data import LabelledStamps, load_labelled
from .few import FEW, HELD_OUT
from .fit import Fitter
from .measure import measure, plain
from .objective import Objective
from .plans import Outcome, cross_validate, hold_out
from .settings import FinetuneSettings


@dataclass(frozen=True)
class FinetuneResult:
    """What fine-tuning came to.

    Attributes:
        folder: Of the model, loaded by `AutoModelForImageClassification` and `AutoImageProcessor`.
        metrics: As `measure` returns them.
        stamps: What it was trained and, without a test set, measured on.
        is_full: Whether the encoder was trained too.
        how: In words, how the galaxies measured on were kept out of training.
        epochs: Passes over the data.
        seconds: From start to end.
    """

    folder: Path
    metrics: dict[str, Any]
    stamps: LabelledStamps
    is_full: bool
    how: str
    epochs: int
    seconds: float

    @property
    def headline(self) -> dict[str, Estimate]:
        """The first numbers to look at, by name."""
        if self.stamps.is_classification:
            return {"Accuracy": self.metrics["accuracy"], "Balanced accuracy": self.metrics["balanced_accuracy"]}
        return {
            f"{title} of {name}": estimate
            for title, key in (("Mean absolute error", "mean_absolute_error"), ("R2", "r2"))
            for name, estimate in self.metrics[key].items()
        }


def finetune(settings: FinetuneSettings, show_progress: bool = False) -> FinetuneResult:
    """Fine-tune a checkpoint on labelled galaxies and write the model, `metrics.json`, plots and a card.

    Under `accelerate launch` all processes train together, and the first one writes.

    Args:
        settings: The run.
        show_progress: Whether to show progress bars.

    Raises:
        ValueError: If there are too few labels, galaxies of the test set are in the data too, or labels are not what
            the settings say.
    """
    started = time.monotonic()
    base = str(released_checkpoint()) if settings.model == "galvm" else settings.model
    image_processor = GalvmImageProcessor.from_pretrained(base)
    encoder = GalvmModel.from_pretrained(base, dtype=torch.float32)
    process = PartialState(cpu=settings.device == "cpu")
    show_progress = show_progress and process.is_main_process
    stamps = load_labelled(settings.data, image_processor, settings.labels, settings.task, show_progress=show_progress)
    test = _load_test(settings, image_processor, stamps, show_progress) if settings.test else None
    is_few = len(stamps) <= FEW
    has_accelerator = settings.device != "cpu" and torch.accelerator.is_available()
    is_full = settings.encoder == "full" or (settings.encoder == "auto" and has_accelerator and not is_few)
    objective, config = Objective.of(stamps, settings.class_weights), _labelled_config(base, stamps)
    folder = Path(settings.out)
    fitter = Fitter(
        encoder,
        config,
        stamps,
        objective,
        is_full,
        settings.epochs,
        settings.batch_size or (16 if is_few else 64),
        settings.learning_rate,
        settings.seed,
        settings.device,
        folder / ".trainer",
        show_progress,
    )
    if is_few and settings.validation is None:
        outcome = cross_validate(fitter, stamps, objective, test, settings.seed)
    else:
        outcome = hold_out(fitter, stamps, objective, test, settings.validation or HELD_OUT, settings.seed)
    metrics: dict[str, Any] = {}
    if process.is_main_process:
        metrics = measure(outcome, stamps, objective, folder, settings.seed)
        _save(folder, base, config, outcome.model, image_processor, is_full)
    result = FinetuneResult(folder, metrics, stamps, is_full, outcome.how, outcome.epochs, time.monotonic() - started)
    if process.is_main_process:
        _write_numbers(result, outcome, settings)
        write_card(result, outcome, settings)
        if settings.push_to_hub:
            push_to_hub(folder, settings.push_to_hub)
    process.wait_for_everyone()
    return result


def push_to_hub(folder: Path, name: str) -> str:
    """Upload a model's folder to a repository on the Hub, which is made if it is not there.

    Args:
        folder: As `finetune` writes it.
        name: Of the repository, `owner/name`.

    Returns:
        Address of the commit.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    repository = api.create_repo(name, exist_ok=True)
    return str(
        api.upload_folder(
            repo_id=repository.repo_id, folder_path=folder, commit_message="Fine-tuned GaLVM", ignore_patterns=[".*"]
        )
    )


def _load_test(
    settings: FinetuneSettings, image_processor: GalvmImageProcessor, stamps: LabelledStamps, show_progress: bool
) -> LabelledStamps:
    task = "classification" if stamps.is_classification else "regression"
    names = stamps.names if stamps.is_classification else None
    test = load_labelled(settings.test, image_processor, settings.labels, task, names, show_progress)
    if shared := len(test.digests() & stamps.digests()):
        raise ValueError(f"{shared} galaxies of the test set are in the data to train on too: give disjoint ones.")
    return test


def _labelled_config(base: str, stamps: LabelledStamps) -> GalvmConfig:
    config = GalvmConfig.from_pretrained(base)
    config.id2label = dict(enumerate(stamps.names))
    config.label2id = {name: number for number, name in enumerate(stamps.names)}
    config.problem_type = "single_label_classification" if stamps.is_classification else "regression"
    return config


def _save(
    folder: Path,
    base: str,
    config: GalvmConfig,
    model: GalvmForImageClassification,
    image_processor: GalvmImageProcessor,
    is_full: bool,
) -> None:
    """Write the checkpoint: what was trained, and the other heads as long as their encoder is the same."""
    weights = model.state_dict()
    if not is_full:
        file = cached_file(base, "model.safetensors")
        weights = {**load_file(file), **{name: one for name, one in weights.items() if name.startswith("classifier.")}}
    # values such as magnitudes need more than the eight bits of bfloat16
    save_checkpoint_folder(folder, config, weights, image_processor, torch.float32)


def _write_numbers(result: FinetuneResult, outcome: Outcome, settings: FinetuneSettings) -> None:
    stamps = result.stamps
    # the folders of somebody's machine are nobody else's concern; the data are told by name and digest
    chosen = {name: value for name, value in asdict(settings).items() if name not in ("data", "test", "out", "model")}
    numbers = {
        "task": "classification" if stamps.is_classification else "regression",
        "names": list(stamps.names),
        "trained": "everything" if result.is_full else "head",
        "measured_on": result.how,
        "n": {
            "labelled": len(stamps),
            "trained_on": outcome.n_train,
            "validated_on": outcome.n_validation,
            "measured_on": len(outcome.targets),
            "without_label": stamps.without_label,
            "repeated": stamps.repeated,
            "unreadable": len(stamps.skipped),
        },
        "metrics": plain(result.metrics),
        "epochs": outcome.epochs,
        "temperature": outcome.temperature,
        "seconds": round(result.seconds, 1),
        "made_by": provenance([path for path in map(Path, settings.data + settings.test) if path.exists()], **chosen),
    }
    with whole_file(result.folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(numbers, indent=2) + "\n")
