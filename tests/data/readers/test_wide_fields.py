"""Fields: every way of storing them gives the same windows, in bounded memory, and what is wrong is said."""

import gzip
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from galvm_hf.data.readers.wide_fields import open_wide_field
from galvm_hf.data.stamp import UnreadableStampError

fits = pytest.importorskip("astropy.io.fits")

GRID = {
    **{"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 30.0, "CRPIX2": 20.0},
    **{"CDELT1": -0.262 / 3600, "CDELT2": 0.262 / 3600, "BUNIT": "nanomaggy"},
}
ROWS, COLUMNS = slice(5, 31), slice(40, 70)


@pytest.fixture
def flux():
    flux = np.random.default_rng(0).normal(size=(3, 50, 70)).astype(np.float32)
    flux[:, 10:14, 50:53] = np.nan
    return flux


def window(path):
    with open_wide_field(path) as field:
        assert (field.shape, field.bands) == ((50, 70), ("g", "r", "z"))
        assert field.pixel_scale == pytest.approx(0.262, rel=1e-6)
        assert field.wcs.pixel_to_world(29, 19).ra.deg == pytest.approx(150.0)
        return field.read(ROWS, COLUMNS)


def write_cube(path, flux, **header):
    fits.PrimaryHDU(flux, fits.Header({**GRID, "BANDS": "grz", **header})).writeto(path)


def write_gzip(path, flux):
    write_cube(path.with_name("plain.fits"), flux)
    path.write_bytes(gzip.compress(path.with_name("plain.fits").read_bytes()))


def write_extensions(path, flux):
    hdus = [
        fits.ImageHDU(plane.astype(">f8"), fits.Header({**GRID, "EXTNAME": band}))
        for plane, band in zip(flux[[2, 0, 1]], "zgr", strict=True)
    ]
    fits.HDUList([fits.PrimaryHDU(), *hdus, fits.ImageHDU(flux[0], name="INVVAR_G")]).writeto(path)


def compressed(plane, band):
    options = {"compression_type": "GZIP_2", "quantize_level": 0, "tile_shape": (7, 64)}
    return fits.CompImageHDU(plane, fits.Header({**GRID, "EXTNAME": band}), **options)


def write_compressed_extensions(path, flux):
    hdus = [compressed(plane, band) for plane, band in zip(flux, "grz", strict=True)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)


def write_compressed_cube(path, flux):
    options = {"compression_type": "GZIP_2", "quantize_level": 0, "tile_shape": (1, 7, 64)}
    fits.CompImageHDU(flux, fits.Header({**GRID, "BANDS": "grz"}), **options).writeto(path, checksum=True)


def write_band_files(path, flux):
    for plane, band in zip(flux, "grz", strict=True):
        fits.PrimaryHDU(plane, fits.Header(GRID)).writeto(path.with_name(f"a-{band}.fits"))
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(path.with_name("a-i.fits"))


def write_compressed_band_files(path, flux):
    for plane, band in zip(flux, "grz", strict=True):
        fits.HDUList([fits.PrimaryHDU(), compressed(plane, "image")]).writeto(path.with_name(f"a-{band}.fits.fz"))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.fits", write_cube),
        ("a.fits", lambda path, flux: write_cube(path, flux[[2, 0, 1]].astype(">f8"), BANDS="zgr")),
        ("a.fits", lambda path, flux: write_cube(path, flux * 100, BUNIT="adu", MAGZERO=27.5)),
        ("a.fits", write_extensions),
        ("a.fits.gz", write_gzip),
        ("a.fits.fz", write_compressed_extensions),
        ("a.fits.fz", write_compressed_cube),
        ("a-{band}.fits", write_band_files),
        ("a-{band}.fits.fz", write_compressed_band_files),
    ],
)
def test_every_way_of_storing_gives_the_same_window(tmp_path, flux, name, write):
    write(tmp_path / name, flux)
    found = window(tmp_path / name)
    assert found.dtype == np.dtype("=f4") and found.dtype.isnative
    np.testing.assert_allclose(found, flux[:, ROWS, COLUMNS], rtol=1e-6)


