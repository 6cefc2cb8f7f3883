"""One detection of what several tiles show of one object."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .tiles import Tile

# An object this close to its tile's edge is taken to go on beyond it: predicted boxes end about there.
CUT_PIXELS = 2.0
# Two tiles show the same object if, in the window that both see, their boxes' intersection over union reaches the
# first, or the smaller of their masks lies in the other by the second.
SAME_BOX, SAME_MASK = 0.5, 0.5


@dataclass(frozen=True)
class Detection:
    """An object found in a field.

    Attributes:
        box: Its edges in the field in pixels, x0, y0, x1, y1, float [4]; pixel k lies between k and k + 1.
        score: In [0, 1].
        mask: Its pixels, bool [h, w].
        corner: First column and row of the mask in the field.
        tile: Number of the tile that shows it best.
        margin: Pixels between the box and the nearest edge of its tile inside the field, infinite if there is none.
    """

    box: np.ndarray
    score: float
    mask: np.ndarray
    corner: tuple[int, int]
    tile: int
    margin: float

    @property
    def is_cut(self) -> bool:
        """Whether it may go on beyond its tile."""
        return self.margin < CUT_PIXELS


def merge_detections(detections: Sequence[Detection], tiles: Sequence[Tile]) -> list[Detection]:
    """Unify what overlapping tiles found, best score first.

    Of several detections of an object the one farthest from its tile's edge stays. One that is cut by its tile's edge
    and lies whole in another tile, which does not show it, goes; if no tile is large enough for an object, its parts
    are joined.

    Args:
        detections: Of all tiles, in the field's pixels. Those of one tile are different objects.
        tiles: The tiles by number.
    """
    windows = np.array([tile.box for tile in tiles])
    ordered = sorted(detections, key=lambda detection: (-detection.margin, -detection.score, detection.tile))
    boxes = np.array([detection.box for detection in ordered]).reshape(-1, 4)
    best_of = np.arange(len(ordered))  # for each detection, the best one of its object
    for index, detection in enumerate(ordered):
        x0, y0, x1, y1 = detection.box
        near = (boxes[:index, 0] < x1) & (boxes[:index, 2] > x0) & (boxes[:index, 1] < y1) & (boxes[:index, 3] > y0)
        same = [
            best_of[other]
            for other in np.flatnonzero(near)
            # a tile that tells two objects apart is believed
            if detection.tile not in (ordered[other].tile, ordered[best_of[other]].tile)
            and _is_same(detection, ordered[other], windows)
        ]
        if same:
            best_of[index] = min(same)
            if ordered[min(same)].is_cut:  # then all are, and this one shows which parts belong together
                best_of[np.isin(best_of, same)] = min(same)
    groups = [[ordered[index] for index in np.flatnonzero(best_of == best)] for best in np.unique(best_of)]
    merged = [_join(group) for group in groups if not _is_overruled(group, windows)]
    return sorted(merged, key=lambda detection: (-detection.score, *detection.box))


def _is_same(one: Detection, other: Detection, windows: np.ndarray) -> bool:
    """Whether two tiles mean the same object, by what they say of the window that both see."""
    shared = _intersect(windows[one.tile], windows[other.tile])
    first, second = _intersect(one.box, shared), _intersect(other.box, shared)
    common = _area(_intersect(first, second))
    if common and common / (_area(first) + _area(second) - common) >= SAME_BOX:
        return True
    smaller = min(_part(one, shared).sum(), _part(other, shared).sum())
    both = _intersect(shared, _intersect(_mask_box(one), _mask_box(other)))
    return bool(smaller) and (_part(one, both) & _part(other, both)).sum() / smaller >= SAME_MASK


def _is_overruled(group: Sequence[Detection], windows: np.ndarray) -> bool:
    """Whether a lone detection is cut by its tile's edge, and another tile has it whole without finding it."""
    best = group[0]
    if len(group) > 1 or not best.is_cut:
        return False
    width, height = windows[:, 2:].max(axis=0)
    # what another tile has to see, beyond the edge too, unless that is the field's
    wanted = _intersect(best.box + np.array([-1, -1, 1, 1]) * CUT_PIXELS, np.array([0, 0, width, height]))
    others = np.delete(windows, best.tile, axis=0)
    return bool(((others[:, :2] <= wanted[:2]) & (others[:, 2:] >= wanted[2:])).all(axis=1).any())


def _join(group: Sequence[Detection]) -> Detection:
    """The best of a group; if that is cut, all of its parts are, and they become one."""
    best = group[0]
    if len(group) == 1 or not best.is_cut:
        return best
    box = np.concatenate(
        [np.min([part.box for part in group], axis=0)[:2], np.max([part.box for part in group], axis=0)[2:]]
    )
    masks = np.array([_mask_box(part) for part in group])
    left, top = masks.min(axis=0)[:2]
    right, bottom = masks.max(axis=0)[2:]
    mask = np.zeros((bottom - top, right - left), dtype=bool)
    for part, (x0, y0, x1, y1) in zip(group, masks, strict=True):
        mask[y0 - top : y1 - top, x0 - left : x1 - left] |= part.mask
    score = max(part.score for part in group)
    return replace(best, box=box, score=score, mask=mask, corner=(int(left), int(top)))


def _mask_box(detection: Detection) -> np.ndarray:
    left, top = detection.corner
    height, width = detection.mask.shape
    return np.array([left, top, left + width, top + height])


def _part(detection: Detection, window: np.ndarray) -> np.ndarray:
    """What of a mask lies in a window of the field."""
    left, top = detection.corner
    x0, y0, x1, y1 = _intersect(window, _mask_box(detection))
    return detection.mask[y0 - top : y1 - top, x0 - left : x1 - left]


def _intersect(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The box that two boxes share; without an area if they share none."""
    corner = np.maximum(one, other)[:2]
    return np.concatenate([corner, np.maximum(np.minimum(one, other)[2:], corner)])


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))
