"""Read galaxy stamps from survey files of every kind, as one stream.

Every stamp that leaves here is either calibrated flux with its band names, pixel scale, units and WCS, or an 8-bit
colour picture. What cannot be read is one kind of error, with its place, cause and remedy, so that a bulk run can skip,
count and list it. `sources` finds the files; the other modules read one kind each.
"""

from ..stamp import Stamp, UnreadableStampError
from .sources import (
    ARRAY_SUFFIXES,
    FITS_SUFFIXES,
    PICTURE_SUFFIXES,
    STAMP_SUFFIXES,
    iter_stamps,
    list_stamp_files,
    read_stamp,
    summarise_sources,
)

__all__ = [
    "ARRAY_SUFFIXES",
    "FITS_SUFFIXES",
    "PICTURE_SUFFIXES",
    "STAMP_SUFFIXES",
    "Stamp",
    "UnreadableStampError",
    "iter_stamps",
    "list_stamp_files",
    "read_stamp",
    "summarise_sources",
]
