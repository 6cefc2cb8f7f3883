"""Read galaxy stamps from pictures, arrays, FITS cubes, Parquet files and folders of them, as one stream.

Every stamp that leaves here is either calibrated flux with its band names and pixel scale, or an 8-bit colour picture.
What cannot be read is one kind of error, with its cause and a remedy, so that a bulk run can skip, count and list it.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from .fits_cubes import read_fits
from .stamp import DEFAULT_BANDS, Stamp, UnreadableStampError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
FITS_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fits.fz")
STAMP_SUFFIXES = (*PICTURE_SUFFIXES, *FITS_SUFFIXES, ".npy", ".parquet")
IDENTITY_COLUMNS = ("objid", "id")

# One row group may hold a whole survey; this many encoded images are in memory at once.
PARQUET_BATCH_ROWS = 64


def iter_stamps(
    sources: Iterable[str | Path], on_error: Callable[[UnreadableStampError], None] | None = None
) -> Iterator[Stamp]:
    """Yield the stamps of files and folders one after another, in a fixed order.

    Args:
        sources: Pictures, `.npy`, FITS and Parquet files, or folders, which are walked in sorted order.
        on_error: Called with each stamp that cannot be read, after which reading goes on. Without it the first raises.

    Raises:
        UnreadableStampError: If a stamp cannot be read and there is no `on_error`.
        ImportError: If FITS or Parquet is met and its library is not installed.
    """

    def report(error: UnreadableStampError) -> None:
        if on_error is None:
            raise error
        on_error(error)

    for source in sources:
        root = Path(source)
        try:
            files = list_stamp_files(root)
        except UnreadableStampError as error:
            report(error)
            continue
        for path in files:
            name = path.relative_to(root).as_posix() if path != root else path.name
            try:
                if path.suffix.lower() == ".parquet":
                    yield from _iter_parquet(path, name, report)
                else:
                    yield read_stamp(path, name)
            except UnreadableStampError as error:
                report(error)


def list_stamp_files(source: Path) -> list[Path]:
    """The files to read for one source: itself, or everything readable below a folder, sorted.

    Raises:
        UnreadableStampError: If the source does not exist, or is a folder without a file of a known kind.
    """
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.is_file() and _has_suffix(path, STAMP_SUFFIXES))
        if not files:
            raise UnreadableStampError(source, "holds no stamps", f"Put files here that end in {_listed()}")
        return files
    if not source.exists():
        raise UnreadableStampError(source, "does not exist", "Check the spelling of the path")
    return [source]


def read_stamp(path: str | Path, name: str | None = None) -> Stamp:
    """Read one picture, array or FITS cube.

    Args:
        path: The file; its ending says what it is.
        name: The stamp's `id`; the file's name without it.

    Raises:
        UnreadableStampError: If the file is missing, damaged, or not a stamp.
        ImportError: If it is FITS and astropy is not installed.
    """
    path = Path(path)
    scale = None
    if not path.exists():
        raise UnreadableStampError(path, "does not exist", "Check the spelling of the path")
    if _has_suffix(path, FITS_SUFFIXES):
        pixels, bands, scale = read_fits(path)
    elif path.suffix.lower() == ".npy":
        try:
            pixels, bands = _as_stamp_array(np.load(path, allow_pickle=False), path)
        except (ValueError, OSError, EOFError) as error:
            if isinstance(error, UnreadableStampError):
                raise
            raise UnreadableStampError(
                path, f"is not a NumPy array ({error})", "Write it again with np.save"
            ) from error
    elif _has_suffix(path, PICTURE_SUFFIXES):
        pixels, bands = _decode_picture(path.read_bytes(), path), None
    else:
        raise UnreadableStampError(path, "is of no known kind", f"Give a file that ends in {_listed()}")
    return Stamp(pixels, bands, scale, id=name or path.name, source=str(path))


def summarise_sources(sources: Iterable[str | Path]) -> tuple[int, dict[str, Any]]:
    """What the sources will bring, from names and Parquet footers alone.

    Returns:
        The number of stamps, unreadable ones included, and the scalar columns of the Parquet files with their Arrow
        types. A column that two files hold with different types becomes a string.
    """
    number, columns = 0, {}
    for source in sources:
        try:
            files = list_stamp_files(Path(source))
        except UnreadableStampError:
            continue  # reading the stamps reports it
        for path in files:
            if path.suffix.lower() != ".parquet":
                number += 1
                continue
            try:
                file = _open_parquet(path)
            except UnreadableStampError:
                continue
            number += file.metadata.num_rows
            for name, kind in _carried_types(file.schema_arrow).items():
                columns[name] = kind if columns.get(name, kind) == kind else "string"
    return number, columns


def _has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.name.lower().endswith(suffixes)


def _listed() -> str:
    return ", ".join(STAMP_SUFFIXES)


def _as_stamp_array(array: np.ndarray, path: str | Path) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Tell flux from a picture by type and shape, and give it the byte order and type that a `Stamp` promises."""
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] == 3:
        return array, None
    if array.dtype.kind == "f" and array.ndim == 3 and array.shape[0] == len(DEFAULT_BANDS):
        return np.ascontiguousarray(array, dtype=np.float32), DEFAULT_BANDS
    raise UnreadableStampError(
        path,
        f"holds {array.dtype} of shape {array.shape}",
        "Give flux as float [3, H, W] in the order g, r, z, or a picture as uint8 [H, W, 3]",
    )


