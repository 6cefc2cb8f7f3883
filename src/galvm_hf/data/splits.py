"""Fixed splits of Parquet files, as files: disjoint, stratified, and with no galaxy in two of them.

The files are held in memory, as encoded pictures, and 14 kB of fingerprint a row.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from ..files import whole_file
from .duplicates import THRESHOLD, fingerprint, same_galaxies
from .stamp import UnreadableStampError
from .stream.samples import decode_record
from .stream.sources import open_sources

ROW_GROUP = 256
SHARD_BYTES = 256 * 10**6
SETTINGS = "splits.json"
SPLITS = ("train", "validation", "test")


@dataclass
class SplitSummary:
    """What `write_splits` wrote; `splits.json` holds the same.

    Attributes:
        rows: Of each split, rows.
        classes: Of each split, rows of each class; empty without a label.
        excluded: (row, row of an excluded file, correlation) of what was dropped because it shows the same galaxy. A
            row is named `file:number`.
        followers: Rows that were dropped because they show the same galaxy as a row that is in `excluded`.
        grouped: (row, row, correlation) of the sources that show the same galaxy, and are in the same split.
        identical: How many of the pairs in `excluded` and `grouped` are the same bytes.
        skipped: (row, cause) of rows that cannot be decoded, and are in no split.
    """

    rows: dict[str, int] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    excluded: list[tuple[str, str, float]] = field(default_factory=list)
    followers: list[str] = field(default_factory=list)
    grouped: list[tuple[str, str, float]] = field(default_factory=list)
    identical: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


class _Row(NamedTuple):
    """A row that can be decoded: its `file:number`, its number among all rows, its class, and what it looks like."""

    name: str
    number: int
    label: Any
    digest: bytes
    prints: np.ndarray


def write_splits(
    sources: Sequence[str | Path],
    out: Path,
    *,
    validation: float,
    test: float = 0.0,
    label: str | None = None,
    exclude: Sequence[str | Path] = (),
    where: Mapping[str, str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    show_progress: bool = True,
) -> SplitSummary:
    """Split Parquet files of pictures or flux into `train`, `validation` and, if wanted, `test`.

    The rows of a split are in random order, with all their columns as they are. Pictures of the same galaxy are kept
    in one split, and rows of the sources that show a galaxy of an excluded file are dropped.

    Args:
        sources: Parquet files, folders and patterns, all of the same columns.
        out: Folder to write to: `train-00000.parquet`, ..., `validation-00000.parquet`, ..., and `splits.json`.
        validation: Share of the rows that are held out.
        test: Share of the rows that are held out once more.
        label: Column whose classes have the same shares in all splits.
        exclude: Files whose galaxies may be in no split, such as an official test split.
        where: Values, as text, that columns must have in a row of the sources; classes by name.
        seed: Of the order, and so of who is held out.
        overwrite: Whether to write where splits are already.
        show_progress: Whether to show progress bars.

    Raises:
        ValueError: If a share is out of range, a column is missing, the sources differ in their columns, no row is
            left for a split, or `out` has splits already.
        UnreadableStampError: If a file cannot be read.
    """
    if not 0 < validation < 1 or not 0 <= test < 1 or validation + test >= 1:
        raise ValueError(f"`validation` and `test` must be shares that leave rows to train on: {validation}, {test}.")
    old = [*out.glob(SETTINGS), *(path for name in SPLITS for path in out.glob(f"{name}-*.parquet"))]
    if old and not overwrite:
        raise ValueError(f"{out} has {old[0].name} already: choose another folder, or overwrite the splits in it.")
    summary = SplitSummary()
    table = _read_table(sources)
    rows = _read_rows(sources, label, where or {}, summary.skipped, "Reading sources" if show_progress else None)
    held = _read_rows(exclude, None, {}, [], "Reading excluded files" if show_progress else None) if exclude else []
    groups = _groups(rows, held, summary, show_progress)
    parts = _divide(groups, [str(row.label) for row in rows], {"test": test, "validation": validation}, seed)
    wanted = {"train": 1.0, "validation": validation, "test": test}
    if empty := [name for name in SPLITS if wanted[name] and not parts[name]]:
        raise ValueError(f"No row is left for {', '.join(empty)} of {len(rows)}: give more rows, or other shares.")
    for path in old:
        path.unlink()
    for name, members in parts.items():
        if members:
            _write(table, [rows[member].number for member in members], out, name)
            summary.rows[name] = len(members)
            if label is not None:
                summary.classes[name] = dict(sorted(Counter(str(rows[member].label) for member in members).items()))
    settings = {
        "sources": list(map(str, sources)),
        "exclude": list(map(str, exclude)),
        "where": dict(where or {}),
        "label": label,
        "validation": validation,
        "test": test,
        "seed": seed,
        "same_galaxy_above": THRESHOLD,
    }
    with whole_file(out / SETTINGS) as temporary:
        temporary.write_text(json.dumps({"settings": settings} | vars(summary), indent=1) + "\n", encoding="utf-8")
    return summary


def _read_table(sources: Sequence[str | Path]) -> Any:
    """All rows of the sources, as pyarrow has them, with the metadata of `datasets`."""
    import fsspec
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for source in open_sources(sources, ()):
        if not source.path.lower().endswith(".parquet"):
            raise UnreadableStampError(source.path, "is no Parquet file", "Pack it with `galvm prepare shards` first")
        with fsspec.open(source.path, "rb") as file:
            tables.append(pq.read_table(file))
        if not tables[-1].schema.equals(tables[0].schema, check_metadata=True):
            raise ValueError(
                f"{source.path} has other columns or class names than the first source: split it by itself."
            )
    return pa.concat_tables(tables)


def _read_rows(
    sources: Sequence[str | Path],
    label: str | None,
    where: Mapping[str, str],
    skipped: list[tuple[str, str]],
    title: str | None,
) -> list[_Row]:
    files = open_sources(sources, tuple({*where, *([label] if label is not None else [])}))
    rows, number = [], 0
    with tqdm(
        total=sum(int(file.unit_rows.sum()) for file in files), desc=title, unit=" rows", disable=not title
    ) as bar:
        for file in files:
            first = number
            for unit, length in enumerate(file.unit_rows.tolist()):
                records = file.read(unit)
                for record in map(records, range(length)):
                    name = f"{Path(file.path).name}:{number - first}"
                    if all(str(record.columns[column]) == value for column, value in where.items()):
                        try:
                            prints = fingerprint(decode_record(record))
                        except (ValueError, cv2.error) as error:
                            skipped.append((name, " ".join(str(error).split())))
                        else:
                            digest = blake2b(record.image, digest_size=16).digest()
                            rows.append(_Row(name, number, record.columns.get(label), digest, prints))
                    number += 1
                bar.update(length)
    return rows


def _groups(rows: list[_Row], held: list[_Row], summary: SplitSummary, show_progress: bool) -> list[list[int]]:
    """Rows that show the same galaxy, together; without those that show one of the excluded files."""
    prints = np.stack([row.prints for row in rows]) if rows else np.empty((0, 1, 1), np.float32)
    parent = list(range(len(rows)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    title = "Comparing sources" if show_progress else None
    for one, other, correlation in same_galaxies(prints, prints, title=title):
        summary.grouped.append((rows[one].name, rows[other].name, round(correlation, 4)))
        summary.identical += rows[one].digest == rows[other].digest
        parent[root(one)] = root(other)
    dropped, found = set(), {}
    if held:
        title = "Comparing with excluded files" if show_progress else None
        for one, other, correlation in same_galaxies(prints, np.stack([row.prints for row in held]), title=title):
            if correlation > found.get(one, (0, 0.0))[1]:
                found[one] = other, correlation
    for one, (other, correlation) in sorted(found.items()):
        summary.excluded.append((rows[one].name, held[other].name, round(correlation, 4)))
        summary.identical += rows[one].digest == held[other].digest
        dropped.add(root(one))
    groups = defaultdict(list)
    for row in range(len(rows)):
        groups[root(row)].append(row)
    summary.followers += [rows[row].name for top in sorted(dropped) for row in groups[top] if row not in found]
    return [members for top, members in groups.items() if top not in dropped]


def _divide(groups: list[list[int]], labels: list[str], shares: dict[str, float], seed: int) -> dict[str, list[int]]:
    """Rows of each split in random order. A group goes to one split; it counts as of the class of its first row."""
    random = np.random.default_rng(seed)
    classes = defaultdict(list)
    for index in random.permutation(len(groups)).tolist():
        classes[labels[groups[index][0]]].append(groups[index])
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    for _, members in sorted(classes.items()):
        total, waiting = sum(map(len, members)), iter(members)
        for name, share in shares.items():
            taken, wanted = 0, round(share * total)
            while taken < wanted:
                group = next(waiting)
                parts[name] += group
                taken += len(group)
        for group in waiting:
            parts["train"] += group
    return {name: random.permutation(rows).tolist() for name, rows in parts.items()}


def _write(table: Any, numbers: list[int], out: Path, split: str) -> None:
    """The rows in this order, in shards of about `SHARD_BYTES` and row groups of `ROW_GROUP`."""
    import pyarrow.parquet as pq

    groups = [numbers[first : first + ROW_GROUP] for first in range(0, len(numbers), ROW_GROUP)]
    shard = 0
    while groups:
        with (
            whole_file(out / f"{split}-{shard:05d}.parquet") as temporary,
            pq.ParquetWriter(temporary, table.schema, write_page_checksum=True) as writer,
        ):
            written = 0
            while groups and written < SHARD_BYTES:
                part = table.take(groups.pop(0))
                writer.write_table(part, row_group_size=ROW_GROUP)
                written += part.nbytes
        shard += 1
