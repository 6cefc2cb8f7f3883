"""The noise of a field is the same where a stamp was pasted and where none was."""

import numpy as np
import pytest

from galvm_hf.data.composites.field import Canvas
from galvm_hf.data.composites.matching import Cutout
from galvm_hf.data.composites.noise import StampNoise, draw_noise, field_power, measure_noise
from galvm_hf.data.simulate.survey import NOISE_CORRELATION

SKY = np.array([0.0017, 0.0024, 0.0079])
SIZE = (128, 128)


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_noise_is_measured_in_spite_of_objects(random):
    noise = StampNoise(0.3 * SKY, np.array([0.5, 0.7, 0.9]))
    flux = 0.01 + draw_noise(noise.power(SIZE), SIZE, random)
    flux[:, 20:40, 30:50] += 1.0
    level, measured = measure_noise(flux, np.ones(SIZE, dtype=bool))
    np.testing.assert_allclose(level, 0.01, atol=0.1 * SKY.max())
    np.testing.assert_allclose(measured.sigma, noise.sigma, rtol=0.1)
    np.testing.assert_allclose(measured.correlation, noise.correlation, atol=0.06)


def test_power_is_the_variance():
    noise = StampNoise(SKY, np.array([0.5, 0.7, 0.9]))
    power = noise.power((64, 64))
    both_halves = np.concatenate([power, power[..., 1:-1]], axis=-1)  # a real image's spectrum is symmetric
    np.testing.assert_allclose(both_halves.mean(axis=(1, 2)), SKY**2, rtol=0.03)


@pytest.mark.parametrize("opacity", [0.0, 0.3, 0.7, 1.0])
def test_pasting_keeps_variance_and_correlation(opacity, random):
    noise = StampNoise(0.5 * SKY, np.array([0.8, 0.8, 0.8]))
    variance, neighbours = [], []
    for _ in range(6):
        canvas = Canvas.empty(SIZE, SKY, random)
        stamp = draw_noise(noise.power(SIZE), SIZE, random)
        cutout = Cutout(stamp, np.full(SIZE, opacity, dtype=np.float32), noise, 1.0)
        canvas.paste(cutout, 64, 64, SKY, random)
        field = (canvas.light + canvas.noise) / SKY[:, None, None]
        variance.append(field.var(axis=(1, 2)))
        neighbours.append((field[:, :, 1:] * field[:, :, :-1]).mean(axis=(1, 2)))
    # where the stamp's noise is stronger in the longest waves than the field's, it stays so
    np.testing.assert_allclose(np.mean(variance, axis=0), 1, atol=0.08)
    np.testing.assert_allclose(np.mean(neighbours, axis=0), NOISE_CORRELATION[0], atol=0.08)


def test_what_lies_beyond_the_edges_is_cut_off(random):
    canvas = Canvas.empty((40, 50), SKY, random)
    light = np.zeros((3, 11, 13), dtype=np.float32)
    light[:, 5, 6] = 1.0
    cutout = Cutout(light, np.ones((11, 13), dtype=np.float32), StampNoise(1e-6 * SKY, np.full(3, 0.5)), 1.0)
    for x, y in ((0, 0), (49, 39), (20, 10)):
        canvas.paste(cutout, x, y, SKY, random)
        np.testing.assert_array_equal(canvas.light[:, y, x], 1.0)
    assert canvas.covered.sum() == 6 * 7 + 6 * 7 + 11 * 13
    assert canvas.overlap(cutout, 20, 10) == 1
    assert canvas.overlap(cutout, 30, 25) == 0


def test_field_noise_has_the_power_it_should(random):
    noise = draw_noise(field_power(SKY, (256, 256)), (256, 256), random)
    np.testing.assert_allclose(noise.std(axis=(1, 2)), SKY, rtol=0.03)
