"""What the labels of a data set mean: classes or values, and which stamp has which."""

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...data.readers import FITS_SUFFIXES, PICTURE_SUFFIXES, Stamp

# More distinct whole numbers than this are values rather than classes.
MOST_NUMBERED_CLASSES = 20
TABLES = ("metadata.csv", "metadata.jsonl")


def label_finder(source: Path, labels: Sequence[str]) -> Callable[[Stamp], tuple[Any, ...] | None]:
    """How to find the labels of the stamps in one source.

    They are looked for in the columns that came with the stamp; in a table `metadata.csv` or `metadata.jsonl` with a
    column `file_name` in the stamp's folder or above it, as `imagefolder` of datasets has it; and, where there is no
    table and one label is asked for, in the name of the folder that a picture or FITS file lies in.

    Args:
        source: The file or folder that the stamps are from.
        labels: Names of the columns.

    Returns:
        A function from a stamp to its labels, None where one is missing.

    Raises:
        ValueError: If a table has no column `file_name`.
    """
    tables = [path for name in TABLES for path in sorted(source.rglob(name))] if source.is_dir() else []
    rows = {}
    for table in tables:
        rows |= _read_table(table)

    def find(stamp: Stamp) -> tuple[Any, ...] | None:
        path = Path(stamp.source)
        columns: Mapping[str, Any] = {**rows.get(path, {}), **stamp.columns}
        if not tables and not columns and len(labels) == 1 and path.name.lower().endswith(_ONE_STAMP_SUFFIXES):
            return (path.parent.name,)
        found = tuple(columns.get(name) for name in labels)
        return None if any(_is_missing(value) for value in found) else found

    return find


def looks_like_values(found: Sequence[tuple[Any, ...]]) -> bool:
    """Whether labels are values to be measured, rather than classes: numbers, and many of them or not whole."""
    if len(found[0]) > 1:
        return True
    try:
        numbers = {float(value) for (value,) in found if not isinstance(value, bool)}
    except (TypeError, ValueError):
        return False
    whole = all(number.is_integer() for number in numbers)
    return bool(numbers) and (not whole or len(numbers) > MOST_NUMBERED_CLASSES)


_ONE_STAMP_SUFFIXES = PICTURE_SUFFIXES + FITS_SUFFIXES


def _read_table(path: Path) -> dict[Path, dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as stream:
        if path.suffix == ".csv":
            records = list(csv.DictReader(stream))
        else:
            records = [json.loads(line) for line in stream if line.strip()]
    if any("file_name" not in record for record in records):
        raise ValueError(f"{path} needs a column `file_name`: the path of each image, relative to the table.")
    return {path.parent / record["file_name"]: record for record in records}


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))
