"""The running average of the weights."""

import pytest
import torch

from galvm_hf.train.average import WeightAverage


def test_the_average_is_quick_at_first_and_slow_later():
    weight = torch.nn.Parameter(torch.zeros(3))
    average = WeightAverage({"weight": weight}, decay=0.5)
    expected = 0.0
    for step in range(20):
        with torch.no_grad():
            weight.fill_(step + 1.0)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step + 1)
        torch.testing.assert_close(average.values["weight"], torch.full((3,), expected))
    assert weight.tolist() == [20.0] * 3


def test_without_decay_it_is_the_weights():
    weight = torch.nn.Parameter(torch.randn(5))
    average = WeightAverage({"weight": weight}, decay=0)
    with torch.no_grad():
        weight.mul_(3).add_(0.1)
    average.update(0)
    assert torch.equal(average.values["weight"], weight)


def test_weights_that_stay_are_averaged_to_the_bit():
    weight = torch.nn.Parameter(torch.randn(1000))
    average = WeightAverage({"weight": weight}, decay=0.999)
    for step in range(50):
        average.update(step)
    assert torch.equal(average.values["weight"], weight)


def test_the_average_takes_the_place_of_the_weights_until_the_block_ends():
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    average = WeightAverage({"weight": weight}, decay=0.9)
    with torch.no_grad():
        weight.add_(10)
    with average.in_place():
        assert weight.tolist() == [1.0, 2.0]
    assert (weight.tolist(), average.values["weight"].tolist()) == ([11.0, 12.0], [1.0, 2.0])
    with pytest.raises(RuntimeError, match="out of memory"), average.in_place():
        raise RuntimeError("out of memory")
    assert (weight.tolist(), average.values["weight"].tolist()) == ([11.0, 12.0], [1.0, 2.0])
