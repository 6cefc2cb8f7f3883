"""NumPy files, `.npy` and `.npz`: one stamp, or a stack of them, which is streamed and never held whole."""

import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np

from ..stamp import DEFAULT_BANDS, Stamp, UnreadableStampError
from .checks import MAX_BYTES, check_shape, damage, flux_stamp

ARRAY_KEYS = ("images", "flux")
_CHUNK = 2**20


@dataclass(frozen=True)
class _Header:
    """What the header of a `.npy` says.

    Attributes:
        shape: Of the whole array.
        dtype: Of its values.
        fortran: Whether the first axis is the fastest.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool

    @property
    def is_stack(self) -> bool:
        return len(self.shape) == 4


def bands_of_array(shape: tuple[int, ...], dtype: np.dtype, place: str | Path) -> tuple[str, ...] | None:
    """Tell flux from a picture by type and shape: its bands, or `None` for a picture.

    Args:
        shape: Of one stamp.
        dtype: Of its values.
        place: As in `UnreadableStampError`.

    Raises:
        UnreadableStampError: If it is neither float [3, H, W] nor uint8 [H, W, 3].
    """
    if len(shape) == 3 and dtype == np.uint8 and shape[-1] == 3:
        check_shape(shape, place)
        return None
    if len(shape) == 3 and dtype.kind == "f" and shape[0] == len(DEFAULT_BANDS):
        check_shape(shape, place)
        return DEFAULT_BANDS
    raise UnreadableStampError(
        place,
        f"holds stamps of {dtype} in the shape {shape}",
        "Give flux as float [3, H, W] in the order g, r, z, or a picture as uint8 [H, W, 3]",
    )


def iter_npy(path: Path, name: str, report: Callable[[UnreadableStampError], None]) -> Iterator[Stamp]:
    """The stamp, or stack of stamps, of a `.npy` file."""
    with path.open("rb") as stream:
        header = _read_header(stream, path)
        yield from _iter_rows(stream, header, path, name, {}, report)


def iter_npz(path: Path, name: str, report: Callable[[UnreadableStampError], None]) -> Iterator[Stamp]:
    """The array `images`, `flux`, or else the first one, of a `.npz`, with the arrays [N] beside it as columns."""
    with ExitStack() as stack:
        with damage(path, "NumPy archive"):
            archive = stack.enter_context(zipfile.ZipFile(path))
            member, headers = _members(archive, path)
            place = f"{path}:{member}"
            _check_sum(archive, f"{member}.npy")
            header = headers[member]
            columns = {key: _load(archive, key, place) for key in _column_types(headers, member)}
            stream = stack.enter_context(archive.open(f"{member}.npy"))
            header = _read_header(stream, place)
        yield from _iter_rows(stream, header, path, name, columns, report)


def read_npy(stream: BinaryIO, place: str | Path, name: str, source: str | Path, columns: dict[str, Any]) -> Stamp:
    """The one stamp of a `.npy` that lies in memory."""
    header = _read_header(stream, place)
    if header.is_stack:
        raise UnreadableStampError(place, f"holds {header.shape[0]} stamps, not one", "Give each a member of its own")
    bands = bands_of_array(header.shape, header.dtype, place)
    pixels = _read_values(stream, header.shape, header, place)
    return _stamp(pixels, bands, place, name, source, columns)


def summarise_npy(path: Path) -> tuple[int, dict[str, Any]]:
    """Number of stamps; a `.npy` has no columns."""
    with path.open("rb") as stream:
        header = _read_header(stream, path)
    return header.shape[0] if header.is_stack else 1, {}


def summarise_npz(path: Path) -> tuple[int, dict[str, Any]]:
    """Number of stamps, and the Arrow types of the columns."""
    with damage(path, "NumPy archive"), zipfile.ZipFile(path) as archive:
        member, headers = _members(archive, path)
    header = headers[member]
    return header.shape[0] if header.is_stack else 1, _column_types(headers, member)


def arrow_type(dtype: np.dtype) -> Any:
    """The Arrow type of a column [N] of a stack, or `None` where its values are no scalars."""
    import pyarrow as pa

    if dtype.kind in "SU":
        return pa.string()
    return pa.from_numpy_dtype(dtype.newbyteorder("=")) if dtype.kind in "biuf" else None


def as_scalars(values: np.ndarray) -> list[Any]:
    """Python scalars of a column [N]; bytes become text."""
    return [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in np.asarray(values).tolist()
    ]


def _iter_rows(
    stream: BinaryIO,
    header: _Header,
    path: Path,
    name: str,
    columns: dict[str, list[Any]],
    report: Callable[[UnreadableStampError], None],
) -> Iterator[Stamp]:
    """One stamp, or those of a stack one by one; what follows a row that ends too early is lost."""
    if not header.is_stack:
        bands = bands_of_array(header.shape, header.dtype, path)
        yield _stamp(_read_values(stream, header.shape, header, path), bands, path, name, path, {})
        return
    shape = header.shape[1:]
    bands = bands_of_array(shape, header.dtype, path)
    if header.fortran:
        raise UnreadableStampError(path, "is a stack in Fortran order", "Save it with np.ascontiguousarray")
    for row in range(header.shape[0]):
        place = f"{path}:{row}"
        pixels = _read_values(stream, shape, header, place)
        carried = {key: values[row] for key, values in columns.items()}
        try:
            stamp = _stamp(pixels, bands, place, f"{name}:{row}", path, carried)
        except UnreadableStampError as error:
            report(error)
            continue
        yield stamp


def _stamp(
    pixels: np.ndarray,
    bands: tuple[str, ...] | None,
    place: str | Path,
    name: str,
    source: str | Path,
    columns: dict[str, Any],
) -> Stamp:
    if bands is None:
        return Stamp(pixels, None, None, name, str(source), columns=MappingProxyType(columns))
    return flux_stamp(pixels, bands, place, name, source, columns=columns)


def _read_header(stream: BinaryIO, place: str | Path) -> _Header:
    remedy = "Write it again with np.save"
    with damage(place, "NumPy array", remedy):
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise UnreadableStampError(place, f"is of the NumPy format {version}", "Save plain arrays")
        shape, fortran, dtype = readers[version](stream)
        if dtype.hasobject or dtype.fields is not None or any(side < 0 for side in shape):
            raise UnreadableStampError(place, f"holds {dtype} of shape {shape}, not numbers", remedy)
    return _Header(shape, dtype, fortran)


def _read_values(stream: BinaryIO, shape: tuple[int, ...], header: _Header, place: str | Path) -> np.ndarray:
    """The next values of an array, as many as `shape` needs."""
    size = math.prod(shape) * header.dtype.itemsize
    with damage(place, "NumPy array"):
        content = stream.read(size)
        if len(content) != size:
            raise UnreadableStampError(
                place, f"ends after {len(content)} of {size} bytes of the stamp", "Fetch the file again"
            )
        return np.frombuffer(content, header.dtype).reshape(shape, order="F" if header.fortran else "C")


def _members(archive: zipfile.ZipFile, path: Path) -> tuple[str, dict[str, _Header]]:
    """The name of the array of stamps, and the headers of all arrays."""
    headers = {}
    for info in archive.infolist():
        if info.filename.endswith(".npy"):
            with archive.open(info) as stream:
                headers[info.filename.removesuffix(".npy")] = _read_header(stream, f"{path}:{info.filename}")
    if not headers:
        raise UnreadableStampError(path, "holds no array", "Write it with np.savez(path, images=...)")
    return next((key for key in ARRAY_KEYS if key in headers), next(iter(headers))), headers


def _column_types(headers: dict[str, _Header], member: str) -> dict[str, Any]:
    header = headers[member]
    if not header.is_stack:
        return {}
    return {
        key: kind
        for key, other in headers.items()
        if key != member and other.shape == header.shape[:1] and (kind := arrow_type(other.dtype)) is not None
    }


def _load(archive: zipfile.ZipFile, key: str, place: str) -> list[Any]:
    info = archive.getinfo(f"{key}.npy")
    if info.file_size > MAX_BYTES:
        raise UnreadableStampError(place, f"has a column {key} of {info.file_size} bytes", "Leave the column out")
    with archive.open(info) as stream:
        header = _read_header(stream, place)
        return as_scalars(_read_values(stream, header.shape, header, place))


def _check_sum(archive: zipfile.ZipFile, member: str) -> None:
    """Read a member to its end, where zipfile compares its checksum: before the first stamp leaves."""
    with archive.open(member) as stream:
        while stream.read(_CHUNK):
            pass
