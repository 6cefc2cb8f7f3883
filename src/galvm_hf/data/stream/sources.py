"""Where a stream's rows lie: Parquet, HDF5 and WebDataset files, on disk, behind a URL or on the Hub.

A source reads its rows in units, and knows how many rows each has before it reads any. Paths are those of fsspec, so
`hf://datasets/owner/name/*.parquet` is the Hub.
"""

import tarfile
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from ..readers.arrays import as_scalars, bands_of_array
from ..readers.checks import damage
from ..readers.hdf5 import find_images, open_hdf5, rows_at_once
from ..readers.parquet import FLUX, IDENTITY_COLUMNS, IMAGE, SHAPE, class_name, class_names_of
from ..readers.webdataset import iter_members, read_columns
from ..stamp import UnreadableStampError

# A unit is held in memory with all its neighbours in a window.
LARGEST_UNIT = 1 << 30  # bytes
# What is read at once where the file itself has no such grouping.
HDF5_BYTES = 2**22
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


class Source(ABC):
    """Rows of one file.

    Attributes:
        path: As fsspec spells it.
        unit_rows: How many rows each unit has, int64 `[U]`.
    """

    path: str
    unit_rows: np.ndarray

    @abstractmethod
    def read(self, unit: int) -> "Callable[[int], Record]":
        """Read a unit; what is returned gives its rows by their number in it."""


class FileSource(Source):
    """The rows as they are."""

    def __init__(self, path: str, files: "OpenFiles", columns: Sequence[str]):
        self.path, self._files, self._columns = path, files, tuple(columns)
        self.unit_rows = np.asarray(self._find_units(), dtype=np.int64)
        if not self.unit_rows.sum():
            raise UnreadableStampError(path, "has no rows", "Leave it out")

    @abstractmethod
    def _find_units(self) -> list[int]:
        """How many rows each unit has."""

    def _require(self, columns: Iterable[str], present: Iterable[str]) -> None:
        missing = sorted(set(columns) - set(present))
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


class ParquetSource(FileSource):
    """Row groups of a Parquet file with pictures (`image`, as `datasets` writes them) or flux (`flux`, `shape`)."""

    def _file(self) -> Any:
        import pyarrow.parquet as pq

        options = {"pre_buffer": True, "page_checksum_verification": True}
        return self._files.get(self.path, lambda file: pq.ParquetFile(file, **options))

    def _find_units(self) -> list[int]:
        file = self._file()
        names = file.schema_arrow.names
        self._pixels = next((name for name in (IMAGE, FLUX) if name in names), None)
        if self._pixels is None:
            raise UnreadableStampError(
                self.path, "has neither a column `image` nor `flux`", "Write it with `galvm prepare shards`"
            )
        self._require(self._columns, names)
        self._class_names = class_names_of(file.schema_arrow, self.path)
        self._identity = next((name for name in IDENTITY_COLUMNS if name in names), None)
        self._read = set(filter(None, (self._pixels, self._identity, *self._columns)))
        if self._pixels == FLUX:
            self._read |= {SHAPE, *({"bands"} & set(names))}
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
        with damage(f"{self.path}, row group {unit}", "part of a Parquet file", "Fetch the file again"):
            table = self._file().read_row_group(unit, columns=sorted(self._read), use_threads=False)
            columns = {name: table.column(name).combine_chunks() for name in table.column_names}
            if self._pixels == IMAGE:
                columns[IMAGE] = columns[IMAGE].field("bytes")

        def record(row: int) -> Record:
            values = {name: columns[name][row].as_py() for name in self._read}
            identity = values.get(self._identity)
            name = f"{self.path}:{unit}:{row}" if identity is None else str(identity)
            asked = {column: self._named(column, values[column]) for column in self._columns}
            return Record(name, values[self._pixels], asked, values.get(SHAPE), values.get("bands"))

        return record

    def read_column(self, column: str) -> list[Any]:
        """The values of a column in all rows, without the images."""
        self._require([column], self._file().schema_arrow.names)
        with damage(self.path, "Parquet file"):
            values = self._file().read(columns=[column], use_threads=False).column(column).to_pylist()
        return [self._named(column, value) for value in values]

    def _named(self, column: str, value: Any) -> Any:
        """A class by its name, where `datasets` has written its number."""
        return class_name(self._class_names[column], value) if column in self._class_names else value


