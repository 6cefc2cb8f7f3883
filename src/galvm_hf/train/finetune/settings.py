"""What a fine-tuning run is asked to do."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub.dataclasses import strict

from ..settings import read_settings

TASKS = ("auto", "classification", "regression")
ENCODERS = ("auto", "frozen", "full")
DEVICES = ("auto", "cpu")


@strict
@dataclass
class FinetuneSettings:
    """One fine-tuning run, as the options of `galvm finetune` or a YAML file under `configs/finetune/` state it.

    Attributes:
        data: Files and folders of labelled stamps; see `load_labelled` for where labels may stand.
        out: Folder for the model, its card, numbers and plots.
        labels: Column of the class, or one or more columns of numbers (regression).
        test: Files and folders of other galaxies to measure the result on. Without them it is measured on galaxies of
            `data` that were kept out of training.
        task: `auto` looks at the labels: names and few distinct whole numbers are classes, other numbers are values.
        encoder: `frozen` trains the head alone; `full` trains everything, the head first. `auto` is `frozen` for up to
            `few.FEW` galaxies, and without an accelerator.
        model: `galvm` for the released checkpoint, a folder, or a name on the Hub.
        epochs: Most passes over the data; by default 40 (frozen) or 20 (full). Validation data choose how many are
            best.
        batch_size: Galaxies per step and process; by default 16 for up to `few.FEW` galaxies, else 64.
        learning_rate: Peak for the head. The encoder's is a fifth of it.
        validation: Share of the galaxies that is held out for early stopping and temperature, and, without `test`, as
            large a share again to measure on. By default 0.15; up to `few.FEW` galaxies are cross-validated instead.
        class_weights: Whether every class counts the same, however rare it is.
        seed: Of the parts, the weights, the order and the augmentation.
        device: `cpu`, or `auto` for the first accelerator where there is one.
        push_to_hub: Name of a model repository on the Hub to upload the folder to.

    Raises:
        StrictDataclassError: If a setting is of the wrong type, or out of range.
    """

    data: list[str]
    out: str
    labels: list[str] = field(default_factory=lambda: ["label"])
    test: list[str] = field(default_factory=list)
    task: str = "auto"
    encoder: str = "auto"
    model: str = "galvm"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float = 5e-4
    validation: float | None = None
    class_weights: bool = True
    seed: int = 0
    device: str = "auto"
    push_to_hub: str | None = None

    @classmethod
    def from_yaml(cls, path: Path, **overrides: Any) -> "FinetuneSettings":
        """Read a run's YAML file.

        Args:
            path: The file: a line `name: value` for each setting.
            overrides: Settings that take the place of the file's.

        Raises:
            ValueError: If a setting is unknown, missing or out of range.
        """
        return read_settings(cls, path, **overrides)

    def validate_settings(self):
        """Refuse settings that no run can have; called at construction."""
        for name in ("data", "labels"):
            if not getattr(self, name):
                raise ValueError(f"{name} needs at least one entry, got none.")
        for name, known in (("task", TASKS), ("encoder", ENCODERS), ("device", DEVICES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}.")
        for name in ("epochs", "batch_size"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}.")
        if self.validation is not None and not 0 < self.validation < 0.5:
            raise ValueError(f"validation is a share between 0 and 0.5, got {self.validation}.")
        if self.task == "classification" and len(self.labels) > 1:
            raise ValueError(f"classification has one column of classes, got {self.labels}.")
