"""Degradations: the seeing, noise, masks, bad lines and stars that were asked for, measured."""

import math

import numpy as np
import pytest
import torch

from galvm_hf import GalvmForMaskedImageModeling
from galvm_hf.data import degrade
from galvm_hf.data.degrade import (
    FWHM_RANGE,
    LINE_NUMBERS,
    LINE_WIDTHS,
    MASK_RATIO_RANGE,
    NOISE_RANGE,
    PATCH_SIZES,
    bad_lines,
    blur,
    blur_and_noise,
    image_generators,
    patch_mask,
    saturated_stars,
    star_light,
)
from galvm_hf.data.psf import moffat_radius

FWHMS = (2.0, 3.0, 4.5, 6.0, 8.0)


def seeded(seed=0, device="cpu"):
    return torch.Generator(device).manual_seed(seed)


def point_sources(number, size, place=None):
    images = torch.zeros(number, 3, *size)
    row, column = place or (size[0] // 2, size[1] // 2)
    images[..., row, column] = 1
    return images


def fit_moffat(image):
    """FWHM in px, centre (y, x) and beta of the Moffat profile that fits an image [H, W] best, out to 20 px."""
    modeling = pytest.importorskip("astropy.modeling")
    pytest.importorskip("scipy")
    peak = np.unravel_index(image.argmax(), image.shape)
    y, x = np.mgrid[tuple(slice(max(at - 20, 0), at + 21) for at in peak)]
    y, x = y[: image.shape[0]], x[: image.shape[0]]
    start = modeling.models.Moffat2D(image.max(), peak[1], peak[0], 3.0, 2.5)
    found = modeling.fitting.TRFLSQFitter()(start, x, y, image[y, x], maxiter=500)
    return found.fwhm, (found.y_0.value, found.x_0.value), found.alpha.value


@pytest.mark.parametrize(("size", "place"), [((64, 64), (32, 32)), ((90, 81), (24, 57))])
@pytest.mark.parametrize("beta", [2.5, 3.0, 4.765])
def test_a_point_source_gets_the_width_and_the_wings_asked_for(size, place, beta):
    blurred = blur(point_sources(len(FWHMS), size, place), torch.tensor(FWHMS), beta).double().numpy()
    for image, fwhm in zip(blurred, FWHMS, strict=True):
        measured, centre, power = fit_moffat(image[1])
        assert measured == pytest.approx(fwhm, rel=0.01)
        assert power == pytest.approx(beta, rel=0.03)
        assert centre == pytest.approx(place, abs=0.01)
        np.testing.assert_allclose(image[0], image[2], atol=1e-6)


@pytest.mark.parametrize("fwhm", FWHMS)
def test_wings_are_not_cut_off(fwhm):
    photutils = pytest.importorskip("photutils.aperture")
    image = blur(point_sources(1, (255, 255)), torch.tensor([fwhm]), beta=3.0)[0, 0].double().numpy()
    radii = np.array([12.0, 24.0, 48.0, 96.0])  # px
    inside = [photutils.CircularAperture((127, 127), radius).do_photometry(image)[0].item() for radius in radii]
    expected = 1 - (1 + (radii / moffat_radius(fwhm, 3.0)) ** 2) ** -2.0
    np.testing.assert_allclose(1 - np.array(inside), 1 - expected, rtol=0.05, atol=2e-5)


@pytest.mark.parametrize("size", [(12, 17), (9, 8), (1, 6)])
@pytest.mark.parametrize("fwhm", [2.0, 5.5])
def test_blur_is_the_convolution_of_the_mirrored_image(size, fwhm):
    signal = pytest.importorskip("scipy.signal")
    images = torch.rand(2, 3, *size, generator=seeded())
    reach = 150
    along = np.arange(-reach, reach + 1.0)
    psf = (1 + (along[:, None] ** 2 + along**2) / moffat_radius(fwhm, 3.5) ** 2) ** -3.5
    mirrored = np.pad(images.double().numpy(), 2 * [(0, 0)] + 2 * [(reach, reach)], mode="symmetric")
    expected = signal.fftconvolve(mirrored, (psf / psf.sum())[None, None], mode="valid", axes=(2, 3))
    np.testing.assert_allclose(blur(images, torch.tensor([fwhm, fwhm]), 3.5), expected, atol=1e-5)


@pytest.mark.parametrize("place", [(32, 32), (0, 0), (3, 63), (60, 20)])
def test_flux_is_conserved_wherever_the_source_is(place):
    total = blur(point_sources(len(FWHMS), (64, 64), place), torch.tensor(FWHMS)).double().sum(dim=(-2, -1))
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_flux_of_real_stamps_is_conserved(galvm_data):
    fits = pytest.importorskip("astropy.io.fits")
    paths = sorted((galvm_data / "legacy-dr10-flux").glob("*.fits"))
    flux = torch.stack([torch.from_numpy(fits.getdata(path).astype(np.float32)) for path in paths])
    blurred = blur(flux, torch.linspace(*FWHM_RANGE, len(flux)))
    np.testing.assert_allclose(blurred.double().sum(dim=(-2, -1)), flux.double().sum(dim=(-2, -1)), rtol=1e-4)
    assert (blurred - flux).abs().max() > 0.1 * flux.max()


def test_each_image_is_blurred_by_itself():
    images, fwhm = torch.rand(23, 3, 160, 128, generator=seeded()), torch.linspace(*FWHM_RANGE, 23)
    assert images.numel() > degrade.CPU_PIXELS
    expected = torch.cat([blur(images[i : i + 1], fwhm[i : i + 1]) for i in range(23)])
    torch.testing.assert_close(blur(images, fwhm), expected, atol=1e-6, rtol=0)


def test_an_even_sky_stays_even_to_the_edge():
    np.testing.assert_allclose(blur(torch.full((2, 3, 40, 24), 0.3), torch.tensor([2.0, 8.0])), 0.3, atol=1e-6)


def test_light_does_not_wrap_around_to_the_other_side():
    blurred = blur(point_sources(1, (64, 64), (32, 0)), torch.tensor([8.0]))[0, 0]
    assert blurred[:, -8:].max() < 1e-3 * blurred[:, :8].max()


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


@pytest.mark.parametrize("sigma", [1.0, 5.0, 15.0])
def test_noise_has_the_deviation_asked_for(monkeypatch, sigma):
    stats = pytest.importorskip("scipy.stats")
    monkeypatch.setattr(degrade, "NOISE_RANGE", (sigma / 255, sigma / 255))
    noise = noise_of(torch.full((8, 3, 64, 64), 0.5)) * 255 / sigma
    # of a sum of n squares of standard normal numbers: in one in a million images it is beyond these
    low, high = stats.chi2.ppf([5e-7, 1 - 5e-7], noise[0].numel())
    squares = noise.square().sum(dim=(1, 2, 3))
    assert low < squares.min()
    assert squares.max() < high
    assert noise.mean().abs() < 5 / noise.numel() ** 0.5


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


def test_shares_hidden_are_uniform():
    stats = pytest.importorskip("scipy.stats")
    share = patch_mask(1500, (128, 128), seeded()).float().mean(dim=(1, 2))
    low, high = MASK_RATIO_RANGE
    assert stats.kstest(share.numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-3


@pytest.mark.parametrize("share", [0.0, 0.137, 0.25, 0.618, 1.0])
def test_masks_hide_the_share_asked_for_to_half_a_patch(share):
    masks = patch_mask(30, (64, 64), seeded(), ratio_range=(share, share))
    for mask in masks:
        half_patch = 0.5 * patch_size(mask) ** 2 / mask.numel()
        assert mask.float().mean().item() == pytest.approx(share, abs=half_patch + 1e-6)


def test_masks_favour_no_place():
    hidden = patch_mask(2000, (32, 32), seeded(), ratio_range=(0.5, 0.5)).float().mean(dim=0)
    np.testing.assert_allclose(hidden, 0.5, atol=0.06)


@pytest.mark.parametrize("size", [(60, 64), (64, 72)])
def test_masks_that_do_not_fit_are_refused(size):
    with pytest.raises(ValueError, match=rf"divisible by 16 px, got \({size[0]}, {size[1]}\)"):
        patch_mask(2, size, seeded())


def runs(line):
    """Lengths of the unbroken runs of true values in a mask [N]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], line.numpy().astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


@pytest.fixture(scope="module")
def lined():
    """Even images with bad lines, the masks, and which rows and columns are bad as a whole."""
    images, masks = bad_lines(torch.full((400, 1, 200, 150), 0.5), seeded())
    return images, masks, masks.all(dim=2), masks.all(dim=1)


def test_bad_lines_cross_the_whole_image(lined):
    images, masks, rows, columns = lined
    assert images.shape == (400, 1, 200, 150)
    assert masks.dtype == torch.bool
    assert torch.equal(masks, rows[:, :, None] | columns[:, None])
    pixels = images[:, 0]
    assert torch.equal(masks, (pixels == 0) | (pixels == 1))
    assert torch.equal(~masks, pixels == 0.5)


def test_bad_lines_are_the_same_in_all_bands():
    images, masks = bad_lines(torch.full((20, 3, 16, 24), 0.5), seeded())
    assert torch.equal(masks[:, None].expand_as(images), images != 0.5)
    assert torch.equal(images[:, :1].expand_as(images), images)


def test_bad_lines_have_numbers_and_widths_from_the_whole_range(lined):
    _, _, rows, columns = lined
    found = [runs(row) + runs(column) for row, column in zip(rows, columns, strict=True)]
    numbers = np.bincount([len(lines) for lines in found], minlength=8)
    assert numbers[0] == numbers[7] == 0
    # of the 67 expected; of six lines, two touch at times and look like one
    assert numbers[LINE_NUMBERS[0] : LINE_NUMBERS[1] + 1].min() > 40
    widths = np.bincount([width for lines in found for width in lines])
    assert widths[0] == 0
    assert widths[: LINE_WIDTHS[1] + 1].sum() > 0.97 * widths.sum()
    np.testing.assert_allclose(widths[1:4] / widths.sum(), 1 / 3, atol=0.05)


def test_bad_lines_are_dead_or_hot_rows_or_columns(lined):
    images, masks, rows, columns = lined
    hot, rows_share = images[:, 0][masks].mean(), rows.sum() / (rows.sum() + columns.sum())
    assert hot == pytest.approx(0.5, abs=0.07)
    assert rows_share == pytest.approx(0.5, abs=0.07)


def test_bad_lines_reach_every_edge():
    _, masks = bad_lines(torch.zeros(2000, 1, 12, 20), seeded())
    for share in (masks.all(dim=2).float().mean(dim=0), masks.all(dim=1).float().mean(dim=0)):
        assert share.min() > 0.4 * share.max()  # a wide line has fewer ways to cover an edge


def test_the_inpainting_model_sees_nothing_of_bad_lines(small_config):
    torch.manual_seed(0)
    model = GalvmForMaskedImageModeling(small_config).eval()
    images = torch.rand(2, 3, 64, 64, generator=seeded())
    spoiled, mask = bad_lines(images, seeded())
    with torch.no_grad():
        filled, expected = (model(pixels, bool_masked_pos=mask).reconstruction for pixels in (spoiled, images))
    assert not torch.equal(spoiled, images)
    torch.testing.assert_close(filled, expected)
    visible = ~mask[:, None].expand_as(images)
    assert torch.equal(filled[visible], images[visible])


@pytest.mark.parametrize("fwhm", [3.0, 5.0, 8.0])
@pytest.mark.parametrize("centre", [(60.0, 60.0), (55.3, 64.8)])
def test_star_light_has_its_width_place_and_spikes(fwhm, centre):
    angle = 0.3
    light = star_light((121, 121), torch.tensor([centre]), *(torch.tensor([v]) for v in (fwhm, 50.0, angle)))[0]
    y, x = (np.arange(121) - at for at in centre)
    radius, turn = np.hypot(y[:, None], x), np.arctan2(y[:, None], x + 0 * y[:, None]) - angle
    between = np.abs(np.sin(2 * turn)) * radius > 6 * np.ones_like(radius)  # far from any spike
    profile = 50 * (1 + (radius / moffat_radius(fwhm, degrade.BETA)) ** 2) ** -degrade.BETA
    assert (light.numpy()[between] >= 0.999 * profile[between]).all()
    near = between & (radius < 2 * fwhm) & (np.abs(np.sin(turn)) * radius > 3.5) & (np.abs(np.cos(turn)) * radius > 3.5)
    np.testing.assert_allclose(light.numpy()[near], profile[near], rtol=0.02)
    saturated = light >= 1
    middle = saturated.nonzero().float().mean(dim=0)
    np.testing.assert_allclose(middle, centre, atol=0.3)
    for quarter in range(4):
        along = angle + quarter * math.pi / 2
        spike, beside = (
            light[round(centre[0] + 40 * math.sin(a)), round(centre[1] + 40 * math.cos(a))]
            for a in (along, along + math.pi / 4)
        )
        assert spike > 5 * beside


@pytest.fixture(scope="module")
def starlit():
    """Stamps with a bright square in a corner, the same with stars, and the masks."""
    images = 0.3 * torch.rand(200, 3, 96, 96, generator=seeded())
    images[..., :8, :8] = 1
    return images, *saturated_stars(images, seeded(1))


def test_stars_are_clipped_at_saturation_and_only_there_hidden(starlit):
    images, starry, masks = starlit
    assert starry.shape == images.shape
    assert masks.shape == (200, 96, 96)
    assert masks.dtype == torch.bool
    brightest = starry.amax(dim=1)
    assert brightest.max() == 1
    assert (brightest[masks] == 1).all()
    assert (starry >= images).all()
    # what is not hidden has all that it had, and more
    assert (starry[~masks[:, None].expand_as(images) & (images < 1)] < 1).all()


def test_every_star_saturates_its_core(starlit):
    _, starry, masks = starlit
    core = (starry == 1).all(dim=1) & masks
    assert core.flatten(1).any(dim=1).all()
    share = masks.float().mean(dim=(1, 2))
    assert share.min() < 0.005
    assert 0.05 < share.max() < 0.5


def test_what_was_saturated_before_is_not_hidden(starlit):
    _, _, masks = starlit
    assert masks[:, :8, :8].float().mean() < 0.1
    _, masks = saturated_stars(torch.ones(50, 3, 96, 96), seeded())
    _, expected = saturated_stars(torch.zeros(50, 3, 96, 96), seeded())
    assert torch.equal(masks, expected)


def test_charge_bleeds_along_columns(monkeypatch):
    dark = torch.zeros(60, 3, 128, 128)

    def extents(length):
        monkeypatch.setattr(degrade, "TRAIL_LENGTH_RANGE", (length, length))
        starry, masks = saturated_stars(dark, seeded())
        return starry, masks.any(dim=2).sum(dim=1), masks.any(dim=1).sum(dim=1), masks

    _, height, width, before = extents(0.0)
    starry, taller, as_wide, masks = extents(6.0)
    assert (taller >= height).all()
    assert taller.float().mean() > 1.5 * height.float().mean()
    assert (as_wide - width).abs().max() <= degrade.TRAIL_WIDTHS[1]
    trail = masks & ~before
    assert (starry.movedim(1, -1)[trail] == 1).all()
    assert trail.any(dim=1).sum(dim=1).max() <= degrade.TRAIL_WIDTHS[1]


SPOIL = {
    "blur and noise": lambda generator: blur_and_noise(
        0.2 + point_sources(4, (32, 32)).to(generator.device), generator
    ),
    "patch mask": lambda generator: patch_mask(4, (32, 32), generator),
    "bad lines": lambda generator: torch.cat(
        [part.flatten() for part in bad_lines(torch.full((4, 3, 32, 32), 0.5, device=generator.device), generator)]
    ),
    "saturated stars": lambda generator: torch.cat(
        [part.flatten() for part in saturated_stars(torch.zeros(4, 3, 32, 32, device=generator.device), generator)]
    ),
}


@pytest.mark.parametrize("draw", SPOIL.values(), ids=SPOIL)
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


EACH = {
    "blur and noise": lambda images, generators: (blur_and_noise(images, generators),),
    "patch mask": lambda images, generators: (patch_mask(len(images), images.shape[-2:], generators),),
    "bad lines": bad_lines,
    "saturated stars": saturated_stars,
}


@pytest.mark.parametrize("spoil", EACH.values(), ids=EACH)
def test_with_a_generator_each_an_image_does_not_depend_on_its_batch(spoil):
    """Not on what else is in it, nor on how it is split over ranks and micro-batches."""
    keys = [(3, 1, index) for index in range(12)]
    images = torch.rand(12, 3, 32, 48, generator=seeded())
    whole = spoil(images, image_generators(keys))
    for size in (1, 5, 7):
        split = zip(images.split(size), (keys[first : first + size] for first in range(0, 12, size)), strict=True)
        parts = [spoil(part, image_generators(own)) for part, own in split]
        for one, other in zip(whole, (torch.cat(part) for part in zip(*parts, strict=True)), strict=True):
            # powers of one number and of many at once differ in the last bit
            torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    order = torch.randperm(12, generator=seeded())
    mixed = spoil(images[order], image_generators([keys[index] for index in order]))
    for one, other in zip(whole, mixed, strict=True):
        torch.testing.assert_close(one[order], other, atol=1e-6, rtol=0)
    assert not torch.equal(whole[-1][0], spoil(images[:1], image_generators([(3, 2, 0)]))[-1][0])


def test_masks_with_a_generator_each_are_of_every_size_and_share():
    masks = patch_mask(1500, (64, 64), image_generators((0, index) for index in range(1500)))
    share = masks.float().mean(dim=(1, 2))
    assert share.min() < 0.02 and share.max() > 0.68
    assert share.mean().item() == pytest.approx(sum(MASK_RATIO_RANGE) / 2, abs=0.02)
    coarse = masks.unflatten(2, (4, 16)).unflatten(1, (4, 16)).float().mean(dim=(2, 4))
    of_large_patches = ((coarse == 0) | (coarse == 1)).all(dim=(1, 2))
    assert 0.3 < of_large_patches.float().mean() < 0.42


@pytest.mark.parametrize("spoil", [EACH["blur and noise"], EACH["bad lines"], EACH["saturated stars"]])
def test_one_generator_in_a_sequence_draws_what_it_draws_alone(spoil):
    images = torch.rand(1, 3, 32, 32, generator=seeded())
    assert torch.equal(spoil(images, seeded(5))[0], spoil(images, [seeded(5)])[0])


def test_generators_of_images_depend_on_the_whole_key_and_nothing_else():
    def first(*keys):
        return [torch.rand((), generator=generator).item() for generator in image_generators(keys)]

    keys = [(0, 1, 23), (0, 12, 3), (1, 1, 23), (0, 1, 24), (0, 1)]
    numbers = first(*keys)
    assert len(set(numbers)) == 5 and first(*keys[::-1]) == numbers[::-1]
    # counters of numpy and torch are the numbers that they hold
    assert first((np.int64(0), torch.tensor(1), 23)) == numbers[:1]
    alike = torch.tensor(first(*((0, 0, index) for index in range(1000))))
    assert torch.corrcoef(torch.stack([alike[1:], alike[:-1]]))[0, 1].abs() < 0.1


@pytest.mark.parametrize("spoil", EACH.values(), ids=EACH)
@pytest.mark.parametrize("number", [0, 2, 4])
def test_a_wrong_number_of_generators_is_refused(spoil, number):
    with pytest.raises(ValueError, match="one for each"):
        spoil(torch.zeros(3, 3, 32, 32), image_generators([(0, index) for index in range(number)]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_blurs_as_a_cpu_does():
    images, fwhm = torch.rand(5, 3, 97, 128, generator=seeded()), torch.tensor(FWHMS)
    torch.testing.assert_close(blur(images.cuda(), fwhm.cuda()).cpu(), blur(images, fwhm), atol=1e-5, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("draw", SPOIL.values(), ids=SPOIL)
def test_a_seed_gives_the_same_again_on_a_gpu(draw):
    result = draw(seeded(1, "cuda"))
    assert result.is_cuda
    assert torch.equal(result, draw(seeded(1, "cuda")))
    assert not torch.equal(result, draw(seeded(2, "cuda")))
