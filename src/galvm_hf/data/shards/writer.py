"""Write stamps to Parquet shards of a stated size, so that a job which is stopped at any moment can go on.

While the job runs, a directory holds `train-00000.parquet.part`, `train-00001.parquet.part`, ... and a record of them,
`.train.shards.json`. A shard is written under a temporary name, synced and renamed before the record mentions it, so
what the record mentions is whole; the rest is written again. When the number of shards is known they get the names that
the Hub uses, `train-00000-of-00007.parquet`, and the record stays, to say what they were made from.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from ...files import whole_file
from ..jobs import as_job, require_same_job
from ..stamp import Stamp
from .schema import OPAQUE_COLUMNS, PIXEL_COLUMNS, record_batch, row_size, shard_features, shard_row

ROW_GROUP_ROWS = 128
ROW_GROUP_BYTES = 8 * 2**20
SHARD_SIZE = 256_000_000


class ShardWriter:
    """Writes stamps to the shards of one split of a dataset.

    A context manager. Leaving it without an exception closes the last shard and gives all of them their final names;
    leaving it with one, or being killed, keeps the finished shards for the next `ShardWriter` of the same job:

        with ShardWriter("dataset", job={"seed": 1}) as writer:
            for stamp in islice(stamps(), writer.rows, None):
                writer.write(stamp)

    The same stamps give the same bytes, whether the job was stopped or not.

    Args:
        directory: Where the shards go; made if it is not there. Other splits may lie in it.
        split: "train", "test", ...
        shard_size: Bytes of a shard, which is closed before it would be larger.
        columns: Arrow types of the carried columns, by name; without them, those of the first stamp's values.
        class_names: Names of the classes of the carried columns that are to be a `ClassLabel`.
        job: What decides which stamps come, as JSON values. Shards of another job are not continued.
        overwrite: Whether to remove the split that is there and start anew.

    Attributes:
        rows: Stamps that are in finished shards: as many of the job's first stamps need not be written again.
        complete: Whether the job is done, with nothing left to write.
        facts: Said about the split in its dataset card, such as what was skipped; kept when the writer closes.

    Raises:
        ValueError: If `directory` holds shards of this split that another job made.
        ImportError: If pyarrow or datasets is not installed.
    """

    def __init__(
        self,
        directory: str | Path,
        split: str = "train",
        shard_size: int = SHARD_SIZE,
        columns: Mapping[str, Any] | None = None,
        class_names: Mapping[str, Sequence[str]] | None = None,
        job: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ):
        try:
            import datasets  # noqa: F401
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise ImportError('Writing shards needs pyarrow and datasets: pip install "galvm_hf[data]"') from error
        if not split.isidentifier():
            raise ValueError(f"The split is called {split!r}, but it must be one word, such as train or test.")
        if shard_size < 1:
            raise ValueError(f"shard_size is {shard_size}, but a shard must have at least one byte.")
        self.directory, self.split, self.shard_size = Path(directory), split, shard_size
        self.facts: dict[str, Any] = {}
        self._columns, self._class_names = columns, class_names
        self._features = self._schema = None
        self._stack = self._writer = self._sink = None
        self._pending: list[dict[str, Any]] = []
        self._pending_bytes = self._shard_rows = self._shard_bytes = 0
        if overwrite:
            self._remove_split()
        self._record = self._open_record(as_job(**{**(job or {}), "shard_size": shard_size}))

    @property
    def rows(self) -> int:
        return sum(shard["rows"] for shard in self._record["shards"])

    @property
    def complete(self) -> bool:
        return self._record["complete"]

    def write(self, stamp: Stamp) -> None:
        """Append a stamp.

        Raises:
            ValueError: If it does not go with the stamps before it: flux among pictures, an unknown class, or columns
                of another type.
        """
        if self.complete:
            raise ValueError(f"The split {self.split} in {self.directory} is complete. Use overwrite=True to redo it.")
        if self._schema is None:
            self._set_features(stamp)
        row = shard_row(stamp, self._features)
        size = row_size(row)
        if self._sink is not None and self._sink.tell() + self._pending_bytes + size > self.shard_size:
            self._close_shard()
        elif len(self._pending) == ROW_GROUP_ROWS or self._pending_bytes + size > ROW_GROUP_BYTES:
            self._flush()
        if self._sink is None:
            self._open_shard()
        self._pending.append(row)
        self._pending_bytes += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if kind is not None:
            if self._stack is not None:
                self._stack.__exit__(kind, error, trace)
            return
        if self.complete:
            return
        if self._sink is not None:
            self._close_shard()
        if not self._record["shards"]:
            raise ValueError(f"No stamp was written to {self.directory}. Give sources that hold some.")
        self._record |= {"complete": True, "facts": self.facts}
        self._save_record()
        self._name_shards()

    def _set_features(self, stamp: Stamp) -> None:
        """Take the features from the record, if earlier shards have some, else from the first stamp."""
        from datasets import Features

        if self._record["features"]:
            self._features = Features.from_dict(self._record["features"])
        else:
            self._features = shard_features(stamp, self._columns, self._class_names)
            self._record["features"] = self._features.to_dict()
        for other in read_records(self.directory):
            if other["split"] != self.split and other["features"] != self._record["features"]:
                raise ValueError(
                    f"The split {other['split']} in {self.directory} has other columns than {self.split} would have: "
                    f"{sorted(other['features'])} and {sorted(self._record['features'])}, or other types. "
                    "Write it to a directory of its own."
                )
        self._schema = self._features.arrow_schema

    def _open_shard(self) -> None:
        import pyarrow.parquet as pq

        leaves = {path: path.split(".")[0] for path in _leaf_paths(self._schema)}
        plain = [path for path, column in leaves.items() if column not in OPAQUE_COLUMNS]
        self._stack = ExitStack()
        # Closed by the stack before the file gets its name.
        temporary = self._stack.enter_context(whole_file(self._part(len(self._record["shards"]))))
        self._sink = self._stack.enter_context(temporary.open("wb"))
        self._writer = self._stack.enter_context(
            pq.ParquetWriter(
                self._sink,
                self._schema,
                use_dictionary=plain,
                write_statistics=plain,
                write_page_checksum=True,
                compression={path: "NONE" if leaves[path] in PIXEL_COLUMNS else "ZSTD" for path in leaves},
            )
        )
        self._shard_rows = self._shard_bytes = 0

    def _flush(self) -> None:
        """Write the pending rows as one row group."""
        batch = record_batch(self._pending, self._schema)
        self._writer.write_batch(batch)
        self._shard_rows += len(self._pending)
        self._shard_bytes += batch.nbytes
        self._pending, self._pending_bytes = [], 0

    def _close_shard(self) -> None:
        if self._pending:
            self._flush()
        self._stack.close()
        self._stack = self._writer = self._sink = None
        path = self._part(len(self._record["shards"]))
        self._record["shards"].append(
            {"rows": self._shard_rows, "file_bytes": path.stat().st_size, "arrow_bytes": self._shard_bytes}
        )
        self._save_record()

    def _part(self, index: int) -> Path:
        return self.directory / f"{self.split}-{index:05d}.parquet.part"

    def _name_shards(self) -> None:
        """Give the shards their final names; those that have them already keep them."""
        number = len(self._record["shards"])
        for index in range(number):
            if self._part(index).exists():
                os.replace(self._part(index), self.directory / shard_name(self.split, index, number))

    def _open_record(self, job: dict[str, Any]) -> dict[str, Any]:
        """The record of the job so far: what is left of a stopped one, or a new one."""
        path = record_path(self.directory, self.split)
        for pattern in (f".{self.split}-*.part", f".{path.name}.*.part"):
            for stale in self.directory.glob(pattern):
                stale.unlink()  # of a process that was killed
        if not path.exists():
            if any(self.directory.glob(f"{self.split}-*.parquet")):
                raise ValueError(
                    f"{self.directory} holds a split {self.split} that was not made here. Give another directory, or "
                    "overwrite it with --overwrite."
                )
            return {"split": self.split, "job": job, "features": None, "shards": [], "complete": False, "facts": {}}
        record = json.loads(path.read_text(encoding="utf-8"))
        require_same_job(record["job"], job, f"The split {self.split} in {self.directory}")
        self.facts = record["facts"]
        if record["complete"]:
            self._record = record
            self._name_shards()
        return record

    def _save_record(self) -> None:
        with whole_file(record_path(self.directory, self.split)) as temporary:
            temporary.write_text(json.dumps(self._record, indent=1), encoding="utf-8")

    def _remove_split(self) -> None:
        # The record goes first: what it mentions must exist.
        record_path(self.directory, self.split).unlink(missing_ok=True)
        for pattern in (f"{self.split}-*.parquet", f"{self.split}-*.parquet.part"):
            for path in self.directory.glob(pattern):
                path.unlink()


def shard_name(split: str, index: int, number: int) -> str:
    """The name that the Hub uses for a shard, "train-00000-of-00007.parquet"."""
    return f"{split}-{index:05d}-of-{number:05d}.parquet"


def record_path(directory: Path, split: str) -> Path:
    """Where a `ShardWriter` keeps the record of a split."""
    return directory / f".{split}.shards.json"


def read_records(directory: Path) -> list[dict[str, Any]]:
    """The records of the complete splits in a directory, sorted by name."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(directory.glob(".*.shards.json"))]
    return [record for record in records if record["complete"]]


def _leaf_paths(schema: Any) -> list[str]:
    """Names of the Parquet columns behind the Arrow columns, such as `image.bytes` and `shape.list.element`."""
    import pyarrow as pa

    paths = []
    for field in schema:
        if pa.types.is_struct(field.type):
            paths += [f"{field.name}.{child.name}" for child in field.type]
        else:
            paths.append(f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name)
    return paths
