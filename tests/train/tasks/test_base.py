"""What holds for every task: batches of each sample alone, losses that add up, a shortfall."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError

from galvm_hf.data.degrade import image_generators
from galvm_hf.train.data import micro_batches, take_samples
from galvm_hf.train.settings import DataSettings
from galvm_hf.train.tasks import TASKS
from galvm_hf.train.tasks.base import Task, TaskSettings, validation_generators

KINDS = sorted(TASKS.values(), key=lambda kind: kind.__name__)
every_task = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@every_task
@pytest.mark.parametrize("image_size", [32, 64])
def test_what_is_made_of_a_sample_does_not_depend_on_its_batch(make_task, samples, generators, kind, image_size):
    task = make_task(kind)
    whole = task.make_batch(samples, image_size, generators(range(6)))
    rows = [5, 2]
    part = task.make_batch(take_samples(samples, rows), image_size, generators(rows))
    assert whole["pixel_values"].shape == (6, 3, image_size, image_size)
    assert whole.keys() == part.keys()
    for name, value in part.items():
        torch.testing.assert_close(whole[name][rows], value, rtol=0, atol=1e-6, equal_nan=True)


@every_task
@pytest.mark.parametrize("size", [1, 4])
def test_the_mean_over_micro_batches_is_the_loss_of_the_whole(make_task, config, samples, generators, kind, size):
    task = make_task(kind)
    torch.manual_seed(0)
    model = task.model_class(config).eval()
    batch = task.make_batch(samples, 32, generators(range(6)))
    parts = [task.make_batch(part, 32, generators(part["index"].tolist())) for part in micro_batches(samples, size)]
    with torch.no_grad():
        whole = task.loss(model, batch)
        terms = torch.stack([task.terms(part) for part in parts])
        losses = torch.stack([task.loss(model, part) for part in parts])
    assert torch.isfinite(losses).all()
    assert len(set(terms.tolist())) > 1 or kind.__name__ not in ("Inpainting", "Parameters")
    torch.testing.assert_close(terms.sum(), task.terms(batch))
    torch.testing.assert_close((losses * terms).sum() / terms.sum(), whole, rtol=1e-6, atol=1e-6)


@every_task
def test_a_head_learns_its_batch(make_task, config, samples, generators, kind):
    task = make_task(kind)
    torch.manual_seed(0)
    model = task.model_class(config)
    # round galaxies, each class in a colour of its own
    distance = torch.linspace(-1, 1, 64).square()[:, None] + torch.linspace(-1, 1, 64).square()
    colours = torch.tensor([[0.9, 0.3, 0.1], [0.3, 0.9, 0.3], [0.1, 0.3, 0.9]])
    flux = torch.stack([torch.exp(-distance / (0.05 * (row + 1))) for row in range(6)])
    samples["pixel_values"] = colours[torch.tensor([0, 2, 0, 1, 0, 2])][..., None, None] * flux[:, None]
    batch = task.make_batch(samples, 32, generators(range(6)))
    # restoration and inpainting begin close to their answer, and learn in small steps
    rate = 3e-4 if kind.__name__ in ("Restoration", "Inpainting") else 3e-3
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    losses = []
    for _ in range(15):
        loss = task.loss(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@every_task
def test_scores_of_parts_are_those_of_the_whole(make_task, config, samples, generators, kind):
    task = make_task(kind)
    torch.manual_seed(0)
    model = task.model_class(config).eval()
    with torch.no_grad():
        whole = task.measure(model, task.make_batch(samples, 64, generators(range(6))))
        parts = [
            task.measure(model, task.make_batch(part, 64, generators(part["index"].tolist())))
            for part in micro_batches(samples, 4)
        ]
    assert all(len(value) == 6 for value in whole.values())
    joined = {name: torch.cat([part[name] for part in parts]) for name in whole}
    scores = task.score(whole)
    assert scores["error"] >= 0
    assert all(isinstance(value, float) for value in scores.values())
    assert task.score(joined) == pytest.approx(scores, rel=1e-4)
    assert task.shortfall(scores) == pytest.approx(scores["error"] / 0.1)


def test_validation_draws_the_same_for_each_stamp_and_not_what_training_draws():
    def draw(generators):
        return [torch.rand(1, generator=generator).item() for generator in generators]

    cpu = torch.device("cpu")
    first = draw(validation_generators(range(4), 0, cpu))
    assert draw(validation_generators([2, 0], 0, cpu)) == [first[2], first[0]]
    assert len(set(first)) == 4
    assert set(first).isdisjoint(draw(validation_generators(range(4), 1, cpu)))
    assert set(first).isdisjoint(draw(image_generators((0, step, row) for step in range(20) for row in range(4))))


@pytest.mark.parametrize("name", ["reference", "loss_weight", "validation_stamps"])
def test_numbers_out_of_range_are_refused(name):
    values = {"kind": "restoration", "data": "stamps", "validation": DataSettings(["a"]), "reference": 1.0, name: 0}
    with pytest.raises(StrictDataclassClassValidationError, match=f"{name} must be positive, got 0"):
        TaskSettings(**values)


def test_a_task_says_how_to_make_a_batch_measure_and_score():
    with pytest.raises(TypeError, match=r"make_batch.*measure.*score"):
        Task("none", None)
