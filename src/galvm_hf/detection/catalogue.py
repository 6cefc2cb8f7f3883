"""The catalogue of what was found: an astropy table, and the files it is written to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.fits_files import write_fits
from ..data.readers.wide_fields import WideField
from ..files import whole_file
from .merge import Detection
from .shape import EINSTEIN_RADIUS_SCATTER, box_centre, einstein_radius

# By suffix, what astropy calls the format.
CATALOGUE_SUFFIXES = {
    ".fits": "fits",
    ".vot": "votable",
    ".xml": "votable",
    ".ecsv": "ascii.ecsv",
    ".csv": "ascii.csv",
}
# Unit and description of each column.
COLUMNS = {
    "id": (None, "number of the candidate, by score"),
    "ra": ("deg", "right ascension of the centre of the box, ICRS"),
    "dec": ("deg", "declination of the centre of the box, ICRS"),
    "x": ("pix", "column of the centre of the box, from 0 at the centre of the first pixel"),
    "y": ("pix", "row of the centre of the box, from 0 at the centre of the first pixel"),
    "x0": ("pix", "left edge of the box; pixel k lies between k and k + 1"),
    "y0": ("pix", "edge of the box at the lower rows"),
    "x1": ("pix", "right edge of the box"),
    "y1": ("pix", "edge of the box at the higher rows"),
    "score": (None, "score of the detector, 0 to 1"),
    "mask_area": ("arcsec2", "area of the mask"),
    "mask_pixels": ("pix", "area of the mask in pixels"),
    "einstein_radius": ("arcsec", "estimate from the mask: mean distance of its ridge from the centre of the box"),
    "einstein_radius_error": ("arcsec", "scatter of that estimate for simulated lenses, 68 %"),
    "tile": (None, "number of the tile that shows it best, from 0, row by row"),
}


def make_catalogue(detections: Sequence[Detection], field: WideField, about: Mapping[str, Any]) -> Any:
    """A row for each detection, in their order, as an `astropy.table.Table` with units and descriptions.

    Without a WCS there are no `ra` and `dec`, without a pixel scale nothing in arcseconds.

    Args:
        detections: What was found.
        field: Where.
        about: What the table's metadata tell of its making; keys of at most eight capitals, as FITS has them.
    """
    from astropy.table import Table
    from astropy.units import Unit

    boxes = np.array([detection.box for detection in detections], dtype=float).reshape(-1, 4)
    centres = np.array([box_centre(box) for box in boxes]).reshape(-1, 2)
    values: dict[str, Any] = {"id": np.arange(1, len(boxes) + 1)}
    if field.wcs is not None:
        sky = field.wcs.pixel_to_world(*centres.T).icrs
        values |= {"ra": sky.ra.deg, "dec": sky.dec.deg}
    values |= {"x": centres[:, 0], "y": centres[:, 1]}
    values |= {name: boxes[:, index] for index, name in enumerate(("x0", "y0", "x1", "y1"))}
    values["score"] = np.array([detection.score for detection in detections], dtype=float)
    pixels = np.array([detection.mask.sum() for detection in detections], dtype=np.int64)
    if field.pixel_scale is not None:
        values["mask_area"] = pixels * field.pixel_scale**2
    values["mask_pixels"] = pixels
    if field.pixel_scale is not None:
        radii = [einstein_radius(detection.box, detection.mask, detection.corner) for detection in detections]
        values["einstein_radius"] = np.array(radii, dtype=float) * field.pixel_scale
        values["einstein_radius_error"] = values["einstein_radius"] * EINSTEIN_RADIUS_SCATTER
    values["tile"] = np.array([detection.tile for detection in detections], dtype=np.int64)
    table = Table(values, meta=dict(about))
    for name in table.colnames:
        unit, table[name].description = COLUMNS[name]
        table[name].unit = None if unit is None else Unit(unit)
    return table


def catalogue_format(path: Path) -> str:
    """What astropy calls the format that a file's suffix stands for.

    Raises:
        ValueError: If it stands for none.
    """
    if path.suffix.lower() not in CATALOGUE_SUFFIXES:
        raise ValueError(
            f"{path} has no suffix of a catalogue. Give a name that ends in {', '.join(CATALOGUE_SUFFIXES)}."
        )
    return CATALOGUE_SUFFIXES[path.suffix.lower()]


def write_catalogue(table: Any, path: Path) -> None:
    """Write a table in the format of the file's suffix, whole or not at all.

    Raises:
        ValueError: If the suffix stands for no format.
    """
    kind = catalogue_format(path)
    if kind == "fits":
        from astropy.io import fits

        hdu = fits.table_to_hdu(table)
        for number, name in enumerate(table.colnames, 1):  # as TOPCAT reads them
            hdu.header[f"TCOMM{number}"] = table[name].description
        write_fits(path, [fits.PrimaryHDU(), hdu])
        return
    with whole_file(path) as temporary:
        table.write(temporary, format=kind)
