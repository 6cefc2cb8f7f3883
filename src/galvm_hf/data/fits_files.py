"""FITS files that we write."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..files import whole_file


def write_fits(path: Path, hdus: Sequence[Any]) -> None:
    """Write HDUs with checksums, whole or not at all. The same HDUs give the same bytes, whenever they are written.

    Args:
        path: The file to create or replace.
        hdus: A primary HDU of `astropy.io.fits`, and any extensions.
    """
    from astropy.io import fits

    hdus = fits.HDUList(hdus)
    hdus.update_extend()  # writing would do it, and change what the checksums are of
    for hdu in hdus:
        hdu.add_checksum(when="of this HDU")  # astropy's own comment is the time
    with whole_file(path) as temporary:
        hdus.writeto(temporary, overwrite=True)
