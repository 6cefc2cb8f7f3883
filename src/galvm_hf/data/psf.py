"""The point-spread function of a survey: Moffat (1969), (1 + r² / a²)^-beta.

A Moffat profile is a mixture of Gaussians of all widths, weighted by a Gamma distribution. The Fourier transform of a
Gaussian is the product of one function of each axis, so that the transform of a PSF is a matrix product over some 20
Gaussians: no PSF is ever drawn, and its wings are cut off nowhere.
"""

import math

import torch
from torch import Tensor

MOFFAT_BETA = 3.5

STEP = 0.5  # between Gaussians, in the logarithm of their inverse variance: the trapezoid rule converges exponentially
SMALLEST = 1e-7  # of the flux; Gaussians with less are left out
ALIASES = (-1, 0, 1)  # a Gaussian sampled at pixels repeats at every whole frequency
LOWEST_EXPONENT = -80.0  # anything smaller is nothing, and numbers that underflow are slow


def moffat_radius(fwhm: Tensor, beta: float = MOFFAT_BETA) -> Tensor:
    """The a of a Moffat profile, in the units of its FWHM."""
    return fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))


def moffat_transfer(fwhm: Tensor, size: tuple[int, int], pixel_scale: float = 1.0, beta: float = MOFFAT_BETA) -> Tensor:
    """Fourier transform of a Moffat PSF of unit sum, to multiply `torch.fft.rfft2` of an image [..., H, W] with.

    Args:
        fwhm: Full width at half maximum in arcseconds, [...].
        size: Height and width of the image in pixels.
        pixel_scale: Arcseconds per pixel; with one, `fwhm` is in pixels.
        beta: Power of the wings.

    Returns:
        The transform, real as the PSF is symmetric, [..., H, W // 2 + 1].

    Raises:
        ValueError: If `beta` is not above 1.
    """
    height, width = size
    y, x = torch.fft.fftfreq(height, device=fwhm.device), torch.fft.rfftfreq(width, device=fwhm.device)
    return moffat_at(fwhm / pixel_scale, y, x, beta)


def moffat_at(fwhm: Tensor, y: Tensor, x: Tensor, beta: float = MOFFAT_BETA) -> Tensor:
    """Fourier transform, at any frequencies, of a Moffat PSF sampled at the centres of pixels without end.

    Args:
        fwhm: Full width at half maximum in px, [...]. From 2 px on, and for `beta` of 2 to 4.8, the transform is
            exact to 3e-5.
        y: Frequencies down the columns, -0.5 to 0.5 cycles per px, [H].
        x: Frequencies along the rows, -0.5 to 0.5 cycles per px, [W].
        beta: Power of the wings.

    Returns:
        The transform at every pair of frequencies, 1 at zero, [..., H, W].

    Raises:
        ValueError: If `beta` is not above 1.
    """
    if not beta > 1:
        raise ValueError(f"The flux of a Moffat PSF is finite only for a beta above 1, got {beta}.")
    cut = -math.log(SMALLEST)
    first, last = -cut / (beta - 1), math.log(cut + (beta - 1) * math.log(cut + beta))
    logarithm = torch.arange(first, last, STEP, device=fwhm.device)
    decay = -((math.pi * moffat_radius(fwhm, beta)[..., None]) ** 2) * (-logarithm).exp()
    share = ((beta - 1) * logarithm - logarithm.exp()).exp()
    # in float64, as no setting for the precision of matrix products (TF32, autocast) reaches it
    along_y, along_x, flux = (_gaussians(decay, f).double() for f in (y, x, torch.zeros_like(x[:1])))
    share = share / (share * flux[..., 0] ** 2).sum(-1, keepdim=True)
    return ((along_y * share[..., None]).mT @ along_x).to(fwhm.dtype)


def _gaussians(decay: Tensor, frequencies: Tensor) -> Tensor:
    """exp(decay f²) with its aliases, for decays [...] and frequencies [N]: [..., N]."""
    return sum((decay[..., None] * (frequencies + k) ** 2).clamp_(min=LOWEST_EXPONENT).exp_() for k in ALIASES)
