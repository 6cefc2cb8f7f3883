"""HDF5 as ssl-legacysurvey writes it (Stein et al. 2021, arXiv:2110.13151): `images` [N, 3, H, W], and columns [N]."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..stamp import NANOMAGGY, Stamp, UnreadableStampError
from .arrays import arrow_type, as_scalars, bands_of_array
from .checks import check_shape, damage, flux_stamp

IMAGES = "images"
# Their cutouts are 152 x 152 px of Data Release 9, in nanomaggies; the files do not say so themselves.
LEGACY_SURVEY_SHAPE, LEGACY_SURVEY_SCALE = (3, 152, 152), 0.262
# Rows are read by slices of about this size, or of whole chunks where those are larger.
_SLICE_BYTES = 2**24


def iter_hdf5(path: Path, name: str, report: Callable[[UnreadableStampError], None]) -> Iterator[Stamp]:
    """The stamps of `images` [N, 3, H, W] of flux in g, r, z, or [N, H, W, 3] of pictures, slice by slice.

    A slice that cannot be read is reported, and reading goes on behind it.
    """
    with ExitStack() as stack:
        with damage(path, "HDF5 file"):
            file = stack.enter_context(open_hdf5(path))
            images, columns = find_images(file, path)
            shape, number = images.shape[1:], images.shape[0]
            bands = bands_of_array(shape, images.dtype, path)
            step = rows_at_once(images, _SLICE_BYTES)
        legacy = shape == LEGACY_SURVEY_SHAPE
        for start in range(0, number, step):
            stop = min(start + step, number)
            try:
                with damage(f"{path}:{start}-{stop - 1}", "part of an HDF5 file", "Fetch the file again"):
                    rows = images[start:stop]
                    carried = {key: as_scalars(column[start:stop]) for key, column in columns.items()}
            except UnreadableStampError as error:
                report(error)
                continue
            for row, pixels in enumerate(rows, start):
                place, identity = f"{path}:{row}", f"{name}:{row}"
                fields = {key: values[row - start] for key, values in carried.items()}
                if bands is None:
                    yield Stamp(pixels.copy(), None, None, identity, str(path), columns=MappingProxyType(fields))
                    continue
                try:
                    stamp = flux_stamp(
                        pixels.copy(),
                        bands,
                        place,
                        identity,
                        path,
                        pixel_scale=LEGACY_SURVEY_SCALE if legacy else None,
                        units=NANOMAGGY if legacy else None,
                        columns=fields,
                    )
                except UnreadableStampError as error:
                    report(error)
                    continue
                yield stamp


def summarise_hdf5(path: Path) -> tuple[int, dict[str, Any]]:
    """Number of stamps, and the Arrow types of the columns."""
    with damage(path, "HDF5 file"), open_hdf5(path) as file:
        images, columns = find_images(file, path)
        return images.shape[0], {key: arrow_type(column.dtype) for key, column in columns.items()}


def open_hdf5(file: Any) -> Any:
    """An `h5py.File` of a path or of a seekable stream."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError('Reading HDF5 needs h5py: pip install "galvm_hf[data]"') from error
    return h5py.File(file, "r")


def find_images(file: Any, place: str | Path) -> tuple[Any, dict[str, Any]]:
    """The stack of images, and the columns [N] of numbers and fixed-length text beside it.

    Text of variable length is left out: it lies in a heap in which damage can lead the library in circles for ever.

    Raises:
        UnreadableStampError: If there is no stack of four axes, its stamps are too large, or it claims more of them
            than were written.
    """
    import h5py

    images = file.get(IMAGES)
    if not isinstance(images, h5py.Dataset) or len(images.shape or ()) != 4:
        raise UnreadableStampError(
            place, f"has no dataset `{IMAGES}` of four axes", f"Put the stamps in `{IMAGES}`, [N, 3, H, W]"
        )
    check_shape(images.shape[1:], place)
    written = images.id.get_storage_size() // images.dtype.itemsize
    if images.chunks:
        check_shape(images.chunks, f"{place}:{IMAGES} (one chunk)")
        written = images.id.get_num_chunks() * math.prod(images.chunks)
    if written < images.size:  # the library makes up zeros for the rest, however much a damaged shape claims
        cause = f"claims {images.size} values of `{IMAGES}`, and holds {written}"
        raise UnreadableStampError(place, cause, "Fetch it again")
    found = {key: file.get(key) for key in file if key != IMAGES}
    columns = {
        key: item
        for key, item in found.items()
        if isinstance(item, h5py.Dataset) and item.shape == images.shape[:1] and arrow_type(item.dtype) is not None
    }
    return images, columns


def rows_at_once(images: Any, size: int) -> int:
    """How many rows make about `size` bytes, and whole chunks."""
    row_bytes = images.dtype.itemsize * images.size // max(1, images.shape[0])
    chunk = images.chunks[0] if images.chunks else 1
    return max(chunk, size // max(1, row_bytes) // chunk * chunk)
