"""Lenses in the COCO format: boxes, masks as run lengths, one category; and the parts of a data set that is written."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files import whole_file
from .boxes import run_lengths

CATEGORIES = ({"id": 1, "name": "lens", "supercategory": "galaxy"},)


@dataclass(frozen=True)
class Instance:
    """Where a lens shows in a field.

    Attributes:
        row: Of the lens in the catalogue.
        box: x0, y0, x1, y1, the last two exclusive: the smallest box round its mask, inside the field.
        mask: Its pixels inside the box, bool [h, w].
    """

    row: int
    box: tuple[int, int, int, int]
    mask: np.ndarray


def annotate(instances: Iterable[Instance], size: tuple[int, int], file_name: str) -> dict[str, Any]:
    """One image and its annotations, without the numbers that they get among all.

    Args:
        instances: The lenses in it.
        size: Height and width of the image.
        file_name: Of the image.
    """
    height, width = size
    annotations = []
    for instance in instances:
        x0, y0, x1, y1 = instance.box
        annotations.append(
            {
                "category_id": CATEGORIES[0]["id"],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": int(instance.mask.sum()),
                "iscrowd": 0,
                "segmentation": run_lengths(instance.mask, x0, y0, (height, width)),
                "catalogue_id": instance.row + 1,
            }
        )
    return {"image": {"file_name": file_name, "height": height, "width": width}, "annotations": annotations}


def collect(parts: Iterable[Path], description: str) -> dict[str, Any]:
    """The annotations of all fields, each as `annotate` gave it, as one COCO data set."""
    images, annotations = [], []
    for image_id, path in enumerate(parts, 1):
        part = json.loads(path.read_text(encoding="utf-8"))
        images.append({"id": image_id} | part["image"])
        for annotation in part["annotations"]:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id} | annotation)
    info = {"description": description}
    return {"info": info, "images": images, "categories": list(CATEGORIES), "annotations": annotations}


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON so that it is there whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
