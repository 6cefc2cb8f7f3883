"""Catalogues of objects: names and positions on the sky, from FITS tables, VOTables, ECSV and CSV."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = {
    (".fits", ".fit", ".fits.gz"): "fits",
    (".vot", ".votable", ".xml"): "votable",
    (".ecsv",): "ascii.ecsv",
    (".csv",): "ascii.csv",
}
RA_NAMES = ("ra", "raj2000", "ra_icrs", "ra_j2000", "alpha_j2000", "alphawin_j2000", "_raj2000", "ra_deg", "radeg")
DEC_NAMES = ("dec", "dej2000", "de_icrs", "dec_j2000", "delta_j2000", "deltawin_j2000", "_dej2000", "dec_deg", "decdeg")
ID_NAMES = ("id", "objid", "object_id", "source_id", "ls_id", "name", "objname", "iau_name", "number")


@dataclass(frozen=True)
class Catalogue:
    """Objects on the sky.

    Attributes:
        path: The file.
        table: The `astropy.table.Table` as it came, N rows.
        ids: Name of each object, or the number of its row, N strings.
        ra: Right ascension in degrees, [N] float64 in [0, 360); NaN where there is none.
        dec: Declination in degrees, [N] float64; NaN where there is none.
        faults: By row, why it has no position.
    """

    path: Path
    table: Any
    ids: list[str]
    ra: np.ndarray
    dec: np.ndarray
    faults: dict[int, str]


def read_catalogue(
    path: str | Path, ra_column: str | None = None, dec_column: str | None = None, id_column: str | None = None
) -> Catalogue:
    """Read a catalogue and find its positions.

    Positions are in the unit of their column, and in degrees where it has none. Sexagesimal text without a unit is
    "hours minutes seconds" in right ascension, "degrees minutes seconds" in declination.

    Args:
        path: A FITS table, VOTable, ECSV or CSV file; its ending says which.
        ra_column: Name of the right ascension; without it, a usual one is looked for (`ra`, `RAJ2000`, ...).
        dec_column: Name of the declination, likewise.
        id_column: Name of the objects' names, likewise; row numbers, from 0, if there is none.

    Raises:
        ValueError: If the file is not a table, is empty, or has no position at all.
        ImportError: If astropy is not installed.
    """
    path = Path(path)
    table = _read_table(path)
    if not len(table):
        raise ValueError(f"{path}: the catalogue has no rows. Give one that lists objects.")
    ra_name = _find_column(table, path, ra_column, RA_NAMES, "right ascension", "--ra-column")
    dec_name = _find_column(table, path, dec_column, DEC_NAMES, "declination", "--dec-column")
    ra, ra_texts = _degrees(table[ra_name], path, hours=True)
    dec, dec_texts = _degrees(table[dec_name], path, hours=False)
    faults: dict[int, str] = {}
    for row in np.flatnonzero(~(np.isfinite(ra) & np.isfinite(dec))):
        faults[int(row)] = f"has no position ({ra_name} {ra_texts[row]}, {dec_name} {dec_texts[row]})"
    for row in np.flatnonzero((np.abs(dec) > 90) | (ra < -180) | (ra > 360)):
        faults[int(row)] = (
            f"lies outside the sky: {ra_name} {ra[row]:.6g}, {dec_name} {dec[row]:.6g} in degrees, where -180 to 360 "
            "and -90 to 90 are allowed"
        )
    if len(faults) == len(table):
        first = faults[min(faults)]
        raise ValueError(
            f"{path}: none of the {len(table)} objects has a position on the sky; the first {first}. Name the right "
            "columns by --ra-column and --dec-column, and state their unit in the file if it is not degrees."
        )
    lost = list(faults)
    ra, dec = ra % 360, dec.copy()
    ra[lost] = dec[lost] = np.nan
    return Catalogue(path, table, _identities(table, path, id_column), ra, dec, faults)


def _read_table(path: Path) -> Any:
    try:
        from astropy.table import Table
    except ImportError as error:
        raise ImportError('Reading a catalogue needs astropy: pip install "galvm_hf[data]"') from error
    if not path.exists():
        raise FileNotFoundError(f"{path}: the catalogue does not exist. Check the spelling of the path.")
    kind = next((kind for endings, kind in FORMATS.items() if path.name.lower().endswith(endings)), None)
    if kind is None:
        known = ", ".join(ending for endings in FORMATS for ending in endings)
        raise ValueError(f"{path}: a catalogue of unknown kind. Give a file that ends in {known}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # units that are not of the standard, several tables in a file
        try:
            return Table.read(path, format=kind)
        except Exception as error:  # astropy raises whatever the damage happens to break
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"{path}: not a readable catalogue ({reason}). Fetch or save it again.") from error


def _find_column(
    table: Any, path: Path, given: str | None, usual: Sequence[str], meaning: str, option: str | None
) -> str | None:
    """The column's name: the one given, else the first usual one; else an error that names `option`, or `None`."""
    if given is not None:
        if given not in table.colnames:
            raise ValueError(f"{path}: there is no column {given}. It has {', '.join(table.colnames)}.")
        return given
    spelled = {column.lower(): column for column in reversed(table.colnames)}
    found = next((spelled[name] for name in usual if name in spelled), None)
    if found is None and option is not None:
        raise ValueError(
            f"{path}: no column is known as {meaning}. Name it by {option}; there are {', '.join(table.colnames)}."
        )
    return found


def _degrees(column: Any, path: Path, hours: bool) -> tuple[np.ndarray, list[str]]:
    """Values [N] in degrees, NaN where there is none; and what stood in the file."""
    from astropy import units as u
    from astropy.coordinates import Angle

    if getattr(column, "ndim", 1) != 1:
        raise ValueError(f"{path}: the column {column.name} has the shape {column.shape}. Give one value an object.")
    unit = _angle_unit(column, path)
    texts = [str(value) for value in column]
    if column.dtype.kind in "iuf":
        values = np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)
        return np.asarray(values) * float((unit or u.deg).to(u.deg)), texts
    degrees = np.full(len(column), np.nan)
    for row, text in enumerate(texts):
        try:
            degrees[row] = float(text) * float((unit or u.deg).to(u.deg))
            continue
        except ValueError:
            pass
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 60 seconds, which it takes for a minute
            try:
                degrees[row] = Angle(text, unit=unit or (u.hourangle if hours else u.deg)).deg
            except (ValueError, TypeError, u.UnitsError):
                continue  # listed as a fault
    return degrees, texts


def _angle_unit(column: Any, path: Path) -> Any:
    """The unit of a column of angles, or `None` where it states none."""
    from astropy import units as u

    unit = getattr(column, "unit", None)
    if unit is None or not str(unit):
        return None
    text = str(unit).strip("\"' ").lower()
    if text.startswith("deg"):
        return u.deg
    if text in ("h", "hr", "hour", "hours", "hourangle"):
        return u.hourangle
    if column.dtype.kind not in "iuf" and ":" in text:  # "h:m:s", "d:m:s", as VizieR has it
        return u.hourangle if text.startswith("h") else u.deg
    if isinstance(unit, u.UnitBase) and unit.is_equivalent(u.deg):
        return unit
    raise ValueError(f"{path}: the column {column.name} is in {unit}, which is no angle. Give it in degrees.")


def _identities(table: Any, path: Path, id_column: str | None) -> list[str]:
    name = _find_column(table, path, id_column, ID_NAMES, "the objects' names", None)
    if name is None:
        return [str(row) for row in range(len(table))]
    column = np.ma.asarray(table[name])
    return [
        str(row) if value is np.ma.masked or not str(value).strip() else str(value).strip()
        for row, value in enumerate(column)
    ]
