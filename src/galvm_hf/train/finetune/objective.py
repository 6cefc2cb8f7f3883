"""What is minimised, in the units that are trained in: weighted cross-entropy, or the error of standardised values."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .data import LabelledStamps


@dataclass(frozen=True)
class Objective:
    """The loss of a data set, and the way back from the units of training.

    Attributes:
        class_weights: What a galaxy of each class counts, [K], with a mean of 1 over the galaxies; None for values.
        means: Of the values, [P]; None for classes.
        deviations: Their standard deviations, [P]; None for classes.
    """

    class_weights: Tensor | None = None
    means: Tensor | None = None
    deviations: Tensor | None = None

    @classmethod
    def of(cls, stamps: LabelledStamps, weighted: bool) -> "Objective":
        """The objective of some stamps.

        Args:
            stamps: What is trained on.
            weighted: Whether every class counts the same, however rare it is.

        Raises:
            ValueError: If a column of values has one value only.
        """
        if stamps.is_classification:
            counts = stamps.targets.bincount(minlength=len(stamps.names)).float()
            return cls(counts.sum() / (counts * len(counts)) if weighted else torch.ones_like(counts))
        deviations = stamps.targets.std(0, correction=0)
        if not (deviations > 0).all():
            constant = [name for name, one in zip(stamps.names, deviations, strict=True) if not one > 0]
            raise ValueError(f"Nothing can be learnt about {', '.join(constant)}: all galaxies have the same value.")
        return cls(means=stamps.targets.mean(0), deviations=deviations)

    def scale(self, targets: Tensor) -> Tensor:
        """Targets in the units that are trained in."""
        return targets if self.means is None else (targets - self.means) / self.deviations

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each galaxy, [N], of outputs [N, K] and scaled targets."""
        if self.class_weights is None:
            return (outputs - targets).square().mean(1)
        losses = F.cross_entropy(outputs, targets, reduction="none")
        return losses * self.class_weights.to(losses.device)[targets]

    def __call__(self, outputs, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """The loss as `Trainer` asks for it by `compute_loss_func`: over all galaxies of a step, however it is cut."""
        losses = self.each(outputs["logits"], labels)
        if num_items_in_batch is None:
            return losses.mean()
        # the library counts labels, of which a galaxy may have several
        return losses.sum() * (labels.numel() / len(labels)) / num_items_in_batch

    @torch.no_grad()
    def unscale(self, layer: nn.Linear, temperature: float = 1.0) -> None:
        """Change the last layer so that values come out in their own units, or logits at a temperature."""
        if self.means is None:
            layer.weight /= temperature
            layer.bias /= temperature
        else:
            layer.weight *= self.deviations[:, None].to(layer.weight)
            layer.bias.copy_(layer.bias * self.deviations.to(layer.bias) + self.means.to(layer.bias))
