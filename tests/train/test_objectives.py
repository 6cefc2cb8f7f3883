"""Objectives: one encoder under several decoders, and the batches that each learns from."""

import pytest
import torch

from galvm_hf import GalvmModel
from galvm_hf.train.objectives import OBJECTIVES, SharedEncoder

HEADS = {"autoencode": "decoder", "denoise": "restoration", "masked": "inpainting"}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.rand(4, 3, 64, 64, generator=seeded())


@pytest.fixture
def model(small_config):
    torch.manual_seed(0)
    return SharedEncoder(small_config, list(OBJECTIVES))


def test_there_is_one_encoder(model, small_config):
    encoders = [part.galvm for part in model.models.values()]
    assert all(encoder is encoders[0] for encoder in encoders)
    heads = sum(p.numel() for name in HEADS for p in getattr(model.models[name], HEADS[name]).parameters())
    encoder = sum(p.numel() for p in GalvmModel(small_config, use_mask=True).parameters())
    assert sum(p.numel() for p in model.parameters()) == encoder + heads


def test_a_checkpoint_has_every_part_once(model, small_config):
    weights = model.checkpoint()
    assert {name.split(".")[0] for name in weights} == {"galvm", *HEADS.values()}
    encoder = {f"galvm.{name}" for name in GalvmModel(small_config, use_mask=True).state_dict()}
    assert {name for name in weights if name.startswith("galvm.")} == encoder
    places = [value.data_ptr() for value in weights.values()]
    assert len(places) == len(set(places))


def test_a_checkpoint_has_only_the_heads_asked_for(small_config):
    weights = SharedEncoder(small_config, ["denoise"]).checkpoint()
    assert {name.split(".")[0] for name in weights} == {"galvm", "restoration"}
    assert not any("mask_projection" in name for name in weights)


@pytest.mark.parametrize("objectives", [["denoise", "sharpen"], []])
def test_unknown_objectives_and_none_are_refused(small_config, objectives):
    with pytest.raises(ValueError, match="objectives must be some of") as caught:
        SharedEncoder(small_config, objectives)
    assert str(sorted(objectives)) in str(caught.value)


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_an_objective_trains_the_encoder_and_its_own_head(model, images, objective):
    loss = model(objective, OBJECTIVES[objective].make_batch(images, 32, seeded()))
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    trained = {name.split(".")[2] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained == {"galvm", HEADS[objective]}


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_a_seed_gives_the_same_batch_again(images, objective):
    make_batch = OBJECTIVES[objective].make_batch
    first, second = make_batch(images, 32, seeded(1)), make_batch(images, 32, seeded(1))
    for name, value in first.items():
        assert value.shape[-2:] == (32, 32)
        assert torch.equal(value, second[name])


def test_autoencoding_sees_the_whole_stamp(images):
    batch = OBJECTIVES["autoencode"].make_batch(images, 32, seeded())
    torch.testing.assert_close(
        batch["pixel_values"], images.unflatten(-1, (32, 2)).unflatten(-3, (32, 2)).mean((-3, -1))
    )
    assert torch.equal(OBJECTIVES["autoencode"].make_batch(images, 64, seeded())["pixel_values"], images)


def is_a_crop(part, images):
    windows = images.unfold(-2, part.shape[-2], 1).unfold(-2, part.shape[-1], 1)  # [B, 3, places, places, H, W]
    return (windows == part[:, :, None, None]).all(dim=(0, 1, 4, 5)).any()


def test_denoising_has_the_sharp_crop_as_its_target(images):
    batch = OBJECTIVES["denoise"].make_batch(images, 32, seeded())
    assert is_a_crop(batch["labels"], images)
    assert not torch.equal(batch["pixel_values"], batch["labels"])
    # blurred, so smoother than random pixels, noise and all
    assert batch["pixel_values"].diff(dim=-1).std() < 0.5 * batch["labels"].diff(dim=-1).std()


def test_masking_hides_part_of_a_crop(images):
    batch = OBJECTIVES["masked"].make_batch(images, 32, seeded())
    assert is_a_crop(batch["pixel_values"], images)
    assert batch["bool_masked_pos"].shape == (4, 32, 32)
    assert batch["bool_masked_pos"].any()
    assert not batch["bool_masked_pos"].all()


def test_crops_are_drawn_from_everywhere(images):
    marked = torch.arange(64.0 * 64).view(1, 1, 64, 64).expand(4, 3, 64, 64)
    corners = {
        int(OBJECTIVES["masked"].make_batch(marked, 48, seeded(seed))["pixel_values"][0, 0, 0, 0])
        for seed in range(400)
    }
    rows, columns = {corner // 64 for corner in corners}, {corner % 64 for corner in corners}
    assert rows == columns == set(range(17))