def _decode_picture(encoded: bytes, path: str | Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            mode = picture.mode
            pixels = np.array(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableStampError(path, f"is not a readable picture ({error})", "Fetch it again") from error
    if mode.startswith(("I", "F")):
        raise UnreadableStampError(path, f"has more than 8 bits a channel (mode {mode})", "Save it as a FITS cube")
    return pixels


def _open_parquet(path: Path) -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError('Reading Parquet needs pyarrow: pip install "galvm_hf[data]"') from error
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise UnreadableStampError(path, f"is not a readable Parquet file ({error})", "Fetch it again") from error


def _scalar_columns(schema: Any) -> list[str]:
    import pyarrow.types as kinds

    def is_scalar(kind: Any) -> bool:
        return not (kinds.is_nested(kind) or kinds.is_binary(kind) or kinds.is_large_binary(kind))

    return [column.name for column in schema if is_scalar(column.type)]


def _carried_types(schema: Any) -> dict[str, Any]:
    class_names = _class_names(schema)
    return {name: "string" if name in class_names else schema.field(name).type for name in _scalar_columns(schema)}


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Names behind the integers of `ClassLabel` columns, which `datasets` keeps in the schema's metadata."""
    info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = info.get("info", {}).get("features", {})
    return {name: feature["names"] for name, feature in features.items() if feature.get("_type") == "ClassLabel"}


def _iter_parquet(path: Path, name: str, report: Callable[[UnreadableStampError], None]) -> Iterator[Stamp]:
    """Stamps of an `image` column as `datasets` writes it (a struct of encoded bytes and path), batch by batch."""
    import pyarrow as pa

    file = _open_parquet(path)
    schema = file.schema_arrow
    if "image" not in schema.names:
        raise UnreadableStampError(path, "has no column `image`", "Write it with `datasets`, with an Image feature")
    scalars, class_names = _scalar_columns(schema), _class_names(schema)
    row = 0
    try:
        for batch in file.iter_batches(PARQUET_BATCH_ROWS, columns=["image", *scalars]):
            for record in batch.to_pylist():
                place = f"{path}:{row}"
                image = record.pop("image")
                for column, names in class_names.items():
                    code = record.get(column)
                    record[column] = names[code] if code is not None and 0 <= code < len(names) else None
                identity = next((str(record[key]) for key in IDENTITY_COLUMNS if record.get(key) is not None), None)
                row += 1
                try:
                    if not isinstance(image, dict) or not image.get("bytes"):
                        raise UnreadableStampError(
                            place, "holds no image bytes", "Embed the images in the Parquet file"
                        )
                    pixels = _decode_picture(image["bytes"], place)
                except UnreadableStampError as error:
                    report(error)
                    continue
                yield Stamp(
                    pixels, None, None, identity or f"{name}:{row - 1}", str(path), columns=MappingProxyType(record)
                )
    except (OSError, pa.ArrowException) as error:
        raise UnreadableStampError(
            path, f"stops being readable after row {row} ({error})", "Fetch the file again"
        ) from error
