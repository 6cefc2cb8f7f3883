"""FITS: bands, units and grids in every way of storing them, and what happens to files that are damaged."""

import gzip

import numpy as np
import pytest
from transformers.testing_utils import CaptureLogger
from transformers.utils import logging

from galvm_hf.data.readers import iter_stamps, read_stamp
from galvm_hf.data.stamp import UnreadableStampError

fits = pytest.importorskip("astropy.io.fits")

GRID = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": -0.262 / 3600, "CD2_2": 0.262 / 3600}


@pytest.fixture
def flux():
    return np.random.default_rng(0).normal(size=(3, 20, 24)).astype(np.float32)


def write_cube(path, flux, checksum=False, **header):
    hdu = fits.PrimaryHDU(flux)
    hdu.header.update(header)
    hdu.writeto(path, checksum=checksum)
    return path


def write_bands(path, flux, headers, kind=fits.ImageHDU, checksum=False, **options):
    """One extension for each plane."""
    hdus = [kind(plane, **options) for plane in flux]
    for hdu, header in zip(hdus, headers, strict=True):
        hdu.header.update(header)
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, checksum=checksum)
    return path


def test_a_cube_is_native_flux_with_bands_scale_units_and_wcs(tmp_path, flux):
    path = write_cube(tmp_path / "a.fits", flux.astype(">f8"), BANDS="grz", BUNIT="nanomaggy", CRVAL1=150.0, **GRID)
    stamp = read_stamp(path)
    assert (stamp.bands, stamp.units, stamp.id, stamp.source) == (("g", "r", "z"), "nanomaggy", "a.fits", str(path))
    assert stamp.pixels.dtype == np.dtype("=f4") and stamp.pixels.dtype.isnative
    np.testing.assert_array_equal(stamp.pixels, flux)
    assert stamp.pixel_scale == pytest.approx(0.262, rel=1e-6)
    assert stamp.wcs.naxis == 2
    assert stamp.wcs.pixel_to_world(-1, -1).ra.deg == pytest.approx(150.0)


def test_scaled_integers_are_flux_and_blank_ones_missing(tmp_path):
    counts = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    path = write_cube(tmp_path / "a.fits", counts)
    with fits.open(path, mode="update", do_not_scale_image_data=True) as hdus:
        hdus[0].header.update({"BSCALE": 0.5, "BZERO": 10.0, "BLANK": 7})
    pixels = read_stamp(path).pixels
    assert pixels.dtype == np.float32
    expected = 10 + 0.5 * counts
    expected[counts == 7] = np.nan
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize(
    ("header", "bands", "order"),
    [
        ({}, ("g", "r", "z"), [0, 1, 2]),
        ({"BANDS": "z,r,g"}, ("g", "r", "z"), [2, 1, 0]),
        ({"BANDS": "G R Z"}, ("g", "r", "z"), [0, 1, 2]),
        ({"BAND0": "z", "BAND1": "r", "BAND2": "i"}, ("r", "i", "z"), [1, 2, 0]),
        ({"BANDS": "g,F606W,z"}, ("g", "F606W", "z"), [0, 1, 2]),
    ],
)
def test_bands_of_a_cube_come_by_wavelength_where_that_is_known(tmp_path, flux, header, bands, order):
    stamp = read_stamp(write_cube(tmp_path / "a.fits", flux, **header))
    assert (stamp.bands, stamp.pixel_scale, stamp.wcs, stamp.units) == (bands, None, None, None)
    np.testing.assert_array_equal(stamp.pixels, flux[order])


def test_a_cube_keeps_more_bands_and_g_r_z_are_selected_from_it(tmp_path):
    flux = np.random.default_rng(0).normal(size=(4, 8, 8)).astype(np.float32)
    stamp = read_stamp(write_cube(tmp_path / "a.fits", flux, BANDS="g,z,r,w1"))
    assert stamp.bands == ("g", "r", "z", "w1")
    selected = stamp.select()
    assert selected.bands == ("g", "r", "z")
    np.testing.assert_array_equal(selected.pixels, flux[[0, 2, 1]])
    with pytest.raises(UnreadableStampError, match=r"a\.fits.*has the bands g, r, z, w1, and not i"):
        stamp.select(("g", "r", "i"))


