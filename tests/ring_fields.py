"""Fields of noise with blue rings round red discs, and red discs alone: what a small detector learns in seconds."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


def ring_field(size: int, rings: int, random: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """A picture uint8 [size, size, 3], red first, and the mask of each ring, bool [size, size]."""
    rows, columns = np.mgrid[:size, :size]
    picture = random.normal(0.1, 0.02, (size, size, 3))
    masks = []
    places = random.permutation([(x, y) for x in range(16, size - 15, 32) for y in range(16, size - 15, 32)])
    for number, (x, y) in enumerate(places[: rings + 1]):
        distance = np.hypot(columns - x, rows - y)
        picture += np.exp(-0.5 * (distance / 2) ** 2)[..., None] * [0.8, 0.4, 0.2]
        if number < rings:
            masks.append(abs(distance - random.uniform(6, 9)) < 1.6)
            picture[masks[-1]] += [0.1, 0.3, 0.7]
    return (picture.clip(0, 1) * 255).astype(np.uint8), masks


def write_ring_fields(folder: Path, number: int, size: int = 64, seed: int = 0, rings: int | None = None) -> Path:
    """Fields of zero to two rings (or as many as `rings` says) as PNG, with their annotations in the COCO format."""
    from pycocotools import mask

    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    images, annotations = [], []
    for index in range(number):
        picture, masks = ring_field(size, index % 3 if rings is None else rings, random)
        name = f"field-{index:05d}.png"
        Image.fromarray(picture).save(folder / name)
        images.append({"id": index + 1, "file_name": name, "height": size, "width": size})
        for plane in masks:
            outline = mask.encode(np.asfortranarray(plane.astype(np.uint8)))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": 1,
                    "iscrowd": 0,
                    "area": int(plane.sum()),
                    "bbox": mask.toBbox(outline).tolist(),
                    "segmentation": outline | {"counts": outline["counts"].decode()},
                }
            )
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "lens"}]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder
