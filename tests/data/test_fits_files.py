"""FITS files: whole, with checksums that hold, and the same bytes at any time."""

import time

import numpy as np
import pytest

from galvm_hf.data.fits_files import write_fits

fits = pytest.importorskip("astropy.io.fits")


def hdus():
    header = fits.Header({"BANDS": "grz"})
    return [fits.PrimaryHDU(np.ones((3, 4, 4), "f4"), header), fits.ImageHDU(np.eye(4, dtype="u1"), name="MASK")]


@pytest.mark.parametrize("number", [1, 2])
def test_checksums_hold(tmp_path, number):
    write_fits(tmp_path / "a.fits", hdus()[:number])
    with fits.open(tmp_path / "a.fits") as read:
        assert [(hdu.verify_checksum(), hdu.verify_datasum()) for hdu in read] == [(1, 1)] * number


def test_the_same_bytes_whenever_they_are_written(tmp_path):
    write_fits(tmp_path / "a.fits", hdus())
    time.sleep(1.1)  # the comments of astropy's checksums tell the second
    write_fits(tmp_path / "b.fits", hdus())
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.fits", "b.fits"]
