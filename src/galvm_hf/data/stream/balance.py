"""Rare classes shown more often: repeat-factor sampling (Gupta et al. 2019, arXiv 1908.03195)."""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np

from .sources import ParquetSource, Record, Source, require_parquet


def repeat_factors(counts: Mapping[Hashable, int]) -> dict[Hashable, int]:
    """How often a pass shows each row of a class: the root of how much larger the largest class is, rounded."""
    return {name: round(sqrt(max(counts.values()) / count)) for name, count in counts.items()}


def balanced(sources: Sequence[Source], column: str) -> list[Source]:
    """The same files, in which each row of a rare class counts as several rows.

    Args:
        sources: Parquet files that have the column.
        column: The classes. Rows without one are shown once.

    Raises:
        UnreadableStampError: If a file cannot be read.
        ValueError: If a file is not Parquet.
    """
    files = [require_parquet(source) for source in sources]
    labels = [source.read_column(column) for source in files]
    factors = repeat_factors(Counter(label for own in labels for label in own if label is not None))
    return [
        RepeatedRows(source, np.array([factors.get(label, 1) for label in own], dtype=np.int64))
        for source, own in zip(files, labels, strict=True)
    ]


class RepeatedRows(Source):
    """A file whose rows each count as several, which stand next to each other until the stream shuffles them.

    Args:
        source: The file.
        repeats: How often each of its rows counts, int64 `[N]`.
    """

    def __init__(self, source: ParquetSource, repeats: np.ndarray):
        self.path, self._source, self._repeats = source.path, source, repeats
        bounds = pairwise(np.cumsum([0, *source.unit_rows]).tolist())
        self._rows = [np.repeat(np.arange(last - first), repeats[first:last]) for first, last in bounds]
        self.unit_rows = np.array([len(rows) for rows in self._rows], dtype=np.int64)

    def read(self, unit: int) -> Callable[[int], Record]:
        record, rows = self._source.read(unit), self._rows[unit]
        return lambda row: record(int(rows[row]))

    def read_column(self, column: str) -> list[Any]:
        """The values of a column, each as often as its row counts."""
        values = self._source.read_column(column)
        return [value for value, repeat in zip(values, self._repeats, strict=True) for _ in range(repeat)]
