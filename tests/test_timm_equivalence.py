"""The encoder against timm's Swin Transformer V1, and the whole network against SUNet's, with the same weights."""

import pytest
import torch
from timm_reference import TimmEncoder, TimmSunet

from galvm_hf import GalvmConfig, GalvmForPreTraining, GalvmModel

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


@pytest.mark.parametrize("skips", [True, False])
def test_network_equals_sunet_unfolded(skips):
    torch.manual_seed(0)
    model = GalvmForPreTraining(GalvmConfig.tiny(initializer_range=LARGE, pretraining_skips=skips)).eval()
    reference = TimmSunet(model, (128, 128)).eval()
    pixel_values = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        expected, restored = reference(pixel_values), model(pixel_values).reconstruction
    assert (restored - expected).abs().max() < 1e-5 * expected.abs().max()
