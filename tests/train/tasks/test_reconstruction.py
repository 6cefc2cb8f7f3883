"""Tasks whose answer is an image: what goes in, where parts are cut, scores by hand."""

import math

import pytest
import torch

from galvm_hf.train.tasks import Autoencoding, Inpainting, Restoration
from galvm_hf.train.tasks.reconstruction import crop_at_random


def test_autoencoding_reads_a_part(make_task, samples, generators):
    batch = make_task(Autoencoding).make_batch(samples, 32, generators(range(6)))
    assert list(batch) == ["pixel_values"]
    part = crop_at_random(samples["pixel_values"], 32, generators(range(6)))
    assert torch.equal(batch["pixel_values"], part)


def test_restoration_reads_a_degraded_part_and_wants_the_sharp_one(make_task, samples, generators):
    batch = make_task(Restoration).make_batch(samples, 32, generators(range(6)))
    assert torch.equal(batch["labels"], crop_at_random(samples["pixel_values"], 32, generators(range(6))))
    errors = (batch["pixel_values"] - batch["labels"]).square().mean((1, 2, 3))
    assert (errors > 1e-4).all()
    assert ((batch["pixel_values"] >= 0) & (batch["pixel_values"] <= 1)).all()


def test_inpainting_hides_patches_of_a_part(make_task, samples, generators):
    batch = make_task(Inpainting).make_batch(samples, 32, generators(range(6)))
    assert torch.equal(batch["pixel_values"], crop_at_random(samples["pixel_values"], 32, generators(range(6))))
    mask = batch["bool_masked_pos"]
    assert (mask.shape, mask.dtype) == ((6, 32, 32), torch.bool)
    assert len(set(mask.sum((1, 2)).tolist())) > 1


def test_parts_lie_anywhere_in_steps_of_a_patch():
    places = torch.arange(48 * 48.0).view(1, 1, 48, 48).expand(600, -1, -1, -1)
    generators = [torch.Generator().manual_seed(seed) for seed in range(600)]
    corners = crop_at_random(places, 32, generators)[:, 0, 0, 0].long()
    tops, lefts = corners // 48, corners % 48
    assert set(tops.tolist()) == set(lefts.tolist()) == {0, 4, 8, 12, 16}
    assert len(set(corners.tolist())) == 25
    parts = crop_at_random(places[:3], 32, [torch.Generator().manual_seed(seed) for seed in range(3)])
    for part, top, left in zip(parts, tops.tolist(), lefts.tolist(), strict=False):
        assert torch.equal(part, places[0, :, top : top + 32, left : left + 32])


def test_whole_images_stay_as_they_are(samples):
    images = samples["pixel_values"]
    assert crop_at_random(images, 64, []) is images


@pytest.mark.parametrize("kind", [Autoencoding, Restoration])
def test_scores_of_hand_made_errors(make_task, kind):
    scores = make_task(kind).score({"mse": torch.tensor([1e-2, 1e-4])})
    assert scores == pytest.approx({"error": 0.00505, "psnr": 30.0})
    assert math.isfinite(make_task(kind).score({"mse": torch.zeros(2)})["psnr"])


def test_scores_of_inpainting_count_every_hidden_value_once(make_task):
    task = make_task(Inpainting)
    values = {"squared_error": torch.tensor([3.0, 1.0, 0.0]), "hidden": torch.tensor([100.0, 300.0, 0.0])}
    assert task.score(values) == pytest.approx({"error": 0.01, "psnr": 20.0})
    nothing = {name: torch.zeros(2) for name in values}
    assert math.isfinite(task.score(nothing)["psnr"])


def test_what_is_seen_is_no_error_of_inpainting(make_task, config, samples, generators):
    task = make_task(Inpainting)
    model = task.model_class(config).eval()
    batch = task.make_batch(samples, 32, generators(range(6)))
    with torch.no_grad():
        measured = task.measure(model, batch)
        loss = task.loss(model, batch)
    assert torch.equal(measured["hidden"], 3.0 * batch["bool_masked_pos"].sum((1, 2)))
    torch.testing.assert_close(measured["squared_error"].sum() / measured["hidden"].sum(), loss)
