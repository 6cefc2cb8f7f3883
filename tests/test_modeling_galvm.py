"""The models beyond what transformers' own tests ask: sizes, masks, losses, precision, loading, cost."""

import logging

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForImageClassification, AutoModelForImageToImage, AutoModelForMaskedImageModeling
from transformers.utils.logging import get_logger

from galvm_hf import (
    GalvmBackbone,
    GalvmConfig,
    GalvmForImageClassification,
    GalvmForImageRestoration,
    GalvmForMaskedImageModeling,
    GalvmForParameterRegression,
    GalvmForPreTraining,
    GalvmModel,
)
from galvm_hf.masks_galvm import expand_mask, fill_smoothly

CLASSES = [
    GalvmModel,
    GalvmBackbone,
    GalvmForPreTraining,
    GalvmForImageClassification,
    GalvmForImageRestoration,
    GalvmForMaskedImageModeling,
    GalvmForParameterRegression,
]


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def corrects(model):
    """The model with weights in the last convolution, which starts at zero, so that its head changes its image."""
    head = getattr(model, "restoration", None) or getattr(model, "inpainting", None)
    if head is not None:
        with torch.no_grad():
            head.output.weight.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    return model.eval()


def first_tensor(outputs) -> torch.Tensor:
    values = outputs.feature_maps[-1] if "feature_maps" in outputs else outputs[0]
    return outputs.reconstruction if "reconstruction" in outputs else values


@pytest.fixture
def messages():
    """What the models log, as text."""
    logger, handler = get_logger("galvm_hf.modeling_galvm"), logging.Handler()
    records = []
    handler.emit = lambda record: records.append(record.getMessage())
    root = get_logger("transformers")
    for target in (logger, root):
        target.addHandler(handler)
    yield records
    for target in (logger, root):
        target.removeHandler(handler)


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (152, 152), (96, 224)])
@pytest.mark.parametrize("skips", [False, True])
def test_any_size_comes_back_in_its_size(small_config, size, skips):
    small_config = GalvmConfig.from_dict({**small_config.to_dict(), "use_skips": skips, "pretraining_skips": skips})
    pixel_values = torch.rand(2, 3, *size)
    mask = torch.rand(2, *size) < 0.3
    for model, inputs in (
        (GalvmForPreTraining(small_config), {}),
        (GalvmForImageRestoration(small_config), {}),
        (GalvmForMaskedImageModeling(small_config), {"bool_masked_pos": mask}),
    ):
        outputs = corrects(model)(pixel_values, **inputs)
        assert outputs.reconstruction.shape == pixel_values.shape
        assert outputs.reconstruction.isfinite().all()


@pytest.mark.parametrize(
    ("shape", "message"), [((2, 3, 31, 64), "at least 32 px"), ((2, 4, 64, 64), "must be"), ((3, 64, 64), "must be")]
)
def test_wrong_images_are_refused(small_config, shape, message):
    with pytest.raises(ValueError, match=message):
        GalvmModel(small_config)(torch.rand(shape))


def test_outputs_have_the_documented_shapes(small_config):
    config = GalvmConfig.from_dict({**small_config.to_dict()})
    config._attn_implementation = "eager"
    outputs = GalvmModel(config).eval()(torch.rand(2, 3, 128, 96), output_hidden_states=True, output_attentions=True)
    grids = [(32, 24), (32, 24), (16, 12), (8, 6), (4, 3)]
    widths = [16, 16, 32, 64, 128]
    assert outputs.last_hidden_state.shape == (2, 12, 128)
    assert outputs.pooler_output.shape == (2, 128)
    for tokens, feature_map, (height, width), channels in zip(
        outputs.hidden_states, outputs.feature_maps, grids, widths, strict=True
    ):
        assert tokens.shape == (2, height * width, channels)
        assert torch.equal(feature_map.flatten(2).transpose(1, 2), tokens)
    # windows of 8 x 8 tokens, or of the whole map where that is smaller
    shapes = [(2 * 12, 1, 64, 64), (2 * 2 * 2, 2, 64, 64), (2, 4, 48, 48), (2, 8, 12, 12)]
    assert [tuple(weights.shape) for weights in outputs.attentions] == shapes
    for weights in outputs.attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_backbone_gives_the_stages_asked_for(small_config, images):
    config = GalvmConfig.from_dict(small_config.to_dict())
    config.out_features = ["stage1", "stage3"]
    backbone = GalvmBackbone(config).eval()
    outputs = backbone(images)
    assert [tuple(feature_map.shape[1:]) for feature_map in outputs.feature_maps] == [(16, 16, 16), (64, 4, 4)]
    assert backbone.channels == [16, 64]
    assert outputs.feature_maps[0].mean(1).abs().max() < 1e-5


