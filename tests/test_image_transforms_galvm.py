"""Stretch, adaptive crop and filling, against formulas written out here and on sources whose place is known."""

import time

import numpy as np
import pytest

from galvm_hf.image_transforms_galvm import (
    Crop,
    apply_crop,
    apply_crop_to_mask,
    display_to_flux,
    fill_hidden,
    find_crop,
    flux_to_display,
)

SIZE = (128, 128)


def gaussian(shape, row, column, sigma, peak=0.8, noise=0.01, sky=0.05, seed=0):
    """A round source on a noisy sky: `[3, H, W]` display values."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    source = peak * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2))
    image = sky + source + np.random.default_rng(seed).normal(0, noise, (3, *shape))
    return np.clip(image, 0, 1).astype(np.float32)


def read_cutouts(folder):
    fits = pytest.importorskip("astropy.io.fits", reason="astropy reads the FITS cutouts")
    paths = sorted((folder / "legacy-dr10-flux").glob("*.fits"))
    assert len(paths) == 6
    return {path.stem: fits.getdata(path) for path in paths}


def viewer_rgb(flux):
    """`sdss_rgb` with the scales of `dr2_rgb`, as the Legacy Surveys viewer's source has it: `[H, W, 3]`, z, r, g."""
    scales = {"g": (2, 6.0), "r": (1, 3.4), "z": (0, 2.2)}
    m, q = 0.03, 20
    intensity = 0
    for image, band in zip(flux, "grz", strict=True):
        intensity = intensity + np.maximum(0, image * scales[band][1] + m)
    intensity /= 3
    stretched = np.arcsinh(q * intensity) / np.sqrt(q)
    intensity += (intensity == 0.0) * 1e-6
    rgb = np.zeros((*flux.shape[1:], 3))
    for image, band in zip(flux, "grz", strict=True):
        plane, scale = scales[band]
        rgb[..., plane] = (image * scale + m) * stretched / intensity
    return np.clip(rgb, 0, 1)


def test_the_stretch_is_the_viewers_on_real_flux(galvm_data):
    for name, flux in read_cutouts(galvm_data).items():
        display = flux_to_display(flux)
        assert display.dtype == np.float32 and display.dtype.isnative
        np.testing.assert_allclose(display[::-1].transpose(1, 2, 0), viewer_rgb(flux), atol=1e-5, err_msg=name)


def test_the_stretch_is_undone_on_real_flux_where_nothing_was_clipped(galvm_data):
    for name, flux in read_cutouts(galvm_data).items():
        display = flux_to_display(flux)
        kept = ((display > 0) & (display < 1)).all(axis=0)
        assert kept.mean() > 0.5, name
        np.testing.assert_allclose(display_to_flux(display)[:, kept], flux[:, kept], atol=1e-4, err_msg=name)


