"""Batches of display images from survey-sized files, in a seeded order, for one rank of a run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import torch
from torch.utils.data import DataLoader

from ..stamp import UnreadableStampError
from .augmentation import Augmentation
from .balance import balanced
from .reading import PassReader
from .samples import SampleMaker
from .sources import open_sources

STATE_VERSION = 1

# What a batch has beside the columns that are asked for; no column takes their place.
OWN_NAMES = {"pixel_values", "scale", "epoch", "index", "rows", "skipped"}


class GalaxyStream:
    """Galaxy images from Parquet, HDF5 and WebDataset files, decoded, cropped and augmented, batch by batch.

    A pass is one `for` loop over the stream. It visits every row once (with `balance`, rows of rare classes several
    times), in an order that `seed` and the number of the pass fix. The ranks of a run visit disjoint rows, in equal
    numbers to within one, and their batches together are those that one rank would have with a batch as large as all
    of theirs. The next loop is the next pass.

    With `repeat`, one `for` loop never ends: pass follows pass on one endless line, which the ranks share row by row. A
    batch has `batch_size` rows on every rank and may span two passes; those of all ranks together are, at every step,
    those that one rank would have with a batch as large as all of theirs. Another loop goes on where the last one was.

    This process reads, somewhat ahead; the workers decode, crop and augment. They keep no state, so `state_dict` is
    exact at any batch, and a run may go on with another number of workers, or of ranks: also in the middle of a pass.
    Rows that cannot be decoded are left out of their batch and listed in `skipped`.

    Args:
        sources: Files, folders and patterns; `hf://datasets/owner/name/*.parquet` is on the Hub. Parquet has `image`
            (pictures, as `datasets` writes them) or `flux`, as `galvm prepare shards` writes; HDF5 has `images`
            `[N, 3, H, W]` flux; WebDataset is uncompressed.
        batch_size: Rows in a batch; without `repeat` the last batch of a pass may have fewer.
        size: Height and width of a sample, px.
        augmentation: Random views; None for the crop alone.
        crop: "adaptive" for a box round the galaxy, as `GalvmImageProcessor` finds it; or a share in (0, 1] of the
            shorter side, for a square of that side from the middle.
        columns: Columns to deliver with each sample, such as `label`.
        balance: Column with classes, in Parquet, of which a pass is to show rare ones more often; see `balance`.
        seed: Of order and augmentation.
        shuffle: Whether the order is random. See `order` for how well it mixes.
        repeat: Whether a loop goes on for ever.
        num_workers: Processes that decode; 0 decodes in this one. A script that is to use them runs under
            `if __name__ == "__main__":`.
        rank: Number of this process among those that share the data; of `torch.distributed` if it is not given.
        world_size: How many these are, likewise.

    Attributes:
        epoch: Number of the pass that is under way, or comes next.
        skipped: (id, cause) of rows that could not be decoded.

    Raises:
        UnreadableStampError: If a source matches nothing, or a file cannot be read, lacks a column, or has no rows.
        ValueError: If an option is out of range, or a column has a name that batches use for something else.

    Example:
        >>> stream = GalaxyStream("stamps/*.parquet", batch_size=64, augmentation=Augmentation(), num_workers=4)
        >>> for batch in stream:
        ...     loss = model(batch["pixel_values"]).loss
    """

    def __init__(
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        batch_size: int = 32,
        size: int = 128,
        augmentation: Augmentation | None = None,
        crop: Literal["adaptive"] | float = "adaptive",
        columns: Sequence[str] = (),
        balance: str | None = None,
        seed: int = 0,
        shuffle: bool = True,
        repeat: bool = False,
        num_workers: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ):
        if batch_size < 1 or size < 1:
            raise ValueError(f"`batch_size` and `size` must be positive, got {batch_size} and {size}.")
        if crop != "adaptive" and (isinstance(crop, str) or not 0 < crop <= 1):
            raise ValueError(f"`crop` must be 'adaptive' or a share in (0, 1], got {crop!r}.")
        if taken := sorted(OWN_NAMES & set(columns)):
            raise ValueError(f"`columns` has {', '.join(taken)}, which batches use themselves: rename it in the files.")
        self.seed, self.epoch = seed, 0
        self.skipped: list[tuple[str, str]] = []
        files = open_sources([sources] if isinstance(sources, str | Path) else sources, columns)
        if balance:
            files = balanced(files, balance)
        self._reader = PassReader(files, batch_size, seed, shuffle, *_place_in_run(rank, world_size), repeat)
        self._loader = DataLoader(
            SampleMaker(size, augmentation, seed, crop),
            batch_sampler=self._reader,
            collate_fn=_as_it_is,
            num_workers=num_workers,
            worker_init_fn=_start_worker,
            persistent_workers=num_workers > 0,
            multiprocessing_context=_worker_context() if num_workers else None,
        )
        # How many rows of the pass all ranks together have visited, and whether the next loop begins there.
        self._position, self._resuming = 0, False

    @property
    def num_rows(self) -> int:
        """How many rows a pass has, over all ranks."""
        return self._reader.num_rows

    def __len__(self) -> int:
        """How many batches the next loop has for this rank: the whole pass, or what is left of one that is resumed.

        Raises:
            TypeError: If the loop never ends.
        """
        if self._reader.repeat:
            raise TypeError("A stream that repeats has no length.")
        self._set_reader()
        return len(self._reader)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Batches of a pass, from where `load_state_dict` put it or else from its beginning; or batches without end.

        Yields:
            `pixel_values`: float32 `[B, 3, H, W]` in [0, 1], bands g, r, z, in channels-last memory; `scale`: pixels of
            the row's image per pixel of the sample, float32 `[B]`; `epoch`: the pass that each row is of, int64 `[B]`;
            `index`: number of each row among all, int64 `[B]`; `id`: list of names; and each of `columns`: a tensor if
            it is numeric.

        Raises:
            UnreadableStampError: With `repeat`, if no row of a batch can be decoded: without this batch the rank would
                be a step ahead of the others, and where no row can be decoded, the loop would never come back.
        """
        self._set_reader()
        self._position, self._resuming = self._reader.position, False
        for batch in self._loader:
            self._advance(self._reader.world_size * batch.pop("rows"))
            skipped = [(row.id, row.cause) for row in batch.pop("skipped")]
            self.skipped += skipped
            if batch["id"]:
                yield batch
            elif self._reader.repeat:
                identity, cause = skipped[0]
                remedy = f"None of the {len(skipped)} rows of its batch can be decoded: mend the data or leave it out"
                raise UnreadableStampError(identity, cause, remedy)
        self.epoch, self._position = self.epoch + 1, 0

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of a pass; the pass that is under way is left where it is."""
        if epoch != self.epoch:
            self.epoch, self._position, self._resuming = epoch, 0, False

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is, behind the last batch that it gave: a few numbers, equal on all ranks in step."""
        return {
            "version": STATE_VERSION,
            "seed": self.seed,
            "epoch": self.epoch,
            "rows": self.num_rows,
            "position": self._position,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where a stream of the same data and seed was; it may have had other workers, ranks and batches.

        Raises:
            ValueError: If the state is of other data, of another seed, or of a version this one does not know.
        """
        for name, own in (("version", STATE_VERSION), ("seed", self.seed), ("rows", self.num_rows)):
            if state.get(name) != own:
                raise ValueError(
                    f"The state of the stream has {name} {state.get(name)!r}, and this stream {own!r}. Resume with the "
                    "sources and the seed that it was saved with, or begin a new run."
                )
        self.epoch, self._position, self._resuming = state["epoch"], state["position"], True

    def _set_reader(self) -> None:
        goes_on = self._resuming or self._reader.repeat
        self._reader.epoch, self._reader.position = self.epoch, self._position if goes_on else 0

    def _advance(self, rows: int) -> None:
        position = self._position + rows
        if self._reader.repeat:
            passes, self._position = divmod(position, self.num_rows)
            self.epoch += passes
        else:
            self._position = min(position, self.num_rows)


def _as_it_is(batch: dict[str, Any]) -> dict[str, Any]:
    return batch


def _place_in_run(rank: int | None, world_size: int | None) -> tuple[int, int]:
    if (rank is None) != (world_size is None):
        raise ValueError(f"Give `rank` and `world_size` together, got {rank} and {world_size}.")
    if rank is None:
        running = torch.distributed.is_available() and torch.distributed.is_initialized()
        return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if running else (0, 1)
    if not 0 <= rank < world_size:
        raise ValueError(f"`rank` must be in [0, {world_size}), got {rank}.")
    return rank, world_size


def _worker_context() -> Any:
    """A fork from this process would copy its threads' locks; a fork from a server that has none is as fast."""
    import multiprocessing

    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([__name__])
    return context


def _start_worker(worker: int) -> None:
    cv2.setNumThreads(0)  # the workers are the parallelism
