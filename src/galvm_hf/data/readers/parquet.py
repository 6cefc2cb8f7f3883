"""Parquet: an `image` column as `datasets` writes it, or a `flux` column with bands and shape as our shards have it."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..stamp import Stamp, UnreadableStampError
from .checks import check_shape, damage, flux_stamp
from .pictures import decode_picture
from .wcs import celestial_wcs_from_text

IMAGE, FLUX, SHAPE = "image", "flux", "shape"
# The fields of a stamp in our shards, which are told by `id` and `source`; other files have columns of their own.
SHARD_COLUMNS = ("id", "source", "bands", "pixel_scale", "units", "wcs")
IDENTITY_COLUMNS = ("id", "objid")

# One row group may hold a whole survey; about this much of it is in memory at once.
_BATCH_BYTES, _BATCH_ROWS = 2**25, 64
_BUFFER_BYTES = 2**20


def iter_parquet(path: Path, name: str, report: Callable[[UnreadableStampError], None]) -> Iterator[Stamp]:
    """The stamps of a Parquet file, batch by batch; a row group that cannot be read is reported and left out."""
    with ExitStack() as stack:
        with damage(path, "Parquet file"):
            file = stack.enter_context(_open(path))
            schema = file.schema_arrow
            pixels = [column for column in (IMAGE, FLUX, SHAPE) if column in schema.names]
            if IMAGE not in pixels and not {FLUX, SHAPE} <= set(pixels):
                raise UnreadableStampError(
                    path, "has neither a column `image` nor `flux` with `shape`", "Write it by `galvm prepare shards`"
                )
            columns = [*pixels, *(column for column in _scalar_columns(schema) if column not in pixels)]
            class_names = class_names_of(schema, path)
            is_shard = _is_shard(schema)
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            if min(sizes, default=0) < 0 or sum(sizes) > path.stat().st_size:
                raise UnreadableStampError(path, f"claims {sum(sizes)} rows in fewer bytes", "Fetch it again")
        first = 0
        for group, size in enumerate(sizes):
            row, first = first, first + size
            batches = _iter_batches(file, group, size, columns)
            while True:
                try:
                    with damage(f"{path}:{row}-{first - 1}", "part of a Parquet file", "Fetch the file again"):
                        records = next(batches, None)
                except UnreadableStampError as error:
                    report(error)
                    break
                if records is None:
                    break
                for record in records:
                    place = f"{path}:{row}"
                    for column, names in class_names.items():
                        record[column] = class_name(names, record.get(column))
                    try:
                        stamp = _stamp(record, place, f"{name}:{row}", path, is_shard)
                    except UnreadableStampError as error:
                        report(error)
                    else:
                        yield stamp
                    row += 1


def read_parquet_stamp(path: Path, stamp_id: str) -> Stamp:
    """One stamp of a Parquet file, by the `id` that `iter_parquet` gave it.

    Raises:
        UnreadableStampError: If the file, or the stamp in it, is missing or damaged.
    """
    with damage(path, "Parquet file"), _open(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
        key = next((column for column in IDENTITY_COLUMNS if column in schema.names), None)
        if key is None:
            number = stamp_id.rpartition(":")[2]
            row = int(number) if number.isdecimal() else metadata.num_rows
        else:
            names = map(str, file.read([key], use_threads=False).column(0).to_pylist())
            row = next((row for row, name in enumerate(names) if name == stamp_id), metadata.num_rows)
        columns = [name for name in schema.names if name in (IMAGE, FLUX, SHAPE, *_scalar_columns(schema))]
        first = row
        for group in range(metadata.num_row_groups):
            if first < (size := metadata.row_group(group).num_rows):
                records = (record for batch in _iter_batches(file, group, size, columns) for record in batch)
                record = next(islice(records, first, None))
                return _stamp(record, f"{path}:{row}", stamp_id, path, _is_shard(schema))
            first -= size
    raise UnreadableStampError(path, f"holds no stamp {stamp_id}", "Check whether it is the file that was embedded")


def summarise_parquet(path: Path) -> tuple[int, dict[str, Any]]:
    """Number of rows, and the Arrow types of the carried columns, from the footer."""
    with damage(path, "Parquet file"), _open(path) as file:
        schema = file.schema_arrow
        class_names = class_names_of(schema, path)
        own = SHARD_COLUMNS if _is_shard(schema) else ()
        return file.metadata.num_rows, {
            name: "string" if name in class_names else schema.field(name).type
            for name in _scalar_columns(schema)
            if name not in own
        }


def _open(path: Path) -> Any:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError('Reading Parquet needs pyarrow: pip install "galvm_hf[data]"') from error
    # Without a buffer, and with the row group read ahead, a large row group would be in memory whole.
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)


def _iter_batches(file: Any, group: int, size: int, columns: list[str]) -> Iterator[list[dict[str, Any]]]:
    row_bytes = file.metadata.row_group(group).total_byte_size // max(1, size)
    rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, row_bytes)))
    for batch in file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
        yield batch.to_pylist()


def _scalar_columns(schema: Any) -> list[str]:
    import pyarrow.types as kinds

    def is_scalar(kind: Any) -> bool:
        return not (kinds.is_nested(kind) or kinds.is_binary(kind) or kinds.is_large_binary(kind))

    return [column.name for column in schema if is_scalar(column.type)]


def _is_shard(schema: Any) -> bool:
    return {"id", "source"} <= set(schema.names)


def class_name(names: list[str], code: int | None) -> str | None:
    """The name of a class by its number; none if it has no number, or one beyond the names."""
    return names[code] if code is not None and 0 <= code < len(names) else None


def class_names_of(schema: Any, path: str | Path) -> dict[str, list[str]]:
    """Names behind the integers of `ClassLabel` columns, which `datasets` keeps in the schema's metadata."""
    with damage(path, "Parquet file: its metadata for `datasets` is broken"):
        info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = info.get("info", {}).get("features", {})
        return {
            name: [str(label) for label in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }


def _stamp(record: dict[str, Any], place: str, name: str, path: Path, is_shard: bool) -> Stamp:
    image, flux, shape = (record.pop(column, None) for column in (IMAGE, FLUX, SHAPE))
    name = next((str(record[key]) for key in IDENTITY_COLUMNS if record.get(key) is not None), name)
    own = {column: record.pop(column, None) for column in SHARD_COLUMNS} if is_shard else {}
    source, scale = own.get("source") or str(path), _scale(own.get("pixel_scale"))
    with damage(place, "row of a shard"):
        wcs = celestial_wcs_from_text(own["wcs"], place) if own.get("wcs") else None
        if flux is not None:
            bands = str(own.get("bands") or "").split(",")
            planes = _planes(flux, shape, place)
            return flux_stamp(planes, bands, place, name, source, scale, own.get("units"), None, wcs, record)
    if not isinstance(image, dict) or not image.get("bytes"):
        raise UnreadableStampError(place, "holds no image bytes", "Embed the images in the Parquet file")
    pixels = decode_picture(image["bytes"], place)
    columns = MappingProxyType(record)
    return Stamp(pixels, None, scale, name, source, wcs=wcs, columns=columns, encoded=image["bytes"])


def _scale(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value > 0 else None


def _planes(flux: bytes, shape: list[int] | None, place: str) -> np.ndarray:
    """Flux [C, H, W] of the bytes in a shard, float32 little-endian."""
    if shape is None or len(shape) != 3:
        raise UnreadableStampError(place, f"has the shape {shape}", "Give the shape as [C, H, W]")
    check_shape(shape, place)
    size = 4 * math.prod(shape)
    if len(flux) != size:
        raise UnreadableStampError(
            place,
            f"has {len(flux)} bytes of flux, where the shape {shape} needs {size}",
            "Fetch it again",
        )
    return np.frombuffer(flux, dtype="<f4").reshape(shape)
