"""The order in which a pass over the data visits its rows: a pure function of the seed and the number of the pass.

Data comes in *units* that are read at once (a Parquet row group, a few rows of an HDF5 file). A pass lays all units in
random order on a line and cuts the line into 16 equal *lanes*. The lanes take turns, row by row, so that 16 units from
anywhere in the data are mixed at any time; a lane visits the rows of each *block*, about a unit long, in random order.

Position p of this order is for rank p mod W of W ranks. So the ranks' batches together are the same rows whatever W is,
what has been visited is always a beginning of the order, and where a pass is, is one number. When W divides 16, a rank
needs no other lanes than its own, and no unit is read by two ranks but at the ends of lanes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

LANES = 16
# The length of a block follows that of the units, within these bounds.
BLOCK_ROWS = (16, 256)

# Keeps the random numbers of the order apart from one another.
_UNITS, _ROWS = 0, 1


@dataclass(frozen=True)
class Line:
    """Rows in an order: runs of neighbouring rows of a unit.

    Attributes:
        units: Of each run, the unit, int64 `[R]`.
        starts: Its first row in the unit, int64 `[R]`.
        stops: The row behind its last, int64 `[R]`.
    """

    units: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    @cached_property
    def ends(self) -> np.ndarray:
        """How many rows the line has up to the end of each run, int64 `[R]`."""
        return np.cumsum(self.stops - self.starts)

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def cut(self, first: int, last: int) -> "Line":
        """The rows from `first` until before `last`, as far as there are any."""
        first, last = min(first, len(self)), min(last, len(self))
        met = slice(*np.searchsorted(self.ends, [first, last], side="right"))
        if met.stop < len(self.ends) and first < last:
            met = slice(met.start, met.stop + 1)
        units, ends = self.units[met], self.ends[met]
        starts, stops = self.starts[met], self.stops[met]
        begins = ends - (stops - starts)
        return Line(units, starts + np.maximum(first - begins, 0), stops - np.maximum(ends - last, 0))

    def row_by_row(self) -> "Line":
        """The same rows, each a run of its own."""
        lengths = self.stops - self.starts
        rows = np.repeat(self.starts, lengths) + np.arange(len(self)) - np.repeat(self.ends - lengths, lengths)
        return Line(np.repeat(self.units, lengths), rows, rows + 1)

    def take(self, runs: np.ndarray) -> "Line":
        """Some of the runs, in the order in which they are named."""
        return Line(self.units[runs], self.starts[runs], self.stops[runs])


class PassOrder:
    """One pass over the data.

    Args:
        unit_rows: How many rows each unit has, int64 `[U]`.
        seed: Of the run.
        epoch: Number of the pass.
        shuffle: Whether the order is random; otherwise it is that of the units.
    """

    def __init__(self, unit_rows: np.ndarray, seed: int, epoch: int, shuffle: bool = True):
        self._seed, self._epoch, self._shuffle = seed, epoch, shuffle
        units = self._random(_UNITS).permutation(len(unit_rows)) if shuffle else np.arange(len(unit_rows))
        line = Line(units, np.zeros_like(units), unit_rows[units])
        number = LANES if shuffle else 1
        self._block = int(np.clip(np.mean(unit_rows), *BLOCK_ROWS)) if len(unit_rows) else 1
        bounds = np.cumsum([0] + [(len(line) + number - 1 - lane) // number for lane in range(number)])
        self._lanes = [line.cut(first, last) for first, last in pairwise(bounds)]

    def rounds(self, rank: int, world_size: int, position: int) -> Iterator[Line]:
        """What a rank visits from a position on, row by row, in the rounds in which it is best read.

        In a round each lane has one block.

        Args:
            rank: Number of the rank.
            world_size: How many ranks there are.
            position: How many rows all ranks together have visited; none of these is read again.
        """
        number, length = len(self._lanes), len(self._lanes) * self._block
        total = sum(map(len, self._lanes))
        for round_ in range(position // length, -(-total // length)):
            begin, end = max(position, round_ * length), min(total, (round_ + 1) * length)
            places = np.arange(begin + (rank - begin) % world_size, end, world_size)
            lanes, rows = places % number, places // number - round_ * self._block
            visited = Line(*(np.empty(len(places), dtype=np.int64) for _ in range(3)))
            for lane in np.unique(lanes).tolist():
                here = lanes == lane
                block = self._mixed_block(lane, round_).take(rows[here])
                visited.units[here], visited.starts[here], visited.stops[here] = block.units, block.starts, block.stops
            if len(places):
                yield visited

    def _mixed_block(self, lane: int, round_: int) -> Line:
        rows = self._lanes[lane].cut(round_ * self._block, (round_ + 1) * self._block).row_by_row()
        if not self._shuffle:
            return rows
        return rows.take(self._random(_ROWS, lane, round_).permutation(len(rows)))

    def _random(self, *words: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, self._epoch, *words))
