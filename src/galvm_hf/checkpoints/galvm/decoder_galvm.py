# Copyright 2026 The GaLVM developers. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""GaLVM's decoders: from the encoder's stages back to pixels.

`GalvmDecoder` makes an image out of tokens alone, for pre-training. `GalvmDetailDecoder` corrects an image that is
there already, for restoration and inpainting: tokens say what the galaxy is, convolutions keep what lies between them.
"""

import math

import torch
from torch import nn
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs

from .configuration_galvm import GalvmConfig
from .layers_galvm import GalvmDualUpSample, GalvmProjection, GalvmStage


class GalvmTokenDecoder(nn.Module):
    """The encoder's mirror: dual up-sampling and Swin stages, back to the tokens of the first stage.

    Args:
        config: The sizes.
        use_skips: Whether the encoder's stages are read beside its features.
        depths: Swin layers in each stage, in the encoder's order; one entry fewer than `config.depths`.
    """

    def __init__(self, config: GalvmConfig, use_skips: bool, depths: list[int] | tuple[int, ...]):
        super().__init__()
        self.upsamples = nn.ModuleList()
        self.skip_projections = nn.ModuleList()
        self.stages = nn.ModuleList()
        for index in reversed(range(len(config.depths) - 1)):
            hidden_size = config.embed_dim * 2**index
            self.upsamples.append(GalvmDualUpSample(2 * hidden_size, hidden_size, scale=2))
            if use_skips:
                self.skip_projections.append(GalvmProjection(2 * hidden_size, hidden_size))
            self.stages.append(GalvmStage(config, hidden_size, config.num_heads[index], depths[index]))
        self.norm = nn.LayerNorm(config.embed_dim, eps=config.layer_norm_eps)

    def decode_tokens(
        self, last_hidden_state: torch.Tensor, feature_maps: tuple[torch.Tensor, ...], **kwargs
    ) -> torch.Tensor:
        """The encoder's output to tokens `[B, h, w, embed_dim]` of `patch_size` px."""
        batch_size, _, height, width = feature_maps[-1].shape
        hidden_states = last_hidden_state.view(batch_size, height, width, -1)
        for index, (upsample, stage) in enumerate(zip(self.upsamples, self.stages, strict=True)):
            # the encoder pads odd maps, so the up-sampled one can be a token larger than the stage it mirrors
            skip = feature_maps[-2 - index].permute(0, 2, 3, 1)
            height, width = skip.shape[1:3]
            hidden_states = upsample(hidden_states)[:, :height, :width]
            if self.skip_projections:
                hidden_states = self.skip_projections[index](torch.cat([hidden_states, skip], dim=-1))
            hidden_states, _ = stage(hidden_states.flatten(1, 2), height, width, **kwargs)
            hidden_states = hidden_states.view(batch_size, height, width, -1)
        return self.norm(hidden_states)