@pytest.mark.parametrize("patch", [4, 8, 16])
def test_masks_of_patches_and_pixels_mean_the_same(small_config, images, patch):
    model = corrects(GalvmForMaskedImageModeling(small_config))
    grid = torch.rand(2, 64 // patch, 64 // patch) < 0.4
    pixels = grid.repeat_interleave(patch, 1).repeat_interleave(patch, 2)
    results = [model(images, mask).reconstruction for mask in (grid.flatten(1), grid, pixels)]
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], results[2])
    assert torch.equal(expand_mask(grid, 64, 64)[:, 0], pixels)


def test_a_mask_that_fits_no_patch_size_is_refused():
    with pytest.raises(ValueError, match=r"\[2, 7\] does not fit images of 64 x 64"):
        expand_mask(torch.ones(2, 7), 64, 64)


def test_inpainting_sees_nothing_hidden_and_leaves_the_rest(small_config, images):
    model = corrects(GalvmForMaskedImageModeling(small_config))
    mask = torch.zeros(2, 64, 64, dtype=torch.bool)
    mask[:, 16:32, 20:40] = True
    outputs = model(images, mask)
    elsewhere = images.masked_fill(mask[:, None], 0.9)
    other = model(elsewhere, mask)
    assert torch.equal(
        outputs.reconstruction.masked_select(mask[:, None]), other.reconstruction.masked_select(mask[:, None])
    )
    assert torch.equal(outputs.reconstruction.masked_select(~mask[:, None]), images.masked_select(~mask[:, None]))
    expected = (outputs.reconstruction - images).square().masked_select(mask[:, None]).mean()
    torch.testing.assert_close(outputs.loss, expected)
    # which pixels are hidden reaches the tokens, even where the image is black
    black = torch.zeros_like(images)
    assert not torch.equal(model(black, mask).reconstruction, model(black, ~mask).reconstruction)


@pytest.mark.parametrize(
    ("problem_type", "labels"),
    [
        ("single_label_classification", torch.tensor([0, 3])),
        ("multi_label_classification", torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 0]])),
        ("regression", torch.randn(2, 4)),
    ],
)
def test_training_a_classifier_lowers_its_loss_and_changes_its_answer(small_config, images, problem_type, labels):
    torch.manual_seed(0)
    config = GalvmConfig.from_dict({**small_config.to_dict(), "problem_type": problem_type})
    model = GalvmForImageClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    first = model(images, labels=labels)
    for _ in range(30):
        optimizer.zero_grad()
        outputs = model(images, labels=labels)
        outputs.loss.backward()
        optimizer.step()
    assert outputs.loss < 0.3 * first.loss
    if problem_type == "single_label_classification":
        assert outputs.logits.argmax(1).tolist() == [0, 3]


