"""Simulated fields in files that any tool reads: FITS images and masks, ECSV catalogues, COCO annotations."""

from pathlib import Path

import numpy as np
import torch

from ....files import whole_file
from ...coco import annotate, collect, write_json
from ...fits_files import write_fits
from ...jobs import open_job
from ...stamp import NANOMAGGY
from ..fields.field import SimulatedField, simulate_field
from ..lenses.systems import MASK_SIGMA
from ..survey import BANDS
from .stamps import JOB_FILE, chunk_generator

DESCRIPTION = "Strong lenses in simulated fields: nothing in them is an observation."
UNITS = {
    "ra": "deg",
    "dec": "deg",
    "x": "pix",
    "y": "pix",
    "half_light_radius": "arcsec",
    "position_angle": "rad",
    "einstein_radius": "arcsec",
    "mass_position_angle": "rad",
    "source_x": "arcsec",
    "source_y": "arcsec",
    "velocity_dispersion": "km / s",
    **{f"arc_flux_{band}": NANOMAGGY for band in BANDS},
    **{f"magnitude_{band}": "mag" for band in BANDS},
}


def write_fields(
    number: int,
    seed: int,
    size: tuple[int, int],
    directory: Path,
    lenses: tuple[int, int] = (4, 4),
    lookalikes: int = 6,
) -> int:
    """Write simulated fields: `field-00000.fits` and so on, their catalogues, and the annotations of all of them.

    `field-00000.fits` has the flux [3, H, W] with its WCS in the first HDU, and in the extension INSTANCES [H, W] the
    number of the lens that a pixel belongs to, 0 for none; where two lenses overlap, the later one. `field-00000.ecsv`
    is the catalogue. `annotations.json` has boxes and masks of all fields in the COCO format.

    Args:
        number: How many fields.
        seed: Of the whole series; a field depends on it and on its own number alone.
        size: Height and width in pixels.
        directory: Empty, or left by the same job when it was stopped.
        lenses: Fewest and most strong lenses in a field; each number between is as likely.
        lookalikes: Look-alikes in a field.

    Returns:
        How many of the fields were there already.

    Raises:
        ValueError: If the directory holds anything else, the size is too small, or the fewest lenses are more than the
            most.
        ImportError: If astropy or caustics is not installed.
    """
    from tqdm import tqdm

    fewest, most = lenses
    if not 0 <= fewest <= most:
        raise ValueError(f"The fewest lenses must not be more than the most, got {fewest} and {most}.")
    job = {"simulation": "fields", "number": number, "seed": seed, "size": list(size)}
    open_job(directory / JOB_FILE, job | {"lenses": list(lenses), "lookalikes": lookalikes})
    # the annotations of a field are written after its image and catalogue: where they are, the field is whole
    parts = [directory / f"field-{index:05d}.json" for index in range(number)]
    there = sum(part.exists() for part in parts)
    with tqdm(total=number, initial=there, unit="field", disable=None) as progress:
        for index, part in enumerate(parts):
            if not part.exists():
                generator = chunk_generator(seed, "fields", index)
                here = fewest + int(torch.randint(most - fewest + 1, (), generator=generator))
                field = simulate_field(size, generator, here, lookalikes)
                _write_image(field, part.with_suffix(".fits"), seed)
                _write_catalogue(field, part.with_suffix(".ecsv"))
                write_json(annotate(field.instances, size, part.with_suffix(".fits").name), part)
                progress.update()
    write_json(collect(parts, DESCRIPTION), directory / "annotations.json")
    return there


def instance_map(field: SimulatedField) -> np.ndarray:
    """Number of the lens that each pixel belongs to, 0 for none, int16 [H, W]."""
    image = np.zeros(field.flux.shape[1:], dtype=np.int16)
    for number, instance in enumerate(field.instances, 1):
        x0, y0, x1, y1 = instance.box
        image[y0:y1, x0:x1][instance.mask] = number
    return image


def _write_image(field: SimulatedField, path: Path, seed: int) -> None:
    from astropy.io import fits

    celestial = field.wcs.to_header()
    header = celestial.copy()
    header["BANDS"] = "".join(BANDS)
    header["BUNIT"] = NANOMAGGY
    header["OBJECT"] = path.stem
    header["SIMULATD"] = (True, "simulated, not observed")
    header["SEED"] = seed
    for band, fwhm, sky in zip(BANDS, field.psf_fwhm, field.sky, strict=True):
        header[f"FWHM_{band}"] = (fwhm, "arcsec, of the PSF")
        header[f"SKYSIG_{band}"] = (sky, "noise of the sky")
    celestial["MASKSIG"] = (MASK_SIGMA, "least signal to noise of a pixel")
    hdus = [fits.PrimaryHDU(field.flux.numpy(), header), fits.ImageHDU(instance_map(field), celestial, "INSTANCES")]
    write_fits(path, hdus)


def _write_catalogue(field: SimulatedField, path: Path) -> None:
    from astropy import units
    from astropy.table import Table

    table = Table({"id": np.arange(1, len(field.catalogue["x"]) + 1)} | field.catalogue)
    for name, unit in UNITS.items():
        if name in table.colnames:
            table[name].unit = units.Unit(unit)
    table.meta = {"comments": ["Simulated, not observed. x and y count from 0 at the centre of the first pixel."]}
    with whole_file(path) as temporary:
        table.write(temporary, format="ascii.ecsv")
