"""Wide fields in a run: the same as `data` has for stamps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.dataclasses import strict
from torch.utils.data import DataLoader, Dataset

from ..data.fields import FieldDataset, collate_fields
from .data import Samples, find_sources, load_held_out, open_training, own_rows

# Keeps the random numbers of the views apart from those of the order, which begin with the seed too.
_VIEW = 2


@strict
@dataclass
class FieldSettings:
    """Where fields come from.

    Attributes:
        sources: Folders with `annotations.json`, and patterns of them, relative to the data folder.
    """

    sources: list[str]


class _Views(Dataset):
    """Random parts of fields that depend on the seed, the pass and the field alone."""

    def __init__(self, fields: FieldDataset, seed: int):
        self.fields, self.seed = fields, seed

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Any]:
        epoch, index = place
        entropy = np.random.SeedSequence((self.seed, _VIEW, epoch, index)).generate_state(1, np.uint64)[0]
        field = self.fields.view(index, torch.Generator().manual_seed(int(entropy >> np.uint64(1))))
        name = self.fields.images[index]["file_name"]
        return {"index": index, "id": name, "pixel_values": field.pixel_values, "labels": field.labels()}


class FieldStream:
    """Batches of random parts of fields without an end, in a seeded order, for one rank of a run.

    Every pass shows each field once. The batches of all ranks together are those that one rank would have with a batch
    as large as all of theirs, and `state_dict` is exact at any batch, as of `GalaxyStream`.

    Args:
        fields: What is shown.
        batch_size: On each rank.
        seed: Of order and views.
        num_workers: Processes that read; 0 reads in this one.
        rank: Number of this process among those that share the data.
        world_size: How many these are.
    """

    def __init__(
        self, fields: FieldDataset, batch_size: int, seed: int, num_workers: int = 0, rank: int = 0, world_size: int = 1
    ):
        self._views, self._batch_size, self._seed, self._num_workers = (
            _Views(fields, seed),
            batch_size,
            seed,
            num_workers,
        )
        self._rank, self._world_size = rank, world_size
        self._position = 0  # fields that all ranks together have been given

    def __iter__(self) -> Iterator[Samples]:
        """Batches from where the stream is: `pixel_values` `[B, 3, H, W]`, lists `labels` and `id`, and `index`."""
        loader = DataLoader(
            self._views, batch_sampler=self._places(), collate_fn=_collate, num_workers=self._num_workers
        )
        for batch in loader:
            self._position += self._batch_size * self._world_size
            yield batch

    def _places(self) -> Iterator[list[tuple[int, int]]]:
        """Pass and index of the fields of each batch of this rank."""
        number, position = len(self._views.fields), self._position
        epoch, order = -1, np.empty(0)
        while True:
            batch = []
            for place in range(position + self._rank, position + self._batch_size * self._world_size, self._world_size):
                if place // number != epoch:
                    epoch = place // number
                    order = np.random.default_rng((self._seed, epoch)).permutation(number)
                batch.append((epoch, int(order[place % number])))
            position += self._batch_size * self._world_size
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where the stream is, behind the last batch that it gave; equal on all ranks in step."""
        return {"seed": self._seed, "fields": len(self._views.fields), "position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to where a stream of the same fields and seed was.

        Raises:
            ValueError: If the state is of other fields, or of another seed.
        """
        own = self.state_dict()
        for name in ("seed", "fields"):
            if state[name] != own[name]:
                raise ValueError(
                    f"The state of the stream has {name} {state[name]}, and this stream {own[name]}. Resume with the "
                    "data and the seed that it was saved with, or begin a new run."
                )
        self._position = state["position"]


def _collate(samples: Sequence[dict[str, Any]]) -> Samples:
    index = torch.tensor([sample["index"] for sample in samples])
    return collate_fields(samples) | {"index": index, "id": [sample["id"] for sample in samples]}


@open_training.register
def _(
    data: FieldSettings, folder: Path, batch_size: int, size: int, columns: Sequence[str], seed: int, num_workers: int
) -> FieldStream:
    running = torch.distributed.is_available() and torch.distributed.is_initialized()
    place = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if running else (0, 1)
    fields = FieldDataset([Path(source) for source in find_sources(data.sources, folder)], size)
    return FieldStream(fields, batch_size, seed, num_workers, *place)


@load_held_out.register
def _(
    data: FieldSettings,
    folder: Path,
    number: int,
    size: int,
    columns: Sequence[str],
    rank: int = 0,
    world_size: int = 1,
    shuffle: bool = False,
) -> tuple[Samples, int]:
    """The first fields, each the part of `size` px in its middle."""
    fields = FieldDataset([Path(source) for source in find_sources(data.sources, folder)], size)
    number = min(number, len(fields))
    samples = []
    for index in own_rows(number, rank, world_size):
        field = fields.read(index)
        height, width = field.pixel_values.shape[1:]
        field = field.crop((height - size) // 2, (width - size) // 2, size)
        name = fields.images[index]["file_name"]
        samples.append({"index": index, "id": name, "pixel_values": field.pixel_values, "labels": field.labels()})
    return _collate(samples), number
