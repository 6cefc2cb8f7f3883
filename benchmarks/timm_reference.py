"""The same networks built from timm's Swin V1 and SUNet's published up-sampling, with the same weights.

timm is the reference for correctness (`tests/test_timm_equivalence.py`) and for speed (`encoder.py`).
"""

import torch
from timm.models.swin_transformer import SwinTransformer, SwinTransformerStage
from torch import nn

from galvm_hf import GalvmConfig, GalvmForImageRestoration, GalvmModel
from galvm_hf.layers_galvm import GalvmDualUpSample, GalvmStage


def copy_stage(stage: GalvmStage, blocks: nn.Sequential, window_size: int) -> None:
    """Copy a stage's weights to timm's blocks. timm's table of a smaller window is the middle of ours."""
    for layer, block in zip(stage.layers, blocks, strict=True):
        block.norm1.load_state_dict(layer.layernorm_before.state_dict())
        block.norm2.load_state_dict(layer.layernorm_after.state_dict())
        block.attn.qkv.load_state_dict(layer.attention.qkv.state_dict())
        block.attn.proj.load_state_dict(layer.attention.o_proj.state_dict())
        block.mlp.fc1.load_state_dict(layer.mlp.fc1.state_dict())
        block.mlp.fc2.load_state_dict(layer.mlp.fc2.state_dict())
        table = layer.attention.relative_position_bias_table.view(*[2 * window_size - 1] * 2, -1)
        middle = [slice(window_size - size, window_size + size - 1) for size in block.attn.window_size]
        block.attn.relative_position_bias_table.copy_(table[*middle].flatten(0, 1))


