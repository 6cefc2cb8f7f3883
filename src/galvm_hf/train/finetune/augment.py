"""Strong augmentation of stamps, a batch at once."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# A galaxy keeps its class and shape when it is turned; the crop leaves its size and place uncertain by about this much.
ZOOM = (0.85, 1.2)
SHIFT = 0.04


def augment(images: Tensor) -> Tensor:
    """Turn each image by any angle, flip half of them, and draw size and place a little anew.

    Random numbers are torch's global ones, which a `Trainer` seeds. Beyond the frame is dark sky.

    Args:
        images: Display images, [B, C, H, W].

    Returns:
        The same shape.
    """
    batch = len(images)
    angle = 2 * math.pi * torch.rand(batch)
    flip = 2.0 * torch.randint(2, (batch,)) - 1
    # The map goes from the result to the image, so that a larger galaxy is a smaller step.
    step = torch.empty(batch).uniform_(-math.log(ZOOM[1]), -math.log(ZOOM[0])).exp()
    shift = (2 * torch.rand(batch, 2) - 1) * 2 * SHIFT
    cosine, sine = step * angle.cos(), step * angle.sin()
    rows = torch.stack([cosine * flip, -sine, shift[:, 0], sine * flip, cosine, shift[:, 1]], dim=1)
    grid = F.affine_grid(rows.view(batch, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