def test_a_cube_in_an_extension_is_read_and_what_lies_behind_it_is_not(tmp_path, flux):
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(flux), fits.ImageHDU(np.ones((900, 900)), name="INVVAR")]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    content = (tmp_path / "a.fits").read_bytes()
    (tmp_path / "a.fits").write_bytes(content[:-100_000])
    np.testing.assert_array_equal(read_stamp(tmp_path / "a.fits").pixels, flux)


@pytest.mark.parametrize(
    "headers",
    [
        [{"EXTNAME": "z"}, {"EXTNAME": "IMAGE_G"}, {"EXTNAME": "r"}],
        [{"FILTER": f"{band} DECam SDSS c0001 4720.0 1520.0"} for band in "zgr"],
        [{"EXTNAME": f"SCI{number}", "BAND": f"HSC-{band}"} for number, band in enumerate("ZGR")],
    ],
)
def test_extensions_of_one_band_are_one_stamp(tmp_path, flux, headers):
    path = write_bands(tmp_path / "a.fits", flux[[2, 0, 1]], [{**header, **GRID} for header in headers])
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.ImageHDU(np.ones((3, 3)), fits.Header({"EXTNAME": "INVVAR_G", "FILTER": "g"})))
    stamp = read_stamp(path)
    assert stamp.bands == ("g", "r", "z")
    np.testing.assert_array_equal(stamp.pixels, flux)
    assert stamp.pixel_scale == pytest.approx(0.262, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "tolerance", "options"),
    [
        ("GZIP_1", 0, {"quantize_level": 0}),
        ("GZIP_2", 0, {"quantize_level": 0}),
        ("RICE_1", 0.1, {"quantize_level": 16}),  # a sixteenth of the noise
        ("HCOMPRESS_1", 0.1, {"quantize_level": 16}),
    ],
)
def test_tile_compressed_bands(tmp_path, flux, kind, tolerance, options):
    headers = [{"EXTNAME": band, **GRID} for band in "grz"]
    path = write_bands(tmp_path / "a.fits.fz", flux, headers, fits.CompImageHDU, True, compression_type=kind, **options)
    stamp = read_stamp(path)
    assert stamp.bands == ("g", "r", "z")
    np.testing.assert_allclose(stamp.pixels, flux, atol=tolerance)
    assert stamp.pixel_scale == pytest.approx(0.262, rel=1e-6)


def test_a_codec_that_trusts_its_input_needs_a_checksum(tmp_path, flux):
    path = write_bands(
        tmp_path / "a.fits.fz", flux[:1], [{"EXTNAME": "g"}], fits.CompImageHDU, compression_type="HCOMPRESS_1"
    )
    with pytest.raises(UnreadableStampError, match="by HCOMPRESS_1 without a checksum"):
        read_stamp(path)


def test_a_gzipped_cube(tmp_path, flux):
    np.testing.assert_array_equal(read_stamp(write_cube(tmp_path / "a.fits.gz", flux)).pixels, flux)


def test_files_of_one_band_are_one_stamp_and_the_survey_s_other_files_none(tmp_path, flux):
    for plane, band in zip(flux, "grz", strict=True):
        write_cube(tmp_path / f"a-{band}.fits", plane, **GRID)
        header = {"EXTNAME": "COMPRESSED_IMAGE", **GRID}
        for kind in ("image", "invvar", "chi2"):
            path = tmp_path / f"legacysurvey-0001m002-{kind}-{band}.fits.fz"
            write_bands(path, plane[None], [header], fits.CompImageHDU, compression_type="GZIP_2", quantize_level=0)
    write_cube(tmp_path / "b-z.fits", flux)
    stamps = list(iter_stamps([tmp_path]))
    assert [stamp.id for stamp in stamps] == ["a-{band}.fits", "b-z.fits", "legacysurvey-0001m002-image-{band}.fits.fz"]
    for stamp in stamps:
        assert stamp.bands == ("g", "r", "z")
        np.testing.assert_array_equal(stamp.pixels, flux)
    named = read_stamp(tmp_path / "a-{band}.fits")
    np.testing.assert_array_equal(named.pixels, flux)
    assert named.pixel_scale == pytest.approx(0.262, rel=1e-6)