def test_training_restoration_removes_a_constant(small_config, images):
    torch.manual_seed(0)
    model = GalvmForImageRestoration(small_config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        outputs = model(images, labels=images * 0.5)
        outputs.loss.backward()
        optimizer.step()
        losses.append(outputs.loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_untrained_heads_give_their_input_and_a_smooth_filling(small_config, images):
    assert torch.equal(GalvmForImageRestoration(small_config).eval()(images).reconstruction, images)
    inpainting, mask = GalvmForMaskedImageModeling(small_config).eval(), torch.rand(2, 64, 64) < 0.5
    assert torch.equal(inpainting(images).reconstruction, images)
    assert torch.equal(inpainting(images, mask).reconstruction, fill_smoothly(images, mask[:, None]))


def test_inpainting_training_beats_the_filling_it_starts_from(small_config):
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    images = (0.5 + 0.4 * torch.sin(x / 3 + torch.arange(4)[:, None, None]) * torch.cos(y / 4))[:, None].repeat(
        1, 3, 1, 1
    )
    mask = torch.rand(4, 8, 8) < 0.4
    model = GalvmForMaskedImageModeling(small_config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model(images, mask).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("size", [(64, 64), (37, 50)])
def test_smooth_filling_continues_a_slope_and_reads_nothing_hidden(size):
    rows = torch.linspace(0.1, 0.9, size[0])[:, None].expand(*size)
    images = torch.stack([rows, rows * 0.5, rows * 0.2])[None]
    mask = torch.zeros(1, 1, *size, dtype=torch.bool)
    mask[..., 20:32, 16:30] = True
    filled = fill_smoothly(images.masked_fill(mask, float("nan")), mask)
    assert torch.equal(filled.masked_select(~mask), images.masked_select(~mask))
    assert (filled - images).abs().max() < 0.05
    assert torch.equal(fill_smoothly(images, torch.ones_like(mask)), torch.zeros_like(images))


def test_parameters_are_in_their_units_and_unknown_ones_do_not_count(small_config, images):
    torch.manual_seed(0)
    config = GalvmConfig.from_dict(
        {
            **small_config.to_dict(),
            "parameter_names": ["radius", "ratio"],
            "parameter_means": [20.0, 0.5],
            "parameter_deviations": [5.0, 0.1],
        }
    )
    model = GalvmForParameterRegression(config).train()
    labels = torch.tensor([[24.0, float("nan")], [16.0, 0.6]])
    first = model(images, labels=labels)
    standardised = (first.parameters - labels) / torch.tensor([5.0, 0.1])
    torch.testing.assert_close(first.loss, standardised[labels.isfinite()].square().mean())
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(40):
        optimizer.zero_grad()
        outputs = model(images, labels=labels)
        outputs.loss.backward()
        optimizer.step()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert outputs.loss < 0.1 * first.loss
    assert (outputs.parameters[:, 0] - labels[:, 0]).abs().max() < 3
    assert model(images, labels=torch.full((2, 2), float("nan"))).loss == 0


@pytest.mark.parametrize("model_class", CLASSES)
def test_save_and_load_is_bit_equal(model_class, small_config, images, tmp_path):
    model = corrects(model_class(small_config))
    model.save_pretrained(tmp_path)
    loaded = model_class.from_pretrained(tmp_path).eval()
    assert torch.equal(first_tensor(model(images)), first_tensor(loaded(images)))


@pytest.mark.parametrize("model_class", CLASSES)
def test_bfloat16_agrees_to_five_percent(model_class, small_config, images):
    model = corrects(model_class(small_config))
    with torch.no_grad():
        expected = first_tensor(model(images))
        half = first_tensor(model.bfloat16()(images.bfloat16()))
    assert half.dtype == torch.bfloat16
    assert (half.float() - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("model_class", [GalvmModel, GalvmForMaskedImageModeling])
def test_compiled_agrees_to_1e_4(model_class, small_config, images):
    model = corrects(model_class(small_config))
    inputs = {"bool_masked_pos": torch.ones(2, 4, 4)} if model_class is GalvmForMaskedImageModeling else {}
    with torch.no_grad():
        expected = first_tensor(model(images, **inputs))
        compiled = first_tensor(torch.compile(model, fullgraph=True)(images, **inputs))
    torch.testing.assert_close(compiled, expected, atol=1e-4, rtol=1e-4)


def test_training_works_after_inference_mode(small_config):
    model = GalvmModel(small_config)
    images = torch.rand(1, 3, 72, 88)  # a size that no other test has laid out before
    with torch.inference_mode():
        model(images)
    model(images).pooler_output.sum().backward()
    assert model.encoder.stages[0].layers[1].attention.qkv.weight.grad.abs().sum() > 0


def test_tiny_encoder_costs_at_most_0_6_gflop():
    model = GalvmModel(GalvmConfig.tiny()).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.rand(1, 3, 128, 128))
    assert 0.3e9 < counter.get_total_flops() < 0.6e9


@pytest.mark.parametrize(
    ("auto", "name"),
    [
        (AutoModelForImageClassification, "classification head"),
        (AutoModelForImageToImage, "restoration head"),
        (AutoModelForMaskedImageModeling, "inpainting head"),
    ],
)
def test_a_checkpoint_without_the_head_says_so_once(auto, name, small_config, tmp_path, messages):
    GalvmModel(small_config).save_pretrained(tmp_path)
    model, info = auto.from_pretrained(tmp_path, output_loading_info=True)
    about_heads = [message for message in messages if "head" in message]
    assert len(about_heads) == 1
    assert f"The checkpoint has no {name}" in about_heads[0]
    assert any(key.split(".")[0] not in ("galvm",) for key in info["missing_keys"])
    assert all(parameter.isfinite().all() for parameter in model.parameters())
