"""The order of a pass: complete, disjoint among ranks, mixed, and the same after any stop."""

from itertools import chain

import numpy as np
import pytest

from galvm_hf.data.stream.order import LANES, Line, PassOrder

UNITS = np.array([5, 1, 17, 3, 0, 8, 8, 300, 2, 40, 40, 40, 11])
TOTAL = int(UNITS.sum())


def visited(rank=0, world_size=1, position=0, seed=0, epoch=0, shuffle=True):
    order = PassOrder(UNITS, seed, epoch, shuffle)
    return [row for line in order.rounds(rank, world_size, position) for row in pairs(line)]


def pairs(line):
    """(unit, row) of every row."""
    line = line.row_by_row()
    return list(zip(line.units.tolist(), line.starts.tolist(), strict=True))


EVERYTHING = [(unit, row) for unit, rows in enumerate(UNITS) for row in range(rows)]


@pytest.mark.parametrize("world_size", [1, 2, 3, 7, 16, 500])
def test_ranks_share_everything_and_are_disjoint(world_size):
    shares = [visited(rank, world_size) for rank in range(world_size)]
    assert sorted(chain.from_iterable(shares)) == EVERYTHING
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("world_size", [2, 3, 16])
def test_ranks_take_turns_in_the_order_of_one(world_size):
    alone = visited()
    for rank in range(world_size):
        assert visited(rank, world_size) == alone[rank::world_size]


def test_passes_and_seeds_differ_and_repeat():
    first = visited()
    assert visited() == first
    assert visited(epoch=1) != first
    assert visited(seed=1) != first


def test_rows_and_units_are_mixed():
    units = np.array([5] * 100 + [128] * 40)
    lines = list(PassOrder(units, 0, 0).rounds(0, 1, 0))
    rows = np.concatenate([np.cumsum([0, *units])[line.units] + line.starts for line in lines])
    assert len(np.unique(rows)) == units.sum()
    steps = np.abs(np.diff(rows))
    assert np.median(steps) > 0.2 * units.sum()  # of a full shuffle it is 0.29
    assert abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 0.1


def test_without_shuffling_the_order_is_that_of_the_files():
    assert visited(shuffle=False) == EVERYTHING
    assert visited(1, 3, shuffle=False) == EVERYTHING[1::3]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_what_was_visited_is_left_out(world_size):
    alone = visited()
    for position in range(0, TOTAL + 1, 7):
        shares = [visited(rank, world_size, position) for rank in range(world_size)]
        for rank, share in enumerate(shares):
            begin = position + (rank - position) % world_size
            assert share == alone[begin::world_size]


def test_a_rank_reads_no_unit_of_other_ranks_but_at_the_ends_of_lanes():
    units = np.full(160, 32)
    seen = [
        {unit for line in PassOrder(units, 0, 0).rounds(rank, 4, 0) for unit in line.units.tolist()}
        for rank in range(4)
    ]
    assert sum(map(len, seen)) <= len(units) + LANES


def test_cutting_a_line_gives_the_rows_between():
    line = Line(np.array([4, 9, 0, 2]), np.array([0, 5, 3, 1]), np.array([2, 5, 7, 4]))
    rows = pairs(line)
    assert rows == [(4, 0), (4, 1), (0, 3), (0, 4), (0, 5), (0, 6), (2, 1), (2, 2), (2, 3)]
    for first in range(len(line) + 1):
        for last in range(first, len(line) + 3):
            assert pairs(line.cut(first, last)) == rows[first:last]
