"""From files and folders to one stream of stamps: which file is of which kind, and which belong together."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ..stamp import Stamp, UnreadableStampError
from .arrays import iter_npy, iter_npz, summarise_npy, summarise_npz
from .bands import BANDS_BY_WAVELENGTH, is_image_name
from .checks import check_file, damage
from .fits import BAND_FIELD, find_band_files, iter_fits
from .hdf5 import iter_hdf5, summarise_hdf5
from .parquet import iter_parquet, summarise_parquet
from .pictures import iter_picture
from .webdataset import iter_webdataset, summarise_webdataset

Report = Callable[[UnreadableStampError], None]

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
FITS_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz")
ARRAY_SUFFIXES = (".npy", ".npz")
HDF5_SUFFIXES = (".h5", ".hdf5")
_READERS = {
    PICTURE_SUFFIXES: iter_picture,
    FITS_SUFFIXES: iter_fits,
    (".npy",): iter_npy,
    (".npz",): iter_npz,
    HDF5_SUFFIXES: iter_hdf5,
    (".parquet",): iter_parquet,
    (".tar",): iter_webdataset,
}
# What is not here holds one stamp and no columns.
_SUMMARIES = {
    (".npy",): summarise_npy,
    (".npz",): summarise_npz,
    HDF5_SUFFIXES: summarise_hdf5,
    (".parquet",): summarise_parquet,
    (".tar",): summarise_webdataset,
}
STAMP_SUFFIXES = tuple(suffix for suffixes in _READERS for suffix in suffixes)

# `galaxy-g.fits`, `brick_r.fits.fz`: what stands before the band, the band, and what follows it.
_BAND_FILE = re.compile(
    rf"(.+[-_.])({'|'.join(BANDS_BY_WAVELENGTH)})({'|'.join(re.escape(suffix) for suffix in FITS_SUFFIXES)})",
    re.IGNORECASE,
)


def iter_stamps(sources: Iterable[str | Path], on_error: Report | None = None) -> Iterator[Stamp]:
    """Yield the stamps of files and folders one after another, in a fixed order.

    Args:
        sources: Files of any known kind; folders, which are walked in sorted order; and names with `{band}` in them,
            `name-{band}.fits`, for objects that have one FITS file for each band. In a folder, files whose names differ
            by the band alone are one such object.
        on_error: Called with each stamp that cannot be read, after which reading goes on. Without it the first raises.

    Raises:
        UnreadableStampError: If a stamp cannot be read and there is no `on_error`.
        ImportError: If a file is met whose library is not installed.
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
                yield from _iter_file(path, name, report)
            except UnreadableStampError as error:
                report(error)


def list_stamp_files(source: Path) -> list[Path]:
    """The files to read for one source: itself, or everything readable below a folder, sorted.

    Returns:
        Paths; those of one object that differ by the band alone are one path, with `{band}` in its name.

    Raises:
        UnreadableStampError: If the source does not exist, or is a folder without a file of a known kind.
    """
    with damage(source, "folder", "Check its permissions"):
        if BAND_FIELD in source.name:
            return [source]
        if not source.is_dir():
            if not source.exists():
                raise UnreadableStampError(source, "does not exist", "Check the spelling of the path")
            return [source]
        files = sorted(path for path in source.rglob("*") if path.is_file() and _has_suffix(path, STAMP_SUFFIXES))
        if not files:
            raise UnreadableStampError(source, "holds no stamps", f"Put files here that end in {_listed()}")
        return _join_bands(files)


def read_stamp(path: str | Path, name: str | None = None) -> Stamp:
    """Read a file of one stamp.

    Args:
        path: The file; its ending says what it is. With `{band}` in its name it stands for one FITS file a band.
        name: The stamp's `id`; the file's name without it.

    Raises:
        UnreadableStampError: If the file is missing, damaged, not a stamp, or more than one.
        ImportError: If the library for its kind is not installed.
    """

    def refuse(error: UnreadableStampError) -> None:
        raise error

    path = Path(path)
    stamps = list(islice(_iter_file(path, name or path.name, refuse), 2))
    if len(stamps) != 1:
        raise UnreadableStampError(
            path, "holds more than one stamp" if stamps else "holds no stamp", "Read it by `iter_stamps`"
        )
    return stamps[0]


def summarise_sources(sources: Iterable[str | Path]) -> tuple[int, dict[str, Any]]:
    """What the sources will bring, from names, headers and Parquet footers alone.

    Returns:
        The number of stamps, unreadable ones included, and the scalar columns that come with them, with their Arrow
        types. A column that two files hold with different types becomes a string.
    """
    number, columns = 0, {}
    for source in sources:
        try:
            files = list_stamp_files(Path(source))
        except UnreadableStampError:
            continue  # reading the stamps reports it
        for path in files:
            summarise = _by_suffix(path, _SUMMARIES)
            if summarise is None:
                number += 1
                continue
            try:
                count, carried = summarise(path)
            except (UnreadableStampError, OSError):
                continue
            number += count
            for name, kind in carried.items():
                columns[name] = kind if columns.get(name, kind) == kind else "string"
    return number, columns


def _iter_file(path: Path, name: str, report: Report) -> Iterator[Stamp]:
    if BAND_FIELD not in path.name:
        check_file(path)
    reader = _by_suffix(path, _READERS)
    if reader is None:
        raise UnreadableStampError(path, "is of no known kind", f"Give a file that ends in {_listed()}")
    silent = True

    def tell(error: UnreadableStampError) -> None:
        nonlocal silent
        silent = False
        report(error)

    for stamp in reader(path, name, tell):
        silent = False
        yield stamp
    if silent:
        raise UnreadableStampError(path, "holds no stamps", "Leave it out")


def _by_suffix(path: Path, table: dict[tuple[str, ...], Callable]) -> Callable | None:
    return next((entry for suffixes, entry in table.items() if _has_suffix(path, suffixes)), None)


def _has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    return path.name.lower().endswith(suffixes)


def _listed() -> str:
    return ", ".join(STAMP_SUFFIXES)


def _join_bands(files: list[Path]) -> list[Path]:
    """One path with `{band}` in place of files that differ by the band alone, and none of masks and variances."""
    joined = {}
    for path in files:
        match = _BAND_FILE.fullmatch(path.name)
        if match is None:
            joined[path] = path
            continue
        if not is_image_name(match[1]):
            continue
        pattern = path.with_name(f"{match[1]}{BAND_FIELD}{match[3]}")
        joined[pattern] = pattern if len(find_band_files(pattern)) > 1 else path
    return list(joined.values())
