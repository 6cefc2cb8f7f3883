"""Cut a stamp of each catalogued object from survey images."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from ..jobs import as_job, fingerprint_files
from ..readers.arrays import arrow_type, as_scalars
from ..readers.bands import BANDS_BY_WAVELENGTH, wavelength_order
from ..stamp import DEFAULT_BANDS, Stamp, UnreadableStampError
from .bricks import Brick, find_bricks
from .catalogues import Catalogue

PIXEL_SCALE = 0.262  # arcseconds: the Legacy Surveys


@dataclass(frozen=True)
class CutoutPlan:
    """Which object is cut from which brick.

    Attributes:
        catalogue: The objects.
        bricks: The images.
        names: Of the bricks, for the output: the file of the first band.
        rows: By brick, the rows of its objects in the catalogue.
        skipped: Objects that have no position or are in no image.
        size: Height and width of the stamps in pixels.
        bands: Names of their planes.
        job: What decides about the stamps, as JSON values.
    """

    catalogue: Catalogue
    bricks: list[Brick]
    names: list[str]
    rows: list[list[int]]
    skipped: list[UnreadableStampError]
    size: int
    bands: tuple[str, ...]
    job: dict[str, Any]

    @property
    def order(self) -> list[tuple[int, int]]:
        """Brick and row of each stamp, in the order in which they are cut."""
        return [(brick, row) for brick, rows in enumerate(self.rows) for row in rows]


def plan_cutouts(
    images: str,
    catalogue: Catalogue,
    size: int,
    bands: Sequence[str] = DEFAULT_BANDS,
    pixel_scale: float = PIXEL_SCALE,
) -> CutoutPlan:
    """Find the images, and for each object the brick in which it lies farthest from the edges.

    Args:
        images: A path with `{band}` in it, and `*` where bricks differ.
        catalogue: From `read_catalogue`.
        size: Height and width of the stamps in pixels.
        bands: What stands in the place of `{band}`.
        pixel_scale: Arcseconds per pixel of the stamps; images of another scale are resampled.

    Raises:
        ValueError: If an option is out of range, a file is missing, or no object is in any image.
        UnreadableStampError: If a file is no image with a celestial WCS.
    """
    from astropy.coordinates import SkyCoord

    if size < 2 or not pixel_scale > 0:
        raise ValueError(f"size is {size} and pixel_scale {pixel_scale}; stamps need two pixels of a positive scale.")
    if not bands or len(set(bands)) != len(bands):
        raise ValueError(f"--bands is {','.join(bands)}; name each band once, such as g,r,z.")
    bands = tuple(bands[index] for index in wavelength_order([band.lower() for band in bands]))
    files = find_bricks(images, bands)
    bricks = [Brick(list(brick.values()), pixel_scale) for brick in files]
    placed = np.flatnonzero(np.isfinite(catalogue.ra))
    coordinates = SkyCoord(catalogue.ra[placed], catalogue.dec[placed], unit="deg")
    best, deepest = np.full(len(placed), -1), np.zeros(len(placed))
    for index, brick in enumerate(bricks):
        depths = brick.depths(coordinates)
        best[depths > deepest], deepest = index, np.maximum(depths, deepest)
    chosen = dict(zip(placed.tolist(), best.tolist(), strict=True))
    skipped = []
    for row, name in enumerate(catalogue.ids):
        if chosen.get(row, -1) < 0:
            cause = catalogue.faults.get(
                row, f"at ra {catalogue.ra[row]:.6f}, dec {catalogue.dec[row]:.6f} is in no image"
            )
            skipped.append(UnreadableStampError(f"{catalogue.path}:{row} ({name})", cause, "Leave it out or mend it"))
    rows = [[row for row, brick in chosen.items() if brick == index] for index in range(len(bricks))]
    if not any(rows):
        raise ValueError(f"{catalogue.path}: none of its {len(catalogue.ids)} objects is in an image of {images}.")
    job = as_job(
        images=fingerprint_files([path for brick in files for path in brick.values()]) | {"pattern": images},
        catalogue=fingerprint_files([catalogue.path]),
        positions=_digest(catalogue),
        size=size,
        bands=bands,
        pixel_scale=pixel_scale,
    )
    names = [str(brick[bands[0]]) for brick in files]
    lowered = tuple(band.lower() if band.lower() in BANDS_BY_WAVELENGTH else band for band in bands)
    return CutoutPlan(catalogue, bricks, names, rows, skipped, size, lowered, job)


def iter_cutouts(plan: CutoutPlan, order: Iterable[tuple[int, int]]) -> Iterator[tuple[int, Stamp]]:
    """Cut stamps: the row and the stamp of each object in `order`, a part of `plan.order`. A brick is opened once.

    The columns of a stamp are the scalar ones of the catalogue, and `ra`, `dec`, `padded` (the fraction of the stamp
    that its images do not reach, where the flux is NaN) and `at_edge` (whether that is more than nothing).

    Raises:
        UnreadableStampError: If the pixels of an image cannot be read.
    """
    from astropy.coordinates import SkyCoord

    catalogue, carried = plan.catalogue, carried_columns(plan.catalogue)
    for index, group in groupby(order, key=lambda entry: entry[0]):
        with plan.bricks[index] as brick:
            for _, row in group:
                position = SkyCoord(catalogue.ra[row], catalogue.dec[row], unit="deg")
                cutout = brick.cut(position, plan.size)
                columns = {name: _scalar(catalogue.table[name], row) for name in carried}
                columns |= {
                    "ra": float(catalogue.ra[row]),
                    "dec": float(catalogue.dec[row]),
                    "padded": cutout.padded,
                    "at_edge": cutout.padded > 0,
                }
                yield (
                    row,
                    Stamp(
                        cutout.pixels,
                        plan.bands,
                        brick.pixel_scale,
                        catalogue.ids[row],
                        plan.names[index],
                        brick.units,
                        cutout.wcs,
                        columns,
                    ),
                )


def carried_columns(catalogue: Catalogue) -> list[str]:
    """Columns of a catalogue that a stamp can carry: one number or text an object."""
    table = catalogue.table
    return [
        name
        for name in table.colnames
        if getattr(table[name], "ndim", 0) == 1 and hasattr(table[name], "dtype") and arrow_type(table[name].dtype)
    ]


def _scalar(column: Any, row: int) -> Any:
    value = column[row]
    return None if value is np.ma.masked else as_scalars(np.asarray([value]))[0]


def _digest(catalogue: Catalogue) -> str:
    """What changes when other columns are taken for names and positions."""
    entries = [f"{entry}" for entry in zip(catalogue.ids, catalogue.ra, catalogue.dec, strict=True)]
    return hashlib.sha256("\n".join(entries).encode()).hexdigest()
