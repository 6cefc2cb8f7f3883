"""What tasks about whole galaxies have in common: they see all of a stamp, and their head is standardised."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

from ...head_galvm import GalvmFeatureHead, stage_statistics
from ...modeling_galvm import GalvmPreTrainedModel
from ..data import Samples
from .base import Batch, Task


class GalaxyTask(Task):
    """A task whose answer is a few numbers a galaxy."""

    whole_stamps = True

    @abstractmethod
    def head(self, model: GalvmPreTrainedModel) -> GalvmFeatureHead:
        """The head within a model of `model_class`."""

    @abstractmethod
    def labels(self, samples: Samples) -> torch.Tensor:
        """The true answers, `[B, ...]`."""

    def begin(self, model: GalvmPreTrainedModel, draw: Callable[[], Batch]) -> None:
        """Standardise what the head sees as it is when training begins."""
        self.head(model).standardise(stage_statistics(model.galvm(draw()["pixel_values"])))

    def make_batch(self, samples: Samples, image_size: int, generators: Sequence[torch.Generator]) -> Batch:
        images = samples["pixel_values"]
        if images.shape[-1] != image_size:
            images = F.adaptive_avg_pool2d(images, image_size)
        return {"pixel_values": images, "labels": self.labels(samples).to(images.device)}