class TimmEncoder(nn.Module):
    """timm's Swin V1 with our patch embedding, which is one convolution here as it is in ours.

    Args:
        model: Whose sizes and weights to take.
        image_size: Height and width, in px; timm's windows are laid out for one size.
    """

    def __init__(self, model: GalvmModel, image_size: tuple[int, int]):
        super().__init__()
        config = model.config
        self.swin = SwinTransformer(
            img_size=image_size,
            patch_size=config.patch_size,
            in_chans=config.num_channels,
            embed_dim=config.embed_dim,
            depths=tuple(config.depths),
            num_heads=tuple(config.num_heads),
            window_size=config.window_size,
            drop_path_rate=0.0,
            num_classes=0,
        )
        embeddings, patch = model.embeddings, config.patch_size
        projection = nn.Conv2d(config.num_channels, config.embed_dim, patch + 2, stride=patch, padding=1)
        weight, bias = embeddings.projection.weight, embeddings.projection.bias
        with torch.no_grad():
            projection.weight.copy_(nn.functional.conv_transpose2d(weight, embeddings.stem.weight))
            projection.bias.copy_(bias + weight.sum((2, 3)) @ embeddings.stem.bias)
            self.swin.patch_embed.proj = projection
            self.swin.patch_embed.norm.load_state_dict(embeddings.norm.state_dict())
            self.swin.norm.load_state_dict(model.layernorm.state_dict())
            for index, (stage, timm_stage) in enumerate(zip(model.encoder.stages, self.swin.layers, strict=True)):
                copy_stage(stage, timm_stage.blocks, config.window_size)
                if index > 0:
                    timm_stage.downsample.load_state_dict(model.encoder.merges[index - 1].state_dict())

    def stages(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:
        """The embedding and each stage's output, `[B, H, W, C]`."""
        tokens = [self.swin.patch_embed(pixel_values)]
        for layer in self.swin.layers:
            tokens.append(layer(tokens[-1]))
        return tokens

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """The pooled features, `[B, hidden_size]`."""
        return self.swin.norm(self.stages(pixel_values)[-1]).mean((1, 2))


class UnfoldedDualUpSample(nn.Module):
    """SUNet's up-sampling as published (Fan et al. 2022): two branches, concatenated and mixed by a convolution."""

    def __init__(self, folded: GalvmDualUpSample):
        super().__init__()
        scale = folded.scale
        output_size, hidden_size = folded.bilinear_proj.weight.shape
        self.shuffle = nn.Sequential(
            nn.Conv2d(hidden_size, output_size * scale**2, 1, bias=False),
            nn.PReLU(),
            nn.PixelShuffle(scale),
            nn.Conv2d(output_size, output_size, 1, bias=False),
        )
        self.bilinear = nn.Sequential(
            nn.Conv2d(hidden_size, hidden_size, 1),
            nn.PReLU(),
            nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=False),
            nn.Conv2d(hidden_size, output_size, 1, bias=False),
        )
        self.mix = nn.Conv2d(2 * output_size, output_size, 1, bias=False)
        with torch.no_grad():
            expand = folded.shuffle_expand.weight.view(scale, scale, output_size, hidden_size)
            self.shuffle[0].weight.copy_(expand.permute(2, 0, 1, 3).reshape(-1, hidden_size, 1, 1))
            self.shuffle[1].weight.copy_(folded.shuffle_activation.weight)
            self.shuffle[3].weight.copy_(folded.shuffle_proj.weight[..., None, None])
            self.bilinear[0].weight.copy_(folded.bilinear_expand.weight[..., None, None])
            self.bilinear[0].bias.copy_(folded.bilinear_expand.bias)
            self.bilinear[1].weight.copy_(folded.bilinear_activation.weight)
            self.bilinear[3].weight.copy_(folded.bilinear_proj.weight[..., None, None])
            self.mix.weight.copy_(torch.cat([torch.eye(output_size)] * 2, dim=1)[..., None, None])

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`[B, H, W, C]` to `[B, scale * H, scale * W, output_size]`."""
        hidden_states = hidden_states.permute(0, 3, 1, 2).contiguous()
        mixed = self.mix(torch.cat([self.shuffle(hidden_states), self.bilinear(hidden_states)], dim=1))
        return mixed.permute(0, 2, 3, 1)


class TimmSunet(nn.Module):
    """The whole network of a `GalvmForImageRestoration` on timm's stages, with SUNet's unfolded up-sampling."""

    def __init__(self, model: GalvmForImageRestoration, image_size: tuple[int, int]):
        super().__init__()
        config: GalvmConfig = model.config
        decoder = model.restoration
        self.encoder = TimmEncoder(model.galvm, image_size)
        self.upsamples = nn.ModuleList(UnfoldedDualUpSample(upsample) for upsample in decoder.upsamples)
        self.skip_projections = decoder.skip_projections
        self.stages = nn.ModuleList()
        for number, stage in enumerate(decoder.stages):
            level = len(decoder.stages) - 1 - number
            timm_stage = SwinTransformerStage(
                dim=config.embed_dim * 2**level,
                out_dim=config.embed_dim * 2**level,
                input_resolution=tuple(size // config.patch_size // 2**level for size in image_size),
                depth=config.depths[level],
                downsample=False,
                num_heads=config.num_heads[level],
                window_size=(config.window_size, config.window_size),
            )
            with torch.no_grad():
                copy_stage(stage, timm_stage.blocks, config.window_size)
            self.stages.append(timm_stage)
        self.norm = decoder.norm
        self.final_upsample = UnfoldedDualUpSample(decoder.final_upsample)
        self.output = decoder.output

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`[B, C, H, W]` to the restored image, `[B, C, H, W]`."""
        skips = self.encoder.stages(pixel_values)
        hidden_states = self.encoder.swin.norm(skips.pop())
        for number, (upsample, stage) in enumerate(zip(self.upsamples, self.stages, strict=True)):
            hidden_states = upsample(hidden_states)
            if self.skip_projections:
                hidden_states = torch.cat([hidden_states, skips.pop()], dim=-1)
                hidden_states = self.skip_projections[number](hidden_states)
            hidden_states = stage(hidden_states)
        hidden_states = self.final_upsample(self.norm(hidden_states))
        return self.output(hidden_states.permute(0, 3, 1, 2).contiguous())
