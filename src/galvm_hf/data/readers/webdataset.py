"""WebDataset: tar files whose members belong together by their name up to the first dot."""

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..stamp import Stamp, UnreadableStampError
from .arrays import read_npy
from .checks import MAX_BYTES, check_start, damage
from .fits import read_fits
from .parquet import IDENTITY_COLUMNS
from .pictures import decode_picture

_FITS, _ARRAYS, _PICTURES = ("fits", "fits.gz", "fits.fz"), ("npy",), ("jpg", "jpeg", "png")
_IMAGES, _COLUMNS = (*_FITS, *_ARRAYS, *_PICTURES), ("json", "cls")
_MEMBER_NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)")
_INT64 = 2**63


def iter_webdataset(path: Path, name: str, report: Callable[[UnreadableStampError], None]) -> Iterator[Stamp]:
    """The stamps of a tar file, read from its beginning to its end, without unpacking it.

    A sample is an image (`key.fits`, `key.npy`, `key.jpg`, `key.png`), with the scalars of `key.json` as columns, and
    `key.cls` as the column `label`.
    """
    for key, sample in _iter_samples(path, (*_IMAGES, *_COLUMNS)):
        try:
            stamp = _stamp(sample, f"{path}:{key}", f"{name}:{key}", path)
        except UnreadableStampError as error:
            report(error)
            continue
        yield stamp


def summarise_webdataset(path: Path) -> tuple[int, dict[str, Any]]:
    """Number of samples, and the Arrow types of their columns, from the names and the small members."""
    import pyarrow as pa

    number, found = 0, {}
    for key, sample in _iter_samples(path, _COLUMNS):
        number += 1
        try:
            columns = read_columns(sample, f"{path}:{key}")
        except UnreadableStampError:
            continue  # reading the stamp reports it
        for column, value in columns.items():
            found.setdefault(column, set()).add(type(value))
    kinds = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    columns = {}
    for column, types in found.items():
        types.discard(type(None))
        columns[column] = kinds.get(next(iter(types)), pa.string()) if len(types) == 1 else pa.string()
    return number, columns


def _iter_samples(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[str, dict[str, bytes | None]]]:
    """Keys, and the content of their members by ending; `None` for those that are not wanted."""
    for key, members in groupby(_iter_contents(path, wanted), key=lambda member: member[0]):
        sample = {ending: content for _, ending, content in members}
        if not sample.keys().isdisjoint((*_IMAGES, *_COLUMNS)):
            yield key, sample


def iter_members(archive: tarfile.TarFile, place: str | Path) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Key, ending and description of every regular member; damage is told, where tarfile would end or go in circles.

    Args:
        archive: Opened with the mode "r:", at its beginning.
        place: As in `UnreadableStampError`.
    """
    position = -1
    while True:
        with damage(place, f"tar file behind byte {max(position, 0)}"):
            member = archive.next()
            archive.members.clear()  # or a description of every member stays in memory
            # A damaged size may lead backwards, and tarfile would follow it for ever.
            if member is not None and archive.offset <= position:
                raise UnreadableStampError(place, f"leads in circles at byte {position}", "Fetch it again")
            position = archive.offset
            if member is None:
                break
            match = _MEMBER_NAME.fullmatch(member.name)
        if match is not None and member.isreg():
            if not 0 <= member.size <= MAX_BYTES:
                cause = f"claims {member.size} bytes, more than any stamp"
                raise UnreadableStampError(f"{place}:{member.name}", cause, "Fetch it again")
            yield match[1], match[2].lower(), member
    # Where a header is damaged, tarfile ends as if the archive did.
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise UnreadableStampError(place, f"is damaged at byte {archive.offset}", "Fetch it again")


def _iter_contents(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[str, str, bytes | None]]:
    with ExitStack() as stack:
        with damage(path, "tar file"):
            archive = stack.enter_context(tarfile.open(path, mode="r:"))
        for key, ending, member in iter_members(archive, path):
            with damage(f"{path}:{member.name}", "member of a tar file"):
                content = archive.extractfile(member).read() if ending in wanted else None
            yield key, ending, content


def _stamp(sample: dict[str, bytes | None], place: str, name: str, path: Path) -> Stamp:
    ending = next((ending for ending in _IMAGES if ending in sample), None)
    if ending is None:
        raise UnreadableStampError(
            place, f"has no image, only {', '.join(sample)}", f"Add a member that ends in {', '.join(_IMAGES)}"
        )
    place, content, columns = f"{place}.{ending}", sample[ending], read_columns(sample, place)
    check_start(content[:256], place)
    name = next((str(columns[key]) for key in IDENTITY_COLUMNS if columns.get(key) is not None), name)
    if ending in _FITS:
        return read_fits(io.BytesIO(content), place, name, path, columns)
    if ending in _ARRAYS:
        return read_npy(io.BytesIO(content), place, name, path, columns)
    pixels, carried = decode_picture(content, place), MappingProxyType(columns)
    return Stamp(pixels, None, None, name, str(path), columns=carried, encoded=content)


def read_columns(sample: dict[str, bytes | None], place: str) -> dict[str, Any]:
    """The scalars of a sample's `json`, and its `cls`, a number or a name, as `label`."""
    columns = {}
    if (content := sample.get("json")) is not None:
        with damage(f"{place}.json", "JSON object"):
            columns = {key: _scalar(value) for key, value in json.loads(content).items() if _is_scalar(value)}
    if (content := sample.get("cls")) is not None:
        with damage(f"{place}.cls", "class"):
            text = content.decode().strip()
            columns["label"] = int(text) if text.isdecimal() else text
    return columns


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _scalar(value: Any) -> Any:
    """Integers that no column holds become text."""
    return str(value) if isinstance(value, int) and not -_INT64 <= value < _INT64 else value
