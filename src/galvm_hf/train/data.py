"""The streams of a run: training samples without an end, and the same held-out stamps every time.

What is here is for stamps; `fields` adds the same for wide fields.
"""

import glob
from collections.abc import Iterator, Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any

import torch

from ..data.stream import GalaxyStream
from ..data.stream.balance import balanced
from ..data.stream.sources import open_sources, require_parquet
from .settings import DataSettings

DATA_VARIABLE = "GALVM_DATA"
Samples = dict[str, Any]


def find_sources(patterns: Sequence[str], folder: Path) -> list[str]:
    """Files that match the patterns in a folder, in the order of the patterns, each once.

    Names with a protocol, such as `hf://datasets/owner/name/*.parquet`, are left as they are.

    Raises:
        FileNotFoundError: If a pattern matches nothing.
    """
    sources = []
    for pattern in patterns:
        if "://" in pattern:
            sources.append(pattern)
            continue
        matches = sorted(glob.glob(str(folder / pattern), recursive=True))
        if not matches:
            raise FileNotFoundError(
                f"Nothing matches {pattern!r} in {folder}. Name the folder of the data by --data or the environment "
                f"variable {DATA_VARIABLE}."
            )
        sources += matches
    return list(dict.fromkeys(sources))  # one that two patterns match is read once


@singledispatch
def open_training(
    data: DataSettings, folder: Path, batch_size: int, size: int, columns: Sequence[str], seed: int, num_workers: int
) -> GalaxyStream:
    """This process's part of an endless stream of augmented samples."""
    return GalaxyStream(
        find_sources(data.sources, folder),
        batch_size=batch_size,
        size=size,
        crop=data.crop,
        augmentation=data.augmentation(),
        columns=columns,
        balance=data.balance,
        seed=seed,
        num_workers=num_workers,
        repeat=True,
    )


@singledispatch
def load_held_out(
    data: DataSettings,
    folder: Path,
    number: int,
    size: int,
    columns: Sequence[str],
    rank: int = 0,
    world_size: int = 1,
    shuffle: bool = False,
) -> tuple[Samples, int]:
    """This process's part of the first stamps of some files, as they are, in memory.

    All processes have equally many, so that they stay in step: the last stamp is repeated where the number does not
    divide. `interleave` puts together what they measure.

    Args:
        data: Where they come from; augmentation is left out.
        folder: What `data.sources` is relative to.
        number: How many in all; all of them if there are fewer.
        size: Side of the images, px.
        columns: Columns to deliver with each.
        rank: Number of this process.
        world_size: How many there are.
        shuffle: Whether they come from all over the files, in an order that is always the same, and not the first ones:
            files are often sorted by class, or each of another kind.

    Returns:
        A batch of `GalaxyStream`, `pixel_values` `[N, 3, size, size]` and the rest; and how many there are in all.
    """
    stream = GalaxyStream(
        find_sources(data.sources, folder),
        batch_size=64,
        size=size,
        crop=data.crop,
        columns=columns,
        shuffle=shuffle,
        rank=0,
        world_size=1,
    )
    batches: list[Samples] = []
    found = 0
    for batch in stream:
        batches.append(batch)
        found += len(batch["id"])
        if found >= number:
            break
    if not found:
        raise ValueError(f"No stamp of {', '.join(data.sources)} can be read; the first: {stream.skipped[:1]}.")
    number = min(number, found)
    return take_samples(join_samples(batches), own_rows(number, rank, world_size)), number


def own_rows(number: int, rank: int, world_size: int) -> list[int]:
    """Which of the held-out samples a process measures: equally many on each, the last one repeated if need be."""
    return [min(index, number - 1) for index in range(rank, -(-number // world_size) * world_size, world_size)]


def read_column(sources: Sequence[str], balance: str | None, column: str) -> list[Any]:
    """The values of a column of Parquet files as a pass shows them, without decoding an image.

    Args:
        sources: The files.
        balance: Column with classes of which the pass shows rare ones more often, or None.
        column: The one to read.

    Raises:
        UnreadableStampError: If a file cannot be read, or has no such column.
        ValueError: If a file is not Parquet.
    """
    files = open_sources(sources, [column])
    rows = balanced(files, balance) if balance else map(require_parquet, files)
    return [value for source in rows for value in source.read_column(column)]


def interleave(parts: Sequence[torch.Tensor], number: int) -> torch.Tensor:
    """Put together what each process measured of its part of `number` held-out stamps, `[N / W, ...]` each."""
    return torch.stack(list(parts), dim=1).flatten(0, 1)[:number]


def take_samples(samples: Samples, rows: Sequence[int]) -> Samples:
    """Some of the rows of a batch."""
    return {
        name: value[torch.as_tensor(rows)] if isinstance(value, torch.Tensor) else [value[row] for row in rows]
        for name, value in samples.items()
    }


def join_samples(batches: Sequence[Samples]) -> Samples:
    """Batches as one. A column is a list where a batch has it as one, because a number is missing there."""
    joined: Samples = {}
    for name in batches[0]:
        parts = [batch[name] for batch in batches]
        if all(isinstance(part, torch.Tensor) for part in parts):
            joined[name] = torch.cat(parts)
        else:
            lists = [part.tolist() if isinstance(part, torch.Tensor) else part for part in parts]
            joined[name] = [item for part in lists for item in part]
    return joined


def micro_batches(samples: Samples, size: int) -> Iterator[Samples]:
    """A batch in parts of at most `size` rows."""
    for start in range(0, len(samples["id"]), size):
        yield {name: value[start : start + size] for name, value in samples.items()}
