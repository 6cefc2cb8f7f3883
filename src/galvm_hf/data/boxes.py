"""Boxes round masks, masks in the run lengths of the COCO format, and boxes that mean the same object."""

import numpy as np
import torch
from torch import Tensor

LEAST_OVERLAP = 0.5  # of boxes, intersection over union, to mean the same object


def box_of_mask(mask: Tensor) -> Tensor:
    """The smallest box round the true pixels of a mask [H, W]: x0, y0, x1, y1, the last two exclusive, int64 [4].

    Zeros for an empty mask.
    """
    rows, columns = mask.any(dim=1).nonzero().flatten(), mask.any(dim=0).nonzero().flatten()
    if not len(rows):
        return torch.zeros(4, dtype=torch.int64)
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def run_lengths(mask: np.ndarray, left: int, top: int, size: tuple[int, int]) -> dict[str, list[int]]:
    """A mask as COCO's uncompressed run lengths: down the columns, zeros and ones by turns, zeros first.

    Args:
        mask: The part of the mask that is not empty, bool [h, w].
        left: Its first column in the image.
        top: Its first row.
        size: Height and width of the image.

    Returns:
        `{"size": [H, W], "counts": [...]}`, which `pycocotools.mask.frPyObjects` reads.
    """
    height, width = size
    padded = np.zeros((height, mask.shape[1]), dtype=bool)
    padded[top : top + len(mask)] = mask
    flat = padded.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False)) + left * height
    counts = np.diff(np.concatenate([[0], changes, [height * width]]))
    return {"size": [height, width], "counts": counts.tolist()}


def match_boxes(found: Tensor, true: Tensor) -> Tensor:
    """For each detection, best first, the object that it and no better one found, or -1.

    Args:
        found: Left, top, right, bottom, `[n, 4]`.
        true: The same of what is there, `[m, 4]`.

    Returns:
        Row in `true`, int64 `[n]`: an object is found by an intersection over union of `LEAST_OVERLAP`.
    """
    from torchvision.ops import box_iou

    object_of = torch.full((len(found),), -1, device=found.device)
    if not len(true):
        return object_of
    overlaps = box_iou(found, true)
    for row, overlap in enumerate(overlaps):
        best = int(overlap.argmax())
        if overlap[best] >= LEAST_OVERLAP:
            object_of[row] = best
            overlaps[:, best] = 0  # an object is found once
    return object_of
