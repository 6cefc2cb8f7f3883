"""What stands between a galaxy and its stamp: the seeing, and the noise of the sky and of the light itself."""

import torch
from torch import Tensor

from ..psf import moffat_transfer
from .draw import Draw
from .survey import (
    NOISE_CORRELATION,
    PIXEL_SCALE,
    PSF_BAND_SCATTER,
    PSF_FWHM,
    PSF_SCATTER,
    SKY_LEVEL,
    SKY_NOISE,
    SKY_SCATTER,
)


def draw_conditions(number: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Seeing and depth of each stamp: `psf_fwhm` in arcsec and `sky`, the noise in nanomaggies a pixel, each [N, 3]."""
    draw, device = Draw(number, generator), generator.device
    seeing = draw.normal(1.0, PSF_SCATTER, 1).clamp(0.8, 1.35)
    return {
        "psf_fwhm": torch.tensor(PSF_FWHM, device=device) * (seeing + draw.normal(0.0, PSF_BAND_SCATTER, 3)),
        "sky": torch.tensor(SKY_NOISE, device=device) * draw.normal(0.0, SKY_SCATTER, 1).exp(),
    }


def observe(surface_flux: Tensor, psf_fwhm: Tensor, sky: Tensor, generator: torch.Generator) -> Tensor:
    """Blur with the PSF and add noise: that of the sky, correlated between pixels, more where sources add light.

    The blur is circular: render some pixels more than needed on each side, and cut them off afterwards.

    Args:
        surface_flux: Nanomaggies a pixel, [B, 3, H, W], without noise, pixels of 0.262 arcsec.
        psf_fwhm: Full width at half maximum of the Moffat PSF in arcsec, [B, 3].
        sky: Standard deviation of a pixel's noise where there is only sky, in nanomaggies, [B, 3].
        generator: Source of the noise.

    Returns:
        Nanomaggies a pixel, [B, 3, H, W].
    """
    size, device = surface_flux.shape[-2:], surface_flux.device
    image = blur(surface_flux, psf_fwhm)
    white = torch.randn(image.shape, generator=generator, device=device)
    noise = torch.fft.irfft2(torch.fft.rfft2(white) * noise_transfer(size).to(device), s=size)
    level = torch.tensor(SKY_LEVEL, device=device)[:, None, None]
    return image + noise * sky[..., None, None] * (1 + image.clamp(min=0) / level).sqrt_()


def blur(surface_flux: Tensor, psf_fwhm: Tensor) -> Tensor:
    """Convolve images [B, 3, H, W] circularly with Moffat PSFs of that width in arcsec, [B, 3]."""
    size = surface_flux.shape[-2:]
    transfer = moffat_transfer(psf_fwhm, size, PIXEL_SCALE)
    return torch.fft.irfft2(torch.fft.rfft2(surface_flux) * transfer, s=size)


def noise_transfer(size: tuple[int, int]) -> Tensor:
    """Amplitude of the noise by frequency, [H, W // 2 + 1], with a mean power of one."""
    powers = []
    for side, frequencies in zip(size, (torch.fft.fftfreq(size[0]), torch.fft.rfftfreq(size[1])), strict=True):
        lags = torch.arange(1, len(NOISE_CORRELATION) + 1)[: max(side // 2, 0)]
        waves = torch.cos(2 * torch.pi * frequencies[:, None] * lags)
        powers.append(1 + 2 * waves @ torch.tensor(NOISE_CORRELATION)[: len(lags)])
    return (powers[0][:, None] * powers[1]).clamp(min=0).sqrt()
