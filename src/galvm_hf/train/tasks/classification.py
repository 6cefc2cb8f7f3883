"""The paper's morphology task: a class for each galaxy (its section 3.1)."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from ...configuration_galvm import GalvmConfig
from ...head_galvm import GalvmFeatureHead
from ...modeling_galvm import GalvmForImageClassification, GalvmPreTrainedModel
from ..data import Samples
from .base import Batch, TaskSettings, Values
from .galaxy import GalaxyTask


class Classification(GalaxyTask):
    """One class a galaxy, by cross-entropy; the metric is balanced accuracy.

    Rare classes count as much as common ones: the logarithm of each class's share of the training set is added to the
    logits in training (logit adjustment, Menon et al. 2021, arXiv 2007.07314). So the probabilities that the head
    states are those of a sample with as many galaxies of each class.
    """

    model_class = GalvmForImageClassification

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings)
        if len(settings.labels) < 2:
            raise ValueError(f"{name}: labels needs the names of at least two classes, got {settings.labels}.")
        self.columns = (settings.column,)
        self._log_prior = torch.zeros(len(settings.labels))

    def configure(self, config: GalvmConfig, read: Callable[[str], list[Any]], draw: Callable[[int], Samples]) -> None:
        """Name the classes, and count them.

        Raises:
            ValueError: If a class has no example.
        """
        config.id2label = dict(enumerate(self.settings.labels))
        config.label2id = {label: number for number, label in config.id2label.items()}
        counts = torch.zeros(len(self.settings.labels))
        for label in read(self.settings.column):
            counts[self._number(label)] += 1
        if absent := [label for label, count in zip(self.settings.labels, counts, strict=True) if not count]:
            raise ValueError(f"{self.name}: the data {self.settings.data!r} have no galaxy of the classes {absent}.")
        self._log_prior = (counts / counts.sum()).log()

    def _number(self, label: str) -> int:
        try:
            return self.settings.labels.index(self.settings.synonyms.get(label, label))
        except ValueError:
            raise ValueError(
                f"{self.name}: the column {self.settings.column!r} has the value {label!r}, and the run's labels are "
                f"{self.settings.labels}. Add it to them or to synonyms, or leave those rows out."
            ) from None

    def head(self, model: GalvmPreTrainedModel) -> GalvmFeatureHead:
        return model.classifier

    def labels(self, samples: Samples) -> torch.Tensor:
        """Class numbers, `[B]`."""
        return torch.tensor([self._number(label) for label in samples[self.settings.column]])

    def loss(self, model: GalvmPreTrainedModel, batch: Batch) -> torch.Tensor:
        logits = model(batch["pixel_values"]).logits.float()
        return F.cross_entropy(logits + self._log_prior.to(logits.device), batch["labels"])

    def measure(self, model: GalvmPreTrainedModel, batch: Batch) -> Values:
        """Class predicted and class labelled of each galaxy, `[B]`."""
        return {"predicted": model(batch["pixel_values"]).logits.argmax(1), "label": batch["labels"]}

    def score(self, values: Values) -> dict[str, float]:
        """Accuracy, and its mean over the classes; `error` is what that lacks of one."""
        right = (values["predicted"] == values["label"]).double()
        by_class = [right[values["label"] == number].mean() for number in values["label"].unique()]
        balanced = torch.stack(by_class).mean().item()
        return {"error": 1 - balanced, "balanced_accuracy": balanced, "accuracy": right.mean().item()}