def test_the_stretch_works_on_batches_and_at_zero():
    flux = np.random.default_rng(0).uniform(0, 0.03, (2, 3, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(flux_to_display(flux)[1], flux_to_display(flux[1]))
    np.testing.assert_allclose(display_to_flux(flux_to_display(flux)), flux, atol=1e-5)
    # No flux: every band is 0.03, and so is their mean.
    np.testing.assert_allclose(flux_to_display(np.zeros((3, 1, 1))), np.arcsinh(0.6) / np.sqrt(20), rtol=1e-6)
    black = np.full((3, 1, 1), -1.0)
    np.testing.assert_array_equal(flux_to_display(black), np.zeros((3, 1, 1)))
    np.testing.assert_allclose(display_to_flux(np.zeros((3, 1, 1)))[:, 0, 0], [-0.03 / 6, -0.03 / 3.4, -0.03 / 2.2])


def test_a_small_source_off_centre_is_found_and_held_by_the_crop():
    crop = find_crop(gaussian((320, 320), row=90, column=230, sigma=5), SIZE)
    assert crop.fallback is None
    assert (crop.height, crop.width) == (64, 64)
    assert crop.top <= 90 - 15 and crop.top + crop.height >= 90 + 15
    assert crop.left <= 230 - 15 and crop.left + crop.width >= 230 + 15


@pytest.mark.parametrize("row, column", [(2, 3), (317, 160), (10, 312)])
def test_a_source_at_the_edge_gets_a_crop_inside_the_image(row, column):
    crop = find_crop(gaussian((320, 320), row, column, sigma=6), SIZE)
    assert crop.fallback is None
    assert 0 <= crop.top <= row < crop.top + crop.height <= 320
    assert 0 <= crop.left <= column < crop.left + crop.width <= 320


def test_the_object_at_the_centre_wins_over_a_brighter_one_beside_it():
    image = np.maximum(gaussian((320, 320), 160, 160, 8, peak=0.4), gaussian((320, 320), 40, 270, 15, peak=0.9, seed=1))
    crop = find_crop(image, SIZE)
    assert crop.top + crop.height / 2 == pytest.approx(160, abs=6)
    assert crop.left + crop.width / 2 == pytest.approx(160, abs=6)
    assert crop.left + crop.width < 240


@pytest.mark.parametrize("sigma", [20, 30, 45])
def test_the_crop_grows_with_the_object_and_leaves_a_margin(sigma):
    image = gaussian((424, 424), 212, 212, sigma)
    tight, wide = find_crop(image, SIZE, margin=0.0), find_crop(image, SIZE, margin=0.2)
    # The object ends where it falls to a tenth of its peak, at 2.15 sigma.
    assert tight.width == pytest.approx(2 * 2.15 * sigma, abs=14)
    assert wide.width == pytest.approx(min(1.4 * tight.width, 424), abs=2)


@pytest.mark.parametrize("max_upscale", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("side", [320, 120, 40])
def test_the_crop_is_never_enlarged_beyond_max_upscale(side, max_upscale):
    crop = find_crop(gaussian((side, side), side / 2, side / 2, sigma=2), SIZE, max_upscale=max_upscale)
    assert crop.height >= 128 / max_upscale and crop.width >= 128 / max_upscale


def test_an_image_smaller_than_the_smallest_crop_is_centred_on_its_background():
    image = gaussian((40, 30), 20, 15, sigma=3, noise=0.001, sky=0.2)
    crop = find_crop(image, SIZE)
    assert crop == Crop(top=-12, left=-17, height=64, width=64)
    stamp = apply_crop(image, crop, SIZE)
    assert stamp.shape == (3, *SIZE)
    np.testing.assert_allclose(stamp[:, [0, 0, -1, -1], [0, -1, 0, -1]], 0.2, atol=0.005)
    assert stamp[0, 64, 64] == pytest.approx(1.0, abs=0.05)


def test_a_crop_has_the_shape_of_the_size():
    crop = find_crop(gaussian((300, 400), 150, 200, sigma=20), (64, 128))
    assert crop.width == pytest.approx(2 * crop.height, abs=2)


def test_an_object_longer_than_the_short_side_is_kept_whole():
    rows, columns = np.ogrid[:100, :300]
    image = np.full((3, 100, 300), 0.05, dtype=np.float32)
    image[:, (abs(rows - 50) < 4) & (abs(columns - 150) < 120)] = 0.8
    crop = find_crop(image, SIZE)
    assert crop.left <= 31 and crop.left + crop.width >= 269
    assert crop.top < 0 and crop.top + crop.height > 100


@pytest.mark.parametrize(
    "image, reason",
    [
        (np.zeros((3, 200, 200)), "empty"),
        (np.full((3, 200, 200), 0.127), "empty"),
        (np.random.default_rng(0).normal(0.2, 0.02, (3, 200, 200)), "empty"),
        (np.ones((3, 200, 200)), "saturated"),
    ],
)
def test_nothing_to_find_falls_back_to_the_centre_with_a_reason(image, reason):
    crop = find_crop(image.astype(np.float32), SIZE)
    assert crop == Crop(top=0, left=0, height=200, width=200, fallback=crop.fallback)
    assert crop.fallback.startswith(reason)


def test_noise_is_not_taken_for_an_object():
    found = [
        find_crop(np.random.default_rng(seed).normal(0.15, 0.02, (3, 152, 152)).astype(np.float32), SIZE).fallback
        for seed in range(100)
    ]
    assert found.count(None) == 0


def test_the_fallback_of_a_wide_image_is_its_central_square():
    crop = find_crop(np.zeros((3, 100, 300), dtype=np.float32), SIZE)
    assert (crop.top, crop.left, crop.height, crop.width) == (0, 100, 100, 100)


def test_shrinking_keeps_the_mean_and_cutting_the_pixels():
    image = np.random.default_rng(0).random((3, 256, 256)).astype(np.float32)
    whole = apply_crop(image, Crop(0, 0, 256, 256), SIZE)
    np.testing.assert_allclose(whole, image.reshape(3, 128, 2, 128, 2).mean(axis=(2, 4)), atol=1e-6)
    np.testing.assert_array_equal(apply_crop(image, Crop(7, 9, 128, 128), SIZE), image[:, 7:135, 9:137])


@pytest.mark.parametrize("side", [64, 97, 128, 200, 256])
def test_no_hidden_value_reaches_a_pixel_that_is_not_marked(side):
    generator = np.random.default_rng(side)
    image = generator.random((3, 256, 256)).astype(np.float32)
    mask = generator.random((256, 256)) < 0.01
    crop = Crop(256 - side, 0, side, side)
    hidden = apply_crop_to_mask(mask, crop, SIZE)
    spoilt = np.where(mask, np.float32(1000), image)
    changed = (apply_crop(spoilt, crop, SIZE) != apply_crop(image, crop, SIZE)).any(axis=0)
    assert changed.any()
    np.testing.assert_array_equal(changed & ~hidden, False)
    # Nor is more marked than what was touched.
    assert hidden.sum() <= 1.05 * changed.sum()


def test_nothing_is_hidden_outside_the_image():
    hidden = apply_crop_to_mask(np.ones((40, 40), dtype=bool), Crop(-12, -12, 64, 64), (64, 64))
    assert hidden.sum() == 40 * 40 and hidden[12:52, 12:52].all()


def test_hidden_pixels_get_the_median_of_their_band():
    image = np.stack([np.full((9, 9), level, dtype=np.float32) for level in (1, 2, 3)])
    image[1, 4, 4] = np.nan
    image[2, 0, 0] = np.inf
    image[0, 8, 8] = 500
    mask = np.zeros((9, 9), dtype=bool)
    mask[8, 8] = True
    before = image.copy()
    filled, hidden = fill_hidden(image, mask)
    np.testing.assert_array_equal(image, before)
    assert sorted(zip(*np.nonzero(hidden), strict=True)) == [(0, 0), (4, 4), (8, 8)]
    np.testing.assert_array_equal(filled, np.broadcast_to(np.float32([1, 2, 3])[:, None, None], (3, 9, 9)))


def test_an_image_without_hidden_pixels_is_not_copied():
    image = np.ones((3, 4, 4), dtype=np.float32)
    filled, hidden = fill_hidden(image)
    assert filled is image and not hidden.any() and hidden.shape == (4, 4)


def test_an_image_hidden_as_a_whole_becomes_flat():
    image = np.random.default_rng(0).random((3, 5, 5)).astype(np.float32)
    filled, hidden = fill_hidden(image, np.ones((5, 5), dtype=bool))
    assert hidden.all()
    assert np.ptp(filled, axis=(1, 2)).tolist() == [0, 0, 0]


def test_an_image_with_nothing_finite_is_refused():
    with pytest.raises(ValueError, match=r"\(3, 4, 4\).*no pixel that is finite in every band.*leave this image out"):
        fill_hidden(np.full((3, 4, 4), np.nan, dtype=np.float32))


def test_the_crop_of_a_320_px_stamp_takes_milliseconds_at_most():
    image = gaussian((320, 320), 160, 160, 30)
    durations = []
    for _ in range(20):
        start = time.perf_counter()
        apply_crop(image, find_crop(image, SIZE), SIZE)
        durations.append(time.perf_counter() - start)
    # About 1 ms; the bound leaves room for a slow and busy machine.
    assert np.median(durations) < 0.01
