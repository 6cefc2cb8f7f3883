"""The encoder against timm's Swin Transformer V1, the reference implementation, with the same weights."""

import pytest
import torch
from timm.models.swin_transformer import SwinTransformer

from galvm_hf import GalvmConfig, GalvmModel


def timm_swin(config: GalvmConfig, image_size: tuple[int, int]) -> SwinTransformer:
    return SwinTransformer(
        img_size=image_size,
        patch_size=config.patch_size,
        in_chans=config.embed_dim,
        embed_dim=config.embed_dim,
        depths=tuple(config.depths),
        num_heads=tuple(config.num_heads),
        window_size=config.window_size,
        drop_path_rate=0.0,
        num_classes=0,
    )


def copy_to_timm(model: GalvmModel, reference: SwinTransformer) -> None:
    """Copy the weights of every stage. timm's table of a window smaller than ours is the middle of ours."""
    window_size = model.config.window_size

    def copy(target: torch.nn.Module, source: torch.nn.Module) -> None:
        target.load_state_dict(source.state_dict())

    copy(reference.patch_embed.proj, model.embeddings.projection)
    copy(reference.patch_embed.norm, model.embeddings.norm)
    copy(reference.norm, model.layernorm)
    for index, stage in enumerate(model.encoder.stages):
        timm_stage = reference.layers[index]
        if index > 0:
            copy(timm_stage.downsample, model.encoder.merges[index - 1])
        for layer, block in zip(stage.layers, timm_stage.blocks, strict=True):
            copy(block.norm1, layer.layernorm_before)
            copy(block.norm2, layer.layernorm_after)
            copy(block.attn.qkv, layer.attention.qkv)
            copy(block.attn.proj, layer.attention.o_proj)
            copy(block.mlp.fc1, layer.mlp.fc1)
            copy(block.mlp.fc2, layer.mlp.fc2)
            table = layer.attention.relative_position_bias_table.view(*[2 * window_size - 1] * 2, -1)
            rows, columns = block.attn.window_size
            table = table[
                window_size - rows : window_size + rows - 1, window_size - columns : window_size + columns - 1
            ]
            block.attn.relative_position_bias_table.copy_(table.flatten(0, 1))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("image_size", [(128, 128), (152, 152), (160, 160), (96, 224)])
def test_stages_equal_timm(image_size, attention):
    torch.manual_seed(0)
    # weights five times larger than at the start of training, so that attention and its masks matter
    config = GalvmConfig.tiny(initializer_range=0.1, attn_implementation=attention)
    model = GalvmModel(config).eval()
    reference = timm_swin(config, image_size).eval()
    pixel_values = torch.rand(2, 3, *image_size)
    with torch.no_grad():
        copy_to_timm(model, reference)
        outputs = model(pixel_values)
        tokens = reference.patch_embed(model.embeddings.stem(pixel_values))
        expected = [tokens]
        for layer in reference.layers:
            tokens = layer(tokens)
            expected.append(tokens)
        features = reference.norm(tokens).mean((1, 2))
    for stage, (feature_map, reference_map) in enumerate(zip(outputs.feature_maps, expected, strict=True)):
        difference = (feature_map.permute(0, 2, 3, 1) - reference_map).abs().max() / reference_map.abs().max()
        assert difference < 1e-5, f"stage {stage} differs by {difference:.1e} of its largest value"
    assert (outputs.pooler_output - features).abs().max() < 1e-5
