"""Search by example: the galaxies whose features point the same way."""

from collections.abc import Collection as Rows
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .collection import Collection

# Products in bfloat16 are rounded to it; among so many times what is asked for, they are computed anew.
_MARGIN, _FEWEST = 10, 1000


@dataclass(frozen=True)
class Similar:
    """Galaxies that look alike, the most similar first.

    Attributes:
        rows: Where they stand in the collection, int64 `[n]`.
        similarity: Cosine of the angle between features, float32 `[n]`.
    """

    rows: np.ndarray
    similarity: np.ndarray


@torch.inference_mode()
def search_similar(collection: Collection, examples: Tensor, number: int, excluded: Rows[int] = ()) -> Similar:
    """The galaxies most like some examples.

    Args:
        collection: Where to look.
        examples: Their standardised features `[n, D]`; what is looked for is the mean of their directions.
        number: How many.
        excluded: Rows that are not to come, such as those of the examples.

    Raises:
        ValueError: If there is no example.
    """
    if not len(examples):
        raise ValueError("Show at least one galaxy to search by.")
    direction = F.normalize(F.normalize(examples.float(), dim=1).mean(0), dim=0)
    coarse, wanted = direction.to(torch.bfloat16), max(_MARGIN * (number + len(excluded)), _FEWEST)
    rows, cosines = torch.empty(0, dtype=torch.int64), torch.empty(0)
    for start, chunk in collection.chunks():
        found = torch.mv(chunk, coarse).float() / collection.norms(start, len(chunk)).clamp(min=1e-6)
        best = found.topk(min(wanted, len(found)))
        cosines = torch.cat([cosines, best.values])
        rows = torch.cat([rows, best.indices + start])
        if len(rows) > 2 * wanted:
            cosines, places = cosines.topk(wanted)
            rows = rows[places]
    rows = rows[cosines.topk(min(wanted, len(rows))).indices].numpy()
    rows = np.sort(rows[~np.isin(rows, np.fromiter(excluded, np.int64, len(excluded)))])
    cosines = F.normalize(collection.take(rows).float(), dim=1) @ direction
    order = torch.argsort(cosines, descending=True, stable=True)[:number].numpy()
    return Similar(rows[order], cosines.numpy()[order])
