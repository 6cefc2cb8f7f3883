"""Intervals over galaxies."""

import numpy as np
import pytest

from galvm_hf.evaluation.intervals import (
    Estimate,
    bootstrap_interval,
    estimate_balanced_accuracy,
    estimate_mean,
    estimate_ratio,
)


def test_the_interval_of_a_mean_is_two_standard_errors_to_each_side():
    values = np.random.default_rng(0).normal(30, 2, 400)
    estimate = estimate_mean(values)
    assert (estimate.value, estimate.number) == (pytest.approx(values.mean()), 400)
    error = 1.96 * values.std() / 20
    assert estimate.low == pytest.approx(values.mean() - error, abs=0.03)
    assert estimate.high == pytest.approx(values.mean() + error, abs=0.03)
    assert estimate == estimate_mean(values)


def test_a_paired_ratio_is_surer_than_two_unpaired_means():
    """One method makes nine tenths of the error of the other on every galaxy, however hard the galaxy is."""
    hard = np.random.default_rng(1).lognormal(0, 1, 200)
    ratio = estimate_ratio(0.9 * hard, hard)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.9, 0.9, 0.9))
    assert estimate_mean(0.9 * hard).high > estimate_mean(hard).low
    assert estimate_mean(hard - 0.9 * hard).low > 0


def test_classes_keep_their_numbers_where_they_are_strata():
    classes = np.repeat([0, 1], [95, 5])
    share = bootstrap_interval(np.mean, classes, strata=classes)
    assert (share.value, share.low, share.high) == pytest.approx((0.05, 0.05, 0.05))
    assert bootstrap_interval(np.mean, classes).high > 0.05


def test_balanced_accuracy_counts_classes_alike():
    classes = np.repeat(["common", "rare"], [90, 10])
    estimate = estimate_balanced_accuracy(classes == "common", classes)
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.5, 0.5)
    right = np.random.default_rng(2).random(100) < 0.8
    by_draws = bootstrap_interval(
        lambda r, c: np.mean([r[c == name].mean() for name in np.unique(classes)]), right, classes, strata=classes
    )
    by_formula = estimate_balanced_accuracy(right, classes)
    assert by_formula.value == pytest.approx(by_draws.value)
    assert (by_formula.low, by_formula.high) == pytest.approx((by_draws.low, by_draws.high), abs=0.03)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(36.2137, 36.0512, 36.3788, 490), "36.21 (36.05 to 36.38)"),
        (Estimate(0.85123, 0.84781, 0.85452, 490), "0.8512 (0.8478 to 0.8545)"),
        (Estimate(0.751, 0.712, 0.790, 490), "0.751 (0.712 to 0.790)"),
        (Estimate(0.778, 0.704, 0.862, 490), "0.778 (0.704 to 0.862)"),
        (Estimate(33.04, 30.93, 35.34, 490), "33.0 (30.9 to 35.3)"),
        (Estimate(1.7e-4, 1.6e-4, 1.8e-4, 490), "1.70e-04 (1.60e-04 to 1.80e-04)"),
        (Estimate(1.0, 1.0, 1.0, 490), "1.000 (1.000 to 1.000)"),
        (Estimate(0.0, 0.0, 0.0, 490), "0.000 (0.000 to 0.000)"),
    ],
)
def test_text_has_as_many_digits_as_are_known(estimate, text):
    assert str(estimate) == text


@pytest.mark.parametrize("columns", [([],), ([1.0, 2.0], [1.0])])
def test_columns_that_do_not_fit_are_refused(columns):
    with pytest.raises(ValueError, match="one or more galaxies"):
        bootstrap_interval(np.mean, *columns)
