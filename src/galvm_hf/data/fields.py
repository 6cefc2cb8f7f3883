"""Wide fields with the boxes and masks of what is in them: folders of images with COCO annotations.

`galvm simulate fields` and `galvm prepare composites` write such folders; anybody's own in the COCO format will do.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..image_transforms_galvm import fill_hidden, flux_to_display
from .boxes import box_of_mask
from .readers import read_stamp
from .stamp import NANOMAGGY, UnreadableStampError

ANNOTATIONS = "annotations.json"
# A lens that a crop leaves less of is not asked for.
LEAST_SHARE = 0.25
Labels = dict[str, Tensor]


@dataclass(frozen=True)
class Field:
    """A field and what is in it.

    Attributes:
        pixel_values: Display image, bands g, r, z in [0, 1], float32 `[3, H, W]`.
        masks: Of each object, bool `[n, H, W]`; boxes are the smallest round them.
    """

    pixel_values: Tensor
    masks: Tensor

    @property
    def boxes(self) -> Tensor:
        """Left, top, right, bottom, px, the last two exclusive, `[n, 4]`."""
        return torch.stack([box_of_mask(mask) for mask in self.masks]).float() if len(self.masks) else torch.zeros(0, 4)

    def labels(self) -> Labels:
        """By the conventions of transformers' detectors: `class_labels`, `boxes` and `masks`."""
        boxes, (height, width) = self.boxes, self.pixel_values.shape[1:]
        start, end = (boxes / torch.tensor([width, height, width, height])).split(2, dim=1)
        return {
            "class_labels": torch.zeros(len(boxes), dtype=torch.int64),
            "boxes": torch.cat([(start + end) / 2, end - start], dim=1),
            "masks": self.masks,
        }

    def crop(self, top: int, left: int, size: int) -> "Field":
        """A square part, with the objects of which at least `LEAST_SHARE` is inside."""
        inside = self.masks[:, top : top + size, left : left + size]
        share = inside.sum((1, 2)) / self.masks.sum((1, 2)).clamp(min=1)
        return Field(self.pixel_values[:, top : top + size, left : left + size], inside[share >= LEAST_SHARE])

    def turned(self, quarters: int, mirrored: bool) -> "Field":
        """Turned by quarters of a circle, and mirrored after that."""

        def turn(planes: Tensor) -> Tensor:
            planes = torch.rot90(planes, quarters, (1, 2))
            return planes.flip(2) if mirrored else planes

        return Field(turn(self.pixel_values).contiguous(), turn(self.masks).contiguous())


class FieldDataset(Dataset):
    """Fields of one or more folders, for `Trainer` and `DataLoader`.

    Args:
        folders: Each with `annotations.json` in the COCO format and the images that it names: FITS flux in g, r, z, or
            pictures.
        size: Side of a random part of each field, randomly turned and mirrored, px; None for whole fields as they are.

    Raises:
        FileNotFoundError: If a folder has no annotations.
        ValueError: If the annotations are not in the COCO format, or a field is smaller than `size`.
    """

    def __init__(self, folders: Sequence[Path], size: int | None = None):
        self.size = size
        self.images: list[dict[str, Any]] = []  # as COCO has them, with the folder and the annotations of each
        for folder in folders:
            self.images += _read_annotations(Path(folder))
        for image in self.images:
            if size is not None and min(image["height"], image["width"]) < size:
                raise ValueError(
                    f"{image['path']} is {image['height']} x {image['width']} px, and parts of {size} px are to be "
                    "cut: choose smaller ones, or leave such fields out."
                )

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int) -> Field:
        """A whole field as it is.

        Raises:
            UnreadableStampError: If the image cannot be read, or is of another size than its annotations.
        """
        image = self.images[index]
        stamp = read_stamp(image["path"])
        size = (image["height"], image["width"])
        if stamp.bands is None:
            # the RGB of a picture is z, r, g
            display = np.ascontiguousarray(stamp.pixels[..., ::-1].transpose(2, 0, 1), dtype=np.float32) / 255
        else:
            flux = fill_hidden(stamp.select(units=NANOMAGGY).pixels)[0]
            display = flux_to_display(flux)
        if display.shape[1:] != size:
            raise UnreadableStampError(
                image["path"], f"is of {display.shape[1:]} px, and its annotations are of {size}", "Annotate it anew"
            )
        masks = [_decode(annotation, size) for annotation in image["annotations"]]
        masks = [mask for mask in masks if mask.any()]
        stacked = np.stack(masks) if masks else np.zeros((0, *size), dtype=bool)
        return Field(torch.from_numpy(display), torch.from_numpy(stacked))

    def view(self, index: int, generator: torch.Generator | None = None) -> Field:
        """A random part of a field, or where `size` is None all of it.

        Args:
            index: Of the field.
            generator: Of the random numbers; without one they are torch's global ones, which a `Trainer` seeds.
        """
        field = self.read(index)
        if self.size is None:
            return field

        def draw(number: int) -> int:
            return int(torch.randint(number, (), generator=generator))

        height, width = field.pixel_values.shape[1:]
        part = field.crop(draw(height - self.size + 1), draw(width - self.size + 1), self.size)
        return part.turned(draw(4), bool(draw(2)))

    def __getitem__(self, index: int) -> dict[str, Any]:
        """`pixel_values` `[3, H, W]` and `labels` of a view."""
        field = self.view(index)
        return {"pixel_values": field.pixel_values, "labels": field.labels()}


def collate_fields(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch for `GalvmForLensDetection`: `pixel_values` `[B, 3, H, W]` and a list of labels.

    Raises:
        ValueError: If the fields are not of one size.
    """
    shapes = {tuple(sample["pixel_values"].shape) for sample in samples}
    if len(shapes) > 1:
        raise ValueError(f"Fields of {sorted(shapes)} do not make a batch: cut parts of one size, or take one by one.")
    return {
        "pixel_values": torch.stack([sample["pixel_values"] for sample in samples]),
        "labels": [sample["labels"] for sample in samples],
    }


def _read_annotations(folder: Path) -> list[dict[str, Any]]:
    path = folder / ANNOTATIONS
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no {ANNOTATIONS}: name a folder that `galvm simulate fields` or `galvm prepare composites` "
            "has finished."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images = {image["id"]: image | {"annotations": []} for image in content["images"]}
        for annotation in content["annotations"]:
            images[annotation["image_id"]]["annotations"].append(annotation)
        return [image | {"path": folder / image["file_name"]} for image in images.values()]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not in the COCO format: {type(error).__name__}: {error}.") from error


def _decode(annotation: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """The mask of an annotation, run lengths or polygons, bool [H, W]."""
    from pycocotools import mask

    outline = annotation["segmentation"]
    if isinstance(outline, list):
        outline = mask.merge(mask.frPyObjects(outline, *size))
    elif isinstance(outline["counts"], list):
        outline = mask.frPyObjects(outline, *size)
    return mask.decode(outline).astype(bool)