def test_files_of_one_band_that_do_not_go_together(tmp_path, flux):
    for band, plane in {"g": flux[0], "r": flux[1], "z": flux[2, :10]}.items():
        write_cube(tmp_path / f"a-{band}.fits", plane)
    for band in "gr":
        write_cube(tmp_path / f"b-{band}.fits", flux[0])
    errors = []
    assert list(iter_stamps([tmp_path, tmp_path / "c-{band}.fits"], errors.append)) == []
    assert [(error.path.removeprefix(f"{tmp_path}/"), error.cause) for error in errors] == [
        ("a-z.fits[0]", "is (10, 24), where the first band is (20, 24)"),
        ("b-{band}.fits", "has the bands g, r and misses z"),
        ("c-{band}.fits", "stands for no file"),
    ]


@pytest.mark.parametrize(
    ("header", "magnitude"),
    [
        ({"BUNIT": "nanomaggies"}, 22.5),
        ({"BUNIT": "nmgy"}, 22.5),
        ({"BUNIT": "maggy"}, 0.0),
        ({"BUNIT": "Jy"}, 8.9),
        ({"BUNIT": "uJy"}, 23.9),
        ({"BUNIT": "nJy", "MAGZERO": 3.0}, 31.4),
        ({"BUNIT": "erg / (s cm2 Hz)"}, -48.6),
        ({"BUNIT": "adu", "MAGZERO": 25.0}, 25.0),
        ({"MAGZPT": 27.0}, 27.0),
        ({"BUNIT": "electron/s", "PHOTZP": "30.0"}, 30.0),
    ],
)
def test_flux_leaves_in_nanomaggies(tmp_path, flux, header, magnitude):
    stamp = read_stamp(write_cube(tmp_path / "a.fits", flux, **header))
    assert stamp.units == "nanomaggy"
    factor = 10 ** (0.4 * (22.5 - magnitude))  # of an AB magnitude
    np.testing.assert_allclose(stamp.pixels, flux * factor, rtol=2e-4, atol=0)


@pytest.mark.parametrize("units", ["adu", "electron/s", "MJy/sr", "Jy/beam", "no unit"])
def test_other_units_are_stated_and_not_taken_for_nanomaggies(tmp_path, flux, units):
    stamp = read_stamp(write_cube(tmp_path / "a.fits", flux, BUNIT=units))
    assert stamp.units == units
    np.testing.assert_array_equal(stamp.pixels, flux)
    with pytest.raises(UnreadableStampError, match="Set MAGZERO"):
        stamp.select()
    assert stamp.select(units=None) is stamp


def test_each_band_has_the_zero_point_of_its_own_header(tmp_path, flux):
    headers = [{"EXTNAME": band, "MAGZERO": zero} for band, zero in zip("grz", (22.5, 25.0, 20.0), strict=True)]
    stamp = read_stamp(write_bands(tmp_path / "a.fits", flux, headers))
    assert stamp.units == "nanomaggy"
    np.testing.assert_allclose(stamp.pixels, flux * np.float32([1, 0.1, 10])[:, None, None], rtol=1e-6)
    headers[1] = {"EXTNAME": "r", "BUNIT": "adu"}
    with pytest.raises(UnreadableStampError, match="different units"):
        read_stamp(write_bands(tmp_path / "b.fits", flux, headers))


def test_a_broken_wcs_loses_the_scale_and_not_the_image_and_says_so(tmp_path, flux):
    path = write_cube(tmp_path / "a.fits", flux, **{**GRID, "CTYPE1": "RA---ABC"})
    with CaptureLogger(logging.get_logger("galvm_hf.data.readers.wcs")) as log:
        stamp = read_stamp(path)
    assert (stamp.wcs, stamp.pixel_scale) == (None, None)
    assert f"{path}[0]: its WCS is broken" in log.out


def claim(content, key, value):
    """The file with another value in a card of its first header."""
    start = content.index(f"{key:8}= ".encode())
    return content[:start] + f"{key:8}= {value:>20}".encode() + content[start + 30 :]


def flip(content):
    return content[:-5000] + bytes([content[-5000] ^ 0xFF]) + content[-4999:]


