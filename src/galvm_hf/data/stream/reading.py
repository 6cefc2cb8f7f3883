"""Rows of a pass as they lie in the files, batch by batch, read ahead of their use."""

import bisect
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ..stamp import UnreadableStampError
from .order import Line, PassOrder
from .samples import Skipped
from .sources import Record, Source

Units = dict[int, Callable[[int], Record]]


class PassReader:
    """Batches of (epoch, index, record) for this rank: the batch sampler of a `DataLoader` whose workers decode.

    Args:
        sources: The open files.
        batch_size: Rows in a batch; the last one may have fewer.
        seed: Of the order.
        shuffle: Whether the order is random.
        rank: Number of this process among those that share the data.
        world_size: How many these are.

    Attributes:
        epoch: The pass that the next iteration reads.
        position: Where it begins: how many rows all ranks together have visited.
        num_rows: Rows in a pass, over all ranks.
    """

    def __init__(
        self, sources: Sequence[Source], batch_size: int, seed: int, shuffle: bool, rank: int, world_size: int
    ):
        self._sources, self._seed, self._shuffle = sources, seed, shuffle
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.epoch = self.position = 0
        self._unit_rows = np.concatenate([source.unit_rows for source in sources])
        self._first_rows = np.concatenate([[0], np.cumsum(self._unit_rows)])
        self._first_units = np.cumsum([0] + [len(source.unit_rows) for source in sources]).tolist()
        self.num_rows = int(self._first_rows[-1])

    def __len__(self) -> int:
        """How many batches are left for this rank."""
        begin = self.position + (self.rank - self.position) % self.world_size
        return -(-len(range(begin, self.num_rows, self.world_size)) // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int, Record | Skipped]]]:
        epoch, batch = self.epoch, []
        for line, contents in self._read_ahead():
            indices = self._first_rows[line.units] + line.starts
            for unit, row, index in zip(line.units.tolist(), line.starts.tolist(), indices.tolist(), strict=True):
                batch.append((epoch, index, _record(contents[unit], row)))
                if len(batch) == self.batch_size:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _read_ahead(self) -> Iterator[tuple[Line, Units]]:
        """Rounds of rows with the units that they are in; while one is used, a thread reads the next."""
        order = PassOrder(self._unit_rows, self._seed, self.epoch, self._shuffle)
        with ThreadPoolExecutor(1, thread_name_prefix="galaxy-stream") as reader:
            coming: tuple[Line, Future[Units]] | None = None
            for line in order.rounds(self.rank, self.world_size, self.position):
                present, before = coming, coming[1] if coming else None
                coming = line, reader.submit(self._read, line, before)
                if present:
                    yield present[0], present[1].result()
            if coming:
                yield coming[0], coming[1].result()

    def _read(self, line: Line, before: Future[Units] | None) -> Units:
        """The units of a round; those that the round before had as well are not read again."""
        known, units = before.result() if before else {}, {}
        for unit in np.unique(line.units).tolist():
            source = bisect.bisect_right(self._first_units, unit) - 1
            units[unit] = known.get(unit) or self._sources[source].read(unit - self._first_units[source])
        return units


def _record(unit: Callable[[int], Record], row: int) -> Record | Skipped:
    try:
        return unit(row)
    except UnreadableStampError as error:
        return Skipped(error.path, error.cause)
