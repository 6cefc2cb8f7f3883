"""Restoration of blurred and noisy images: PSNR and SSIM for each galaxy, beside smoothing and a Wiener filter.

The degradation is that of training (`data.degrade.blur_and_noise`), drawn once for each galaxy. The classical filters
are products in the cosine transform, in which the blur is one too, so that edges cost them nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..data.degrade import BETA, FWHM_RANGE, NOISE_RANGE, blur
from ..data.psf import moffat_at
from .intervals import Estimate, estimate_mean

SMOOTHING_SIGMAS = tuple(0.4 + 0.1 * step for step in range(27))  # px


@dataclass(frozen=True)
class DegradedImages:
    """Sharp images and what a bad night makes of them.

    Attributes:
        sharp: Display images in [0, 1], `[N, 3, H, W]`.
        degraded: The same, blurred, with noise, `[N, 3, H, W]`.
        fwhm: Of the Moffat PSF of each, in px, `[N]`.
        noise: Standard deviation of the noise of each, in display units, `[N]`.
    """

    sharp: Tensor
    degraded: Tensor
    fwhm: Tensor
    noise: Tensor


@dataclass(frozen=True)
class RestorationResult:
    """How near restored images come to the sharp ones.

    Attributes:
        psnr: Of each galaxy, in dB, the display range being 1, `[N]`.
        ssim: Of each galaxy, `[N]`.
    """

    psnr: Tensor
    ssim: Tensor

    def estimates(self) -> dict[str, Estimate]:
        """Means over the galaxies: `psnr` and `ssim`."""
        return {"psnr": estimate_mean(self.psnr.numpy()), "ssim": estimate_mean(self.ssim.numpy())}


def degrade_images(sharp: Tensor, seed: int = 0) -> DegradedImages:
    """Blur and add noise, each of a strength drawn for each image in the ranges of training.

    Args:
        sharp: Display images in [0, 1], `[N, 3, H, W]`, on the CPU.
        seed: Of all draws.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(bounds: tuple[float, float]) -> Tensor:
        return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(len(sharp), generator=generator)

    fwhm, noise = draw(FWHM_RANGE), draw(NOISE_RANGE)
    grain = torch.randn(sharp.shape, generator=generator)
    degraded = grain.mul_(noise[:, None, None, None]).add_(blur(sharp, fwhm)).clamp_(0, 1)
    return DegradedImages(sharp, degraded, fwhm, noise)


def psnr(images: Tensor, sharp: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, for the display range [0, 1]: `[N]`."""
    return -10 * (images - sharp).square().flatten(1).mean(1).clamp(min=1e-12).log10()


def ssim(images: Tensor, sharp: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al. 2004), Gaussian window of 11 px, mean over bands: `[N]`."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    parts = zip(images.split(32), sharp.split(32), strict=True)
    return torch.cat(
        [structural_similarity_index_measure(*part, data_range=1.0, reduction="none").reshape(-1) for part in parts]
    )


def smooth(images: Tensor, sigma: float) -> Tensor:
    """Smooth images `[N, C, H, W]` with a Gaussian of `sigma` px."""
    y, x = _frequencies(images)
    return _filter(images, torch.exp(-2 * (math.pi * sigma) ** 2 * (y[:, None] ** 2 + x**2)))


def choose_smoothing(training: DegradedImages, sigmas: Sequence[float] = SMOOTHING_SIGMAS) -> float:
    """The sigma, in px, whose smoothing gives the best mean PSNR. Never choose it on images to test on."""
    return max(sigmas, key=lambda sigma: psnr(smooth(training.degraded, sigma), training.sharp).mean().item())


def signal_power(images: Tensor) -> Tensor:
    """Mean power of sharp images in each cosine coefficient, `[C, H, W]`: what the Wiener filter expects to see."""
    return sum(_cosine_transform(part).square().sum(0) for part in images.split(64)) / len(images)


def wiener(images: Tensor, power: Tensor, fwhm: Tensor, noise: Tensor) -> Tensor:
    """Wiener filter that is told the PSF and the noise of each image, which a camera does not tell.

    Args:
        images: Degraded images, `[N, C, H, W]`.
        power: From `signal_power` of training images, `[C, H, W]`.
        fwhm: Of the Moffat PSF of each image, in px, `[N]`.
        noise: Standard deviation of its noise, in display units, `[N]`.
    """
    restored = []
    for part, width, deviation in zip(images.split(64), fwhm.split(64), noise.split(64), strict=True):
        transfer = moffat_at(width, *_frequencies(images), BETA)[:, None]
        gain = transfer * power / (transfer.square() * power + deviation[:, None, None, None] ** 2)
        restored.append(_filter(part, gain))
    return torch.cat(restored)


@torch.inference_mode()
def run_model(model: nn.Module, images: Tensor, batch_size: int = 32) -> Tensor:
    """Restore images `[N, 3, H, W]` by a model whose output has a `reconstruction`, in float32 on the CPU."""
    parameter = next(model.parameters())
    model.eval()
    parts = (model(part.to(parameter.device, parameter.dtype)).reconstruction for part in images.split(batch_size))
    return torch.cat([part.float().cpu() for part in parts])


def measure_restoration(images: DegradedImages, restored: Tensor) -> RestorationResult:
    """Compare restored images `[N, 3, H, W]`, clipped to the display range, with the sharp ones."""
    restored = restored.clamp(0, 1)
    return RestorationResult(psnr(restored, images.sharp), ssim(restored, images.sharp))


def restore_classically(images: DegradedImages, training: Tensor | None, seed: int = 1) -> dict[str, Tensor]:
    """The degraded images as they are and, given training images `[M, 3, H, W]`, what classical filters make of them.

    Args:
        images: To restore.
        training: What the width of the smoothing and the spectrum of the Wiener filter are chosen on; none gives
            neither.
        seed: Of the degradation of the training images.
    """
    restored = {"degraded": images.degraded}
    if training is not None:
        sigma = choose_smoothing(degrade_images(training, seed))
        restored[f"Gaussian smoothing, {sigma:.1f} px"] = smooth(images.degraded, sigma)
        power = signal_power(training)
        restored["Wiener, told PSF and noise"] = wiener(images.degraded, power, images.fwhm, images.noise)
    return restored


def _frequencies(images: Tensor) -> tuple[Tensor, Tensor]:
    """Of the cosines down the columns, [H], and along the rows, [W], in cycles per px."""
    height, width = images.shape[-2:]
    return torch.arange(height) / (2 * height), torch.arange(width) / (2 * width)


def _cosines(side: int) -> Tensor:
    """Orthonormal cosines (DCT-II), one a row, [side, side]."""
    place, order = torch.arange(side, dtype=torch.float64), torch.arange(side, dtype=torch.float64)
    cosines = torch.cos(math.pi / side * order[:, None] * (place + 0.5)) * math.sqrt(2 / side)
    cosines[0] /= math.sqrt(2)
    return cosines.float()


def _cosine_transform(images: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    return _cosines(height) @ images @ _cosines(width).mT


def _filter(images: Tensor, gain: Tensor) -> Tensor:
    """Multiply the cosine coefficients of images `[N, C, H, W]` with a gain."""
    height, width = images.shape[-2:]
    return _cosines(height).mT @ (_cosine_transform(images) * gain) @ _cosines(width)
