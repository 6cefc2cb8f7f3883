"""A running average of the weights (Polyak & Juditsky 1992), which generalises better than the last ones."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class WeightAverage:
    """An exponential average, quick at first: after n steps the decay is at most (1 + n) / (10 + n).

    Args:
        weights: The weights in training; the average begins as their copy.
        decay: Of the average; 0 for the weights themselves.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], decay: float):
        self._weights, self.decay = dict(weights), decay
        self.values = {name: weight.detach().clone() for name, weight in weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, the first of which is 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(
            list(self.values.values()), [weight.detach() for weight in self._weights.values()], 1 - decay
        )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in the place of the weights, until the block ends."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            present = weight.detach().clone()
            weight.copy_(self.values[name])
            self.values[name].copy_(present)
