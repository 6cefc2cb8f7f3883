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
        repeat: Whether an iteration goes on with the next pass for ever. The passes then are one line, of which rank
            r reads every row whose place, counted from the first row of pass 0, is r modulo the number of ranks; so a
            batch may span two passes, and none is shorter than `batch_size`.

    Attributes:
        epoch: The pass that the next iteration begins with.
        position: Where it begins: how many rows all ranks together have visited.
        num_rows: Rows in a pass, over all ranks.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        batch_size: int,
        seed: int,
        shuffle: bool,
        rank: int,
        world_size: int,
        repeat: bool = False,
    ):
        self._sources, self._seed, self._shuffle, self.repeat = sources, seed, shuffle, repeat
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.epoch = self.position = 0
        self._unit_rows = np.concatenate([source.unit_rows for source in sources])
        self._first_rows = np.concatenate([[0], np.cumsum(self._unit_rows)])
        self._first_units = np.cumsum([0] + [len(source.unit_rows) for source in sources]).tolist()
        self.num_rows = int(self._first_rows[-1])

    def __len__(self) -> int:
        """How many batches are left for this rank in this pass."""
        begin = self.position + (self.rank - self.position) % self.world_size
        return -(-len(range(begin, self.num_rows, self.world_size)) // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int, Record | Skipped]]]:
        batch = []
        for epoch, line, contents in self._read_ahead():
            indices = self._first_rows[line.units] + line.starts
            for unit, row, index in zip(line.units.tolist(), line.starts.tolist(), indices.tolist(), strict=True):
                batch.append((epoch, index, _record(contents[unit], row)))
                if len(batch) == self.batch_size:
                    yield batch
                    batch = []
        if batch:
            yield batch

    def _read_ahead(self) -> Iterator[tuple[int, Line, Units]]:
        """Rounds of rows with their pass and the units that they are in; while one is used, a thread reads the next."""
        with ThreadPoolExecutor(1, thread_name_prefix="galaxy-stream") as reader:
            coming: tuple[int, Line, Future[Units]] | None = None
            for epoch, line in self._rounds():
                present, before = coming, coming[-1] if coming else None
                coming = epoch, line, reader.submit(self._read, line, before)
                if present:
                    yield *present[:-1], present[-1].result()
            if coming:
                yield *coming[:-1], coming[-1].result()

    def _rounds(self) -> Iterator[tuple[int, Line]]:
        epoch, position = self.epoch, self.position
        while True:
            order = PassOrder(self._unit_rows, self._seed, epoch, self._shuffle)
            behind = epoch * self.num_rows if self.repeat else 0
            for line in order.rounds((self.rank - behind) % self.world_size, self.world_size, position):
                yield epoch, line
            if not self.repeat:
                return
            epoch, position = epoch + 1, 0

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
