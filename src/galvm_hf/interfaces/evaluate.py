"""Linear probes of labelled galaxies: the checkpoint against what it has to beat."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Set
from pathlib import Path
from typing import Any

import numpy as np

from ..data.readers import iter_stamps, summarise_sources
from ..data.stamp import Stamp, UnreadableStampError
from ..evaluation.probe import ProbeResult, linear_probe
from .embed import Encoder, iter_prepared, untrained_encoder

CHECKPOINT, RANDOM, PIXELS = "checkpoint", "random weights", "16 x 16 pixels"


def iter_representations(
    encoder: Encoder, stamps: Iterable[Stamp], batch_size: int, on_error: Callable[[UnreadableStampError], None]
) -> Iterator[tuple[list[Stamp], Any, dict[str, np.ndarray]]]:
    """Each stamp seen in three ways: by the encoder, by the same encoder with random weights, and as coarse pixels.

    Yields:
        Stamps, their display images [B, 3, H, W], and representations [B, D] by name: `CHECKPOINT`, `RANDOM`, `PIXELS`.
    """
    import torch

    untrained = untrained_encoder(encoder, seed=0)
    for batch, pixel_values in iter_prepared(encoder, stamps, batch_size, on_error):
        coarse = torch.nn.functional.adaptive_avg_pool2d(pixel_values, 16).flatten(1)
        views = {CHECKPOINT: encoder.encode(pixel_values), RANDOM: untrained.encode(pixel_values), PIXELS: coarse}
        yield batch, pixel_values, {name: view.numpy() for name, view in views.items()}


def probe_files(
    train: Path, test: Path, encoder: Encoder, label: str = "label", batch_size: int = 32
) -> dict[str, ProbeResult]:
    """Probe labelled splits in three ways.

    Args:
        train: Parquet file, or folder of them, to train the linear classifier on.
        test: The same to test it on; must not hold the same images.
        encoder: From `load_encoder`.
        label: Column with the class; rows without one are left out.
        batch_size: Stamps per forward pass.

    Returns:
        By representation (`CHECKPOINT`, `RANDOM`, `PIXELS`), what its linear probe measured.

    Raises:
        ValueError: If no row has a class, or images of the test set are in the training set too.
        UnreadableStampError: If a stamp cannot be read: a measurement is of all of the data or of none.
    """
    train_x, train_y, train_images = _represent(train, encoder, label, batch_size)
    test_x, test_y, _ = _represent(test, encoder, label, batch_size, train_images)
    return {name: linear_probe(train_x[name], train_y, test_x[name], test_y) for name in train_x}


def _represent(
    path: Path, encoder: Encoder, label: str, batch_size: int, forbidden: Set[bytes] = frozenset()
) -> tuple[dict[str, np.ndarray], list[str], set[bytes]]:
    """Representations [N, D] by name, the class of each stamp, and the digests of their pixels."""
    from tqdm import tqdm

    def refuse(error: UnreadableStampError) -> None:
        raise error

    parts: dict[str, list[np.ndarray]] = {CHECKPOINT: [], RANDOM: [], PIXELS: []}
    classes, images = [], set()
    labelled = (stamp for stamp in iter_stamps([path]) if stamp.columns.get(label) is not None)
    with tqdm(total=summarise_sources([path])[0], unit="stamp", desc=path.name, disable=None) as progress:
        for batch, _, views in iter_representations(encoder, labelled, batch_size, refuse):
            for name, view in views.items():
                parts[name].append(view)
            classes += [str(stamp.columns[label]) for stamp in batch]
            images |= {hashlib.sha1(stamp.pixels.tobytes(), usedforsecurity=False).digest() for stamp in batch}
            if images & forbidden:
                raise ValueError(f"Images of {path} are in the training set too. Give splits that are disjoint.")
            progress.update(len(batch))
    if not classes:
        raise ValueError(f"No row of {path} has a value in a column {label!r}. Name another column with --label.")
    return {name: np.concatenate(views) for name, views in parts.items()}, classes, images
