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
"""The layers of GaLVM: windows, Swin layers and stages, patch merging and dual up-sampling.

Tokens are `[B, H * W, C]` in raster order between stages, and in *window order* within a stage: window after window,
row by row inside each. In window order a plain Swin layer needs no partition at all, and cyclic shift and partition
together are one gather, whose indices are the same for all layers of a stage (`window_layout`).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_galvm import GalvmConfig

# On a CPU and without gradients, a stage runs on so few images at a time that what its layers write stays in the cache.
CPU_TOKENS = 4096


class WindowLayout(NamedTuple):
    """How the tokens of an H x W map lie in windows. S slots are the map padded to whole windows of A tokens each.

    Attributes:
        num_windows: Number of windows, S / A.
        tokens: Raster token that each slot holds; padding slots name token 0. Shape `[S]`.
        valid: 1 where a slot holds a token, 0 where it is padding; None without padding. Shape `[S, 1]`.
        raster: Slot of each raster token. Shape `[H * W]`.
        shift: Slot from which each slot of the shifted windows is filled; None if nothing shifts. Shape `[S]`.
        unshift: The inverse of `shift`. Shape `[S]`.
        shift_mask: 0 between tokens that were neighbours before the cyclic shift, -100 elsewhere. Shape
            `[S / A, 1, A, A]`.
        relative_position: Entry of the bias table for each pair of tokens in a window. Shape `[A * A]`.
    """

    num_windows: int
    tokens: torch.Tensor
    valid: torch.Tensor | None
    raster: torch.Tensor
    shift: torch.Tensor | None
    unshift: torch.Tensor | None
    shift_mask: torch.Tensor | None
    relative_position: torch.Tensor


def window_layout(height: int, width: int, window_size: int, device: torch.device) -> WindowLayout:
    """The windows of a map of `height` x `width` tokens, as timm's Swin V1 lays them out for that input size.

    A window is no larger than the map, and along an axis that one window covers nothing is shifted. The map is shifted
    first and padded at the bottom and right after that.
    """
    if torch.compiler.is_compiling():
        return _make_window_layout(height, width, window_size, device)
    return _kept_window_layout(height, width, window_size, device)


@lru_cache(maxsize=256)
def _kept_window_layout(height: int, width: int, window_size: int, device: torch.device) -> WindowLayout:
    # what is made in inference mode could not be used in training later
    with torch.inference_mode(False):
        return _make_window_layout(height, width, window_size, device)


def _make_window_layout(height: int, width: int, window_size: int, device: torch.device) -> WindowLayout:
    window_height, window_width = min(window_size, height), min(window_size, width)
    shift_height = window_size // 2 if height > window_size else 0
    shift_width = window_size // 2 if width > window_size else 0
    window_rows, window_columns = -(-height // window_height), -(-width // window_width)
    area = window_height * window_width

    def slot_at(row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        window = row // window_height * window_columns + column // window_width
        return window * area + row % window_height * window_width + column % window_width

    # where each slot lies in the padded map
    slots = torch.arange(window_rows * window_columns * area, device=device)
    window, place = slots // area, slots % area
    row = window // window_columns * window_height + place // window_width
    column = window % window_columns * window_width + place % window_width
    is_token = (row < height) & (column < width)
    tokens = torch.where(is_token, row * width + column, 0)
    is_padded = len(slots) > height * width

    shift = unshift = shift_mask = None
    if shift_height or shift_width:
        # padding lies at the same slots before and after, so each of its slots is filled from itself
        source = slot_at((row + shift_height) % height, (column + shift_width) % width)
        target = slot_at((row + height - shift_height) % height, (column + width - shift_width) % width)
        shift = torch.where(is_token, source, slots)
        unshift = torch.where(is_token, target, slots)
        region = torch.zeros_like(slots)
        for axis, steps, step, offset in (
            (row, window_rows, window_height, shift_height),
            (column, window_columns, window_width, shift_width),
        ):
            if offset:
                end = steps * step
                region = 3 * region + (axis >= end - step).long() + (axis >= end - offset).long()
        region = region.view(-1, area)
        shift_mask = torch.where(region[:, None, :] == region[:, :, None], 0.0, -100.0)[:, None]

    raster = torch.arange(height * width, device=device)
    row, column = place[:area] // window_width, place[:area] % window_width
    relative_row = row[:, None] - row[None, :] + window_size - 1
    relative_column = column[:, None] - column[None, :] + window_size - 1
    return WindowLayout(
        num_windows=window_rows * window_columns,
        tokens=tokens,
        valid=is_token[:, None].float() if is_padded else None,
        raster=slot_at(raster // width, raster % width),
        shift=shift,
        unshift=unshift,
        shift_mask=shift_mask,
        relative_position=(relative_row * (2 * window_size - 1) + relative_column).flatten(),
    )


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention by two matrix products; also returns the weights `[B * windows, heads, A, A]`."""
    weights = torch.matmul(query * scaling, key.transpose(2, 3)) + attention_mask
    weights = nn.functional.softmax(weights, dim=-1)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2), weights


