"""The paper's lens detection: boxes and masks of strong lenses in wide fields, by Mask R-CNN."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from huggingface_hub.dataclasses import strict

from ...data.boxes import match_boxes
from ...modeling_galvm import GalvmPreTrainedModel
from ...modeling_galvm_detection import GalvmForLensDetection
from ..data import Samples
from ..fields import FieldSettings
from .base import Batch, Task, TaskSettings, Values


@strict
@dataclass
class DetectionTaskSettings(TaskSettings):
    """See [`TaskSettings`]; what it is evaluated on are fields."""

    validation: FieldSettings


class Detection(Task):
    """Lenses in parts of fields; the metric is the average precision of boxes at an overlap of one half."""

    model_class = GalvmForLensDetection

    def make_batch(self, samples: Samples, image_size: int, generators: Sequence[torch.Generator]) -> Batch:
        """The fields as they are streamed, which are parts of the size that the phase says already."""
        images = samples["pixel_values"]
        labels = [{name: value.to(images.device) for name, value in label.items()} for label in samples["labels"]]
        return {"pixel_values": images, "labels": labels}

    def measure(self, model: GalvmPreTrainedModel, batch: Batch) -> Values:
        """Of each field's detections the `score` and whether it is a lens that no better one has found, `[B, N]`;
        and how many lenses there are, `[B]`."""
        from torchvision.ops import box_convert

        outputs = model(batch["pixel_values"])
        scores = outputs.logits.sigmoid().amax(-1)
        right = torch.zeros_like(scores, dtype=torch.bool)
        for row, label in enumerate(batch["labels"]):
            best_first = scores[row].argsort(descending=True)
            boxes = outputs.pred_boxes[row, best_first], label["boxes"]
            found, true = (box_convert(some.float(), "cxcywh", "xyxy") for some in boxes)
            right[row, best_first] = match_boxes(found, true) >= 0
        lenses = torch.tensor([len(label["boxes"]) for label in batch["labels"]], device=scores.device)
        return {"score": scores, "right": right, "lenses": lenses}

    def score(self, values: Values) -> dict[str, float]:
        """The average precision AP50, and the share of lenses that are found with a score of at least one half."""
        order = values["score"].flatten().argsort(descending=True)
        right = values["right"].flatten()[order].double()
        lenses = values["lenses"].sum().clamp(min=1)
        precision = right.cumsum(0) / torch.arange(1, len(right) + 1, device=right.device)
        # each lens counts with the best precision at which it, or one that is harder to find, is had
        envelope = precision.flip(0).cummax(0).values.flip(0)
        ap50 = float((envelope * right).sum() / lenses)
        found = float((values["right"] & (values["score"] >= 0.5)).sum() / lenses)
        return {"error": 1 - ap50, "ap50": ap50, "completeness": found}
