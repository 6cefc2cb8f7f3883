"""Folds, held-out parts, temperature, loss: each with numbers that are known."""

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("psutil")

from galvm_hf.train.finetune.calibration import fit_temperature, plot_reliability, reliability
from galvm_hf.train.finetune.data import LabelledStamps
from galvm_hf.train.finetune.few import folds, held_out, strata
from galvm_hf.train.finetune.objective import Objective


def labelled(targets: torch.Tensor, names=("a", "b", "c")) -> LabelledStamps:
    images = torch.zeros(len(targets), 3, 1, 1, dtype=torch.uint8)
    return LabelledStamps(images, targets, tuple(names), targets.dtype == torch.int64)


def test_folds_are_stratified_of_one_size_and_fixed_by_the_seed():
    groups = torch.arange(4).repeat_interleave(10)
    fold = folds(groups, seed=0)
    assert fold.bincount().tolist() == [8] * 5
    assert all(fold[groups == group].bincount().tolist() == [2] * 5 for group in range(4))
    assert torch.equal(fold, folds(groups, seed=0))
    assert not torch.equal(fold, folds(groups, seed=1))
    assert folds(torch.tensor([0, 0, 0, 1, 1]), seed=0).max() == 1
    with pytest.raises(ValueError, match="Class number 1 has one galaxy only"):
        folds(torch.tensor([0, 0, 1]), seed=0)


def test_held_out_parts_are_disjoint_and_stratified():
    groups = torch.tensor([0] * 80 + [1] * 20)
    parts = held_out(groups, 0.15, 2, seed=0)
    assert [len(part) for part in parts] == [70, 15, 15]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(100))
    assert [int(groups[part].sum()) for part in parts] == [14, 3, 3]
    with pytest.raises(ValueError, match="A class has 2 galaxies, which cannot be in 3 parts"):
        held_out(torch.tensor([0, 0, 1, 1, 1]), 0.15, 2, seed=0)


def test_values_are_spread_over_the_parts():
    values = torch.rand(50, 1, generator=torch.Generator().manual_seed(0))
    groups = strata(labelled(values, ["size"]))
    assert groups.bincount().tolist() == [5] * 10
    assert values[groups == 9].min() > values[groups == 8].max()


def test_temperature_makes_probabilities_true(tmp_path):
    generator = torch.Generator().manual_seed(0)
    logits = 1.5 * torch.randn(4000, 3, generator=generator)
    targets = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    ones = torch.ones(3)
    temperature = fit_temperature(3 * logits, targets, ones)
    assert temperature == pytest.approx(3, rel=0.1)
    before = reliability((3 * logits).softmax(1), targets, ones)
    after = reliability((3 * logits / temperature).softmax(1), targets, ones)
    assert before.error > 0.1 > 0.03 > after.error
    assert after.number.sum() == 4000
    plot_reliability(before, after, tmp_path / "calibration.png")
    assert (tmp_path / "calibration.png").read_bytes().startswith(b"\x89PNG")


def test_reliability_of_known_answers():
    stated = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    result = reliability(stated, torch.tensor([0, 1, 1, 1]), torch.ones(2))
    assert result.stated.tolist() == pytest.approx([0.6, 0.9])
    assert result.right.tolist() == [1.0, 0.5]
    assert result.error == pytest.approx(0.4)
    weighted = reliability(stated, torch.tensor([0, 1, 1, 1]), torch.tensor([3.0, 1.0]))
    assert weighted.right.tolist() == pytest.approx([1.0, 0.75])


def test_every_class_counts_the_same():
    objective = Objective.of(labelled(torch.tensor([0] * 6 + [1] * 3 + [2])), weighted=True)
    assert objective.class_weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    outputs, targets = torch.randn(10, 3), torch.tensor([0] * 6 + [1] * 3 + [2])
    expected = F.cross_entropy(outputs, targets, objective.class_weights)
    assert torch.allclose(objective({"logits": outputs}, targets), expected)
    # a step in two micro-batches is the step in one
    parts = [
        objective({"logits": part}, truth, num_items_in_batch=10)
        for part, truth in zip(outputs.split(4), targets.split(4), strict=True)
    ]
    assert torch.allclose(sum(parts), expected)
    assert Objective.of(labelled(targets), weighted=False).class_weights.tolist() == [1, 1, 1]


def test_the_last_layer_takes_over_the_scale():
    values = torch.tensor([[17.0, 100.0], [18.0, 300.0]])
    objective = Objective.of(labelled(values, ["magnitude", "angle"]), weighted=True)
    scaled = objective.scale(values)
    assert scaled.tolist() == [[-1, -1], [1, 1]]
    layer, features = torch.nn.Linear(4, 2), torch.randn(5, 4)
    before = layer(features)
    objective.unscale(layer)
    assert torch.allclose(objective.scale(layer(features)), before, atol=1e-5)
    # the library counts four values here
    loss = objective({"logits": before[:2].detach()}, scaled, num_items_in_batch=4)
    assert torch.allclose(loss, F.mse_loss(before[:2].detach(), scaled))
    with pytest.raises(ValueError, match="Nothing can be learnt about b"):
        Objective.of(labelled(torch.tensor([[1.0, 2.0], [2.0, 2.0]]), ["a", "b"]), weighted=True)