class GalvmDecoder(GalvmTokenDecoder):
    """Tokens to an image: all of SUNet's decoder, finished by a 3 x 3 convolution."""

    def __init__(self, config: GalvmConfig, use_skips: bool):
        super().__init__(config, use_skips, config.depths[:-1])
        self.final_upsample = GalvmDualUpSample(config.embed_dim, config.embed_dim, scale=config.patch_size)
        self.output = nn.Conv2d(config.embed_dim, config.num_channels, kernel_size=3, padding=1, bias=False)

    def forward(
        self,
        last_hidden_state: torch.Tensor,
        feature_maps: tuple[torch.Tensor, ...],
        size: tuple[int, int],
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        """The encoder's output to an image `[B, C, *size]`."""
        hidden_states = self.final_upsample(self.decode_tokens(last_hidden_state, feature_maps, **kwargs))
        return self.output(hidden_states.permute(0, 3, 1, 2))[..., : size[0], : size[1]]


class GalvmConvolution(nn.Conv2d):
    """A convolution whose weights start with a standard deviation of `gain` over the root of its inputs."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, gain: float = 1.0):
        padding = kernel_size // 2 if stride == 1 else 0
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding)
        self.gain = gain


class GalvmConvolutionBlock(nn.Module):
    """Two 3 x 3 convolutions beside an identity; without norms, whose statistics would mix up levels of light."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.conv1 = GalvmConvolution(hidden_size, hidden_size, 3, gain=2**0.5)
        self.activation_fn = nn.ReLU()
        # many blocks add up to a signal of about the size of one
        self.conv2 = GalvmConvolution(hidden_size, hidden_size, 3, gain=0.2)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`[B, C, H, W]` to the same."""
        return hidden_states + self.conv2(self.activation_fn(self.conv1(hidden_states)))


class GalvmDetailDecoder(GalvmTokenDecoder):
    """Corrects an image: the decoded tokens, and a convolutional U-Net that meets them at their resolution.

    Tokens of 4 px tell little of where light lies within them. So the convolutions read the image itself at half its
    resolution (pixel unshuffle), go down to that of the tokens, take these in, and come back. The last convolution
    starts at zero: before any training the image comes out as it went in.

    Args:
        config: The sizes.
        use_mask: Whether the convolutions also read which pixels were hidden.
    """

    def __init__(self, config: GalvmConfig, use_mask: bool):
        super().__init__(config, config.use_skips, [config.head_depth] * (len(config.depths) - 1))
        self.patch_size = config.patch_size
        self.scale = math.gcd(2, config.patch_size)
        step, fine_size, area = config.patch_size // self.scale, config.embed_dim, self.scale**2
        before, between, after = config.detail_depths
        coarse_size = 2 * fine_size
        self.embedding = GalvmConvolution((config.num_channels + use_mask) * area, fine_size, 3)
        self.before = nn.Sequential(*(GalvmConvolutionBlock(fine_size) for _ in range(before)))
        self.downsample = GalvmConvolution(fine_size, coarse_size, step, stride=step)
        self.token_projection = GalvmProjection(config.embed_dim, coarse_size, bias=False)
        self.between = nn.Sequential(*(GalvmConvolutionBlock(coarse_size) for _ in range(between)))
        self.upsample = GalvmConvolution(coarse_size, fine_size * step**2, 1)
        self.shuffle = nn.PixelShuffle(step)
        self.after = nn.Sequential(*(GalvmConvolutionBlock(fine_size) for _ in range(after)))
        self.output = GalvmConvolution(fine_size, config.num_channels * area, 3, gain=0.0)

    def forward(
        self,
        image: torch.Tensor,
        mask: torch.Tensor | None,
        last_hidden_state: torch.Tensor,
        feature_maps: tuple[torch.Tensor, ...],
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        """Correct an image.

        Args:
            image: What to correct, `[B, C, H, W]`.
            mask: True where pixels were hidden, `[B, 1, H, W]`, for a decoder with `use_mask`.
            last_hidden_state: The encoder's output, `[B, H_4 * W_4, hidden_size]`.
            feature_maps: Its stages, `[B, C_i, H_i, W_i]`.

        Returns:
            The corrected image, `[B, C, H, W]`.
        """
        height, width = image.shape[-2:]
        pixels = image if mask is None else torch.cat([image, mask.to(image.dtype)], dim=1)
        padding = (0, -width % self.patch_size, 0, -height % self.patch_size)
        if any(padding):
            pixels = nn.functional.pad(pixels, padding, mode="replicate")
        # the tokens come with channels last, and convolutions are faster so
        pixels = nn.functional.pixel_unshuffle(pixels, self.scale).contiguous(memory_format=torch.channels_last)
        fine = self.before(self.embedding(pixels))
        tokens = self.token_projection(self.decode_tokens(last_hidden_state, feature_maps, **kwargs))
        coarse = self.between(self.downsample(fine) + tokens.permute(0, 3, 1, 2))
        fine = self.after(fine + self.shuffle(self.upsample(coarse)))
        correction = nn.functional.pixel_shuffle(self.output(fine), self.scale)
        return image + correction[..., :height, :width]
