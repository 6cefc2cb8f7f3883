"""Stamps at the scale and seeing of the field, cut out of their sky."""

import numpy as np
import pytest

from galvm_hf.data.composites.matching import Conditions, UnusableStampError, cut_out, resample
from galvm_hf.data.composites.noise import StampNoise, draw_noise
from galvm_hf.data.simulate.survey import PIXEL_SCALE

SCALE, SIDE = 0.187, 161


def gaussian(fwhm, flux=1.0, place=(0.0, 0.0), side=SIDE):
    """A round source in three bands, its FWHM and place from the middle in arcsec: [3, H, W]."""
    rows, columns = (np.indices((side, side)) - side // 2) * SCALE
    sigma = fwhm / 2.3548
    profile = np.exp(-((rows - place[1]) ** 2 + (columns - place[0]) ** 2) / (2 * sigma**2))
    return np.repeat((flux * profile / profile.sum())[None], 3, axis=0).astype(np.float32)


def stamp(source, conditions, noise=0.1, seed=0):
    """A source with noise as of a stamp of the field's scale, in a sky of its own level."""
    sigma = noise * conditions.sky * (SCALE / PIXEL_SCALE) ** 2
    noise = StampNoise(sigma, np.full(3, 0.6))
    size = source.shape[1:]
    return source + 0.01 + draw_noise(noise.power(size), size, np.random.default_rng(seed))


def test_a_star_keeps_its_flux_and_gets_the_seeing_of_the_field(conditions):
    matched = resample(gaussian(0.7), SCALE, np.full(3, 0.7), conditions)
    np.testing.assert_allclose(matched.sum(axis=(1, 2)), 1.0, rtol=0.01)
    rows, columns = np.indices(matched.shape[1:]) - np.array(matched.shape[1:])[:, None, None] // 2
    for plane, fwhm in zip(matched, conditions.psf_fwhm, strict=True):
        width = np.sqrt((plane * (rows**2 + columns**2)).sum() / plane.sum() / 2) * 2.3548 * PIXEL_SCALE
        assert width == pytest.approx(fwhm, rel=0.05)


def test_shrinking_keeps_surface_brightness(conditions):
    sharp = Conditions(np.full(3, 0.1), conditions.sky)
    full, half = (resample(gaussian(6.0), SCALE, np.full(3, 0.1), sharp, shrink) for shrink in (1.0, 0.5))
    np.testing.assert_allclose(half.max(), full.max(), rtol=0.03)
    np.testing.assert_allclose(half.sum(), full.sum() / 4, rtol=0.03)


def test_an_object_is_cut_out_whole_and_its_sky_is_not(conditions):
    flux = resample(stamp(gaussian(1.2, 5.0), conditions), SCALE, np.full(3, 0.7), conditions)
    cutout = cut_out(flux, conditions)
    assert cutout.gain == 1.0
    assert (cutout.opacity * cutout.flux).sum(axis=(1, 2)) == pytest.approx(np.full(3, 5.0), rel=0.05)
    assert cutout.opacity.max() == 1.0
    assert 0.005 < (cutout.opacity > 0).mean() < 0.25
    assert not cutout.opacity[[0, -1]].any() and not cutout.opacity[:, [0, -1]].any()


def test_what_reaches_the_edge_is_left_out(conditions):
    both = gaussian(1.2, 5.0) + gaussian(1.2, 50.0, (-14.5, 0.0))
    cutout = cut_out(resample(stamp(both, conditions), SCALE, np.full(3, 0.7), conditions), conditions)
    assert (cutout.opacity * cutout.flux).sum(axis=(1, 2)) == pytest.approx(np.full(3, 5.0), rel=0.05)


def test_a_noisy_stamp_is_dimmed_until_its_noise_fits(conditions):
    quiet, noisy = (
        cut_out(
            resample(stamp(gaussian(1.2, 20.0), conditions, noise), SCALE, np.full(3, 1.2), conditions), conditions, 0.0
        )
        for noise in (0.1, 3.0)
    )
    assert quiet.gain == 1.0 and noisy.gain < 0.8
    assert (noisy.noise.sigma < 1.2 * conditions.sky).all()
    # signal to noise is that of the stamp
    assert (noisy.opacity * noisy.flux).sum() == pytest.approx(3 * 20.0 * noisy.gain, rel=0.1)
    with pytest.raises(UnusableStampError, match="noise fits the field only with"):
        cut_out(resample(stamp(gaussian(1.2, 20.0), conditions, 9.0), SCALE, np.full(3, 1.2), conditions), conditions)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (gaussian(1.2, 5.0, (10.0, 0.0)), "no object in the middle"),
        (gaussian(30.0, 5000.0), "no sky|reaches the edge|noise fits"),
    ],
)
def test_stamps_that_cannot_be_used_say_why(source, cause, conditions):
    with pytest.raises(UnusableStampError, match=cause):
        cut_out(resample(stamp(source, conditions), SCALE, np.full(3, 0.7), conditions), conditions)
