"""Which centre is nearest to a lens, and which estimate of the Einstein radius is best, from its box and mask alone.

    python benchmarks/lens_shapes.py --fields 15
    python benchmarks/lens_shapes.py --fields 15 --model galvm-lens

Lenses of simulated fields, whose truth is known, on their true masks or on those that a detector finds. The estimates
are compared as they are, without a factor, on the first seed; the scatter of each is measured on the second.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from galvm_hf.data.simulate import PIXEL_SCALE, SimulatedField, simulate_field
from galvm_hf.detection import Detection
from galvm_hf.detection.shape import box_centre, einstein_radius

FIELD_SIDE, LENSES = 1024, 40
MATCH_PIXELS = 6.0  # from a lens to the centre of its detection


@dataclass(frozen=True)
class Lens:
    """A lens and what shows of it: its centre in pixels and Einstein radius in arcsec, and the detection."""

    x: float
    y: float
    radius: float
    seen: Detection


def mask_centre(seen: Detection) -> tuple[float, float]:
    rows, columns = np.nonzero(seen.mask)
    return columns.mean() + seen.corner[0], rows.mean() + seen.corner[1]


def fit_circle(seen: Detection, weighted: bool) -> tuple[float, float, float]:
    """Least-squares circle (Kasa 1976) through the mask's pixels, weighted by depth in it or not: x, y, radius."""
    rows, columns = np.nonzero(seen.mask)
    depth = cv2.distanceTransform(np.pad(seen.mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    weights = depth[rows, columns] if weighted else np.ones(len(rows))
    design = np.stack([columns, rows, np.ones(len(rows))], axis=1) * weights[:, None]
    a, b, c = np.linalg.lstsq(design, (columns**2 + rows**2) * weights, rcond=None)[0]
    radius = np.sqrt(max(c + a**2 / 4 + b**2 / 4, 0))
    return a / 2 + seen.corner[0], b / 2 + seen.corner[1], radius


def half_sides(seen: Detection) -> np.ndarray:
    return (seen.box[2:] - seen.box[:2]) / 2


CENTRES: dict[str, Callable[[Detection], tuple[float, float]]] = {
    "box": lambda seen: box_centre(seen.box),
    "mask": mask_centre,
}
RADII: dict[str, Callable[[Detection], float]] = {
    "half the mean side of the box": lambda seen: half_sides(seen).mean(),
    "half the longer side": lambda seen: half_sides(seen).max(),
    "root of the mask's area over pi": lambda seen: np.sqrt(seen.mask.sum() / np.pi),
    "circle through the mask": lambda seen: fit_circle(seen, weighted=False)[2],
    "circle through the mask's ridge": lambda seen: fit_circle(seen, weighted=True)[2],
    "mean distance of the ridge": lambda seen: einstein_radius(seen.box, seen.mask, seen.corner),
}


def true_detections(field: SimulatedField) -> list[Detection]:
    return [
        Detection(np.array(instance.box, float), 1.0, instance.mask, instance.box[:2], 0, np.inf)
        for instance in field.instances
    ]


def find_detections(field: SimulatedField, detector: object) -> list[Detection]:
    from astropy.io import fits

    from galvm_hf.data.readers.wide_fields import open_wide_field
    from galvm_hf.detection import search_field

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "field.fits"
        fits.PrimaryHDU(field.flux.numpy()).writeto(path)
        with open_wide_field(path) as opened:
            return search_field(opened, detector).detections


def iter_lenses(seed: int, fields: int, detector: object | None) -> Iterator[Lens]:
    """Lenses that show, each with the nearest detection."""
    for number in range(fields):
        generator = torch.Generator().manual_seed(1000 * seed + number)
        # the truth is the lens's own light: without a detector nothing else has to be drawn
        others = {"lookalikes": 0, "density": 0.0} if detector is None else {}
        field = simulate_field((FIELD_SIDE, FIELD_SIDE), generator, LENSES, **others)
        seen = true_detections(field) if detector is None else find_detections(field, detector)
        centres = np.array([box_centre(one.box) for one in seen]).reshape(-1, 2)
        columns = [field.catalogue[name] for name in ("x", "y", "einstein_radius")]
        for instance in field.instances:
            x, y, radius = (float(column[instance.row]) for column in columns)
            if detector is None:
                yield Lens(x, y, radius, seen[field.catalogue["instance"][instance.row] - 1])
                continue
            distance = np.hypot(centres[:, 0] - x, centres[:, 1] - y)
            if len(distance) and distance.min() < MATCH_PIXELS and seen[distance.argmin()].mask.any():
                yield Lens(x, y, radius, seen[distance.argmin()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=15, help="of 1,024 px and 40 lenses, for each seed")
    parser.add_argument("--model", help="a detector to find the masks with; the true ones without it")
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 2))
    arguments = parser.parse_args()
    detector = None
    if arguments.model:
        from galvm_hf.interfaces.detect import load_detector

        detector = load_detector(arguments.model)
    sets = [list(iter_lenses(seed, arguments.fields, detector)) for seed in arguments.seeds]
    print(f"simulated lenses, seeds {arguments.seeds}: {[len(lenses) for lenses in sets]}\n")
    print(
        f"{'distance of the centre, arcsec':34}{'median':>8}{'68 %':>8}{'90 %':>8}   on the first and the second seed"
    )
    for name, centre in CENTRES.items():
        print(f"{name:34}", end="")
        for lenses in sets:
            off = [np.hypot(*np.subtract(centre(lens.seen), (lens.x, lens.y))) * PIXEL_SCALE for lens in lenses]
            print("".join(f"{np.quantile(off, share):8.2f}" for share in (0.5, 0.68, 0.9)), end="   ")
        print()
    print(f"\n{'relative error of the radius':34}{'median':>8}{'68 %':>8}{'bias':>8}")
    for name, estimate in RADII.items():
        print(f"{name:34}", end="")
        for lenses in sets:
            error = np.array([estimate(lens.seen) * PIXEL_SCALE / lens.radius - 1 for lens in lenses])
            values = np.median(np.abs(error)), np.quantile(np.abs(error), 0.68), np.median(error)
            print("".join(f"{value:8.3f}" for value in values), end="   ")
        print()


if __name__ == "__main__":
    main()
