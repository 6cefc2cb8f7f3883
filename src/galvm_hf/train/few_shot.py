"""A few-shot probe during a run: what the features are worth to somebody with a handful of labels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from huggingface_hub.dataclasses import strict

from ..evaluation.probe import linear_probe
from .data import load_held_out, take_samples
from .settings import DataSettings


@strict
@dataclass
class ProbeSettings:
    """A linear probe on a few labels a class.

    Attributes:
        train: Labelled stamps of which the few are drawn.
        validation: Labelled stamps that it is tested on; never a test set, as runs are chosen by it.
        column: Column with the class.
        labels_per_class: How many labels a class.
        draws: How often they are drawn; the result is the mean.
        pool: How many stamps of `train` are looked at for labels.
        validation_stamps: How many of `validation` are used.
    """

    train: DataSettings
    validation: DataSettings
    column: str = "label"
    labels_per_class: int = 10
    draws: int = 5
    pool: int = 2000
    validation_stamps: int = 500


class FewShotProbe:
    """Balanced accuracy of a linear classifier on the features, from a few labels a class.

    Args:
        settings: The probe.
        folder: What its sources are relative to.
        size: Side of the images, px.
        rank: Number of this process, which computes a part of the features.
        world_size: How many there are.
    """

    def __init__(self, settings: ProbeSettings, folder: Path, size: int, rank: int, world_size: int):
        self._settings = settings
        pool, _ = load_held_out(settings.train, folder, settings.pool, size, [settings.column])
        test, _ = load_held_out(settings.validation, folder, settings.validation_stamps, size, [settings.column])
        labels, test_labels = np.asarray(pool[settings.column]), np.asarray(test[settings.column])
        classes = sorted(set(test_labels.tolist()))
        if absent := sorted(set(classes) - set(labels.tolist())):
            raise ValueError(f"The probe's first {len(labels)} training stamps have none of {absent}: enlarge `pool`.")
        few = settings.labels_per_class
        most = [np.flatnonzero(labels == name)[: few * settings.draws] for name in classes]
        kept = np.concatenate(most)
        # rows of a draw among those that are kept
        random = np.random.default_rng(0)
        starts = np.cumsum([0, *map(len, most)])
        self._draws = [
            np.concatenate(
                [
                    start + random.choice(len(rows), min(few, len(rows)), replace=False)
                    for start, rows in zip(starts, most, strict=False)
                ]
            )
            for _ in range(settings.draws)
        ]
        self._train_labels, self._test_labels = labels[kept], test_labels
        images = torch.cat([take_samples(pool, kept.tolist())["pixel_values"], test["pixel_values"]])
        self.number = len(images)
        own = range(rank, -(-self.number // world_size) * world_size, world_size)
        self.images = images[[min(index, self.number - 1) for index in own]]

    def score(self, embed: Callable[[torch.Tensor], torch.Tensor]) -> float:
        """Mean balanced accuracy over the draws.

        Args:
            embed: Features `[number, D]` of all stamps, from this process's `images` `[B, 3, H, W]`.
        """
        features = embed(self.images).double().cpu().numpy()
        train, test = features[: len(self._train_labels)], features[len(self._train_labels) :]
        return mean(
            linear_probe(train[rows], self._train_labels[rows], test, self._test_labels).balanced_accuracy
            for rows in self._draws
        )
