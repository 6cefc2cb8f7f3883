"""Simulated stamps in files: Parquet shards with a dataset card, or a FITS cube each.

Stamps are drawn in chunks. A stamp depends on the seed and the number of its chunk alone, so a job that was stopped
goes on with the chunk it was in, and a longer job begins with the stamps of a shorter one.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ...boxes import run_lengths
from ...fits_files import write_fits
from ...jobs import open_job, refuse_other_files
from ...readers.pictures import decode_picture
from ...stamp import NANOMAGGY, Stamp
from ..galaxies.population import CLASSES
from ..galaxies.sdss import JPEG_QUALITY, simulate_sdss_pictures
from ..galaxies.stamps import simulate_galaxies
from ..lenses.stamps import KINDS, TRUTH, simulate_lenses
from ..survey import BANDS, PIXEL_SCALE

CHUNK = 48
LABELS = {"galaxies": CLASSES, "pictures": CLASSES, "lenses": ("other", "lens")}
# of what `simulate_sdss_pictures` draws, what a picture shows
PICTURE_TRUTH = ("axis_ratio", "sersic_index", "bulge_fraction", "arm_number", "bar_strength", "redshift")
BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
JOB_FILE = "simulation.json"


def chunk_generator(seed: int, what: str, chunk: int) -> torch.Generator:
    """A generator of its own for each chunk of each kind of simulation."""
    entropy = [seed, *what.encode(), chunk]
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def iter_simulated(what: str, number: int, seed: int, size: int, start: int = 0) -> Iterator[Stamp]:
    """Simulated stamps, from number `start` on.

    Args:
        what: "galaxies", "pictures" (the same as SDSS shows them) or "lenses".
        number: How many there are in all.
        seed: Of the whole series.
        size: Height and width in pixels; pictures are of 320.
        start: How many to leave out at the beginning.
    """
    kinds = {"galaxies": _galaxy_stamps, "pictures": _pictures, "lenses": _lens_stamps}
    make: Callable[..., Iterator[Stamp]] = kinds[what]
    for chunk in range(start // CHUNK, -(-number // CHUNK)):
        first = chunk * CHUNK
        for index, stamp in enumerate(make(chunk_generator(seed, what, chunk), size, seed, first), first):
            if start <= index < number:
                yield stamp


def write_stamp_shards(what: str, number: int, seed: int, size: int, directory: Path) -> int:
    """Write simulated stamps to Parquet shards with a dataset card that calls them simulated.

    Args:
        what: "galaxies", "pictures" or "lenses".
        number: How many.
        seed: Of the whole series.
        size: Height and width in pixels; pictures are of 320.
        directory: Empty, or left by the same job when it was stopped.

    Returns:
        How many of the stamps were there already.

    Raises:
        ValueError: If the directory holds anything else.
        ImportError: If pyarrow, datasets, or for lenses caustics is not installed.
    """
    from tqdm import tqdm

    from .... import __version__
    from ...shards import ShardWriter, record_path, write_dataset_card

    if not record_path(directory, "train").exists():
        refuse_other_files(directory)
    job = {"simulation": what, "number": number, "seed": seed, "size": size}
    sized = "" if what == "pictures" else f" --size {size}"
    names = {"label": LABELS[what]} | ({"kind": KINDS} if what == "lenses" else {})
    columns = _lens_columns() if what == "lenses" else None
    writer = ShardWriter(directory, columns=columns, class_names=names, job=job)
    there = writer.rows
    if not writer.complete:
        with writer, tqdm(total=number, initial=there, unit="stamp", disable=None) as progress:
            for stamp in iter_simulated(what, number, seed, size, there):
                writer.write(stamp)
                progress.update()
            writer.facts |= {
                "simulated": f"all {number:,} stamps; none is an observation",
                "made by": f"`galvm simulate {what} --number {number} --seed {seed}{sized}`, galvm_hf {__version__}",
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }
    write_dataset_card(directory, f"Simulated {what}", "cc0-1.0")
    return there


def write_stamp_cubes(what: str, number: int, seed: int, size: int, directory: Path) -> int:
    """Write simulated stamps to FITS cubes, one a stamp, the truth in their headers.

    Arguments, return value and errors are those of `write_stamp_shards`.
    """
    from tqdm import tqdm

    open_job(directory / JOB_FILE, {"simulation": what, "number": number, "seed": seed, "size": size})
    there = 0  # files are written one after another, so what is there is a beginning
    while there < number and (directory / f"{_name(what, seed, there)}.fits").exists():
        there += 1
    with tqdm(total=number, initial=there, unit="stamp", disable=None) as progress:
        for stamp in iter_simulated(what, number, seed, size, there):
            _write_cube(stamp, directory / f"{stamp.id}.fits")
            progress.update()
    return there


def _name(what: str, seed: int, index: int) -> str:
    return f"{what}-{seed}-{index:08d}"


def _galaxy_stamps(generator: torch.Generator, size: int, seed: int, first: int) -> Iterator[Stamp]:
    galaxies = simulate_galaxies(CHUNK, generator, size)
    for row, flux in enumerate(galaxies.flux.numpy()):
        columns = {"label": CLASSES[galaxies.labels[row]]}
        columns |= {name: value[row].item() for name, value in galaxies.truth.items()}
        yield _stamp(flux, "galaxies", seed, first + row, columns)


def _pictures(generator: torch.Generator, size: int, seed: int, first: int) -> Iterator[Stamp]:
    pictures, labels, truth = simulate_sdss_pictures(CHUNK, generator)
    for row, picture in enumerate(pictures):
        _, code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        radius = (truth["half_light_radius"][row] * truth["nearer"][row]).item()
        columns = {"label": CLASSES[labels[row]], "half_light_radius": radius}
        columns |= {name: truth[name][row].item() for name in PICTURE_TRUTH}
        name = _name("pictures", seed, first + row)
        encoded, scale = code.tobytes(), truth["pixel_scale"][row].item()
        yield Stamp(
            decode_picture(encoded, name), None, scale, name, _source("pictures", seed), None, None, columns, encoded
        )


def _lens_stamps(generator: torch.Generator, size: int, seed: int, first: int) -> Iterator[Stamp]:
    lenses = simulate_lenses(CHUNK, generator, size)
    for row, flux in enumerate(lenses.flux.numpy()):
        truth = {name: value[row].item() for name, value in lenses.truth.items()}
        # what belongs to a lens has no value for the others
        columns = {name: None if value != value else value for name, value in truth.items()}
        columns |= {"label": LABELS["lenses"][lenses.labels[row]], "kind": KINDS[int(truth["kind"])]}
        columns["images"] = None if columns["images"] is None else int(columns["images"])
        box = lenses.boxes[row].tolist()
        columns |= dict(zip(BOX, box if box[2] else [None] * 4, strict=True))
        mask = run_lengths(lenses.masks[row].numpy(), 0, 0, (size, size)) if box[2] else None
        columns["mask"] = mask and json.dumps(mask)
        yield _stamp(flux, "lenses", seed, first + row, columns)


def _stamp(flux: np.ndarray, what: str, seed: int, index: int, columns: dict[str, Any]) -> Stamp:
    return Stamp(flux, BANDS, PIXEL_SCALE, _name(what, seed, index), _source(what, seed), NANOMAGGY, columns=columns)


def _source(what: str, seed: int) -> str:
    return f"galvm simulate {what} --seed {seed}"


def _lens_columns() -> dict[str, Any]:
    """Arrow types of what is known of a lens: the first stamp may be something else, and have no value for it."""
    import pyarrow as pa

    columns = {"label": pa.string()} | dict.fromkeys(TRUTH, pa.float32())
    columns |= {"kind": pa.string(), "images": pa.int32()}
    return columns | dict.fromkeys(BOX, pa.int32()) | {"mask": pa.string()}


def _write_cube(stamp: Stamp, path: Path) -> None:
    try:
        from astropy.io import fits
    except ImportError as error:
        raise ImportError('Writing FITS needs astropy: pip install "galvm_hf[data]"') from error
    header = fits.Header()
    header["BANDS"] = "".join(BANDS)
    header["BUNIT"] = NANOMAGGY
    header["PIXSCALE"] = (PIXEL_SCALE, "arcsec per pixel")
    header["OBJECT"] = stamp.id
    header["SIMULATD"] = (True, "simulated, not observed")
    for name, value in stamp.columns.items():
        if value is not None and name != "mask":
            header[f"HIERARCH TRUTH {name.upper()}"] = value
    hdus = [fits.PrimaryHDU(stamp.pixels, header)]
    if stamp.columns.get("mask"):
        hdus.append(fits.ImageHDU(_decode_mask(json.loads(stamp.columns["mask"])).astype(np.uint8), name="MASK"))
    write_fits(path, hdus)


def _decode_mask(lengths: dict[str, list[int]]) -> np.ndarray:
    values = np.arange(len(lengths["counts"])) % 2 == 1
    return np.repeat(values, lengths["counts"]).reshape(lengths["size"], order="F")
