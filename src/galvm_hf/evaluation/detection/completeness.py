"""Which lenses are found, and how many false alarms there are: what a survey has to know of its search."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...data.boxes import match_boxes
from ...data.fields import FieldDataset
from ...data.simulate.survey import BANDS, PIXEL_SCALE, ZERO_POINT
from ...detection.shape import einstein_radius
from .detections import FieldDetections


@dataclass(frozen=True)
class Completeness:
    """Lenses that are there and detections that are none, in simulated fields.

    Attributes:
        radius: Einstein radius of each lens, arcsec, `[L]`.
        magnitude: Of its arcs, AB in r, `[L]`.
        score: With which it was found, 0 if it was not, `[L]`.
        false_score: Of each false alarm, `[F]`.
        false_radius: The Einstein radius that it would have by its mask, arcsec, `[F]`.
        false_magnitude: Of the light inside its mask, AB in r, `[F]`.
        area: Of all fields, square degrees.
    """

    radius: np.ndarray
    magnitude: np.ndarray
    score: np.ndarray
    false_score: np.ndarray
    false_radius: np.ndarray
    false_magnitude: np.ndarray
    area: float


def measure_completeness(fields: FieldDataset, detections: Sequence[FieldDetections]) -> Completeness:
    """Match detections with simulated lenses and look up what these are in their catalogues.

    Args:
        fields: As `galvm simulate fields` writes them, each with its catalogue.
        detections: One for each field.

    Raises:
        FileNotFoundError: If a field has no catalogue, because it is not simulated.
    """
    from astropy.io import fits
    from astropy.table import Table
    from pycocotools import mask

    lenses, alarms, pixels = [], [], 0
    for image, found in zip(fields.images, detections, strict=True):
        pixels += image["height"] * image["width"]
        path = Path(image["path"]).with_suffix(".ecsv")
        if not path.is_file():
            raise FileNotFoundError(f"{path}: a field needs its catalogue: give what `galvm simulate fields` wrote.")
        rows = {annotation["catalogue_id"]: annotation["bbox"] for annotation in image["annotations"]}
        boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in rows.values()]).view(-1, 4)
        lens_of = match_boxes(torch.as_tensor(found.boxes).float(), boxes.float()).numpy()
        catalogue = Table.read(path) if rows else None
        for number, row in enumerate(rows):
            one = catalogue[row - 1]
            flux = one["arc_flux_r"]
            score = found.scores[lens_of == number]
            lenses.append((one["einstein_radius"], _magnitude(flux), score[0] if len(score) else 0.0))
        wrong = np.flatnonzero(lens_of < 0)
        flux = fits.getdata(image["path"])[BANDS.index("r")] if len(wrong) else None
        for number in wrong:
            inside = mask.decode(found.masks[number]).astype(bool)
            light = float(flux[inside].sum())
            radius = einstein_radius(found.boxes[number], inside, (0, 0)) * PIXEL_SCALE if inside.any() else 0.0
            alarms.append((found.scores[number], radius, _magnitude(light)))
    columns = np.array(lenses, dtype=float).reshape(-1, 3).T
    false = np.array(alarms, dtype=float).reshape(-1, 3).T
    return Completeness(*columns, *false, area=pixels * (PIXEL_SCALE / 3600) ** 2)


def _magnitude(flux: float) -> float:
    return ZERO_POINT - 2.5 * np.log10(max(float(flux), 1e-3))
