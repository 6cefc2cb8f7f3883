"""Seeing and noise: as stated, and as in six real cutouts of Legacy Surveys DR10."""

import numpy as np
import pytest
import torch

from galvm_hf.data.readers import iter_stamps
from galvm_hf.data.simulate import simulate_galaxies
from galvm_hf.data.simulate.sky import blur, draw_conditions, observe
from galvm_hf.data.simulate.survey import NOISE_CORRELATION, PIXEL_SCALE, SKY_LEVEL, SKY_NOISE

GROWTH = 3  # pixels that a source's mask is grown by
SIZE = 101  # of the real cutouts


@pytest.fixture(scope="module")
def noise():
    psf = torch.full((20, 3), 1.2)
    return observe(torch.zeros(20, 3, 128, 128), psf, torch.tensor(SKY_NOISE).expand(20, 3), seeded(0))


@pytest.fixture(scope="module")
def simulated():
    return list(simulate_galaxies(24, seeded(3), size=SIZE, classes=("elliptical",)).flux.numpy())


@pytest.fixture(scope="module")
def real(galvm_data):
    return [stamp.pixels for stamp in iter_stamps(sorted((galvm_data / "legacy-dr10-flux").glob("*.fits")))]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def median_sigma(values):
    return 1.4826 * np.median(np.abs(values - np.median(values)))


def sky_of(flux):
    """Bands of a stamp without their background, and where there is only sky."""
    from scipy.ndimage import binary_dilation, gaussian_filter, median_filter

    smooth = [gaussian_filter(band, 2) for band in flux]
    detection = sum((band - np.median(band)) / median_sigma(band) for band in smooth)
    empty = ~binary_dilation(detection > 2, iterations=GROWTH)
    return [band - median_filter(band, 25) for band in flux], empty


def sky_statistics(stamps):
    """Noise by band [3], and its autocorrelation at lags of 1, 2, 3 pixels [3, 3], medians over the stamps."""
    sigma, correlation = [], []
    for flux in stamps:
        bands, empty = sky_of(flux)
        sigma.append([median_sigma(band[empty]) for band in bands])
        correlation.append([[lagged(band, empty, lag) for lag in (1, 2, 3)] for band in bands])
    return np.median(sigma, axis=0), np.median(correlation, axis=0)


def lagged(band, empty, lag):
    """Autocorrelation along rows and columns, their mean."""
    quiet = empty & (np.abs(band) < 4 * median_sigma(band[empty]))
    found = []
    for image, valid in ((band, quiet), (band.T, quiet.T)):
        both = valid[lag:] & valid[:-lag]
        found.append((image[lag:] * image[:-lag])[both].mean() / image[valid].var())
    return np.mean(found)


def source_colours(stamps):
    """g - r and r - z [N, 2] of the sources of 19.5 to 22.5 mag in r, except the one in the middle; N by stamp."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    rows, columns = np.mgrid[:SIZE, :SIZE]
    colours = []
    for flux in stamps:
        flux = [band - np.median(band) for band in flux]
        smooth = gaussian_filter(flux[1], 1.5)
        peaks = (smooth == maximum_filter(smooth, 9)) & (smooth > 8 * median_sigma(smooth))
        for row, column in zip(*peaks.nonzero(), strict=True):
            aperture = np.hypot(rows - row, columns - column) < 5
            g, r, z = (band[aperture].sum() for band in flux)
            outside = np.hypot(row - SIZE // 2, column - SIZE // 2) > 20
            if outside and min(g, r, z) > 0 and 19.5 < 22.5 - 2.5 * np.log10(r) < 22.5:
                colours.append((2.5 * np.log10(r / g), 2.5 * np.log10(z / r)))
    return np.array(colours), len(colours) / len(stamps)


def test_noise_has_its_deviation_in_every_band(noise):
    np.testing.assert_allclose(noise.std(dim=(0, 2, 3)), SKY_NOISE, rtol=0.01)
    assert (noise.mean(dim=(0, 2, 3)).abs() < 0.01 * torch.tensor(SKY_NOISE)).all()


@pytest.mark.parametrize("dimension", [-1, -2])
def test_noise_is_correlated_as_stated(noise, dimension):
    unit = noise[:, 1] / SKY_NOISE[1]
    for lag, expected in enumerate(NOISE_CORRELATION, start=1):
        assert (unit * unit.roll(lag, dims=dimension)).mean() == pytest.approx(expected, abs=0.01)


def test_light_brings_its_own_noise():
    bright = torch.full((8, 3, 64, 64), 1.0)
    observed = observe(bright, torch.full((8, 3), 1.2), torch.tensor(SKY_NOISE).expand(8, 3), seeded(1))
    expected = torch.tensor(SKY_NOISE) * (1 + 1 / torch.tensor(SKY_LEVEL)).sqrt()
    np.testing.assert_allclose(observed.std(dim=(0, 2, 3)), expected, rtol=0.03)


def test_the_blur_has_its_width_and_keeps_the_flux():
    point = torch.zeros(1, 3, 65, 65)
    point[..., 32, 32] = 1
    image = blur(point, torch.tensor([[1.572, 1.572, 3.144]]))
    np.testing.assert_allclose(image.sum(dim=(-2, -1)), 1, atol=1e-5)
    half = round(1.572 / PIXEL_SCALE / 2)
    assert image[0, 0, 32, 32 + half] / image[0, 0, 32, 32] == pytest.approx(0.5, abs=1e-3)
    assert image[0, 2, 32, 32 + 2 * half] / image[0, 2, 32, 32] == pytest.approx(0.5, abs=1e-3)


def test_seeing_is_best_in_z():
    psf_fwhm = draw_conditions(500, seeded(0))["psf_fwhm"]
    median = psf_fwhm.median(dim=0).values
    assert median[0] > median[1] > median[2] > 1.0
    assert psf_fwhm.min() > 0.7


def test_the_sky_is_that_of_the_real_cutouts(real, simulated):
    """Measured in the same way: noise within 20 %, autocorrelation within 0.06."""
    found, expected = sky_statistics(simulated), sky_statistics(real)
    np.testing.assert_allclose(found[0], expected[0], rtol=0.2)
    np.testing.assert_allclose(found[1], expected[1], atol=0.06)


def test_what_else_is_in_a_stamp_has_the_colours_and_counts_of_the_real_cutouts(real, simulated):
    """Six cutouts hold seven such sources: medians within 0.35 mag and a factor of two are what they can prove."""
    (found, number), (expected, real_number) = source_colours(simulated), source_colours(real)
    np.testing.assert_allclose(np.median(found, axis=0), np.median(expected, axis=0), atol=0.35)
    assert 0.5 < number / real_number < 2
