"""The encoder against timm's Swin Transformer V1, and the whole network against SUNet's, with the same weights."""

import pytest
import torch
from timm_reference import TimmEncoder, TimmRestoration, TimmSunet

from galvm_hf import GalvmConfig, GalvmForImageRestoration, GalvmForPreTraining, GalvmModel

# weights several times larger than at the start of training, so that attention, its bias and its masks matter
LARGE = 0.1


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("image_size", [(128, 128), (152, 152), (160, 160), (96, 224)])
def test_stages_equal_timm(image_size, attention):
    torch.manual_seed(0)
    model = GalvmModel(GalvmConfig.tiny(initializer_range=LARGE, attn_implementation=attention)).eval()
    reference = TimmEncoder(model, image_size).eval()
    pixel_values = torch.rand(2, 3, *image_size)
    with torch.no_grad():
        outputs, expected = model(pixel_values), reference.stages(pixel_values)
        features = reference(pixel_values)
    for stage, (feature_map, tokens) in enumerate(zip(outputs.feature_maps, expected, strict=True)):
        difference = (feature_map.permute(0, 2, 3, 1) - tokens).abs().max()
        assert difference < 1e-5 * max(1, tokens.abs().max()), f"stage {stage} differs by {difference:.1e}"
    assert (outputs.pooler_output - features).abs().max() < 1e-5


def small_config(attention, **skips):
    return GalvmConfig(
        embed_dim=8,
        depths=(2, 3, 2, 2),
        num_heads=(1, 2, 2, 4),
        window_size=4,
        initializer_range=LARGE,
        attn_implementation=attention,
        **skips,
    )


def assert_same_function(model, reference):
    """Equal images, and equal gradients: what a step of training does is the same too."""
    pixel_values, weights = torch.rand(2, 3, 64, 96, requires_grad=True), torch.randn(2, 3, 64, 96)
    images, gradients = [], []
    for image in (reference(pixel_values), model(pixel_values).reconstruction):
        images.append(image.detach())
        gradients.append(torch.autograd.grad((image * weights).sum(), pixel_values)[0])
    for expected, found in (images, gradients):
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (images[0] - pixel_values).abs().max() > 0.1


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("skips", [True, False])
def test_pretraining_network_equals_sunet_unfolded(skips, attention):
    torch.manual_seed(0)
    model = GalvmForPreTraining(small_config(attention, pretraining_skips=skips))
    assert_same_function(model, TimmSunet(model, (64, 96)))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("skips", [True, False])
def test_restoration_network_equals_timm(skips, attention):
    torch.manual_seed(0)
    model = GalvmForImageRestoration(small_config(attention, use_skips=skips))
    torch.nn.init.normal_(model.restoration.output.weight, std=LARGE)  # at zero the image comes out as it went in
    assert_same_function(model, TimmRestoration(model, (64, 96)))
