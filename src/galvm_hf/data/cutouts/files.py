"""Write cutouts: FITS files with a catalogue beside them, or Parquet shards. A stopped job goes on where it was."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ...files import whole_file
from ..fits_files import write_fits
from ..jobs import require_same_job
from ..readers.arrays import arrow_type
from ..readers.bands import BANDS_BY_WAVELENGTH
from ..shards import SHARD_SIZE, ShardWriter, write_dataset_card
from ..skipped import write_skipped
from ..stamp import Stamp, UnreadableStampError
from .plan import CutoutPlan, carried_columns, iter_cutouts

CATALOGUE = "catalogue.ecsv"
RECORD = ".cutouts.json"
LONGEST_NAME = 120


@dataclass
class CutoutSummary:
    """What a job of cutouts did.

    Attributes:
        number: Stamps that are there now.
        continued: How many of them an earlier run had written.
        at_edge: How many reach beyond their image.
        skipped: Objects without a stamp, and why.
    """

    number: int = 0
    continued: int = 0
    at_edge: int = 0
    skipped: list[UnreadableStampError] = field(default_factory=list)


def write_fits_cutouts(plan: CutoutPlan, out: str | Path, overwrite: bool = False) -> CutoutSummary:
    """Write one FITS file an object: the cube, BANDS, a WCS, BUNIT where it is known, checksums.

    Files that an earlier run of the same job wrote are kept. At the end `catalogue.ecsv` lists the files with their
    positions and all columns of the catalogue, and `skipped.csv` the objects without a file.

    Args:
        plan: From `plan_cutouts`.
        out: The folder to write to.
        overwrite: Whether to write over the files of another job.

    Raises:
        ValueError: If `out` holds the files of another job.
    """
    from tqdm import tqdm

    out = Path(out)
    record = out / RECORD
    if not record.exists() and any(out.glob("*.fits")):
        raise ValueError(f"{out} holds FITS files that were not made here. Give another folder.")
    if record.exists() and overwrite:
        for path in out.glob("*.fits"):
            path.unlink()
    elif record.exists():
        require_same_job(json.loads(record.read_text(encoding="utf-8")), plan.job, str(out))
    with whole_file(record) as temporary:
        temporary.write_text(json.dumps(plan.job, indent=1), encoding="utf-8")
    for stale in out.glob(".*.fits.*.part"):
        stale.unlink()  # of a process that was killed
    names = file_names(plan.catalogue.ids)
    missing = [(brick, row) for brick, row in plan.order if not (out / names[row]).exists()]
    summary = CutoutSummary(len(plan.order), len(plan.order) - len(missing), skipped=plan.skipped)
    padded = {row: _read_padded(out / names[row]) for _, row in set(plan.order) - set(missing)}
    with tqdm(total=len(plan.order), initial=summary.continued, unit="stamp", disable=None) as progress:
        for row, stamp in iter_cutouts(plan, missing):
            padded[row] = stamp.columns["padded"]
            _write_fits(stamp, out / names[row])
            progress.update()
    summary.at_edge = sum(share > 0 for share in padded.values())
    _write_catalogue(plan, names, padded, out / CATALOGUE)
    write_skipped(out / "skipped.csv", plan.skipped)
    return summary


def write_parquet_cutouts(
    plan: CutoutPlan,
    out: str | Path,
    command: str = "galvm_hf.data.cutouts.write_parquet_cutouts",
    shard_size: int = SHARD_SIZE,
    overwrite: bool = False,
) -> CutoutSummary:
    """Write the stamps to Parquet shards with a dataset card; the columns of the catalogue come along.

    Args:
        plan: From `plan_cutouts`.
        out: The directory to write to.
        command: What was called, for the card.
        shard_size: Bytes of a shard.
        overwrite: Whether to remove the shards that are there.

    Raises:
        ValueError: If `out` holds the shards of another job.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    from tqdm import tqdm

    from ... import __version__

    columns = {name: arrow_type(plan.catalogue.table[name].dtype) for name in carried_columns(plan.catalogue)}
    columns |= {"ra": pa.float64(), "dec": pa.float64(), "padded": pa.float64(), "at_edge": pa.bool_()}
    writer = ShardWriter(out, "train", shard_size, columns, job=plan.job, overwrite=overwrite)
    summary = CutoutSummary(len(plan.order), writer.rows, skipped=plan.skipped)
    if not writer.complete:
        with writer, tqdm(total=len(plan.order), initial=writer.rows, unit="stamp", disable=None) as progress:
            for _, stamp in iter_cutouts(plan, plan.order[writer.rows :]):
                writer.write(stamp)
                progress.update()
            writer.facts |= {
                "made by": f"`{command}`, galvm_hf {__version__}",
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "images": f"`{plan.job['images']['pattern']}`, {plan.job['images']['files']} files",
                "catalogue": f"`{plan.catalogue.path}`, {len(plan.catalogue.ids)} objects",
                "objects without a stamp": len(plan.skipped),
            }
    out = Path(out)
    shards = sorted(out.glob("train-*.parquet"))
    summary.at_edge = sum(pc.sum(pq.read_table(path, columns=["at_edge"])["at_edge"]).as_py() for path in shards)
    write_skipped(out / "skipped.csv", plan.skipped)
    write_dataset_card(out)
    return summary


