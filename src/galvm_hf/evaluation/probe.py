"""Linear probe: how well a linear classifier tells classes apart from fixed features (Alain & Bengio 2016)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .intervals import estimate_balanced_accuracy


@dataclass(frozen=True)
class ProbeResult:
    """What a linear probe measured.

    Attributes:
        balanced_accuracy: Mean over the classes of the share of test galaxies that are told right, in [0, 1].
        interval95: Its 95 % interval under resampling of the test galaxies, within each class.
        n_train: Number of galaxies trained on.
        n_test: Number of galaxies tested on.
    """

    balanced_accuracy: float
    interval95: tuple[float, float]
    n_train: int
    n_test: int


def linear_probe(
    train_x: ArrayLike, train_y: ArrayLike, test_x: ArrayLike, test_y: ArrayLike, seed: int = 0
) -> ProbeResult:
    """Fit a logistic regression on standardised features, classes weighted equally, and test it on other galaxies.

    Args:
        train_x: Features, [N_train, D].
        train_y: Classes, [N_train], integers or strings.
        test_x: Features, [N_test, D], of galaxies that are not in the training set.
        test_y: Classes, [N_test].
        seed: Of the bootstrap.

    Raises:
        ValueError: If shapes disagree, there is one class only, a test class has no training example, or a feature is
            not finite.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train_x, test_x = np.asarray(train_x, dtype=np.float64), np.asarray(test_x, dtype=np.float64)
    train_y, test_y = np.asarray(train_y), np.asarray(test_y)
    _require_sound(train_x, train_y, test_x, test_y)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000))
    right = classifier.fit(train_x, train_y).predict(test_x) == test_y
    estimate = estimate_balanced_accuracy(right, test_y, seed)
    return ProbeResult(
        balanced_accuracy=estimate.value,
        interval95=(estimate.low, estimate.high),
        n_train=len(train_y),
        n_test=len(test_y),
    )


def split_indices(labels: ArrayLike, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Disjoint training and test indices with the same share of every class in the test set, at least one on each side.

    Raises:
        ValueError: If a class has fewer than two members.
    """
    labels = np.asarray(labels)
    random = np.random.default_rng(seed)
    train, test = [], []
    for name in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == name))
        if len(members) < 2:
            raise ValueError(f"Class {name} has {len(members)} member, but a split needs two: leave it out.")
        count = min(max(1, round(test_share * len(members))), len(members) - 1)
        test.append(members[:count])
        train.append(members[count:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def _require_sound(train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> None:
    if (train_x.ndim, test_x.ndim) != (2, 2) or train_x.shape[1:] != test_x.shape[1:]:
        raise ValueError(f"Features must be [N, D] with one D, got {train_x.shape} and {test_x.shape}.")
    if train_y.shape != train_x.shape[:1] or test_y.shape != test_x.shape[:1]:
        raise ValueError(
            f"There must be one class for each row of features, got {train_y.shape} for {train_x.shape} and "
            f"{test_y.shape} for {test_x.shape}."
        )
    if not (np.isfinite(train_x).all() and np.isfinite(test_x).all()):
        raise ValueError("Some features are not finite.")
    classes, tested = np.unique(train_y), np.unique(test_y)
    if len(classes) < 2:
        raise ValueError(f"A probe needs at least two classes to tell apart, got {classes.tolist()}.")
    if not len(tested) or not np.isin(tested, classes).all():
        raise ValueError(f"Every class of the test set needs training examples, got {tested} and {classes}.")
