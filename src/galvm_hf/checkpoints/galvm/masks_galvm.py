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
"""Hidden pixels: masks of pixels and patches, a first filling, and the error over what was hidden."""

import torch
from torch import nn

# Steps of diffusion at each level of the pyramid of `fill_smoothly`; more cost time and change little.
DIFFUSION_STEPS = 8


def expand_mask(bool_masked_pos: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bring a mask of pixels or of square patches to pixels.

    Args:
        bool_masked_pos: True where hidden: pixels `[B, H, W]`, a grid of patches `[B, H / p, W / p]`, or the same
            grid flattened, `[B, H * W / p**2]`.
        height: H, in px.
        width: W, in px.

    Returns:
        The mask of pixels, bool, `[B, 1, H, W]`.

    Raises:
        ValueError: If no whole patch size fits the mask to the image.
    """
    mask = bool_masked_pos.bool()
    if mask.dim() == 2 and mask.shape[1]:
        patch = round((height * width / mask.shape[1]) ** 0.5)
        if height % patch == 0 and width % patch == 0 and mask.shape[1] * patch**2 == height * width:
            mask = mask.view(-1, height // patch, width // patch)
    if mask.dim() == 3 and all(mask.shape):
        patch = height // mask.shape[1]
        if mask.shape[1] * patch == height and mask.shape[2] * patch == width:
            return mask.repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, None]
    raise ValueError(
        f"bool_masked_pos of shape {list(bool_masked_pos.shape)} does not fit images of {height} x {width} px: give "
        "pixels [B, H, W], a grid of square patches [B, H / p, W / p], or that grid flattened."
    )


def hidden_error(reconstruction: torch.Tensor, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean squared error over hidden pixels, a scalar; zero if nothing is hidden.

    Args:
        reconstruction: `[B, C, H, W]`.
        image: What was hidden, `[B, C, H, W]`.
        mask: True where hidden, bool, `[B, 1, H, W]`.
    """
    squared_error = (reconstruction - image).square().masked_fill(~mask, 0.0)
    return squared_error.sum() / (mask.sum() * image.shape[1]).clamp(min=1)


def fill_smoothly(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Fill in hidden pixels from the visible ones around them, without anything learnt.

    A pyramid of means over visible pixels, each level half as large as the last; then back from the coarsest, where
    what is hidden comes from the level above and a few steps of diffusion smooth it (Gortler et al. 1996, "The
    Lumigraph", push and pull). It comes close to the membrane that solves Laplace's equation.

    Args:
        images: `[B, C, H, W]`; hidden pixels are not read.
        mask: True where hidden, bool, `[B, 1, H, W]`.

    Returns:
        The filled images, `[B, C, H, W]`; zero where a whole image is hidden.
    """
    weight = (~mask).float()
    light = images.float().masked_fill(mask, 0.0)
    levels = [(light, weight)]
    while max(light.shape[-2:]) > 1:
        light, weight = (nn.functional.avg_pool2d(part, 2, ceil_mode=True) for part in (light, weight))
        levels.append((light, weight))
    filled = None
    for light, weight in reversed(levels):
        visible = light / weight.clamp(min=torch.finfo(weight.dtype).tiny)
        if filled is None:
            filled = visible
            continue
        hidden = weight == 0
        filled = nn.functional.interpolate(filled, size=light.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.where(hidden, filled, visible)
        for _ in range(DIFFUSION_STEPS):
            around = nn.functional.pad(filled, (1, 1, 1, 1), mode="replicate")
            mean = around[..., :-2, 1:-1] + around[..., 2:, 1:-1] + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]
            filled = torch.where(hidden, mean / 4, visible)
    return filled.to(images.dtype)
