"""The same networks built from timm's Swin V1 and SUNet's published up-sampling, with the same weights.

timm is the reference for correctness (`tests/test_timm_equivalence.py`) and for speed (`encoder.py`, `train_step.py`).
"""

import copy

import torch
from timm.models.swin_transformer import SwinTransformer, SwinTransformerStage
from torch import nn

from galvm_hf import GalvmForImageRestoration, GalvmForPreTraining, GalvmModel
from galvm_hf.decoder_galvm import GalvmTokenDecoder
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


class TimmTokenDecoder(nn.Module):
    """The Swin stages of a decoder, with SUNet's unfolded up-sampling.

    Args:
        decoder: Whose sizes and weights to take.
        grid: Height and width of the first stage, in tokens.
    """

    def __init__(self, decoder: GalvmTokenDecoder, grid: tuple[int, int]):
        super().__init__()
        self.upsamples = nn.ModuleList(UnfoldedDualUpSample(upsample) for upsample in decoder.upsamples)
        self.skip_projections = copy.deepcopy(decoder.skip_projections)
        self.stages = nn.ModuleList()
        for number, stage in enumerate(decoder.stages):
            shrunk = 2 ** (len(decoder.stages) - 1 - number)
            attention = stage.layers[0].attention
            timm_stage = SwinTransformerStage(
                dim=attention.qkv.in_features,
                out_dim=attention.qkv.in_features,
                input_resolution=tuple(size // shrunk for size in grid),
                depth=len(stage.layers),
                downsample=False,
                num_heads=attention.num_heads,
                window_size=(stage.window_size, stage.window_size),
            )
            with torch.no_grad():
                copy_stage(stage, timm_stage.blocks, stage.window_size)
            self.stages.append(timm_stage)
        self.norm = copy.deepcopy(decoder.norm)

    def forward(self, hidden_states: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        """The encoder's features and what came before them, `[B, H, W, C]`, to the first stage's tokens."""
        for number, (upsample, stage) in enumerate(zip(self.upsamples, self.stages, strict=True)):
            hidden_states = upsample(hidden_states)
            if self.skip_projections:
                hidden_states = torch.cat([hidden_states, skips[-1 - number]], dim=-1)
                hidden_states = self.skip_projections[number](hidden_states)
            hidden_states = stage(hidden_states)
        return self.norm(hidden_states)


class TimmNetwork(nn.Module):
    """Encoder and token decoder of a model on timm's stages.

    Args:
        model: Whose sizes and weights to take.
        decoder: That of the model.
        image_size: Height and width, in px, for which timm's windows are laid out: whole patches, halved without rest.
    """

    def __init__(
        self,
        model: GalvmForPreTraining | GalvmForImageRestoration,
        decoder: GalvmTokenDecoder,
        image_size: tuple[int, int],
    ):
        super().__init__()
        self.encoder = TimmEncoder(model.galvm, image_size)
        self.decoder = TimmTokenDecoder(decoder, tuple(size // model.config.patch_size for size in image_size))

    def tokens(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`[B, C, H, W]` to decoded tokens, `[B, h, w, embed_dim]`."""
        *skips, last = self.encoder.stages(pixel_values)
        return self.decoder(self.encoder.swin.norm(last), skips)


class TimmSunet(TimmNetwork):
    """The whole network of a `GalvmForPreTraining`, which is SUNet's."""

    def __init__(self, model: GalvmForPreTraining, image_size: tuple[int, int]):
        super().__init__(model, model.decoder, image_size)
        self.final_upsample = UnfoldedDualUpSample(model.decoder.final_upsample)
        self.output = copy.deepcopy(model.decoder.output)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`[B, C, H, W]` to the image, `[B, C, H, W]`."""
        hidden_states = self.final_upsample(self.tokens(pixel_values))
        return self.output(hidden_states.permute(0, 3, 1, 2).contiguous())


class TimmRestoration(TimmNetwork):
    """The whole network of a `GalvmForImageRestoration`; its convolutions are the same modules as ours."""

    def __init__(self, model: GalvmForImageRestoration, image_size: tuple[int, int]):
        super().__init__(model, model.restoration, image_size)
        decoder = copy.deepcopy(model.restoration)
        self.scale = decoder.scale
        self.before = nn.Sequential(decoder.embedding, decoder.before)
        self.downsample, self.token_projection = decoder.downsample, decoder.token_projection
        self.between = decoder.between
        self.upsample = nn.Sequential(decoder.upsample, decoder.shuffle)
        self.after = nn.Sequential(decoder.after, decoder.output, nn.PixelShuffle(self.scale))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """`[B, C, H, W]` to the restored image, `[B, C, H, W]`."""
        pixels = nn.functional.pixel_unshuffle(pixel_values, self.scale)
        fine = self.before(pixels.contiguous(memory_format=torch.channels_last))
        tokens = self.token_projection(self.tokens(pixel_values)).permute(0, 3, 1, 2)
        coarse = self.between(self.downsample(fine) + tokens)
        return pixel_values + self.after(fine + self.upsample(coarse))