class GalvmAttention(nn.Module):
    """Multi-head attention within windows, with a relative position bias (Liu et al. 2021)."""

    def __init__(self, config: GalvmConfig, hidden_size: int, num_heads: int):
        super().__init__()
        self.config = config
        self.num_heads = num_heads
        self.head_dim = hidden_size // num_heads
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_probs_dropout_prob
        self.is_causal = False
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size, bias=config.qkv_bias)
        self.o_proj = nn.Linear(hidden_size, hidden_size)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * config.window_size - 1) ** 2, num_heads))

    def attention_mask(self, layout: WindowLayout, shifted: bool, batch_size: int) -> torch.Tensor:
        """Position bias, and the shift's mask where windows are shifted: `[1 or B * windows, heads, A, A]`."""
        area = len(layout.tokens) // layout.num_windows
        bias = self.relative_position_bias_table.index_select(0, layout.relative_position)
        bias = bias.t().reshape(1, self.num_heads, area, area)
        if not shifted:
            return bias
        return (bias + layout.shift_mask.to(bias.dtype)).repeat(batch_size, 1, 1, 1)

    def forward(
        self, hidden_states: torch.Tensor, layout: WindowLayout, shifted: bool, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """`[B, S, C]` in window order (shifted windows if `shifted`) to the same, and the attention weights."""
        batch_size, slots, channels = hidden_states.shape
        qkv = self.qkv(hidden_states).view(batch_size * layout.num_windows, -1, 3, self.num_heads, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attention_interface: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        attention_output, attention_weights = attention_interface(
            self,
            query,
            key,
            value,
            self.attention_mask(layout, shifted, batch_size),
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.o_proj(attention_output.reshape(batch_size, slots, channels)), attention_weights


class GalvmMLP(nn.Module):
    """Two linear layers with the activation of the configuration between them."""

    def __init__(self, config: GalvmConfig, hidden_size: int):
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, int(config.mlp_ratio * hidden_size))
        self.activation_fn = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(int(config.mlp_ratio * hidden_size), hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation_fn(self.fc1(hidden_states)))


class GalvmDropPath(nn.Module):
    """Stochastic depth: drops the whole residual branch of a sample (Huang et al. 2016)."""

    def __init__(self, drop_prob: float):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if self.drop_prob == 0.0 or not self.training:
            return hidden_states
        keep_prob = 1 - self.drop_prob
        keep = hidden_states.new_empty(len(hidden_states), 1, 1).bernoulli_(keep_prob)
        return hidden_states * keep / keep_prob


class GalvmLayer(GradientCheckpointingLayer):
    """A Swin layer: attention in windows, shifted ones in every second layer, and an MLP, both residual."""

    def __init__(self, config: GalvmConfig, hidden_size: int, num_heads: int, shifted: bool, drop_path_rate: float):
        super().__init__()
        self.shifted = shifted
        self.layernorm_before = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.attention = GalvmAttention(config, hidden_size, num_heads)
        self.layernorm_after = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)
        self.mlp = GalvmMLP(config, hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.drop_path = GalvmDropPath(drop_path_rate)

    def forward(
        self, hidden_states: torch.Tensor, layout: WindowLayout, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """`[B, S, C]` in window order to the same, and the attention weights."""
        shifted = self.shifted and layout.shift is not None
        attended = self.layernorm_before(hidden_states)
        if layout.valid is not None:
            # timm pads after the norm, so padding enters attention as zeros
            attended = attended * layout.valid.to(attended.dtype)
        if shifted:
            attended = attended.index_select(1, layout.shift)
        attended, attention_weights = self.attention(attended, layout, shifted, **kwargs)
        if shifted:
            attended = attended.index_select(1, layout.unshift)
        hidden_states = hidden_states + self.drop_path(self.dropout(attended))
        mlp_output = self.mlp(self.layernorm_after(hidden_states))
        return hidden_states + self.drop_path(self.dropout(mlp_output)), attention_weights


class GalvmStage(nn.Module):
    """Swin layers at one resolution."""

    def __init__(
        self,
        config: GalvmConfig,
        hidden_size: int,
        num_heads: int,
        depth: int,
        drop_path_rates: list[float] | None = None,
    ):
        super().__init__()
        self.window_size = config.window_size
        self.layers = nn.ModuleList(
            GalvmLayer(
                config,
                hidden_size,
                num_heads,
                shifted=index % 2 == 1,
                drop_path_rate=drop_path_rates[index] if drop_path_rates else 0.0,
            )
            for index in range(depth)
        )

    def forward(
        self, hidden_states: torch.Tensor, height: int, width: int, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """`[B, H * W, C]` in raster order to the same, and the last layer's attention weights."""
        layout = window_layout(height, width, self.window_size, hidden_states.device)
        images = max(1, CPU_TOKENS // len(layout.tokens))
        on_cpu = hidden_states.device.type == "cpu" and not torch.is_grad_enabled()
        if not on_cpu or len(hidden_states) <= images:
            return self.run_layers(hidden_states, layout, **kwargs)
        parts = [self.run_layers(part, layout, **kwargs) for part in hidden_states.split(images)]
        hidden_states, attention_weights = zip(*parts, strict=True)
        return torch.cat(hidden_states), None if attention_weights[0] is None else torch.cat(attention_weights)

    def run_layers(
        self, hidden_states: torch.Tensor, layout: WindowLayout, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """All layers, with the tokens in window order between them."""
        hidden_states = hidden_states.index_select(1, layout.tokens)
        attention_weights = None
        for layer in self.layers:
            hidden_states, attention_weights = layer(hidden_states, layout, **kwargs)
        return hidden_states.index_select(1, layout.raster), attention_weights


class GalvmProjection(nn.Linear):
    """A linear layer that no residual leads past: its weights start at a scale that keeps the size of the signal.

    Those of the Swin layers start smaller, at `initializer_range`. Where a decoder has no skips, all that it knows of
    the image comes through these.
    """


class GalvmPatchMerging(nn.Module):
    """Four neighbouring tokens into one of twice the width; an odd map is padded at the bottom and right."""

    def __init__(self, config: GalvmConfig, hidden_size: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * hidden_size, eps=config.layer_norm_eps)
        self.reduction = GalvmProjection(4 * hidden_size, 2 * hidden_size, bias=False)

    def forward(self, hidden_states: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """`[B, H * W, C]` to `[B, ceil(H / 2) * ceil(W / 2), 2 C]`."""
        batch_size, _, channels = hidden_states.shape
        hidden_states = hidden_states.view(batch_size, height, width, channels)
        if height % 2 or width % 2:
            hidden_states = nn.functional.pad(hidden_states, (0, 0, 0, width % 2, 0, height % 2))
        half_height, half_width = (height + 1) // 2, (width + 1) // 2
        hidden_states = hidden_states.view(batch_size, half_height, 2, half_width, 2, channels)
        hidden_states = hidden_states.permute(0, 1, 3, 4, 2, 5).reshape(batch_size, half_height * half_width, -1)
        return self.reduction(self.norm(hidden_states))


class GalvmDualUpSample(nn.Module):
    """Up-sampling by pixel shuffle and by bilinear interpolation, added (SUNet, Fan et al. 2022).

    SUNet concatenates the two and mixes them by a 1 x 1 convolution. Adjacent 1 x 1 convolutions merge into one, and
    they commute with bilinear interpolation, so that this is the same function at less cost.
    """

    def __init__(self, hidden_size: int, output_size: int, scale: int):
        super().__init__()
        self.scale = scale
        self.shuffle_expand = GalvmProjection(hidden_size, output_size * scale**2, bias=False)
        self.shuffle_activation = nn.PReLU()
        self.shuffle_proj = GalvmProjection(output_size, output_size, bias=False)
        self.bilinear_expand = GalvmProjection(hidden_size, hidden_size)
        self.bilinear_activation = nn.PReLU()
        self.bilinear_proj = GalvmProjection(hidden_size, output_size, bias=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`[B, H, W, C]` to `[B, scale * H, scale * W, output_size]`."""
        batch_size, height, width, _ = hidden_states.shape
        scale = self.scale
        shuffled = self.shuffle_activation(self.shuffle_expand(hidden_states))
        shuffled = shuffled.view(batch_size, height, width, scale, scale, -1).transpose(2, 3)
        shuffled = self.shuffle_proj(shuffled.reshape(batch_size, height * scale, width * scale, -1))
        smooth = self.bilinear_proj(self.bilinear_activation(self.bilinear_expand(hidden_states)))
        smooth = nn.functional.interpolate(
            smooth.permute(0, 3, 1, 2), scale_factor=scale, mode="bilinear", align_corners=False
        )
        return shuffled + smooth.permute(0, 2, 3, 1)