@pytest.mark.parametrize(
    ("damage", "place", "cause"),
    [
        (lambda content: content[: len(content) // 2], "[0]", "is cut short: 23040 bytes, where it needs 46080"),
        (lambda content: b"", "", "is empty"),
        (lambda content: b"no FITS at all", "", "does not begin with SIMPLE"),
        (lambda content: b"\n<!DOCTYPE html><p>404", "", "is a web page, not an image: the download failed"),
        (lambda content: gzip.compress(b"<html>404</html>"), "", "is a web page"),
        (flip, "[0]", "does not match its checksum"),
        (lambda content: gzip.compress(flip(content)), "[0]", "does not match its checksum"),
        (lambda content: gzip.compress(content)[:-2000], "", "not a readable FITS file"),
        (lambda content: claim(content, "NAXIS1", 1_000_000), "[0]", "claims the shape 1 x 3 x 60 x 1000000"),
    ],
)
def test_damage_is_told_with_its_place_and_a_remedy(tmp_path, damage, place, cause):
    flux = np.random.default_rng(0).normal(size=(3, 60, 60)).astype(np.float32)
    path = write_cube(tmp_path / "a.fits", flux, checksum=True)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UnreadableStampError, match=cause) as caught:
        read_stamp(path)
    assert caught.value.path == f"{path}{place}"
    assert caught.value.remedy


def test_flipped_bytes_of_a_compressed_band_are_told_by_their_checksum(tmp_path, flux):
    headers = [{"EXTNAME": band} for band in "grz"]
    path = write_bands(tmp_path / "a.fits.fz", flux, headers, fits.CompImageHDU, True, compression_type="GZIP_2")
    content = bytearray(path.read_bytes())
    with fits.open(path, disable_image_compression=True) as hdus:
        position = hdus[2].fileinfo()["datLoc"] + 40
    content[position] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UnreadableStampError, match="does not match its checksum") as caught:
        read_stamp(path)
    assert caught.value.path == f"{path}[2]"


@pytest.mark.parametrize(
    ("shape", "header", "cause"),
    [
        ((8, 8), {}, "no image that names its band"),
        ((2, 8, 8), {}, "has 2 planes and names the bands g, r, z"),
        ((3, 8, 8), {"BANDS": "gr"}, "has 3 planes and names the bands g, r"),
        ((2, 8, 8), {"BANDS": "gr"}, "misses z"),
        ((3, 8, 8), {"BANDS": "grr"}, "names a band twice"),
        ((3, 8, 8), {"MAGZERO": "unknown"}, "'unknown' as MAGZERO"),
        ((1, 3, 8, 8), {}, "holds no image"),
    ],
)
def test_what_is_no_stamp_is_refused(tmp_path, shape, header, cause):
    with pytest.raises(UnreadableStampError, match=cause):
        read_stamp(write_cube(tmp_path / "a.fits", np.ones(shape, dtype=np.float32), **header))


def test_flux_without_a_finite_pixel_is_refused(tmp_path, flux):
    flux[0] = np.nan
    with pytest.raises(UnreadableStampError, match="no pixel that is finite in every band"):
        read_stamp(write_cube(tmp_path / "a.fits", flux))


def test_a_table_holds_no_image(tmp_path):
    fits.BinTableHDU.from_columns([fits.Column("ra", "D", array=np.ones(4))]).writeto(tmp_path / "a.fits")
    with pytest.raises(UnreadableStampError, match="holds no image"):
        read_stamp(tmp_path / "a.fits")


def test_a_decompression_bomb_is_refused_before_it_unpacks(tmp_path, monkeypatch, flux):
    from galvm_hf.data.readers import checks
    from galvm_hf.data.readers import fits as reader

    path = write_cube(tmp_path / "a.fits.gz", flux)
    monkeypatch.setattr(reader, "MAX_BYTES", 5000)
    with pytest.raises(UnreadableStampError, match="unpacks to more than 5000 bytes"):
        read_stamp(path)
    path = write_bands(tmp_path / "a.fits.fz", np.zeros((1, 200, 200)), [{"EXTNAME": "g"}], fits.CompImageHDU)
    monkeypatch.setattr(checks, "MAX_VALUES", 30_000)
    with pytest.raises(UnreadableStampError, match="more than the 30000 values") as caught:
        read_stamp(path)
    assert caught.value.path == f"{path}[1]"
