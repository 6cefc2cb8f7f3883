"""Where a stream's rows lie: Parquet, HDF5 and WebDataset files, on disk, behind a URL or on the Hub.

A source reads its rows in units, and knows how many rows each has before it reads any. Paths are those of fsspec, so
`hf://datasets/owner/name/*.parquet` is the Hub.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from ..stamp import DEFAULT_BANDS, UnreadableStampError

SUFFIXES = (".parquet", ".h5", ".hdf5", ".tar")
IDENTITY_COLUMNS = ("id", "objid")
# A unit is held in memory with all its neighbours in a window.
LARGEST_UNIT = 1 << 30  # bytes
# What is read at once where the file itself has no such grouping.
HDF5_ROWS = 16
TAR_ROWS = 128
OPEN_FILES = 16
OPENING_THREADS = 16


class Record(NamedTuple):
    """One row as it lies in a file, before it is decoded.

    Attributes:
        id: Name of the object.
        image: Bytes of an encoded picture; with `shape`, bytes of little-endian float32 flux.
        columns: The columns that were asked for.
        shape: Of the flux, `[C, H, W]`, or None for a picture.
        bands: Names of its C planes, separated by commas.
    """

    id: str
    image: bytes | None
    columns: dict[str, Any]
    shape: tuple[int, ...] | None = None
    bands: str | None = None


class Source:
    """One file.

    Attributes:
        path: As fsspec spells it.
        unit_rows: How many rows each unit has, int64 `[U]`.
    """

    def __init__(self, path: str, files: "OpenFiles", columns: Sequence[str]):
        self.path, self._files, self._columns = path, files, tuple(columns)
        self.unit_rows = np.asarray(self._find_units(), dtype=np.int64)

    def _find_units(self) -> list[int]:
        raise NotImplementedError

    def read(self, unit: int) -> "Callable[[int], Record]":
        """Read a unit; what is returned gives its rows by their number in it."""
        raise NotImplementedError

    def _require(self, present: Iterable[str]) -> None:
        missing = sorted(set(self._columns) - set(present))
        if missing:
            raise UnreadableStampError(
                self.path, f"has no column {', '.join(missing)}", f"It has {', '.join(sorted(present)) or 'none'}"
            )


class OpenFiles:
    """Files that are kept open, the least recently used let go first. Safe to open from several threads."""

    def __init__(self):
        self._files: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str, opener: Callable[[Any], Any]) -> Any:
        """What `opener` makes of a file, made once while it stays open.

        Args:
            path: A local path, which `opener` is given as it is, or a URL, which it is given as a seekable stream.

        Raises:
            UnreadableStampError: If the file cannot be opened, or is not what its name says.
        """
        import fsspec

        with self._lock:
            if path in self._files:
                self._files.move_to_end(path)
                return self._files[path]
        try:
            opened = opener(fsspec.open(path, "rb").open() if "://" in path else path)
        except ImportError:
            raise
        except Exception as error:  # of the file system, the network or the format's library
            cause = f"cannot be opened ({type(error).__name__}: {error})"
            raise UnreadableStampError(
                path, cause, "Check the path, and fetch the file again if it is there"
            ) from error
        with self._lock:
            self._files[path] = opened
            if len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)
        return opened


class ParquetSource(Source):
    """Row groups of a Parquet file with pictures (`image`, as `datasets` writes them) or flux (`flux`, `shape`)."""

    def _file(self) -> Any:
        import pyarrow.parquet as pq

        return self._files.get(self.path, lambda file: pq.ParquetFile(file, pre_buffer=True))

    def _find_units(self) -> list[int]:
        file = self._file()
        names = file.schema_arrow.names
        self._pixels = next((name for name in ("image", "flux") if name in names), None)
        if self._pixels is None:
            raise UnreadableStampError(
                self.path, "has neither a column `image` nor `flux`", "Write it with `galvm prepare shards`"
            )
        self._require(names)
        self._identity = next((name for name in IDENTITY_COLUMNS if name in names), None)
        self._read = set(filter(None, (self._pixels, self._identity, *self._columns)))
        if self._pixels == "flux":
            self._read |= {"shape", *({"bands"} & set(names))}
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        largest = max((group.total_byte_size for group in groups), default=0)
        if largest > LARGEST_UNIT:
            raise UnreadableStampError(
                self.path,
                f"has a row group of {largest / 2**20:.0f} MiB, too large to mix rows in memory",
                "Write it again with `galvm prepare shards`",
            )
        return [group.num_rows for group in groups]

    def read(self, unit: int) -> Callable[[int], Record]:
        try:
            table = self._file().read_row_group(unit, columns=sorted(self._read), use_threads=False)
            columns = {name: table.column(name).combine_chunks() for name in table.column_names}
            if self._pixels == "image":
                columns["image"] = columns["image"].field("bytes")
        except Exception as error:
            place = f"{self.path}, row group {unit}"
            raise UnreadableStampError(place, f"cannot be read ({error})", "Fetch the file again") from error

        def record(row: int) -> Record:
            values = {name: columns[name][row].as_py() for name in self._read}
            identity = values.get(self._identity)
            name = f"{self.path}:{unit}:{row}" if identity is None else str(identity)
            asked = {column: values[column] for column in self._columns}
            return Record(name, values[self._pixels], asked, values.get("shape"), values.get("bands"))

        return record


class Hdf5Source(Source):
    """Runs of rows of an HDF5 file as ssl-legacysurvey (Stein et al. 2022) writes it: `images` N x 3 x H x W."""

    def _file(self) -> Any:
        try:
            import h5py
        except ImportError as error:
            raise ImportError('Streaming HDF5 needs h5py: pip install "galvm_hf[data]"') from error

        return self._files.get(self.path, lambda file: h5py.File(file, "r"))

    def _find_units(self) -> list[int]:
        file = self._file()
        images = file.get("images")
        if images is None or getattr(images, "ndim", 0) != 4 or images.shape[1] != len(DEFAULT_BANDS):
            raise UnreadableStampError(
                self.path, "has no dataset `images` of shape [N, 3, H, W]", "Write flux there, in the order g, r, z"
            )
        present = [name for name, item in file.items() if getattr(item, "shape", ())[:1] == images.shape[:1]]
        self._require(present)
        self._identity = next((name for name in IDENTITY_COLUMNS if name in present), None)
        self._rows = max(HDF5_ROWS, images.chunks[0] if images.chunks else 1)
        full, rest = divmod(len(images), self._rows)
        return [self._rows] * full + [rest] * (rest > 0)

    def read(self, unit: int) -> Callable[[int], Record]:
        rows = slice(unit * self._rows, unit * self._rows + int(self.unit_rows[unit]))
        try:
            file = self._file()
            flux = np.asarray(file["images"][rows], dtype="<f4")
            columns = {name: file[name][rows] for name in filter(None, {*self._columns, self._identity})}
        except Exception as error:
            place = f"{self.path}, row {rows.start}"
            raise UnreadableStampError(place, f"cannot be read ({error})", "Fetch the file again") from error

        def record(row: int) -> Record:
            values = {name: _plain(column[row]) for name, column in columns.items()}
            name = str(values[self._identity]) if self._identity else f"{self.path}:{rows.start + row}"
            asked = {column: values[column] for column in self._columns}
            return Record(name, flux[row].tobytes(), asked, flux.shape[1:])

        return record


class WebDatasetSource(Source):
    """Runs of samples of a WebDataset tar file: a picture, and `.json` or `.cls` beside it with its columns."""

    PICTURES = ("jpg", "jpeg", "png")
    COLUMNS = ("json", "cls")

    def _find_units(self) -> list[int]:
        import tarfile

        import fsspec

        samples: dict[str, dict[str, tuple[int, int]]] = {}
        try:
            with fsspec.open(self.path, "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
                for member in archive:
                    key, _, ending = member.name.partition(".")
                    if member.isfile() and ending.lower() in (*self.PICTURES, *self.COLUMNS):
                        samples.setdefault(key, {})[ending.lower()] = (member.offset_data, member.size)
        except (OSError, tarfile.TarError) as error:
            remedy = "Give an uncompressed tar file: a compressed one has no random access"
            raise UnreadableStampError(self.path, f"is not a readable tar file ({error})", remedy) from error
        self._samples = [(key, parts) for key, parts in samples.items() if any(name in parts for name in self.PICTURES)]
        if not self._samples:
            raise UnreadableStampError(self.path, "holds no pictures", f"Pack {', '.join(self.PICTURES)} files in it")
        full, rest = divmod(len(self._samples), TAR_ROWS)
        return [TAR_ROWS] * full + [rest] * (rest > 0)

    def read(self, unit: int) -> Callable[[int], Record]:
        import fsspec

        samples = []
        with fsspec.open(self.path, "rb") as stream:
            for key, parts in self._samples[unit * TAR_ROWS : (unit + 1) * TAR_ROWS]:
                contents = {}
                for ending, (offset, size) in parts.items():
                    stream.seek(offset)
                    contents[ending] = stream.read(size)
                samples.append((key, contents))
        return lambda row: self._record(*samples[row])

    def _record(self, key: str, contents: dict[str, bytes]) -> Record:
        try:
            columns = json.loads(contents["json"]) if "json" in contents else {}
            if "cls" in contents:
                columns["cls"] = int(contents["cls"])
        except ValueError as error:
            place = f"{self.path}, {key}"
            raise UnreadableStampError(place, f"has unreadable columns ({error})", "Pack it again") from error
        self._require(columns)
        picture = next(contents[name] for name in self.PICTURES if name in contents)
        return Record(key, picture, {column: columns[column] for column in self._columns})


KINDS = {".parquet": ParquetSource, ".h5": Hdf5Source, ".hdf5": Hdf5Source, ".tar": WebDatasetSource}


def open_sources(sources: Sequence[str], columns: Sequence[str]) -> list[Source]:
    """Find and open the files of a stream, in sorted order.

    Args:
        sources: Files, folders and patterns such as `stamps/*.parquet`, `hf://datasets/owner/name/data/*.parquet`,
            `https://...`.
        columns: Columns to deliver beside the pixels.

    Raises:
        UnreadableStampError: If a source matches nothing, a file cannot be opened, or it lacks a column.
    """
    files = OpenFiles()

    def open_one(path: str) -> Source:
        kind = next((kind for suffix, kind in KINDS.items() if path.lower().endswith(suffix)), None)
        if kind is None:
            raise UnreadableStampError(
                path, "is nothing that streams", f"Give {', '.join(SUFFIXES)}, or use `galvm prepare shards` first"
            )
        return kind(path, files, columns)

    with ThreadPoolExecutor(OPENING_THREADS) as pool:  # over a network most of the time is waiting
        return list(pool.map(open_one, _find_files(sources)))


def _find_files(sources: Sequence[str]) -> list[str]:
    import fsspec

    found = []
    for source in map(str, sources):
        filesystem, path = fsspec.core.url_to_fs(source)
        if any(mark in path for mark in "*?["):
            paths = filesystem.glob(path)
        elif filesystem.isdir(path):
            paths = [name for name in filesystem.find(path) if name.lower().endswith(SUFFIXES)]
        else:
            paths = [path]
        if not paths:
            remedy = f"Check its spelling; {', '.join(SUFFIXES)} are what streams"
            raise UnreadableStampError(source, "matches no file", remedy)
        local = "file" in np.atleast_1d(filesystem.protocol)
        found += [name if local else filesystem.unstrip_protocol(name) for name in sorted(paths)]
    return found


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value.item() if hasattr(value, "item") else value
