"""A detector's answers on annotated fields."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ...data.fields import FieldDataset

LEAST_SCORE = 0.05  # of what counts as an answer at all


@dataclass(frozen=True)
class FieldDetections:
    """What a detector found in a field, best first.

    Attributes:
        scores: `[n]`.
        boxes: Left, top, right, bottom, px, `[n, 4]`.
        masks: Run lengths in pycocotools' compressed form, one dict each.
    """

    scores: np.ndarray
    boxes: np.ndarray
    masks: list[dict[str, Any]]


@torch.no_grad()
def detect_fields(model: nn.Module, image_processor: Any, fields: FieldDataset) -> list[FieldDetections]:
    """Detections in every field, each seen whole.

    Args:
        model: A detector, in evaluation mode.
        image_processor: Of the same checkpoint.
        fields: Whole fields.
    """
    from pycocotools import mask

    device = next(model.parameters()).device
    found = []
    for index in tqdm(range(len(fields)), unit="field", desc="Detecting", disable=None):
        images = fields.read(index).pixel_values[None].to(device)
        (result,) = image_processor.post_process_instance_segmentation(model(images), LEAST_SCORE, [images.shape[-2:]])
        planes = result["masks"].cpu().numpy().astype(np.uint8)
        masks = [mask.encode(np.asfortranarray(plane)) for plane in planes]
        found.append(FieldDetections(result["scores"].cpu().numpy(), result["boxes"].cpu().numpy(), masks))
    return found
