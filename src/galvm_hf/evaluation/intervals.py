"""95 % intervals over galaxies: how much a number would change, had other galaxies of the same kind been measured.

All are percentile intervals of the bootstrap (Efron 1979): the galaxies are drawn again with replacement, and what two
methods got on one galaxy stays together.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

BOOTSTRAPS = 1000
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; as text, `36.21 (36.05 to 36.38)`.

    Attributes:
        value: The number, measured on all galaxies.
        low: Lower end of the interval.
        high: Upper end of the interval.
        number: How many galaxies it was measured on.
    """

    value: float
    low: float
    high: float
    number: int

    def __str__(self) -> str:
        largest = max(abs(self.low), abs(self.high))
        if 0 < largest < 0.01:
            style = ".2e"
        else:
            # half the width of the interval, the uncertainty, with two digits
            half = (self.high - self.low) / 2
            decimals = 1 - math.floor(math.log10(half)) if half > 0 and math.isfinite(half) else 3
            style = f".{min(max(decimals, 0), 4)}f"
        return f"{self.value:{style}} ({self.low:{style}} to {self.high:{style}})"


def bootstrap_interval(
    statistic: Callable[..., float], *columns: ArrayLike, strata: ArrayLike | None = None, seed: int = 0
) -> Estimate:
    """Any statistic of the galaxies, with its interval.

    Args:
        statistic: A number from the columns.
        columns: What is known of each galaxy, arrays [N, ...]. Their rows are drawn together.
        strata: A class for each galaxy, [N]: the galaxies are drawn within each, so that every class keeps its number.
        seed: Of the draws.

    Raises:
        ValueError: If there is no galaxy, or the columns have different lengths.
    """
    arrays = [np.asarray(column) for column in columns]
    groups = _groups(arrays, strata)
    random = np.random.default_rng(seed)
    draws = []
    for _ in range(BOOTSTRAPS):
        rows = np.concatenate([group[random.integers(len(group), size=len(group))] for group in groups])
        draws.append(statistic(*(array[rows] for array in arrays)))
    low, high = np.percentile(draws, PERCENTILES)
    return Estimate(float(statistic(*arrays)), float(low), float(high), len(arrays[0]))


def estimate_mean(values: ArrayLike, seed: int = 0) -> Estimate:
    """Mean of a value for each galaxy, [N]. Of the differences between two methods, it is a paired comparison."""
    return bootstrap_interval(np.mean, values, seed=seed)


def estimate_ratio(ours: ArrayLike, theirs: ArrayLike, seed: int = 0) -> Estimate:
    """Ratio of the means of two methods on the same galaxies, [N] and [N]."""
    return bootstrap_interval(lambda a, b: np.mean(a) / np.mean(b), ours, theirs, seed=seed)


def estimate_balanced_accuracy(right: ArrayLike, classes: ArrayLike, seed: int = 0) -> Estimate:
    """Mean over the classes of the share of galaxies told right, the galaxies drawn again within each class.

    Args:
        right: Whether each galaxy was told right, bool [N].
        classes: Its true class, [N].
        seed: Of the draws.
    """
    right = np.asarray(right)
    by_class = [right[group] for group in _groups([right], classes)]
    random = np.random.default_rng(seed)
    # The number of right answers in a resample of n is binomial.
    shares = [random.binomial(len(group), group.mean(), BOOTSTRAPS) / len(group) for group in by_class]
    low, high = np.percentile(np.mean(shares, axis=0), PERCENTILES)
    return Estimate(float(np.mean([group.mean() for group in by_class])), float(low), float(high), len(right))


def _groups(arrays: list[np.ndarray], strata: ArrayLike | None) -> list[np.ndarray]:
    """Row numbers of each class, or of all galaxies."""
    number = len(arrays[0])
    strata = np.zeros(number, dtype=int) if strata is None else np.asarray(strata)
    lengths = [len(array) for array in (*arrays, strata)]
    if len(set(lengths)) > 1 or not number:
        raise ValueError(f"An interval needs one or more galaxies, each with all its values; got {lengths} of them.")
    return [np.flatnonzero(strata == name) for name in np.unique(strata)]
