"""Inpainting: squared error over hidden pixels for each galaxy, one patch size at a time, beside OpenCV's methods."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..data.degrade import MASK_RATIO_RANGE
from .intervals import Estimate, estimate_mean, estimate_ratio

OPENCV_RADII = (1, 2, 3, 5, 8)  # px, to choose from
RADIUS_IMAGES = 64  # to choose on: OpenCV is slow
DEFAULT_RADIUS = 3

OpenCVMethod = Literal["Navier-Stokes", "Telea"]


@dataclass(frozen=True)
class MaskedImages:
    """Images and what of them is hidden.

    Attributes:
        complete: Display images in [0, 1], `[N, 3, H, W]`.
        mask: True where hidden, bool, `[N, H, W]`; at least one patch of each.
    """

    complete: Tensor
    mask: Tensor

    @property
    def visible(self) -> Tensor:
        """The images with zeros where they are hidden, `[N, 3, H, W]`: all that a method is given."""
        return self.complete.masked_fill(self.mask[:, None], 0.0)


def hide_patches(complete: Tensor, patch: int, seed: int = 0) -> MaskedImages:
    """Hide square patches of one size, a share of each image drawn from the range of training.

    Args:
        complete: Display images, `[N, 3, H, W]`.
        patch: Height and width of a patch in px.
        seed: Of the draws.

    Raises:
        ValueError: If patches of that size do not fill the images.
    """
    number, _, height, width = complete.shape
    if patch < 1 or height % patch or width % patch:
        raise ValueError(f"Patches of {patch} px do not divide images of {height} x {width} px. Take 4, 8 or 16.")
    generator = torch.Generator().manual_seed(seed)
    rows, columns = height // patch, width // patch
    low, high = MASK_RATIO_RANGE
    share = low + (high - low) * torch.rand(number, 1, generator=generator)
    # an image with nothing hidden has no error to measure
    hidden = (share * rows * columns).round().clamp(min=1)
    rank = torch.rand(number, rows * columns, generator=generator).argsort(1).argsort(1)
    mask = (rank < hidden).view(number, rows, columns)
    return MaskedImages(complete, mask.repeat_interleave(patch, 1).repeat_interleave(patch, 2))


def fill_with_mean(images: MaskedImages) -> Tensor:
    """Each band's mean over what is visible of it, `[N, 3, H, W]`."""
    seen = ~images.mask[:, None]
    mean = images.visible.sum((2, 3), keepdim=True) / seen.sum((2, 3), keepdim=True)
    return torch.where(seen, images.complete, mean)


def fill_by_opencv(images: MaskedImages, method: OpenCVMethod, radius: int = DEFAULT_RADIUS) -> Tensor:
    """`cv2.inpaint` on 8-bit pictures: Navier-Stokes (Bertalmio et al. 2001) or Telea (2004), `[N, 3, H, W]`."""
    import cv2

    flag = {"Navier-Stokes": cv2.INPAINT_NS, "Telea": cv2.INPAINT_TELEA}[method]
    pictures = (images.visible * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    filled = [
        cv2.inpaint(picture, hidden, radius, flag)
        for picture, hidden in zip(pictures, images.mask.byte().numpy(), strict=True)
    ]
    return torch.from_numpy(np.stack(filled)).permute(0, 3, 1, 2).float() / 255


def choose_radius(training: MaskedImages, method: OpenCVMethod, radii: Sequence[int] = OPENCV_RADII) -> int:
    """The radius, in px, that fills training images best. Never choose it on images to test on."""
    return min(radii, key=lambda radius: hidden_error(training, fill_by_opencv(training, method, radius)).mean().item())


@torch.inference_mode()
def fill_by_model(images: MaskedImages, model: nn.Module, batch_size: int = 32) -> Tensor:
    """Fill by a `GalvmForMaskedImageModeling`, which gets zeros in place of hidden pixels: `[N, 3, H, W]`, float32."""
    parameter = next(model.parameters())
    model.eval()
    parts = []
    for visible, mask in zip(images.visible.split(batch_size), images.mask.split(batch_size), strict=True):
        outputs = model(visible.to(parameter.device, parameter.dtype), bool_masked_pos=mask.to(parameter.device))
        parts.append(outputs.reconstruction.float().cpu())
    return torch.cat(parts)


def hidden_error(images: MaskedImages, filled: Tensor) -> Tensor:
    """Mean squared error over the hidden pixels of each image, of what lies in the display range, `[N]`."""
    squared = (filled.clamp(0, 1) - images.complete).square().mean(1).masked_fill(~images.mask, 0.0)
    return squared.sum((1, 2)) / images.mask.sum((1, 2))


@dataclass(frozen=True)
class InpaintingResult:
    """Errors of every method at one patch size, on the same masks.

    Attributes:
        patch: Height and width of a patch in px.
        errors: Squared error over hidden pixels, mean of each galaxy, `[N]`, by the name of the method.
        reference: The method that the others are compared with.
    """

    patch: int
    errors: dict[str, Tensor]
    reference: str

    def estimates(self) -> dict[str, dict[str, Estimate]]:
        """By method, `mse`, and its `ratio` to that of the reference on the same galaxies."""
        reference = self.errors[self.reference].numpy()
        return {
            name: {"mse": estimate_mean(error.numpy()), "ratio": estimate_ratio(error.numpy(), reference)}
            for name, error in self.errors.items()
        }


def measure_inpainting(
    complete: Tensor,
    patch: int,
    methods: dict[str, Callable[[MaskedImages], Tensor]],
    training: Tensor | None = None,
    seed: int = 0,
) -> InpaintingResult:
    """Measure methods at one patch size, beside filling with the mean and OpenCV's, on the same masks.

    Args:
        complete: Images to test on, `[N, 3, H, W]`.
        patch: Height and width of a patch in px.
        methods: By name, what fills `MaskedImages`: `[N, 3, H, W]`.
        training: Images `[M, 3, H, W]` to choose OpenCV's radius on, the first 64; without them it is 3 px.
        seed: Of the masks.
    """
    images = hide_patches(complete, patch, seed)
    held_out = None if training is None else hide_patches(training[:RADIUS_IMAGES], patch, seed + 1)
    errors = {name: hidden_error(images, method(images)) for name, method in methods.items()}
    opencv = {}
    for method in ("Navier-Stokes", "Telea"):
        radius = DEFAULT_RADIUS if held_out is None else choose_radius(held_out, method)
        opencv[method] = f"OpenCV {method}, {radius} px"
        errors[opencv[method]] = hidden_error(images, fill_by_opencv(images, method, radius))
    errors["mean of what is visible"] = hidden_error(images, fill_with_mean(images))
    return InpaintingResult(patch, errors, opencv["Navier-Stokes"])
