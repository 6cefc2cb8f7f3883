"""The point-spread function of a survey: Moffat (1969)."""

import math

import torch
from torch import Tensor

MOFFAT_BETA = 3.5


def moffat_transfer(fwhm: Tensor, size: tuple[int, int], pixel_scale: float = 1.0, beta: float = MOFFAT_BETA) -> Tensor:
    """Fourier transform of a Moffat PSF of unit sum, to multiply `torch.fft.rfft2` of an image [..., H, W] with.

    Args:
        fwhm: Full width at half maximum in arcseconds, [...].
        size: Height and width of the image in pixels.
        pixel_scale: Arcseconds per pixel; with one, `fwhm` is in pixels.
        beta: Power of the wings.

    Returns:
        The transform, complex [..., H, W // 2 + 1].
    """
    width = fwhm[..., None, None] / (2 * math.sqrt(2 ** (1 / beta) - 1))
    # centred on pixel zero, so that nothing is shifted
    y, x = (torch.fft.fftfreq(side, 1 / side, device=fwhm.device) * pixel_scale for side in size)
    psf = (1 + (y[:, None] ** 2 + x**2) / width**2) ** -beta
    return torch.fft.rfft2(psf / psf.sum(dim=(-2, -1), keepdim=True))
