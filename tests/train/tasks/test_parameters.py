"""Regression of parameters as a task: known values alone, radii as shares of the image, scores in units."""

import math

import pytest
import torch

from galvm_hf.train.tasks.parameters import Parameters


def test_targets_are_what_the_image_shows(make_task, samples, generators):
    labels = make_task(Parameters).make_batch(samples, 32, generators(range(6)))["labels"]
    # arcseconds over (arcseconds a pixel, pixels of the file a pixel of the sample, pixels of the sample)
    shares = [4 / 16, 2 / 32, 8 / 16, 1 / 8, 3 / 16, 5 / 16]
    torch.testing.assert_close(labels[:, 0], torch.tensor(shares))
    nan = math.nan
    torch.testing.assert_close(labels[:, 1], torch.tensor([0.9, nan, 0.3, nan, 0.5, 0.7]), equal_nan=True)


def test_the_configuration_states_names_means_and_deviations(make_task, config):
    make_task(Parameters)
    assert config.parameter_names == ["half_light_radius", "axis_ratio"]
    known = torch.tensor([0.9, 0.3, 0.5, 0.7])
    assert config.parameter_means[1] == pytest.approx(known.mean().item())
    assert config.parameter_deviations[1] == pytest.approx(known.std(correction=0).item())


def test_columns_are_what_is_asked_for_and_the_scale_of_a_radius(make_task):
    assert make_task(Parameters).columns == ("half_light_radius", "axis_ratio", "pixel_scale")
    assert make_task(Parameters, labels=["axis_ratio"]).columns == ("axis_ratio",)


def test_labels_that_are_all_unknown_cost_nothing(make_task, config, samples, generators):
    task = make_task(Parameters, labels=["axis_ratio"])
    samples["axis_ratio"] = [None] * 6
    batch = task.make_batch(samples, 32, generators(range(6)))
    loss = task.loss(task.model_class(config), batch)
    assert (task.terms(batch).item(), loss.item()) == (0.0, 0.0)
    loss.backward()


def test_scores_of_hand_made_values(make_task, config):
    task = make_task(Parameters)
    deviations = torch.tensor(config.parameter_deviations)
    true = torch.tensor([[1.0, 0.2], [2.0, math.nan], [3.0, 0.4]])
    values = {"predicted": true.nan_to_num(7.0) + torch.tensor([0.5, 0.1]), "true": true}
    scores = task.score(values)
    assert scores["r2_half_light_radius"] == pytest.approx(1 - 0.25 / (2 / 3))
    assert scores["r2_axis_ratio"] == pytest.approx(0.0, abs=1e-5)
    assert scores["error"] == pytest.approx(((0.5 / deviations[0]) ** 2 + (0.1 / deviations[1]) ** 2).item() / 2)


def test_columns_without_variety_or_no_columns_are_refused(make_task, samples):
    with pytest.raises(ValueError, match="labels needs the columns of the parameters, got none"):
        make_task(Parameters, labels=[])
    samples["axis_ratio"] = torch.full((6,), 0.5)
    with pytest.raises(ValueError, match=r"columns .*'axis_ratio'.* no variety in the data 'stamps'"):
        make_task(Parameters)
