"""The Moffat PSF: its transform, against PSFs that are drawn and summed pixel by pixel."""

import numpy as np
import pytest
import torch

from galvm_hf.data.psf import moffat_at, moffat_radius, moffat_transfer

BETAS = (2.5, 3.0, 3.5, 4.765)


def draw_psf(fwhm, beta, reach):
    """A Moffat PSF of unit sum at pixel centres, and its distances from the centre along an axis."""
    along = np.arange(-reach, reach + 1.0)
    psf = (1 + (along[:, None] ** 2 + along**2) / (fwhm / 2) ** 2 * (2 ** (1 / beta) - 1)) ** -beta
    return psf / psf.sum(), along


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("fwhm", [2.0, 4.5, 8.0])
def test_transform_is_that_of_a_sampled_psf(fwhm, beta):
    psf, along = draw_psf(fwhm, beta, reach=500)
    y, x = torch.linspace(-0.5, 0.5, 21), torch.linspace(0, 0.5, 14)
    waves_y, waves_x = (np.cos(2 * np.pi * frequencies.double().numpy()[:, None] * along) for frequencies in (y, x))
    # the wings that are left out here are the tolerance's larger part for the smallest beta
    beyond = (1 + (500 / moffat_radius(fwhm, beta)) ** 2) ** (1 - beta)
    np.testing.assert_allclose(moffat_at(torch.tensor(fwhm), y, x, beta), waves_y @ psf @ waves_x.T, atol=3e-5 + beyond)


def test_image_of_a_point_is_the_kernel_of_astropy():
    convolution = pytest.importorskip("astropy.convolution")
    side, fwhm, beta = 161, 3.0, 3.5
    psf = torch.fft.fftshift(
        torch.fft.irfft2(moffat_transfer(torch.tensor(fwhm), (side, side), beta=beta), s=2 * [side])
    )
    kernel = convolution.Moffat2DKernel(moffat_radius(fwhm, beta), beta, x_size=side, y_size=side)
    kernel.normalize()
    np.testing.assert_allclose(psf, kernel.array, atol=1e-6)
    np.testing.assert_allclose(psf[80, 60:101], kernel.array[80, 60:101], rtol=0.01)


def test_transfer_takes_any_batch_shape_and_units():
    fwhm = torch.tensor([[1.0, 2.0, 3.0], [1.5, 2.5, 3.5]])
    transfer = moffat_transfer(fwhm, (20, 31), pixel_scale=0.5)
    assert transfer.shape == (2, 3, 20, 16)
    assert transfer.dtype == torch.float32
    torch.testing.assert_close(transfer[1, 2], moffat_transfer(torch.tensor(7.0), (20, 31)))
    np.testing.assert_allclose(transfer[..., 0, 0], 1, atol=1e-6)


def test_lower_precision_of_matrix_products_does_not_reach_it():
    fwhm, expected = torch.tensor([2.0, 8.0]), moffat_transfer(torch.tensor([2.0, 8.0]), (16, 16))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(moffat_transfer(fwhm, (16, 16)), expected)


@pytest.mark.parametrize("beta", [1.0, 0.5, float("nan")])
def test_a_psf_without_finite_flux_is_refused(beta):
    with pytest.raises(ValueError, match=rf"above 1, got {beta}"):
        moffat_transfer(torch.tensor(3.0), (8, 8), beta=beta)
