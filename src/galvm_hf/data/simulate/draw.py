"""Parameters of many objects at once: random numbers from one generator, and some of the objects."""

import torch
from torch import Tensor


class Draw:
    """Random numbers of shape `[number, ...]`, float32, all from one generator.

    Args:
        number: How many objects.
        generator: Source of the numbers. They are drawn on its device.
    """

    def __init__(self, number: int, generator: torch.Generator):
        self.number, self.generator = number, generator

    def uniform(self, low: float | Tensor, high: float | Tensor, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(
            self.number, *shape, generator=self.generator, device=self.generator.device
        )

    def normal(self, mean: float | Tensor, deviation: float | Tensor, *shape: int) -> Tensor:
        return mean + deviation * torch.randn(
            self.number, *shape, generator=self.generator, device=self.generator.device
        )

    def chance(self, probability: float | Tensor, *shape: int) -> Tensor:
        """True with that probability."""
        return self.uniform(0.0, 1.0, *shape) < probability

    def sign(self, *shape: int) -> Tensor:
        """-1 or +1, equally likely."""
        return 2.0 * self.chance(0.5, *shape) - 1


def take(parameters: dict[str, Tensor], rows: slice | Tensor) -> dict[str, Tensor]:
    """Those objects of a dictionary of parameters."""
    return {name: value[rows] for name, value in parameters.items()}
