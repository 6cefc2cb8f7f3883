"""The paper's lens detection: boxes and masks of strong lenses in wide fields, by Mask R-CNN."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from huggingface_hub.dataclasses import strict

from ...modeling_galvm import GalvmPreTrainedModel
from ...modeling_galvm_detection import GalvmForLensDetection
from ..data import Samples
from ..fields import FieldSettings
from .base import Batch, Task, TaskSettings, Values

LEAST_OVERLAP = 0.5  # of a box with the true one, intersection over union, to have found it


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
        outputs = model(batch["pixel_values"])
        scores = outputs.logits.sigmoid().amax(-1)
        right = torch.zeros_like(scores, dtype=torch.bool)
        for row, label in enumerate(batch["labels"]):
            overlap = _overlaps(outputs.pred_boxes[row], label["boxes"])
            for detection in scores[row].argsort(descending=True).tolist():
                if not overlap.shape[1]:
                    break
                best = overlap[detection].argmax()
                if overlap[detection, best] >= LEAST_OVERLAP:
                    right[row, detection] = True
                    overlap[:, best] = 0  # a lens is found once
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


def _overlaps(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes `[n, 4]` and `[m, 4]`, centre and size: `[n, m]`."""
    found, true = found[:, None].float(), true[None].float()
    start = torch.maximum(found[..., :2] - found[..., 2:] / 2, true[..., :2] - true[..., 2:] / 2)
    end = torch.minimum(found[..., :2] + found[..., 2:] / 2, true[..., :2] + true[..., 2:] / 2)
    common = (end - start).clamp(min=0).prod(-1)
    return common / (found[..., 2:].prod(-1) + true[..., 2:].prod(-1) - common).clamp(min=1e-12)
