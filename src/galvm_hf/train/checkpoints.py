"""Resumable states of a run: all that is needed to go on as if it had not been stopped, each whole or not there.

A state is a folder: `weights`, `average` and `optimizer` as safetensors, and `state.json` with the rest. It is written
under a temporary name, synced and renamed. There are no random states in it: the random numbers of a step depend on the
seed, the step and the sample, and on nothing that came before.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor, distribute_tensor

from ..files import sync, whole_file

Tensors = dict[str, torch.Tensor]


class StateFolder:
    """The states of a run, the newest few of them.

    Args:
        folder: Where they are.
        keep: How many.
    """

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep

    def save(self, step: int, tensors: Mapping[str, Tensors], facts: Mapping[str, Any]) -> Path:
        """Write the state after a step, and remove the oldest.

        Args:
            step: How many steps have been taken.
            tensors: Files of tensors, by name.
            facts: What JSON can hold.
        """
        temporary = self.folder / f".step-{step:08d}.part"
        for left in self.folder.glob(".step-*.part"):  # by a run that was killed while it wrote or removed one
            shutil.rmtree(left)
        temporary.mkdir(parents=True)
        for name, values in tensors.items():
            save_file({key: value.contiguous() for key, value in values.items()}, temporary / f"{name}.safetensors")
            sync(temporary / f"{name}.safetensors")
        with whole_file(temporary / "state.json") as file:
            file.write_text(json.dumps(facts))
        path = self.folder / f"step-{step:08d}"
        self._remove(path)  # of a run that was stopped behind it and begun again
        temporary.rename(path)
        sync(self.folder)
        for old in self._all()[: -self.keep]:
            self._remove(old)
        return path

    def latest(self) -> Path | None:
        """The newest state, if there is one."""
        return (self._all() or [None])[-1]

    def load(self, path: Path) -> tuple[dict[str, Tensors], dict[str, Any]]:
        """Tensors by file and name, and facts, as they were saved."""
        tensors = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
        return tensors, json.loads((path / "state.json").read_text())

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))

    def _remove(self, path: Path) -> None:
        """A state that is half removed must not look whole, so it loses its name first."""
        if path.exists():
            doomed = path.with_name(f".{path.name}.old.part")  # not the name that a state is written under
            path.rename(doomed)
            shutil.rmtree(doomed)


def gather(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Copies of tensors in main memory, whole where FSDP has cut them. To be called on all processes at once."""
    return {
        name: (value.full_tensor() if isinstance(value, DTensor) else value).detach().cpu().clone()
        for name, value in tensors.items()
    }


@torch.no_grad()
def scatter(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor as another one lies: on its device, and cut where FSDP has cut it."""
    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements) if isinstance(like, DTensor) else value


def optimizer_tensors(optimizer: torch.optim.Optimizer, weights: Mapping[str, torch.Tensor]) -> Tensors:
    """What an optimizer knows of each weight, as `weight.quantity`."""
    return {
        f"{name}.{quantity}": value
        for name, weight in weights.items()
        for quantity, value in optimizer.state.get(weight, {}).items()
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, weights: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]
) -> None:
    """Give an optimizer back what `optimizer_tensors` gave."""
    for key, value in tensors.items():
        name, quantity = key.rsplit(".", 1)
        weight = weights[name]
        # a count of steps is no part of a weight, and is never cut
        own = scatter(value, weight) if value.dim() else value.to(weight.device, copy=True)
        optimizer.state[weight][quantity] = own
