"""Tasks whose answer is an image: the pre-training objectives, and the paper's restoration and inpainting.

They learn from parts of a stamp, at its own pixel scale.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch

from ...data.degrade import PATCH_SIZES, blur_and_noise, patch_mask
from ...image_transforms_galvm import BANDS
from ...modeling_galvm import (
    GalvmForImageRestoration,
    GalvmForMaskedImageModeling,
    GalvmForPreTraining,
    GalvmPreTrainedModel,
)
from ..data import Samples
from .base import Batch, Task, Values

SMALLEST = 1e-12  # squared error, so that a perfect image has a PSNR


class Autoencoding(Task):
    """Reproduce the input: the paper's pre-training (its section 2.2). The metric is the PSNR of each galaxy."""

    model_class: ClassVar[type[GalvmPreTrainedModel]] = GalvmForPreTraining

    def make_batch(self, samples: Samples, image_size: int, generators: Sequence[torch.Generator]) -> Batch:
        return {"pixel_values": crop_at_random(samples["pixel_values"], image_size, generators)}

    def measure(self, model: GalvmPreTrainedModel, batch: Batch) -> Values:
        """Mean squared error of each galaxy, display range, `[B]`."""
        target = batch.get("labels", batch["pixel_values"])
        return {"mse": (model(**batch).reconstruction.float() - target).square().mean((1, 2, 3))}

    def score(self, values: Values) -> dict[str, float]:
        """The mean over galaxies of the PSNR (dB, peak 1) and of the squared error, which is the task's `error`."""
        mse = values["mse"].double()
        return {"error": mse.mean().item(), "psnr": (-10 * mse.clamp(min=SMALLEST).log10()).mean().item()}


class Denoising(Autoencoding):
    """Undo a blur and noise drawn for each image."""

    def make_batch(self, samples: Samples, image_size: int, generators: Sequence[torch.Generator]) -> Batch:
        images = crop_at_random(samples["pixel_values"], image_size, generators)
        return {"pixel_values": blur_and_noise(images, generators), "labels": images}


class Restoration(Denoising):
    """The same with a head of its own: the paper's restoration (section 3.2)."""

    model_class = GalvmForImageRestoration


class Masking(Task):
    """Reconstruct hidden patches."""

    model_class: ClassVar[type[GalvmPreTrainedModel]] = GalvmForPreTraining

    def make_batch(self, samples: Samples, image_size: int, generators: Sequence[torch.Generator]) -> Batch:
        images = crop_at_random(samples["pixel_values"], image_size, generators)
        return {"pixel_values": images, "bool_masked_pos": patch_mask(len(images), images.shape[-2:], generators)}

    def terms(self, batch: Batch) -> torch.Tensor:
        """The number of hidden values, which the loss is a mean over."""
        return batch["bool_masked_pos"].sum().float() * len(BANDS)

    def measure(self, model: GalvmPreTrainedModel, batch: Batch) -> Values:
        """Sum of squared errors and number of hidden values of each galaxy, `[B]`."""
        error = (model(**batch).reconstruction.float() - batch["pixel_values"]).square()
        hidden = batch["bool_masked_pos"]
        return {
            "squared_error": error.masked_fill(~hidden[:, None], 0.0).sum((1, 2, 3)),
            "hidden": hidden.sum((1, 2)).float() * error.shape[1],
        }

    def score(self, values: Values) -> dict[str, float]:
        """The mean squared error over all hidden values, and the PSNR that belongs to it (dB, peak 1)."""
        hidden = values["hidden"].double().sum().clamp(min=1)
        error = (values["squared_error"].double().sum() / hidden).clamp(min=SMALLEST)
        return {"error": error.item(), "psnr": -10 * error.log10().item()}


class Inpainting(Masking):
    """The same with a head of its own: the paper's inpainting (section 3.3)."""

    model_class = GalvmForMaskedImageModeling


def crop_at_random(images: torch.Tensor, size: int, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """A square of `size` px of each image `[B, C, H, W]`, at a place drawn for each, in steps of 4 px."""
    if images.shape[-1] == size:
        return images
    # whole tokens, and whole smallest patches, lie in a part as they do in the whole
    steps = (images.shape[-1] - size) // PATCH_SIZES[0] + 1
    parts = []
    for image, generator in zip(images, generators, strict=True):
        top, left = (PATCH_SIZES[0] * torch.randint(steps, (2,), generator=generator, device=generator.device)).tolist()
        parts.append(image[:, top : top + size, left : left + size])
    return torch.stack(parts)
