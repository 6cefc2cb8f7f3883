"""The interface that every task has."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict

from ...configuration_galvm import GalvmConfig
from ...data.degrade import image_generators
from ...modeling_galvm import GalvmPreTrainedModel
from ..data import Samples
from ..settings import DataSettings

Batch = dict[str, torch.Tensor]
Values = dict[str, torch.Tensor]

# Keeps the random numbers of validation apart from those of training, which begin with the seed.
VALIDATION = -1


@strict
@dataclass
class TaskSettings:
    """One task of a run.

    Attributes:
        kind: Name in `TASKS`.
        data: Name of the stream that it is trained on, in the run's `data`.
        validation: What it is evaluated on, held out from training.
        reference: The error, in the task's own measure, that counts as well done; a task's share grows as it falls
            short of it.
        loss_weight: What its loss is multiplied by, so that the gradients of all tasks are of one size.
        validation_stamps: How many stamps it is evaluated on.
        labels: Of classification, the names of the classes; of parameters, the columns.
        column: Of classification, the column with the class.
        synonyms: Of classification, classes of the column that count as one of the labels, such as `merger: other`.
    """

    kind: str
    data: str
    validation: DataSettings
    reference: float | int
    loss_weight: float | int = 1.0
    validation_stamps: int = 256
    labels: list[str] = field(default_factory=list)
    column: str = "label"
    synonyms: dict[str, str] = field(default_factory=dict)

    def validate_task(self):
        """Refuse numbers that are out of range; called at construction."""
        for name in ("reference", "loss_weight", "validation_stamps"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")


class Task(ABC):
    """Data, head, loss, metric and reference of one thing to learn.

    Args:
        name: Under which it is logged.
        settings: The task's part of the run's file.

    Attributes:
        model_class: The class of the head; its encoder is the one that all tasks share.
        whole_stamps: Whether it is about galaxies rather than pixels, so that it has to see whole stamps.
        columns: Columns of the data that it needs.
    """

    model_class: ClassVar[type[GalvmPreTrainedModel]]
    whole_stamps: ClassVar[bool] = False
    columns: Sequence[str] = ()

    def __init__(self, name: str, settings: TaskSettings):
        self.name, self.settings = name, settings

    def configure(  # noqa: B027
        self, config: GalvmConfig, read: Callable[[str], list[Any]], draw: Callable[[int], Samples]
    ) -> None:
        """Write into the configuration what the head is to know, such as the names of the classes.

        Args:
            config: Of the model that is to be built.
            read: Gives the values of a column of all that the task is trained on.
            draw: Gives so many samples of them, or all if there are fewer.
        """

    def begin(self, model: GalvmPreTrainedModel, draw: Callable[[], Batch]) -> None:  # noqa: B027
        """Prepare a head that starts from random weights.

        Args:
            model: The head on its encoder.
            draw: Gives a batch of the training set.
        """

    @abstractmethod
    def make_batch(self, samples: Samples, image_size: int, generators: Sequence[torch.Generator]) -> Batch:
        """Samples as they are streamed to the inputs of the head.

        Args:
            samples: A batch of `GalaxyStream`, its tensors on the device of the model.
            image_size: Side of the images to make, px: parts of the stamps, or whole stamps averaged down.
            generators: One for each image.
        """

    def terms(self, batch: Batch) -> torch.Tensor:
        """Over how much the loss is a mean, a scalar: what makes the mean over all processes and micro-batches."""
        return torch.tensor(len(batch["pixel_values"]), dtype=torch.float32, device=batch["pixel_values"].device)

    def loss(self, model: GalvmPreTrainedModel, batch: Batch) -> torch.Tensor:
        """The mean loss of the head on a batch, a scalar."""
        return model(**batch).loss

    @abstractmethod
    def measure(self, model: GalvmPreTrainedModel, batch: Batch) -> Values:
        """What an evaluation needs to know of each galaxy, `[B, ...]` each."""

    @abstractmethod
    def score(self, values: Values) -> dict[str, float]:
        """Metrics over all held-out galaxies.

        Args:
            values: What `measure` gave, of all of them, `[N, ...]` each.

        Returns:
            `error`, smaller is better, which is compared with the reference; and metrics as the field states them.
        """

    def shortfall(self, scores: dict[str, float]) -> float:
        """How many times as large as the reference its error is."""
        return scores["error"] / self.settings.reference


def validation_generators(indices: Iterable[int], seed: int, device: torch.device) -> list[torch.Generator]:
    """For each held-out stamp the same random numbers at every evaluation."""
    return image_generators(((VALIDATION, seed, index) for index in indices), device)