class Hdf5Source(FileSource):
    """Runs of rows of an HDF5 file as ssl-legacysurvey (Stein et al. 2021) writes it: `images` N x 3 x H x W."""

    def _datasets(self) -> tuple[Any, dict[str, Any]]:
        return self._files.get(self.path, lambda file: find_images(open_hdf5(file), self.path))

    def _find_units(self) -> list[int]:
        images, columns = self._datasets()
        if bands_of_array(images.shape[1:], images.dtype, self.path) is None:
            raise UnreadableStampError(self.path, "holds pictures", "Write them with `galvm prepare shards`")
        self._require(self._columns, columns)
        self._identity = next((name for name in IDENTITY_COLUMNS if name in columns), None)
        self._rows = rows_at_once(images, HDF5_BYTES)
        return _runs(len(images), self._rows)

    def read(self, unit: int) -> Callable[[int], Record]:
        rows = slice(unit * self._rows, unit * self._rows + int(self.unit_rows[unit]))
        with damage(f"{self.path}, row {rows.start}", "part of an HDF5 file", "Fetch the file again"):
            images, columns = self._datasets()
            flux = images[rows].astype("<f4", copy=False)
            wanted = filter(None, {*self._columns, self._identity})
            values = {name: as_scalars(columns[name][rows]) for name in wanted}

        def record(row: int) -> Record:
            name = str(values[self._identity][row]) if self._identity else f"{self.path}:{rows.start + row}"
            asked = {column: values[column][row] for column in self._columns}
            return Record(name, flux[row].tobytes(), asked, flux.shape[1:])

        return record


class WebDatasetSource(FileSource):
    """Runs of samples of a WebDataset tar file: a picture, and `.json` or `.cls` beside it with its columns."""

    PICTURES = ("jpg", "jpeg", "png")
    COLUMNS = ("json", "cls")

    def _find_units(self) -> list[int]:
        import fsspec

        samples: dict[str, dict[str, tuple[int, int]]] = {}
        with (
            damage(self.path, "tar file", "Give an uncompressed tar file: others have no random access"),
            fsspec.open(self.path, "rb") as stream,
            tarfile.open(fileobj=stream, mode="r:") as archive,
        ):
            for key, ending, member in iter_members(archive, self.path):
                if ending in (*self.PICTURES, *self.COLUMNS):
                    samples.setdefault(key, {})[ending] = (member.offset_data, member.size)
        self._samples = [(key, parts) for key, parts in samples.items() if not parts.keys().isdisjoint(self.PICTURES)]
        if not self._samples:
            raise UnreadableStampError(self.path, "holds no pictures", f"Pack {', '.join(self.PICTURES)} files in it")
        return _runs(len(self._samples), TAR_ROWS)

    def read(self, unit: int) -> Callable[[int], Record]:
        import fsspec

        samples = []
        with damage(self.path, "tar file", "Fetch it again"), fsspec.open(self.path, "rb") as stream:
            for key, parts in self._samples[unit * TAR_ROWS : (unit + 1) * TAR_ROWS]:
                contents = {}
                for ending, (offset, size) in parts.items():
                    stream.seek(offset)
                    contents[ending] = stream.read(size)
                samples.append((key, contents))

        def record(row: int) -> Record:
            key, contents = samples[row]
            columns = read_columns(contents, f"{self.path}:{key}")
            self._require(self._columns, columns)
            picture = next(contents[name] for name in self.PICTURES if name in contents)
            return Record(key, picture, {column: columns[column] for column in self._columns})

        return record


def _runs(rows: int, length: int) -> list[int]:
    """Lengths of the runs that so many rows make."""
    full, rest = divmod(rows, length)
    return [length] * full + [rest] * (rest > 0)


KINDS = {".parquet": ParquetSource, ".h5": Hdf5Source, ".hdf5": Hdf5Source, ".tar": WebDatasetSource}
SUFFIXES = tuple(KINDS)


def require_parquet(source: Source) -> ParquetSource:
    """A file whose columns can be read without its images.

    Raises:
        ValueError: If it is not Parquet.
    """
    if not isinstance(source, ParquetSource):
        raise ValueError(f"{source.path}: labels are read from Parquet; write it again with `galvm prepare shards`.")
    return source


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
