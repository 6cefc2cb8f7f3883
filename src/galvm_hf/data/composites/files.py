"""Composite fields in files that any tool reads: PNG pictures, ECSV catalogues, COCO annotations."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...files import whole_file
from ...image_transforms_galvm import flux_to_display
from ..coco import annotate, collect, write_json
from ..jobs import open_job
from .field import CompositeField, compose_field
from .objects import SPLITS, RealObject, read_objects

JOB_FILE = "composites.json"
DESCRIPTION = "Strong lenses in composite fields: real stamps, their places and company not; computed masks."
UNITS = {"x": "pix", "y": "pix"}


def write_composites(data: Path, split: str, number: int, seed: int, size: int, directory: Path) -> int:
    """Write composite fields: `field-00000.png` and so on, their catalogues, and the annotations of all of them.

    `field-00000.png` is the display image, its channels z, r, g. `field-00000.ecsv` lists what was pasted.
    `annotations.json` has boxes and masks of the lenses of all fields in the COCO format; besides, each annotation has
    `name`, `expert_grade` (absent where nobody graded) and `source` of its lens, and each image its `stamps`.

    Args:
        data: Folder of real images, see `read_objects`.
        split: "train", "validation" or "test": which objects.
        number: How many fields.
        seed: Of the whole series; a field depends on it, its split and its own number alone.
        size: Height and width in pixels.
        directory: Empty, or left by the same job when it was stopped.

    Returns:
        How many of the fields were there already.

    Raises:
        ValueError: If the directory holds anything else, or the split is unknown.
        FileNotFoundError: If there are no real images.
        ImportError: If pyarrow or astropy is not installed.
    """
    from tqdm import tqdm

    if split not in SPLITS:
        raise ValueError(f"A split is one of {', '.join(SPLITS)}, got {split!r}.")
    objects = read_objects(data, split)
    job = {"composites": split, "number": number, "seed": seed, "size": size}
    open_job(directory / JOB_FILE, job | {"objects": _fingerprint(objects)})
    # the annotations of a field are written after its image and catalogue: where they are, the field is whole
    parts = [directory / f"field-{index:05d}.json" for index in range(number)]
    there = sum(part.exists() for part in parts)
    with tqdm(total=number, initial=there, unit="field", disable=None) as progress:
        for index, part in enumerate(parts):
            if not part.exists():
                random = np.random.default_rng([seed, SPLITS.index(split), index])
                field = compose_field(objects, (size, size), random)
                _write_picture(field, part.with_suffix(".png"))
                _write_catalogue(field, part.with_suffix(".ecsv"))
                write_json(_annotate(field, part.with_suffix(".png").name), part)
                progress.update()
    write_json(collect(parts, DESCRIPTION), directory / "annotations.json")
    return there


def as_picture(flux: np.ndarray) -> np.ndarray:
    """Flux [3, H, W] as the display image of bands z, r, g, uint8 [H, W, 3]."""
    return (flux_to_display(flux)[::-1].transpose(1, 2, 0) * 255).round().astype(np.uint8)


def _fingerprint(objects: list[RealObject]) -> str:
    """What tells these objects from others, and from the same with other pictures."""
    digest = sha256()
    for real in objects:
        digest.update(f"{real.name} {real.kind} {real.source} {len(real.encoded)} ".encode() + real.encoded)
    return digest.hexdigest()


def _write_picture(field: CompositeField, path: Path) -> None:
    _, encoded = cv2.imencode(".png", as_picture(field.flux)[..., ::-1])
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _write_catalogue(field: CompositeField, path: Path) -> None:
    from astropy import units
    from astropy.table import Table

    instances = {instance.row: number for number, instance in enumerate(field.instances, 1)}
    rows = [
        {
            "id": row + 1,
            "class": pasted.real.kind,
            "x": pasted.x,
            "y": pasted.y,
            "name": pasted.real.name,
            "source": pasted.real.source,
            "expert_grade": np.nan if pasted.real.grade is None else pasted.real.grade,
            "gain": pasted.gain,
            "shrink": pasted.shrink,
            "flipped": pasted.flipped,
            "turns": pasted.turns,
            "instance": instances.get(row, 0),
        }
        for row, pasted in enumerate(field.objects)
    ]
    table = Table(rows)
    for name, unit in UNITS.items():
        table[name].unit = units.Unit(unit)
    table.meta = {
        "comments": ["Real stamps at places that are not real. x and y count from 0 at the centre of the first pixel."],
        "psf_fwhm": [round(value, 4) for value in field.conditions.psf_fwhm.tolist()],
        "sky": [round(value, 7) for value in field.conditions.sky.tolist()],
    }
    with whole_file(path) as temporary:
        table.write(temporary, format="ascii.ecsv")


def _annotate(field: CompositeField, file_name: str) -> dict[str, Any]:
    part = annotate(field.instances, field.flux.shape[1:], file_name)
    part["image"]["stamps"] = [
        {"name": pasted.real.name, "class": pasted.real.kind, "source": pasted.real.source} for pasted in field.objects
    ]
    for annotation, instance in zip(part["annotations"], field.instances, strict=True):
        real = field.objects[instance.row].real
        annotation |= {"name": real.name, "source": real.source}
        if real.grade is not None:
            annotation["expert_grade"] = real.grade
    return part
