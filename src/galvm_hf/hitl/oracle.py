"""A simulated person, who answers from known labels, and is wrong now and then."""

from collections.abc import Collection

import numpy as np


class Oracle:
    """Answers whether galaxies are of a kind.

    Whoever is asked about a galaxy again says the same again, whatever was asked in between.

    Args:
        members: Names of the galaxies that are of the kind.
        error_rate: Share of the answers that are wrong.
        seed: Of which those are.

    Raises:
        ValueError: If the error rate is not in [0, 1).
    """

    def __init__(self, members: Collection[str], error_rate: float = 0.0, seed: int = 0):
        if not 0 <= error_rate < 1:
            raise ValueError(f"error_rate must be at least 0 and below 1, got {error_rate}.")
        self._members, self._error_rate, self._seed = frozenset(members), error_rate, seed

    def answer(self, object_id: str) -> bool:
        """Yes or no."""
        is_wrong = False
        if self._error_rate:
            draw = np.random.default_rng([self._seed, *object_id.encode()]).random()
            is_wrong = bool(draw < self._error_rate)
        return (object_id in self._members) != is_wrong
