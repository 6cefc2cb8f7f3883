"""From stamps to a collection to search in; a job that was stopped goes on."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from ..data.jobs import as_job, fingerprint_files, require_same_job
from ..data.readers import iter_stamps, list_stamp_files, summarise_sources
from ..data.skipped import write_skipped
from ..data.stamp import Stamp, UnreadableStampError
from ..files import whole_file
from ..hitl.build import build_collection
from ..hitl.collection import THUMBNAIL, encode_thumbnail
from .embed import EmbedSummary, Encoder, describe_encoder, iter_prepared, table_batch, table_schema

PART_STAMPS = 1024  # that are lost, at most, when the job is stopped
JOB = "job.json"


def collect_stamps(
    sources: Sequence[str | Path],
    out: Path,
    encoder: Encoder,
    model_name: str,
    inputs: Sequence[str] = (),
    batch_size: int = 32,
    part_stamps: int = PART_STAMPS,
) -> EmbedSummary:
    """Make a collection of stamps: their features, a picture of each as the model sees it, and their scalar columns.

    While it runs, `<out>.parts` holds what is done. Started again, it goes on from there. Beside the collection,
    `<out>.skipped.csv` lists what was skipped and why.

    Args:
        sources: Files of any kind that is read, and folders of them.
        out: Folder to make.
        encoder: From `load_encoder`, with the features that are wanted.
        model_name: Recorded in the collection.
        inputs: As of `build_collection`.
        batch_size: Stamps per forward pass.
        part_stamps: Stamps of a part.

    Returns:
        How many were embedded, and what was skipped. Without a single one nothing is written.

    Raises:
        FileExistsError: If there is something at `out`.
        ValueError: If `<out>.parts` is of another job.
    """
    if out.exists():
        raise FileExistsError(f"{out} is there already. Remove it, or give another name.")
    parts = out.with_name(f"{out.name}.parts")
    described = describe_encoder(encoder, model_name)
    _open_job(parts, as_job(inputs=list(inputs), **described, **_fingerprint(sources)))
    summary = EmbedSummary()
    tables = list(_embed_parts(sources, parts, encoder, described, batch_size, part_stamps, summary))
    if summary.number:
        build_collection(tables, out, inputs)
        write_skipped(out.with_name(f"{out.name}.skipped.csv"), summary.skipped)
    shutil.rmtree(parts)
    return summary


def has_features(path: Path) -> bool:
    """Whether a file is a table of features, as `galvm embed` writes them."""
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return False
    import pyarrow.parquet as pq

    return "features" in pq.read_schema(path).names


def _fingerprint(sources: Sequence[str | Path]) -> dict[str, Any]:
    files = [path for source in sources for path in list_stamp_files(Path(source))]
    return fingerprint_files(path for path in files if path.exists())


def _open_job(parts: Path, job: dict[str, Any]) -> None:
    record = parts / JOB
    if record.is_file():
        require_same_job(json.loads(record.read_text()), job, str(parts))
        return
    with whole_file(record) as temporary:
        temporary.write_text(json.dumps(job))


def _embed_parts(
    sources: Sequence[str | Path],
    parts: Path,
    encoder: Encoder,
    described: dict[str, str],
    batch_size: int,
    part_stamps: int,
    summary: EmbedSummary,
) -> Iterator[Path]:
    """The tables of features of all stamps that can be used; those that are there already are not made again."""
    from tqdm import tqdm

    number, carried = summarise_sources(sources)
    carried = {name: kind for name, kind in carried.items() if name != THUMBNAIL}
    with ExitStack() as stack:
        progress = stack.enter_context(tqdm(total=number, unit="stamp", disable=None))

        def skip(error: UnreadableStampError) -> None:
            summary.skipped.append(error)
            progress.update()

        stamps = iter_stamps(sources, skip)
        index = 0
        while group := list(islice(stamps, part_stamps)):
            path = parts / f"{index:06}.parquet"
            index += 1
            if not path.is_file():
                _write_part(path, group, encoder, described, batch_size, carried)
            rows, refused = _read_part(path)
            for error in refused:
                skip(error)
            summary.number += rows
            progress.update(rows)
            if rows:
                yield path


def _write_part(
    path: Path,
    group: list[Stamp],
    encoder: Encoder,
    described: dict[str, str],
    batch_size: int,
    carried: dict[str, Any],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    refused: list[UnreadableStampError] = []
    tables = []
    for batch, pixel_values in iter_prepared(encoder, group, batch_size, refused.append):
        features = encoder.encode(pixel_values).numpy()
        schema = table_schema(features.shape[1], carried, described)
        pictures = [encode_thumbnail(display) for display in pixel_values.float().cpu().numpy()]
        table = pa.Table.from_batches([table_batch(batch, features, schema, carried)])
        tables.append(table.append_column(pa.field(THUMBNAIL, pa.binary()), [pictures]))
    told = {"refused": json.dumps([(error.path, error.cause, error.remedy) for error in refused])}
    table = pa.concat_tables(tables) if tables else pa.table({})
    with whole_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata({**described, **told}), temporary)


def _read_part(path: Path) -> tuple[int, list[UnreadableStampError]]:
    """Rows of a part, and what the image processor refused of its stamps."""
    import pyarrow.parquet as pq

    footer = pq.read_metadata(path)
    refused = json.loads(footer.metadata[b"refused"])
    return footer.num_rows, [UnreadableStampError(*fields) for fields in refused]
