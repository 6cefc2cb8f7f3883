"""Self-supervised objectives. Each is one model class on the shared encoder, and a way to make its batch."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from ..configuration_galvm import GalvmConfig
from ..data.degrade import blur_and_noise, patch_mask
from ..modeling_galvm import (
    GalvmForImageRestoration,
    GalvmForMaskedImageModeling,
    GalvmForPreTraining,
    GalvmModel,
    GalvmPreTrainedModel,
)

Batch = dict[str, torch.Tensor]


class Objective(NamedTuple):
    """What a model is asked to do.

    Attributes:
        model_class: The class whose loss it is.
        make_batch: Display images `[B, 3, H, W]`, the size in px to train at and a generator, to the model's inputs.
    """

    model_class: type[GalvmPreTrainedModel]
    make_batch: Callable[[torch.Tensor, int, torch.Generator], Batch]


def _crop(images: torch.Tensor, size: int, generator: torch.Generator) -> torch.Tensor:
    """A square of `size` px at a place drawn for the batch."""
    spare = (images.shape[-2] - size, images.shape[-1] - size)
    top, left = (int(torch.randint(s + 1, (), generator=generator, device=generator.device)) for s in spare)
    return images[..., top : top + size, left : left + size]


def autoencode(images: torch.Tensor, size: int, generator: torch.Generator) -> Batch:
    """Reproduce the input (the paper's objective); the whole stamp, averaged down."""
    if images.shape[-1] != size:
        images = F.interpolate(images, (size, size), mode="area")
    return {"pixel_values": images}


def denoise(images: torch.Tensor, size: int, generator: torch.Generator) -> Batch:
    """Undo a blur and noise drawn for each image; a part of the stamp at its own pixel scale."""
    images = _crop(images, size, generator)
    return {"pixel_values": blur_and_noise(images, generator), "labels": images}


def masked(images: torch.Tensor, size: int, generator: torch.Generator) -> Batch:
    """Fill in hidden patches; a part of the stamp at its own pixel scale."""
    images = _crop(images, size, generator)
    return {"pixel_values": images, "bool_masked_pos": patch_mask(len(images), images.shape[-2:], generator)}


OBJECTIVES = {
    "autoencode": Objective(GalvmForPreTraining, autoencode),
    "denoise": Objective(GalvmForImageRestoration, denoise),
    "masked": Objective(GalvmForMaskedImageModeling, masked),
}


class SharedEncoder(nn.Module):
    """One encoder with the decoder of each objective.

    Args:
        config: The sizes.
        objectives: Names from `OBJECTIVES`.

    Raises:
        ValueError: If an objective is unknown or none is given.
    """

    def __init__(self, config: GalvmConfig, objectives: list[str]):
        super().__init__()
        unknown = sorted(set(objectives) - set(OBJECTIVES))
        if unknown or not objectives:
            raise ValueError(f"objectives must be some of {sorted(OBJECTIVES)}, got {sorted(objectives)}.")
        self.models = nn.ModuleDict({name: OBJECTIVES[name].model_class(config) for name in objectives})
        encoder = GalvmModel(config, use_mask="masked" in objectives)
        for model in self.models.values():
            model.galvm = encoder

    def forward(self, objective: str, batch: Batch) -> torch.Tensor:
        """The loss of one objective on its batch, a scalar."""
        return self.models[objective](**batch).loss

    def checkpoint(self) -> dict[str, torch.Tensor]:
        """The weights of the encoder and of every head, under the names that the Auto classes look for."""
        return {key: value for model in self.models.values() for key, value in model.state_dict().items()}
