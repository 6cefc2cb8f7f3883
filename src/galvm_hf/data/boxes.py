"""Boxes round masks, and masks in the run lengths of the COCO format."""

import numpy as np
import torch
from torch import Tensor


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
