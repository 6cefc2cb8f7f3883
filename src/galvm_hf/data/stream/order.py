"""The order in which a pass over the data visits its rows: a pure function of seed, epoch, rank and world size.

Data comes in *units* that are read at once (a Parquet row group, a few rows of an HDF5 file). A pass lays all units, in
random order, on a line and cuts the line into equal shares, one a rank. A rank walks its share window by window: it
reads the units of a window and visits their rows in random order. Nothing is ever in a buffer that a stop could lose:
a position in a pass is a number, and what comes after it is computed from the seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

# Keeps the random numbers of the order apart from one another.
_UNITS, _ROWS = 0, 1


@dataclass(frozen=True)
class Line:
    """Rows in the order of a pass, before they are mixed within windows: runs of neighbouring rows of a unit.

    Attributes:
        units: Of each run, the unit, int64 `[R]`.
        starts: Its first row in the unit, int64 `[R]`.
        stops: The row behind its last, int64 `[R]`.
    """

    units: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    @property
    def ends(self) -> np.ndarray:
        """How many rows the line has up to the end of each run, int64 `[R]`."""
        return np.cumsum(self.stops - self.starts)

    def __len__(self) -> int:
        return int((self.stops - self.starts).sum())

    def cut(self, first: int, last: int) -> "Line":
        """The rows from `first` until before `last`."""
        ends = self.ends
        begins = ends - (self.stops - self.starts)
        met = (ends > first) & (begins < last)
        starts = self.starts[met] + np.maximum(first - begins[met], 0)
        stops = self.stops[met] - np.maximum(ends[met] - last, 0)
        return Line(self.units[met], starts, stops)

    def row_by_row(self) -> "Line":
        """The same rows, each a run of its own."""
        lengths = self.stops - self.starts
        rows = np.repeat(self.starts, lengths) + np.arange(lengths.sum()) - np.repeat(self.ends - lengths, lengths)
        return Line(np.repeat(self.units, lengths), rows, rows + 1)

    def take(self, runs: np.ndarray | slice) -> "Line":
        """Some of the runs, in the order in which they are named."""
        return Line(self.units[runs], self.starts[runs], self.stops[runs])

    @staticmethod
    def join(lines: "list[Line]") -> "Line":
        """Lines one behind the other."""
        return Line(*(np.concatenate([getattr(line, name) for line in lines]) for name in ("units", "starts", "stops")))


@dataclass(frozen=True)
class PassOrder:
    """One pass over the data, as the ranks of a run share it.

    A pass may be begun by some number of ranks and finished by another, and that any number of times: `history` tells
    how it went. Its last entry is the present one.

    Attributes:
        unit_rows: How many rows each unit has, int64 `[U]`.
        seed: Of the run.
        epoch: Number of the pass.
        window: Rows that are mixed with one another; a window is whole units, so it may be larger.
        history: (world size, rows that each of these ranks has taken), in the order in which they took them.
        shuffle: Whether the order is random; otherwise it is that of the units.
    """

    unit_rows: np.ndarray
    seed: int
    epoch: int
    window: int
    history: tuple[tuple[int, int], ...]
    shuffle: bool = True

    def share(self, rank: int) -> list[Line]:
        """The windows of a rank, unmixed, from the start of the present entry of `history`."""
        units = np.arange(len(self.unit_rows))
        if self.shuffle:
            units = np.random.default_rng((self.seed, self.epoch, _UNITS)).permutation(units)
        line = Line(units, np.zeros_like(units), self.unit_rows[units])
        for stage in range(len(self.history) - 1):
            line = self._left_over(line, stage)
        return self._windows(line, len(self.history) - 1, rank)

    def windows(self, rank: int) -> Iterator[Line]:
        """What a rank visits next, row by row, a window at a time.

        What the present entry of `history` says was taken is left out, without reading any of it.
        """
        return self._not_taken(self.share(rank), len(self.history) - 1, rank)

    def _windows(self, line: Line, stage: int, rank: int) -> list[Line]:
        """A rank's share of a line, in runs that fill a window each."""
        total, world_size = len(line), self.history[stage][0]
        share = line.cut(total * rank // world_size, total * (rank + 1) // world_size)
        begins = share.ends - (share.stops - share.starts)
        bounds = [*np.unique(begins // self.window, return_index=True)[1], len(begins)]
        return [share.take(slice(first, last)) for first, last in pairwise(bounds)]

    def _not_taken(self, windows: list[Line], stage: int, rank: int) -> Iterator[Line]:
        """Mixed windows, without the rows that the rank took at that stage."""
        taken = self.history[stage][1]
        for number, window in enumerate(windows):
            if taken >= len(window):
                taken -= len(window)
                continue
            rows = window.row_by_row()
            if self.shuffle:
                random = np.random.default_rng((self.seed, self.epoch, _ROWS, stage, rank, number))
                rows = rows.take(random.permutation(len(rows)))
            yield rows.take(slice(taken, None))
            taken = 0

    def _left_over(self, line: Line, stage: int) -> Line:
        """What the ranks of a stage have not taken of a line, their shares one behind the other."""
        left = [line.take(slice(0, 0))]
        for rank in range(self.history[stage][0]):
            left += self._not_taken(self._windows(line, stage, rank), stage, rank)
        return Line.join(left)
