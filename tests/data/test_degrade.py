"""Degradations: the seeing, noise and masks that were asked for, measured."""

import numpy as np
import pytest
import torch

from galvm_hf.data.degrade import MASK_RATIO_RANGE, NOISE_RANGE, PATCH_SIZES, blur, blur_and_noise, patch_mask
from galvm_hf.data.psf import moffat_transfer

FWHMS = (2.0, 3.0, 4.5, 6.0, 8.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def point_sources(number, size):
    images = torch.zeros(number, 3, *size)
    images[..., size[0] // 2, size[1] // 2] = 1
    return images


def fit_moffat(image):
    """FWHM in px, centre (y, x) and beta of the Moffat profile that fits an image [H, W] best."""
    modeling = pytest.importorskip("astropy.modeling")
    pytest.importorskip("scipy")
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    peak = np.unravel_index(image.argmax(), image.shape)
    start = modeling.models.Moffat2D(image.max(), peak[1], peak[0], 3.0, 2.5)
    found = modeling.fitting.TRFLSQFitter()(start, x, y, image, maxiter=500)
    return found.fwhm, (found.y_0.value, found.x_0.value), found.alpha.value


@pytest.mark.parametrize("size", [(64, 64), (48, 81)])
@pytest.mark.parametrize("beta", [3.0, 4.765])
def test_a_point_source_gets_the_width_and_the_wings_asked_for(size, beta):
    blurred = blur(point_sources(len(FWHMS), size), torch.tensor(FWHMS), beta).double().numpy()
    for image, fwhm in zip(blurred, FWHMS, strict=True):
        measured, centre, power = fit_moffat(image[1])
        assert measured == pytest.approx(fwhm, rel=0.02)
        assert power == pytest.approx(beta, rel=0.05)
        assert centre == pytest.approx((size[0] // 2, size[1] // 2), abs=0.01)
        np.testing.assert_allclose(image[0], image[2], atol=1e-6)


def test_flux_is_conserved():
    images = point_sources(len(FWHMS), (256, 256))  # px, wide enough for the wings of the widest
    total = blur(images, torch.tensor(FWHMS)).sum(dim=(-2, -1))
    np.testing.assert_allclose(total, 1, atol=1e-4)


def test_an_even_sky_stays_even_to_the_edge():
    np.testing.assert_allclose(blur(torch.full((2, 3, 40, 24), 0.3), torch.tensor([2.0, 8.0])), 0.3, atol=1e-6)


def test_light_does_not_wrap_around_to_the_other_side():
    images = torch.zeros(1, 1, 64, 64)
    images[..., 32, 0] = 1
    blurred = blur(images, torch.tensor([8.0]))[0, 0]
    assert blurred[:, -8:].max() < 1e-2 * blurred[:, 8:16].max()


def test_transfer_takes_any_batch_shape_and_units():
    fwhm = torch.tensor([[1.0, 2.0, 3.0], [1.5, 2.5, 3.5]])
    transfer = moffat_transfer(fwhm, (20, 31), pixel_scale=0.5)
    assert transfer.shape == (2, 3, 20, 16)
    torch.testing.assert_close(transfer[1, 2], moffat_transfer(torch.tensor(7.0), (20, 31)))
    np.testing.assert_allclose(transfer[..., 0, 0].abs(), 1, atol=1e-6)


def noise_of(images, seed=0):
    """The noise that `blur_and_noise` adds to even images, whose blur changes nothing."""
    return (blur_and_noise(images, seeded(seed)) - images).double()


def test_noise_has_deviations_from_the_whole_range():
    deviation = noise_of(torch.full((200, 3, 32, 32), 0.5)).std(dim=(1, 2, 3))
    low, high = NOISE_RANGE
    assert deviation.min() > 0.95 * low
    assert deviation.max() < 1.05 * high
    np.testing.assert_allclose(deviation.mean(), (low + high) / 2, rtol=0.08)
    np.testing.assert_allclose(deviation.std(), (high - low) / 12**0.5, rtol=0.12)


def test_noise_is_white_and_normal():
    noise = noise_of(torch.full((64, 3, 64, 64), 0.5))
    noise = noise / noise.std(dim=(1, 2, 3), keepdim=True)
    assert noise.mean().abs() < 5e-3
    assert (noise**4).mean() == pytest.approx(3, abs=0.03)
    # power at every spatial frequency, over 192 planes: flat to its own scatter of one part in sqrt(192)
    power = torch.fft.fft2(noise).abs().square().mean(dim=(0, 1)) / 64**2
    assert power.mean() == pytest.approx(1, abs=0.01)
    assert power.std() < 1.5 / 192**0.5
    rings = torch.fft.fftfreq(64)[:, None].hypot(torch.fft.fftfreq(64)).mul(20).long()
    for ring in range(10):
        assert power[rings == ring].mean() == pytest.approx(1, abs=0.03)
    # neighbouring pixels, and the bands of one pixel, know nothing of one another
    for shift in ((0, 1), (1, 0), (1, 1), (0, 5)):
        assert (noise * noise.roll(shift, dims=(-2, -1))).mean().abs() < 5e-3
    assert (noise[:, 0] * noise[:, 1]).mean().abs() < 8e-3


def test_degraded_images_are_display_images_of_a_seeing_in_range():
    images = point_sources(40, (64, 64))
    degraded = blur_and_noise(images, seeded())
    assert degraded.shape == images.shape
    assert degraded.dtype == torch.float32
    assert degraded.min() >= 0
    assert degraded.max() <= 1
    peaks = blur(images[:2], torch.tensor([8.0, 2.0]))[:, 0, 32, 32]
    spare = 5 * NOISE_RANGE[1]
    assert degraded[:, :, 32, 32].min() > peaks[0] - spare
    assert degraded[:, :, 32, 32].max() < peaks[1] + spare


@pytest.fixture(scope="module")
def masks():
    return patch_mask(300, (64, 128), seeded())


def patch_size(mask):
    """Largest of the patch sizes whose grid a mask [H, W] follows."""
    for patch in reversed(PATCH_SIZES):
        grid = mask[::patch, ::patch]
        if torch.equal(grid.repeat_interleave(patch, 0).repeat_interleave(patch, 1), mask):
            return patch
    raise AssertionError("the mask is not made of patches")


def test_masks_are_of_patches_of_every_size(masks):
    assert masks.shape == (300, 64, 128)
    assert masks.dtype == torch.bool
    counts = {patch: 0 for patch in PATCH_SIZES}
    for mask in masks:
        counts[patch_size(mask)] += 1
    assert min(counts.values()) > 70  # of the 100 expected


def test_masks_hide_shares_from_the_whole_range(masks):
    share = masks.float().mean(dim=(1, 2))
    low, high = MASK_RATIO_RANGE
    half_patch = 0.5 * PATCH_SIZES[-1] ** 2 / (64 * 128)
    assert low <= share.min() < 0.03
    assert 0.66 < share.max() <= high + half_patch
    assert share.mean() == pytest.approx((low + high) / 2, abs=0.03)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_masks_hide_exactly_the_share_asked_for(share):
    masks = patch_mask(30, (64, 64), seeded(), ratio_range=(share, share))
    np.testing.assert_allclose(masks.float().mean(dim=(1, 2)), share)


def test_masks_favour_no_place():
    hidden = patch_mask(2000, (32, 32), seeded(), ratio_range=(0.5, 0.5)).float().mean(dim=0)
    np.testing.assert_allclose(hidden, 0.5, atol=0.06)


@pytest.mark.parametrize("size", [(60, 64), (64, 72)])
def test_masks_that_do_not_fit_are_refused(size):
    with pytest.raises(ValueError, match=rf"divisible by 16 px, got \({size[0]}, {size[1]}\)"):
        patch_mask(2, size, seeded())


@pytest.mark.parametrize(
    "draw",
    [
        lambda generator: blur_and_noise(point_sources(4, (32, 32)) + 0.2, generator),
        lambda generator: patch_mask(4, (32, 32), generator),
    ],
)
def test_a_seed_gives_the_same_again(draw):
    assert torch.equal(draw(seeded(1)), draw(seeded(1)))
    assert not torch.equal(draw(seeded(1)), draw(seeded(2)))
    generator = seeded(1)
    assert not torch.equal(draw(generator), draw(generator))
    # nothing comes from the global generator
    torch.manual_seed(0)
    before = draw(seeded(1))
    torch.manual_seed(1)
    assert torch.equal(draw(seeded(1)), before)