def file_names(ids: Sequence[str]) -> list[str]:
    """A file name for each object: its id, without what file systems or readers would trip over, and each name once.

    An id that is not unique on every file system, or that would pass for one band of another object ("cluster-g"), has
    the number of its row behind it.
    """
    plain = [re.sub(r"[^A-Za-z0-9._+-]+", "_", name).strip("._-")[:LONGEST_NAME] or "object" for name in ids]
    counts = Counter(name.lower() for name in plain)
    names, taken = [], set()
    for row, name in enumerate(plain):
        is_band = re.split(r"[-_.]", name.lower())[-1] in BANDS_BY_WAVELENGTH
        if counts[name.lower()] > 1 or is_band:
            name = f"{name}-{row}"
        while name.lower() in taken or (name != plain[row] and name.lower() in counts):
            name = f"{name}-{row}"
        taken.add(name.lower())
        names.append(f"{name}.fits")
    return names


def _write_fits(stamp: Stamp, path: Path) -> None:
    from astropy.io import fits

    header = stamp.wcs.to_header(relax=True)
    header["BANDS"] = (",".join(stamp.bands), "planes of the cube")
    if stamp.units is not None:
        header["BUNIT"] = stamp.units
    header["OBJECT"] = stamp.id.encode("ascii", "replace").decode()[:60]
    header["RA_OBJ"] = (stamp.columns["ra"], "[deg] right ascension of the object")
    header["DEC_OBJ"] = (stamp.columns["dec"], "[deg] declination of the object")
    header["PADDED"] = (stamp.columns["padded"], "fraction outside the image, NaN")
    write_fits(path, [fits.PrimaryHDU(stamp.pixels, header)])


def _read_padded(path: Path) -> float:
    from astropy.io import fits

    return fits.getheader(path)["PADDED"]


def _write_catalogue(plan: CutoutPlan, names: list[str], padded: dict[int, float], path: Path) -> None:
    """The rows of the catalogue that have a stamp, in their order, with the stamp's file and place in front."""
    from astropy.table import Table, hstack

    catalogue = plan.catalogue
    rows = sorted(padded)
    bricks = {row: plan.names[brick] for brick, row in plan.order}
    own = Table(
        {
            "file": [names[row] for row in rows],
            "id": [catalogue.ids[row] for row in rows],
            "ra": catalogue.ra[rows],
            "dec": catalogue.dec[rows],
            "padded": [padded[row] for row in rows],
            "at_edge": [padded[row] > 0 for row in rows],
            "image": [bricks[row] for row in rows],
        }
    )
    own["ra"].unit = own["dec"].unit = "deg"
    others = catalogue.table[rows]
    others.meta.clear()
    for name in own.colnames:
        if name in others.colnames:
            others.rename_column(name, f"input_{name}")
    with whole_file(path) as temporary:
        hstack([own, others]).write(temporary, format="ascii.ecsv")
