"""Degradations of display images, batched and seeded: what restoration and inpainting learn to undo.

The ranges are the paper's (Fu et al. 2024, section 3): Moffat PSFs of 2 to 8 px FWHM, Gaussian noise of standard
deviation 1 to 15 on the 0 to 255 scale, and square patches of 4, 8 or 16 px that hide 0 to 70 % of the image.
"""

import torch
from torch.nn import functional as F

from .psf import moffat_transfer

FWHM_RANGE = (2.0, 8.0)
NOISE_RANGE = (1.0 / 255, 15.0 / 255)
PATCH_SIZES = (4, 8, 16)
MASK_RATIO_RANGE = (0.0, 0.7)
MARGIN = 32  # pixels of reflection around an image, so that the circular convolution does not wrap into it


def _uniform(number: int, bounds: tuple[float, float], generator: torch.Generator) -> torch.Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(number, generator=generator, device=generator.device)


def blur(images: torch.Tensor, fwhm: torch.Tensor, beta: float = 3.0) -> torch.Tensor:
    """Convolve each image with a Moffat PSF of its own; the image goes on beyond its edges by reflection.

    Args:
        images: `[B, C, H, W]`.
        fwhm: Of each PSF, in px, `[B]`.
        beta: Power of the wings (Moffat 1969).

    Returns:
        Blurred images, `[B, C, H, W]`.
    """
    height, width = images.shape[-2:]
    margin = min(MARGIN, height - 1, width - 1)
    padded = F.pad(images, (margin, margin, margin, margin), mode="reflect")
    frame = padded.shape[-2:]
    transfer = moffat_transfer(fwhm, frame, beta=beta)[:, None]
    blurred = torch.fft.irfft2(torch.fft.rfft2(padded) * transfer, s=frame)
    return blurred[..., margin : margin + height, margin : margin + width]


def blur_and_noise(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blur and add noise, each of a strength drawn for each image.

    Args:
        images: Display images in [0, 1], `[B, C, H, W]`.
        generator: Source of all randomness, on the device of `images`.

    Returns:
        Degraded images in [0, 1], `[B, C, H, W]`.
    """
    blurred = blur(images, _uniform(len(images), FWHM_RANGE, generator))
    sigma = _uniform(len(images), NOISE_RANGE, generator)[:, None, None, None]
    noise = torch.randn(images.shape, generator=generator, device=generator.device)
    return (blurred + sigma * noise).clamp(0, 1)


def patch_mask(
    number: int,
    size: tuple[int, int],
    generator: torch.Generator,
    ratio_range: tuple[float, float] = MASK_RATIO_RANGE,
) -> torch.Tensor:
    """Masks of square patches, patch size and hidden share drawn for each image.

    Args:
        number: Number of masks, B.
        size: Height and width of the images, in px; the patch sizes must divide them.
        generator: Source of all randomness.
        ratio_range: Smallest and largest share of the image that is hidden.

    Returns:
        True where hidden, bool, `[B, H, W]`.

    Raises:
        ValueError: If a patch size does not divide the image.
    """
    height, width = size
    if height % PATCH_SIZES[-1] or width % PATCH_SIZES[-1]:
        raise ValueError(f"Patch masks need height and width divisible by {PATCH_SIZES[-1]} px, got {size}.")
    ratio = _uniform(number, ratio_range, generator)[:, None]
    choice = torch.randint(len(PATCH_SIZES), (number,), generator=generator, device=generator.device)
    masks = []
    for patch in PATCH_SIZES:
        grid = (height // patch, width // patch)
        score = torch.rand(number, grid[0] * grid[1], generator=generator, device=generator.device)
        hidden = score.argsort(1).argsort(1) < (ratio * score.shape[1]).round()
        masks.append(hidden.view(-1, *grid).repeat_interleave(patch, 1).repeat_interleave(patch, 2))
    return torch.stack(masks)[choice, torch.arange(number, device=generator.device)]
