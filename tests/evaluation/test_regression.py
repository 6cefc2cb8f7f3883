"""Parameters measured on simulated galaxies."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from galvm_hf.evaluation.regression import measure_regression, predict_parameters, simulated_galaxies

NAMES = ("half_light_radius", "axis_ratio")


class Brightness(nn.Module):
    """Answers the mean of each of the first two bands."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, pixel_values):
        return SimpleNamespace(parameters=self.scale * pixel_values.mean((2, 3))[:, :2])


def test_a_perfect_and_a_constant_answer():
    truth = np.random.default_rng(0).normal(3, 2, (200, 2))
    guess = truth.copy()
    guess[:, 1] = truth[:, 1].mean()
    results = measure_regression(guess, truth, NAMES)
    assert (results["half_light_radius"].mean_absolute_error.value, results["half_light_radius"].r2.value) == (0, 1)
    assert results["axis_ratio"].r2.value == pytest.approx(0, abs=1e-9)
    error = results["axis_ratio"].mean_absolute_error
    assert error.value == pytest.approx(np.abs(truth[:, 1] - truth[:, 1].mean()).mean())
    assert error.low < error.value < error.high


def test_unknown_truth_is_left_out():
    truth = np.array([[1.0, np.nan], [2.0, 0.5], [3.0, 0.7]])
    results = measure_regression(truth.copy() + 0.1, truth, NAMES)
    assert [results[name].r2.number for name in NAMES] == [3, 2]
    assert results["axis_ratio"].mean_absolute_error.value == pytest.approx(0.1)
    with pytest.raises(ValueError, match="axis_ratio is known of 1"):
        measure_regression(truth[:2], truth[:2], NAMES)
    with pytest.raises(ValueError, match="must be"):
        measure_regression(truth, truth, NAMES[:1])


def test_simulated_galaxies_come_with_their_truth():
    images, truth = simulated_galaxies(NAMES, 6, seed=0, size=64)
    assert images.shape == (6, 3, 64, 64)
    assert 0 <= images.min() < images.max() <= 1
    assert truth.shape == (6, 2)
    assert np.array_equal(truth, simulated_galaxies(NAMES, 6, seed=0, size=64)[1])
    assert not np.array_equal(truth, simulated_galaxies(NAMES, 6, seed=1, size=64)[1])
    predicted = predict_parameters(Brightness(), images, batch_size=4)
    assert predicted == pytest.approx(images.mean((2, 3))[:, :2].numpy())
    with pytest.raises(ValueError, match="knows no colour"):
        simulated_galaxies(["colour"], 2, seed=0)
