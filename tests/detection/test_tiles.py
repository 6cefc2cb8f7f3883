"""Tiles: they cover the field, share what they should, and are no more than needed."""

import itertools
import math

import numpy as np
import pytest

from galvm_hf.detection.tiles import plan_tiles


@pytest.mark.parametrize("shape", [(100, 100), (101, 260), (64, 1000), (30, 500), (20, 20)])
@pytest.mark.parametrize(("side", "overlap"), [(100, 0), (64, 16), (64, 32)])
def test_tiles_cover_the_field_and_hold_every_object_whole(shape, side, overlap):
    tiles = plan_tiles(shape, side, overlap)
    assert [tile.number for tile in tiles] == list(range(len(tiles)))
    assert {(tile.height, tile.width) for tile in tiles} == {(min(side, shape[0]), min(side, shape[1]))}
    number = [max(1, math.ceil((length - overlap) / (side - overlap))) for length in shape]
    assert len(tiles) == number[0] * number[1]
    for axis, length in enumerate(shape):
        spans = sorted({((tile.top, tile.left)[axis], (tile.height, tile.width)[axis]) for tile in tiles})
        assert spans[0][0] == 0
        assert sum(spans[-1]) == length
        for (start, extent), (following, _) in itertools.pairwise(spans):
            assert start + extent - following >= overlap
    for top, left in np.random.default_rng(0).integers(0, 1 + np.maximum(np.array(shape) - overlap, 0), (50, 2)):
        bottom, right = min(top + overlap, shape[0]), min(left + overlap, shape[1])
        assert any(
            tile.rows.start <= top
            and tile.rows.stop >= bottom
            and tile.columns.start <= left
            and tile.columns.stop >= right
            for tile in tiles
        )


@pytest.mark.parametrize("overlap", [-1, 33])
def test_an_overlap_that_does_not_fit_is_refused(overlap):
    with pytest.raises(ValueError, match=f"overlap is {overlap} px with tiles of 64 px"):
        plan_tiles((100, 100), 64, overlap)
