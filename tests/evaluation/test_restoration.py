"""Restoration measured, beside smoothing and the Wiener filter."""

import numpy as np
import pytest
import torch

from galvm_hf import GalvmForImageRestoration
from galvm_hf.data.degrade import blur, blur_and_noise
from galvm_hf.data.simulate import simulate_galaxies
from galvm_hf.evaluation.images import load_images
from galvm_hf.evaluation.restoration import (
    choose_smoothing,
    degrade_images,
    measure_restoration,
    psnr,
    restore_classically,
    run_model,
    signal_power,
    smooth,
    ssim,
    wiener,
)
from galvm_hf.image_transforms_galvm import flux_to_display

pytest.importorskip("torchmetrics")


def galaxies(number, seed):
    flux = simulate_galaxies(number, torch.Generator().manual_seed(seed), size=64).flux
    return torch.from_numpy(flux_to_display(flux.numpy()))


@pytest.fixture(scope="module")
def training():
    return galaxies(24, 0)


@pytest.fixture(scope="module")
def images():
    return degrade_images(galaxies(16, 1), seed=2)


def test_the_degradation_is_that_of_training(images):
    assert torch.equal(images.degraded, blur_and_noise(images.sharp, torch.Generator().manual_seed(2)))
    assert 2 <= images.fwhm.min() < images.fwhm.max() <= 8
    assert 1 <= 255 * images.noise.min() < 255 * images.noise.max() <= 15


def test_psnr_and_ssim_have_known_values():
    sharp = torch.rand(2, 3, 32, 32)
    shifted = sharp.clone()
    shifted[1] += 0.1
    assert psnr(shifted, sharp)[1].item() == pytest.approx(20, abs=1e-3)
    assert psnr(shifted, sharp)[0].item() >= 100
    assert ssim(sharp, sharp).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert ssim(torch.rand(2, 3, 32, 32), sharp).max() < 0.2


def test_ssim_does_not_depend_on_the_batch():
    sharp, other = torch.rand(2, 34, 3, 32, 32)
    assert torch.allclose(ssim(other, sharp)[33:], ssim(other[33:], sharp[33:]), atol=1e-6)


def test_smoothing_is_a_gaussian():
    point = torch.zeros(1, 3, 65, 65)
    point[..., 32, 32] = 1
    y, x = np.mgrid[:65, :65] - 32
    expected = np.exp(-(x**2 + y**2) / (2 * 2.0**2)) / (2 * np.pi * 2.0**2)
    assert np.allclose(smooth(point, 2.0)[0, 0], expected, atol=1e-6)
    even = torch.full((1, 3, 32, 48), 0.3)
    assert torch.allclose(smooth(even, 5.0), even, atol=1e-5)


def test_more_noise_asks_for_more_smoothing(training):
    images = degrade_images(training)
    noise = torch.randn(images.sharp.shape, generator=torch.Generator().manual_seed(3))
    quiet, noisy = (
        type(images)(images.sharp, images.sharp + s * noise, images.fwhm, images.noise) for s in (0.01, 0.1)
    )
    assert choose_smoothing(quiet) < choose_smoothing(noisy)


def test_wiener_without_noise_undoes_the_blur(training):
    fwhm = torch.full((24,), 3.0)
    blurred = blur(training, fwhm)
    restored = wiener(blurred, signal_power(training), fwhm, torch.full((24,), 1e-4))
    assert psnr(restored, training).mean() > psnr(blurred, training).mean() + 10


def test_each_classical_method_is_better_than_the_one_before(images, training):
    results = [measure_restoration(images, result) for result in restore_classically(images, training).values()]
    degraded, smoothed, wiener_ = (result.estimates()["psnr"].value for result in results)
    assert degraded + 1 < smoothed < wiener_
    assert results[0].estimates()["ssim"].number == 16
    assert list(restore_classically(images, None)) == ["degraded"]


def test_what_leaves_the_display_range_is_clipped(images):
    assert measure_restoration(images, images.sharp.where(images.sharp > 0, -5.0)).psnr.min() > 100


def test_a_model_is_run_in_batches(images, small_config):
    torch.manual_seed(0)
    model = GalvmForImageRestoration(small_config)
    restored = run_model(model, images.degraded[:5], batch_size=2)
    assert restored.shape == (5, 3, 64, 64)
    assert torch.allclose(restored[4:], run_model(model, images.degraded[4:5]), atol=1e-5)
    assert not model.training


def test_yardsticks_on_real_galaxies(galvm_data):
    """What all 490 test galaxies give is 30.3, 34.2 and 35.9 dB; these are the first of them."""
    pytest.importorskip("pyarrow")
    folder = galvm_data / "sdss-galaxy-zoo-1"
    tested = load_images([folder / "test-00000-of-00001.parquet"], number=64)
    training = load_images([folder / "train-00000-of-00001.parquet"], number=64)
    images = degrade_images(tested.pixels)
    results = [measure_restoration(images, result) for result in restore_classically(images, training.pixels).values()]
    assert [result.psnr.mean().item() for result in results] == pytest.approx([30.3, 34.2, 35.9], abs=0.8)
