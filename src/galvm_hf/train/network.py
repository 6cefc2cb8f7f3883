"""One encoder with the head of each task: what a run trains."""

from collections.abc import Mapping

import torch
from torch import nn

from ..configuration_galvm import GalvmConfig
from ..modeling_galvm import GalvmModel
from .tasks import Inpainting, Task
from .tasks.base import Batch


class SharedEncoder(nn.Module):
    """The model of every task, all on one encoder.

    Args:
        config: The sizes and labels.
        tasks: By name.
    """

    def __init__(self, config: GalvmConfig, tasks: Mapping[str, Task]):
        super().__init__()
        self.tasks = tasks
        self.models = {name: task.model_class(config) for name, task in tasks.items()}
        encoder = GalvmModel(config, use_mask=any(isinstance(task, Inpainting) for task in tasks.values()))
        for model in self.models.values():
            model.galvm = encoder
        # a task may have a name that no module may, such as `parameters`
        self.registered = nn.ModuleList(self.models.values())

    @property
    def encoder(self) -> GalvmModel:
        """The encoder that all tasks share."""
        return next(iter(self.models.values())).galvm

    def forward(self, task: str, batch: Batch) -> torch.Tensor:
        """The loss of one task on its batch, a scalar."""
        return self.tasks[task].loss(self.models[task], batch)

    def named_weights(self) -> dict[str, nn.Parameter]:
        """Each weight once, under the name that the Auto classes look for."""
        return {name: value for model in self.models.values() for name, value in model.named_parameters()}

    def load_weights(self, weights: Mapping[str, torch.Tensor]) -> list[str]:
        """Take over the weights that are of this model's, and leave the others as they are.

        Returns:
            The names of this model's weights that were not among them.

        Raises:
            ValueError: If a weight has another shape.
        """
        own = self.named_weights()
        for name in own.keys() & weights.keys():
            if own[name].shape != weights[name].shape:
                raise ValueError(
                    f"{name} is {list(weights[name].shape)} in the checkpoint and {list(own[name].shape)} in this "
                    "run's model: begin with a checkpoint of the same sizes, or without one."
                )
            own[name].data.copy_(weights[name])
        return sorted(own.keys() - weights.keys())
