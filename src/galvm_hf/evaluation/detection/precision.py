"""Average precision as COCO defines it (Lin et al. 2014, arXiv 1405.0312), by pycocotools, with intervals."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...data.fields import FieldDataset
from ..intervals import Estimate, bootstrap_interval
from .detections import FieldDetections

KINDS = {"boxes": "bbox", "masks": "segm"}
RECALLS = np.linspace(0, 1, 101)  # at which COCO reads the precision
MOST_DETECTIONS = 100  # in a field


@dataclass(frozen=True)
class Precision:
    """Average precision of boxes or of masks.

    Attributes:
        ap: Mean over overlaps from 0.50 to 0.95.
        ap50: At an overlap of 0.50, intersection over union.
        ap75: At 0.75.
        curve: Precision at an overlap of 0.50 at the recalls `RECALLS`, `[101]`.
    """

    ap: Estimate
    ap50: Estimate
    ap75: Estimate
    curve: np.ndarray


def measure_precision(
    fields: FieldDataset, detections: Sequence[FieldDetections], kind: str, seed: int = 0
) -> Precision:
    """Average precision of detections in fields.

    Args:
        fields: With what is truly there.
        detections: One for each field.
        kind: "boxes" or "masks".
        seed: Of the intervals' draws.

    Raises:
        ValueError: If there is no lens in any field.
    """
    evaluation = _evaluate(fields, detections, KINDS[kind])
    precision = evaluation.eval["precision"][:, :, 0, 0, 0]  # overlaps, recalls
    if (precision < 0).all():
        raise ValueError("The fields have no lens, so there is no precision to be measured: give fields with lenses.")
    per_field = _matches(evaluation, len(fields))
    overlaps = evaluation.params.iouThrs
    at = {name: [int(np.argmin(abs(overlaps - least)))] for name, least in (("ap50", 0.5), ("ap75", 0.75))}
    at["ap"] = list(range(len(overlaps)))
    estimates = {
        name: bootstrap_interval(
            lambda rows, chosen=chosen: per_field.mean_precision(rows, chosen), np.arange(len(fields)), seed=seed
        )
        for name, chosen in at.items()
    }
    return Precision(**estimates, curve=precision[0])


def _evaluate(fields: FieldDataset, detections: Sequence[FieldDetections], kind: str):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = [], []
    for index, (image, here) in enumerate(zip(fields.images, detections, strict=True), 1):
        for annotation in image["annotations"]:
            truth.append(annotation | {"id": len(truth) + 1, "image_id": index, "category_id": 1, "iscrowd": 0})
        for score, (x0, y0, x1, y1), outline in zip(here.scores, here.boxes, here.masks, strict=True):
            box = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
            found.append(
                {
                    "id": len(found) + 1,
                    "image_id": index,
                    "category_id": 1,
                    "score": float(score),
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "segmentation": outline,
                }
            )
    images = [{"id": index, "height": i["height"], "width": i["width"]} for index, i in enumerate(fields.images, 1)]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        evaluation = COCOeval(_index(COCO(), images, truth), _index(COCO(), images, found), kind)
        evaluation.params.maxDets = [MOST_DETECTIONS]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _index(coco, images: list[dict], annotations: list[dict]):
    coco.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "lens"}]}
    coco.createIndex()
    return coco


@dataclass(frozen=True)
class _Matches:
    """Every detection of all fields, best first: `field` `[D]`, `right` `[T, D]` at each overlap; `lenses` by field."""

    field: np.ndarray
    right: np.ndarray
    lenses: np.ndarray

    def mean_precision(self, rows: np.ndarray, overlaps: Sequence[int]) -> float:
        """Of fields that are drawn again with replacement, at some of the overlaps: COCO's average precision."""
        times = np.bincount(rows, minlength=len(self.lenses))
        weights, lenses = times[self.field], (times * self.lenses).sum()
        if not lenses:
            return float("nan")
        total, values = np.cumsum(weights), []
        for right in self.right[overlaps]:
            hits = np.cumsum(weights * right)
            precision = np.maximum.accumulate((hits / np.maximum(total, 1))[::-1])[::-1]
            places = np.searchsorted(hits / lenses, RECALLS, side="left")
            values.append(np.append(precision, 0.0)[np.minimum(places, len(precision))].mean())
        return float(np.mean(values))


def _matches(evaluation, number: int) -> _Matches:
    field, scores, right = [], [], []
    lenses = np.zeros(number, dtype=np.int64)
    for image in evaluation.evalImgs:
        if image is None:  # nothing is there and nothing was found
            continue
        index = image["image_id"] - 1
        lenses[index] = len(image["gtIds"])
        field += [index] * len(image["dtScores"])
        scores += image["dtScores"]
        right.append(np.asarray(image["dtMatches"]).reshape(len(evaluation.params.iouThrs), -1) > 0)
    order = np.argsort(-np.asarray(scores), kind="mergesort")
    joined = np.concatenate(right, axis=1) if right else np.zeros((len(evaluation.params.iouThrs), 0), dtype=bool)
    return _Matches(np.asarray(field, dtype=np.int64)[order], joined[:, order], lenses)
