"""Merging: what two tiles say of one object becomes one detection, and what one tile tells apart stays apart."""

import numpy as np
import pytest

from galvm_hf.detection.merge import Detection, merge_detections
from galvm_hf.detection.tiles import plan_tiles

# two tiles side by side, columns 0 to 100 and 60 to 160
TILES = plan_tiles((100, 160), 100, 40)


def see(box, tile, score=0.9, mask=None):
    """What a tile shows of an object: its part inside the tile."""
    window = TILES[tile].box
    x0, y0, x1, y1 = (int(edge) for edge in np.concatenate([np.maximum(box, window)[:2], np.minimum(box, window)[2:]]))
    margin = min(TILES[0].columns.stop - x1, np.inf) if tile == 0 else x0 - TILES[1].left
    mask = np.ones((y1 - y0, x1 - x0), dtype=bool) if mask is None else mask
    return Detection(np.array([x0, y0, x1, y1], float), score, mask, (x0, y0), tile, float(margin))


def boxes(detections):
    return sorted(detection.box.astype(int).tolist() for detection in detections)


def test_the_detection_farther_from_its_edge_stays_whatever_its_score():
    box = [70, 40, 80, 50]
    merged = merge_detections([see(box, 0, 0.6), see(box, 1, 0.9)], TILES)
    assert [(found.tile, found.score) for found in merged] == [(0, 0.6)]


@pytest.mark.parametrize("box", [[85, 40, 105, 60], [90, 40, 130, 60], [98, 40, 120, 60]])
def test_the_whole_object_outdoes_its_part(box):
    merged = merge_detections([see(box, 0, 0.99), see(box, 1, 0.51)], TILES)
    assert boxes(merged) == [box]
    assert (merged[0].tile, merged[0].score) == (1, 0.51)


def test_boxes_that_agree_roughly_are_one_object():
    one, other = see([65, 40, 81, 56], 0), see([68, 41, 83, 58], 1)
    assert boxes(merge_detections([other, one], TILES)) == [[65, 40, 81, 56]]


def test_objects_side_by_side_stay_two():
    one, other = [66, 40, 78, 52], [79, 40, 91, 52]
    merged = merge_detections([see(box, tile) for box in (one, other) for tile in (0, 1)], TILES)
    assert boxes(merged) == [one, other]


def test_an_arc_around_another_object_stays_apart_from_it():
    """Their boxes lie in each other, their masks do not."""
    arc, inner = [66, 40, 96, 70], [76, 50, 86, 60]
    ring = np.ones((30, 30), dtype=bool)
    ring[5:25, 5:25] = False
    merged = merge_detections([see(arc, 0, mask=ring), see(inner, 1)], TILES)
    assert boxes(merged) == [arc, inner]


def test_what_one_tile_tells_apart_stays_apart():
    one, other, both = [66, 40, 78, 52], [76, 40, 90, 52], [66, 40, 90, 52]
    merged = merge_detections([see(one, 0), see(other, 0), see(both, 1)], TILES)
    assert boxes(merged) == [one, other]


def test_an_object_too_large_for_any_tile_is_joined():
    box = [30, 40, 150, 50]
    merged = merge_detections([see(box, 0, 0.6), see(box, 1, 0.8)], TILES)
    assert boxes(merged) == [box]
    assert merged[0].score == 0.8
    assert merged[0].corner == (30, 40)
    assert merged[0].mask.shape == (10, 120)
    assert merged[0].mask.all()


def test_a_part_that_another_tile_shows_whole_without_finding_it_goes():
    cut = see([90, 40, 110, 60], 0)
    assert merge_detections([cut], TILES) == []
    whole_at_the_edge = see([80, 40, 95, 60], 0)
    assert merge_detections([whole_at_the_edge], TILES) == [whole_at_the_edge]


def test_a_part_that_no_other_tile_shows_stays():
    long = see([20, 40, 110, 60], 0)
    assert boxes(merge_detections([long], TILES)) == [[20, 40, 100, 60]]


def test_empty_masks_are_merged_by_their_boxes():
    nothing = np.zeros((10, 10), dtype=bool)
    box = [70, 40, 80, 50]
    assert len(merge_detections([see(box, 0, mask=nothing), see(box, 1, mask=nothing)], TILES)) == 1


def test_the_order_of_detections_does_not_matter_and_the_best_score_comes_first():
    random = np.random.default_rng(0)
    corners = random.uniform(0, 1, (30, 2)) * [140, 80]
    found = [
        see([*corner, *(corner + 15)], tile, score)
        for corner, score in zip(np.floor(corners), random.uniform(size=30), strict=True)
        for tile in (0, 1)
        if corner[0] + 15 > TILES[tile].left and corner[0] < TILES[tile].columns.stop
    ]
    merged = merge_detections(found, TILES)
    scores = [detection.score for detection in merged]
    assert scores == sorted(scores, reverse=True)
    again = merge_detections([found[index] for index in random.permutation(len(found))], TILES)
    assert boxes(again) == boxes(merged)