def test_scaled_integers_are_flux_and_blank_ones_missing(tmp_path):
    counts = np.arange(3 * 50 * 70, dtype=np.int16).reshape(3, 50, 70)
    write_cube(tmp_path / "a.fits", counts)
    with fits.open(tmp_path / "a.fits", mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header.update({"BSCALE": 0.5, "BZERO": 10.0, "BLANK": int(counts[1, 6, 41])})
    expected = (10 + 0.5 * counts[:, ROWS, COLUMNS]).astype(np.float32)
    expected[1, 1, 1] = np.nan
    np.testing.assert_array_equal(window(tmp_path / "a.fits"), expected)


def test_what_is_decompressed_is_removed_and_told(tmp_path, flux, monkeypatch):
    from transformers.testing_utils import CaptureLogger
    from transformers.utils import logging

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    write_compressed_cube(tmp_path / "a.fits.fz", flux)
    with (
        CaptureLogger(logging.get_logger("galvm_hf.data.readers.wide_fields")) as told,
        open_wide_field(tmp_path / "a.fits.fz"),
    ):
        assert list((tmp_path / "temporary").rglob("*.float32"))
    assert "a.fits.fz[1] is compressed" in told.out
    assert not list((tmp_path / "temporary").iterdir())


def test_a_picture_has_no_bands_and_no_wcs(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    with open_wide_field(tmp_path / "a.png") as field:
        assert (field.shape, field.bands, field.wcs, field.pixel_scale) == ((50, 70), None, None, None)
        np.testing.assert_array_equal(field.read(ROWS, COLUMNS), picture[ROWS, COLUMNS])


def cut_short(path, flux):
    write_cube(path, flux)
    path.write_bytes(path.read_bytes()[:-5000])


def flip_a_byte(path, flux):
    write_compressed_cube(path, flux)
    content = bytearray(path.read_bytes())
    content[-3500] ^= 255
    path.write_bytes(content)


def shift_one_band(path, flux):
    write_band_files(path, flux)
    fits.setval(path.with_name("a-r.fits"), "CRPIX1", value=31.0)


def shrink_one_band(path, flux):
    write_band_files(path, flux)
    fits.PrimaryHDU(flux[0, :20], fits.Header(GRID)).writeto(path.with_name("a-r.fits"), overwrite=True)


def drop_one_band(path, flux):
    write_band_files(path, flux)
    path.with_name("a-r.fits").unlink()


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.fits", lambda path, flux: None, "does not exist"),
        ("a-{band}.fits", lambda path, flux: None, "stands for no file"),
        ("a.npy", lambda path, flux: np.save(path, flux), "no field of a known kind"),
        ("a.fits", lambda path, flux: path.write_bytes(b"<html>no</html>"), "web page"),
        ("a.fits", lambda path, flux: path.write_bytes(b"SIMPLE, but no FITS" * 200), "not a readable FITS file"),
        ("a.fits.gz", lambda path, flux: path.write_bytes(b"\x1f\x8b" + b"junk" * 20), "not a readable gzip file"),
        ("a.fits", cut_short, "is cut short"),
        ("a.fits", lambda path, flux: write_cube(path, flux, BANDS="gri"), "and not z"),
        ("a.fits", lambda path, flux: write_cube(path, flux, BANDS="ggz"), "names a band twice"),
        ("a.fits", lambda path, flux: write_cube(path, flux, BUNIT="adu"), "is in adu"),
        ("a.fits", lambda path, flux: write_cube(path, flux[0]), "no image that names g, r or z"),
        ("a.fits.fz", flip_a_byte, "does not match its checksum"),
        ("a-{band}.fits", shift_one_band, "a WCS that differs"),
        ("a-{band}.fits", shrink_one_band, "where the first band is"),
        ("a-{band}.fits", drop_one_band, "and not r"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path, flux, name, write, message):
    write(tmp_path / name, flux)
    with pytest.raises(UnreadableStampError, match=message) as error, open_wide_field(tmp_path / name):
        pass
    assert str(tmp_path) in error.value.path


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_windows_take_no_more_memory_in_a_large_field(tmp_path):
    side, code = (
        8000,
        """
import re, sys
from pathlib import Path
from galvm_hf.data.readers.wide_fields import open_wide_field
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
with open_wide_field(sys.argv[1]) as field:
    field.read(slice(0, 512), slice(0, 512))
    before = peak()
    for top in range(0, field.shape[0], 500):
        for left in range(0, field.shape[1], 500):
            field.read(slice(top, top + 500), slice(left, left + 500))
    print(peak() - before)
""",
    )
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 3, "NAXIS1": side, "NAXIS2": side, "NAXIS3": 3})
    (tmp_path / "a.fits").write_bytes(header.tostring().encode())
    with (tmp_path / "a.fits").open("r+b") as stream:
        stream.truncate(2880 * (len(header.tostring()) // 2880 + -(-12 * side**2 // 2880)))  # 286 MiB, sparse
    command = [sys.executable, "-c", code, str(tmp_path / "a.fits")]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 50_000  # KiB
