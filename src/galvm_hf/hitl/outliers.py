"""Galaxies whose features are unusual: another way to find what to look for."""

import numpy as np
import torch

from .collection import Collection

_SAMPLE = 16384  # galaxies that say what is usual
AXES = 32


def rank_outliers(collection: Collection, number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The most unusual galaxies first, by an isolation forest (Liu et al. 2008) on the leading axes of their features.

    Args:
        collection: Where to look.
        number: How many.
        seed: Of the forest, and of the galaxies that it is grown on.

    Returns:
        Rows, int64 `[n]`, and how unusual each is, float64 `[n]`, about 0.5 for a usual one and towards 1 for others.
    """
    from sklearn.ensemble import IsolationForest

    random = np.random.default_rng(seed)
    basis = collection.basis[:, :AXES]
    drawn = random.choice(len(collection), min(_SAMPLE, len(collection)), replace=False)
    forest = IsolationForest(random_state=seed).fit((collection.take(np.sort(drawn)).float() @ basis).numpy())
    rows, unusual = np.empty(0, np.int64), np.empty(0)
    with torch.inference_mode():
        for start, chunk in collection.chunks():
            rows = np.concatenate([rows, np.arange(start, start + len(chunk))])
            unusual = np.concatenate([unusual, -forest.score_samples((chunk.float() @ basis).numpy())])
            order = np.lexsort((rows, -unusual))[:number]
            rows, unusual = rows[order], unusual[order]
    return rows, unusual
