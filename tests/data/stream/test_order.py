"""The order of a pass: complete, disjoint among ranks, mixed, and the same after any stop."""

from itertools import chain

import numpy as np
import pytest

from galvm_hf.data.stream.order import Line, PassOrder

UNITS = np.array([5, 1, 17, 3, 0, 8, 8, 30, 2])
TOTAL = int(UNITS.sum())


def order(history, seed=0, epoch=0, window=12, shuffle=True):
    return PassOrder(UNITS, seed, epoch, window, history, shuffle)


def visited(pass_order, rank):
    return [row for window in pass_order.windows(rank) for row in pairs(window)]


def pairs(line):
    """(unit, row) of every row."""
    line = line.row_by_row()
    return list(zip(line.units.tolist(), line.starts.tolist(), strict=True))


EVERYTHING = sorted((unit, row) for unit, rows in enumerate(UNITS) for row in range(rows))


@pytest.mark.parametrize("world_size", [1, 2, 3, 7, 100])
def test_ranks_share_everything_and_are_disjoint(world_size):
    shares = [visited(order(((world_size, 0),)), rank) for rank in range(world_size)]
    assert sorted(chain.from_iterable(shares)) == EVERYTHING
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_passes_and_seeds_differ_and_repeat():
    first = visited(order(((1, 0),)), 0)
    assert visited(order(((1, 0),)), 0) == first
    assert visited(order(((1, 0),), epoch=1), 0) != first
    assert visited(order(((1, 0),), seed=1), 0) != first


def test_rows_and_units_are_mixed():
    places = np.array([unit for unit, _ in visited(order(((1, 0),), window=40), 0)])
    assert (np.diff(places) != 0).mean() > 0.5  # neighbours in the order are of different units
    assert not (np.diff(places) >= 0).all()


def test_without_shuffling_the_order_is_that_of_the_files():
    assert visited(order(((1, 0),), shuffle=False), 0) == EVERYTHING


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_what_was_taken_is_left_out(world_size):
    for rank in range(world_size):
        whole = visited(order(((world_size, 0),)), rank)
        for taken in range(len(whole) + 1):
            assert visited(order(((world_size, taken),)), rank) == whole[taken:]


def test_a_pass_that_changes_its_world_size_again_and_again_sees_every_row_once():
    random = np.random.default_rng(0)
    for _ in range(50):
        history, seen = (), []
        while len(seen) < TOTAL and len(history) < 5:
            world_size = int(random.integers(1, 5))
            shares = [visited(order((*history, (world_size, 0))), rank) for rank in range(world_size)]
            # ranks are in step: they stop after equally many rows
            taken = int(random.integers(0, min(map(len, shares)) + 1))
            seen += [row for share in shares for row in share[:taken]]
            history = (*history, (world_size, taken))
        rest = visited(order((*history, (1, 0))), 0)
        assert sorted(seen + rest) == EVERYTHING


def test_cutting_a_line_gives_the_rows_between():
    line = Line(np.array([4, 0, 2]), np.array([0, 3, 1]), np.array([2, 7, 4]))
    rows = pairs(line)
    assert rows == [(4, 0), (4, 1), (0, 3), (0, 4), (0, 5), (0, 6), (2, 1), (2, 2), (2, 3)]
    for first in range(len(line) + 1):
        for last in range(first, len(line) + 1):
            assert pairs(line.cut(first, last)) == rows[first:last]
