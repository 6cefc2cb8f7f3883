"""From any sources of stamps to Parquet shards with a dataset card."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ..jobs import fingerprint_files
from ..readers import iter_stamps, list_stamp_files, summarise_sources
from ..readers.fits import BAND_FIELD, find_band_files
from ..skipped import write_skipped
from ..stamp import UnreadableStampError
from .card import write_dataset_card
from .writer import SHARD_SIZE, ShardWriter

FILES_LISTED = 20


@dataclass
class RepackSummary:
    """What `repack_sources` did.

    Attributes:
        number: Stamps in the shards.
        continued: How many of them an earlier run had written.
        skipped: Why others are not there.
        card: The dataset card.
    """

    number: int
    continued: int
    card: Path
    skipped: list[UnreadableStampError] = field(default_factory=list)


def repack_sources(
    sources: Sequence[str | Path],
    directory: str | Path,
    split: str = "train",
    shard_size: int = SHARD_SIZE,
    name: str | None = None,
    license: str | None = None,
    command: str = "galvm_hf.data.shards.repack_sources",
    overwrite: bool = False,
) -> RepackSummary:
    """Write the stamps of any sources to Parquet shards, and describe them in a dataset card.

    A job that was stopped is continued: the sources are read again up to where it was, and the shards end up as if it
    had not been stopped. What cannot be read is listed in `<split>.skipped.csv`.

    Args:
        sources: As `iter_stamps` takes them.
        directory: Where the shards and the card go.
        split: "train", "test", ...
        shard_size: Bytes of a shard.
        name: Of the dataset, in the card.
        license: As the Hub spells it, in the card.
        command: What was called, for the card.
        overwrite: Whether to remove the split that is there and start anew.

    Raises:
        ValueError: If the sources hold no stamps, both flux and pictures, or are not those that the shards which are
            there came from.
        ImportError: If pyarrow, datasets, or the library for a source is not installed.
    """
    from tqdm import tqdm

    from ... import __version__

    directory = Path(directory)
    files = [_find_files(Path(source)) for source in sources]
    total, columns = summarise_sources(sources)
    job = {"sources": {str(source): fingerprint_files(found) for source, found in zip(sources, files, strict=True)}}
    writer = ShardWriter(directory, split, shard_size, columns, _class_names(files, columns), job, overwrite)
    continued = writer.rows
    skipped: list[UnreadableStampError] = []
    if not writer.complete:
        with writer, tqdm(total=total, unit="stamp", disable=None) as progress:

            def skip(error: UnreadableStampError) -> None:
                skipped.append(error)
                progress.update()

            stamps = iter_stamps(sources, skip)
            for _ in islice(stamps, continued):
                progress.update()
            for stamp in stamps:
                writer.write(stamp)
                progress.update()
            writer.facts |= {
                "made by": f"`{command}`, galvm_hf {__version__}",
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "skipped": len(skipped),
                "sources": [
                    line for source, found in zip(sources, files, strict=True) for line in _describe(source, found)
                ],
            }
            write_skipped(directory / f"{split}.skipped.csv", skipped)
    return RepackSummary(writer.rows, continued, write_dataset_card(directory, name, license), skipped)


def _find_files(source: Path) -> list[Path]:
    try:
        found = list_stamp_files(source)
    except UnreadableStampError:
        return []  # reading the stamps reports it
    return [
        file
        for path in found
        for file in (find_band_files(path).values() if BAND_FIELD in path.name else [path])
        if file.is_file()
    ]


def _describe(source: str | Path, files: Sequence[Path]) -> list[str]:
    """Where stamps came from: each file with its size and time, or a digest of them if there are many."""
    if len(files) > FILES_LISTED:
        state = fingerprint_files(files)
        return [
            f"`{source}`: {state['files']:,} files, {state['bytes']:,} bytes; SHA-256 of their names, sizes and times "
            f"`{state['sha256']}`"
        ]
    states = [(path, path.stat()) for path in files]
    return [
        f"`{path}`: {state.st_size:,} bytes, of {datetime.fromtimestamp(state.st_mtime, UTC):%Y-%m-%d %H:%M:%S} UTC"
        for path, state in states
    ]


def _class_names(files: Sequence[Sequence[Path]], columns: dict[str, Any]) -> dict[str, list[str]]:
    """Names of the classes of the columns that are the same `ClassLabel` in every file."""
    from datasets import ClassLabel, Features
    from pyarrow.parquet import read_schema

    found: list[dict[str, list[str]]] = []
    for path in (path for part in files for path in part):
        if path.suffix.lower() != ".parquet":
            return {}
        try:
            features = Features.from_arrow_schema(read_schema(path))
        except Exception:  # reading the stamps reports it
            continue
        found.append({name: item.names for name, item in features.items() if isinstance(item, ClassLabel)})
    shared = found[0] if found else {}
    return {
        name: names for name, names in shared.items() if name in columns and all(f.get(name) == names for f in found)
    }
