"""Scores of a network on held-out stamps, which every process measures its part of."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from .data import interleave, load_held_out, micro_batches
from .few_shot import FewShotProbe, ProbeSettings
from .tasks import Task
from .tasks.base import Values, validation_generators


class Evaluator:
    """The held-out stamps of all tasks, in memory; the same stamps with the same random numbers every time.

    Args:
        tasks: By name.
        folder: What their sources are relative to.
        size: Side of the model's images, px.
        seed: Of the run.
        micro_batch_size: Largest number of images that a process takes at once.
        accelerator: Of the run.
        probe: A few-shot probe, if there is to be one.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        folder: Path,
        size: int,
        seed: int,
        micro_batch_size: int,
        accelerator: Accelerator,
        probe: ProbeSettings | None,
    ):
        self._tasks, self._seed, self._micro_batch_size, self._accelerator = tasks, seed, micro_batch_size, accelerator
        place = accelerator.process_index, accelerator.num_processes
        self._stamps = {
            name: load_held_out(
                task.settings.validation, folder, task.settings.validation_stamps, size, task.columns, *place
            )
            for name, task in tasks.items()
        }
        self._probe = probe and FewShotProbe(probe, folder, size, *place)

    def score(self, network: torch.nn.Module, image_sizes: Mapping[str, int]) -> dict[str, Any]:
        """Metrics by task; `probe`, if there is one, is the balanced accuracy of the few-shot probe.

        Args:
            network: A `SharedEncoder`, wrapped as it is in training.
            image_sizes: Side of the images that each task is shown, px.
        """
        network.eval()
        scores: dict[str, Any] = {name: self._score_task(network, name, size) for name, size in image_sizes.items()}
        if self._probe:
            scores["probe"] = self._probe.score(lambda images: self._embed(network, images))
        return scores

    def _score_task(self, network: torch.nn.Module, name: str, image_size: int) -> dict[str, float]:
        task, (samples, number) = self._tasks[name], self._stamps[name]
        device = self._accelerator.device
        measured: list[Values] = []
        for part in micro_batches(samples, self._micro_batch_size):
            part["pixel_values"] = part["pixel_values"].to(device)
            generators = validation_generators(part["index"].tolist(), self._seed, device)
            measured.append(network(name, task.make_batch(part, image_size, generators), evaluate=True))
        values = {key: torch.cat([part[key] for part in measured]) for key in measured[0]}
        return task.score({key: self._gathered(value, number) for key, value in values.items()})

    def _embed(self, network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        batches = (batch.to(self._accelerator.device) for batch in images.split(self._micro_batch_size))
        features = torch.cat([network(None, {"pixel_values": batch}) for batch in batches])
        return self._gathered(features.float(), self._probe.number)

    def _gathered(self, own: torch.Tensor, number: int) -> torch.Tensor:
        parts = self._accelerator.gather(own.contiguous()).chunk(self._accelerator.num_processes)
        return interleave(parts, number)
