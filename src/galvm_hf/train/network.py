"""One encoder with the head of each task: what a run trains."""

from collections.abc import Mapping

import torch
from torch import nn

from ..configuration_galvm import GalvmConfig
from ..modeling_galvm import GalvmModel
from .tasks import Task
from .tasks.base import Batch, Values


class SharedEncoder(nn.Module):
    """The model of every task, all on one encoder. Tasks of one model class share its head.

    Args:
        config: The sizes and labels.
        tasks: By name.
    """

    def __init__(self, config: GalvmConfig, tasks: Mapping[str, Task]):
        super().__init__()
        self.tasks = tasks
        classes = dict.fromkeys(task.model_class for task in tasks.values())
        heads = {model_class: model_class(config) for model_class in classes}
        with_ours = [
            model for model in heads.values() if hasattr(model, "galvm")
        ]  # a peer brings an encoder of its own
        self.encoder = GalvmModel(config, use_mask=True) if with_ours else nn.Identity()
        for model in with_ours:
            model.galvm = self.encoder
        self.heads = nn.ModuleList(heads.values())
        self.models = {name: heads[task.model_class] for name, task in tasks.items()}

    def forward(self, task: str | None, batch: Batch, evaluate: bool = False) -> torch.Tensor | Values:
        """What the loop asks of the network; all of it comes this way, so that whatever wraps the network sees it.

        Args:
            task: Its name, or None for features.
            batch: As the task makes it; for features `pixel_values` alone.
            evaluate: Whether measurements of each galaxy are wanted, rather than the loss.

        Returns:
            The mean loss, a scalar; or what `Task.measure` returns; or features `[B, hidden_size]`.
        """
        if task is None:
            return self.encoder(**batch).pooler_output
        return (self.tasks[task].measure if evaluate else self.tasks[task].loss)(self.models[task], batch)

    def named_weights(self) -> dict[str, torch.Tensor]:
        """Each weight and buffer once, under the name that the Auto classes look for."""
        return {name: value for model in self.heads for name, value in model.state_dict(keep_vars=True).items()}

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
