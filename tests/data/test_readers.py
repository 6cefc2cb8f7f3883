"""Readers: every kind of file, bands and scale, and what happens to files that are damaged."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from galvm_hf.data.readers import iter_stamps, read_stamp, summarise_sources
from galvm_hf.data.stamp import UnreadableStampError

fits = pytest.importorskip("astropy.io.fits")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def write_cube(path, header=(), shape=(3, 20, 24)):
    flux = np.random.default_rng(0).normal(size=shape).astype(">f4")
    hdu = fits.PrimaryHDU(flux)
    hdu.header.update(dict(header))
    hdu.writeto(path, checksum=True)
    return flux


def encode_picture(colour, size=(24, 20)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format="PNG")
    return buffer.getvalue()


def write_parquet(path, images, metadata=None, **columns):
    struct = pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    table = pa.table({"image": struct, **columns})
    pq.write_table(table.replace_schema_metadata(metadata), path)


def test_fits_cube_is_native_flux_with_bands_and_scale(tmp_path):
    wcs = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": -0.262 / 3600, "CD2_2": 0.262 / 3600}
    flux = write_cube(tmp_path / "a.fits", {"BANDS": "grz", **wcs})
    stamp = read_stamp(tmp_path / "a.fits")
    assert stamp.bands == ("g", "r", "z")
    assert stamp.pixels.dtype == np.dtype("=f4")
    assert stamp.pixels.dtype.isnative
    np.testing.assert_array_equal(stamp.pixels, flux)
    assert stamp.pixel_scale == pytest.approx(0.262, rel=1e-6)


@pytest.mark.parametrize(
    ("header", "bands"),
    [
        ({}, ("g", "r", "z")),
        ({"BANDS": "z,r,g"}, ("z", "r", "g")),
        ({"BAND0": "r", "BAND1": "i", "BAND2": "z"}, ("r", "i", "z")),
    ],
)
def test_fits_bands(tmp_path, header, bands):
    write_cube(tmp_path / "a.fits", header)
    stamp = read_stamp(tmp_path / "a.fits")
    assert (stamp.bands, stamp.pixel_scale) == (bands, None)


def test_fits_cube_in_an_extension(tmp_path):
    flux = np.ones((3, 8, 8), dtype=np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(flux)]).writeto(tmp_path / "a.fits")
    np.testing.assert_array_equal(read_stamp(tmp_path / "a.fits").pixels, flux)


@pytest.mark.parametrize("damage", ["half", "empty", "html", "flipped byte", "two bands", "flat"])
def test_damaged_fits_is_refused_with_a_remedy(tmp_path, damage):
    path = tmp_path / "a.fits"
    if damage == "flat":
        fits.PrimaryHDU(np.zeros((8, 8), dtype=np.float32)).writeto(path)
    else:
        write_cube(path, {"BANDS": "gr"} if damage == "two bands" else {}, shape=(3, 60, 60))
    content = bytearray(path.read_bytes())
    if damage == "half":
        content = content[: len(content) // 2]
    elif damage == "empty":
        content = b""
    elif damage == "html":
        content = b"<html>404</html>"
    elif damage == "flipped byte":
        content[-5000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UnreadableStampError) as caught:
        read_stamp(path)
    assert caught.value.path == str(path)
    assert caught.value.cause
    assert caught.value.remedy


def test_pictures_and_arrays(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_picture((10, 20, 30)))
    np.save(tmp_path / "b.npy", np.ones((3, 8, 9), dtype=">f8"))
    np.save(tmp_path / "c.npy", np.full((8, 9, 3), 7, dtype=np.uint8))
    picture, flux, array = iter_stamps([tmp_path])
    assert picture.bands is None
    assert picture.pixels.shape == (20, 24, 3)
    assert picture.pixels[0, 0].tolist() == [10, 20, 30]
    assert (flux.bands, flux.pixels.dtype) == (("g", "r", "z"), np.dtype("=f4"))
    assert array.bands is None


@pytest.mark.parametrize("content", [np.ones((4, 4)), np.ones((3, 4, 4), dtype=np.int32), None])
def test_other_arrays_are_refused(tmp_path, content):
    path = tmp_path / "a.npy"
    np.save(path, content) if content is not None else path.write_bytes(b"no array")
    with pytest.raises(UnreadableStampError, match=r"a\.npy"):
        read_stamp(path)


def test_parquet_brings_names_of_classes_and_scalar_columns(tmp_path):
    metadata = {
        b"huggingface": b'{"info": {"features": {"label": {"names": ["disc", "bulge"], "_type": "ClassLabel"}}}}'
    }
    images = [{"bytes": encode_picture((index, 0, 0)), "path": None} for index in range(3)]
    write_parquet(
        tmp_path / "a.parquet",
        images,
        metadata,
        label=pa.array([1, 0, -1]),
        objid=pa.array(["x", "y", None]),
        votes=pa.array([[1, 2], [3], []]),
    )
    stamps = list(iter_stamps([tmp_path / "a.parquet"]))
    assert [stamp.columns["label"] for stamp in stamps] == ["bulge", "disc", None]
    assert [stamp.id for stamp in stamps] == ["x", "y", "a.parquet:2"]
    assert [int(stamp.pixels[0, 0, 0]) for stamp in stamps] == [0, 1, 2]
    assert "votes" not in stamps[0].columns
    assert summarise_sources([tmp_path]) == (3, {"label": "string", "objid": pa.string()})


def test_bulk_reading_skips_counts_and_goes_on(tmp_path):
    good = {"bytes": encode_picture((1, 2, 3)), "path": None}
    write_parquet(tmp_path / "a.parquet", [good, {"bytes": b"junk", "path": None}, {"bytes": None, "path": "x"}, good])
    whole = encode_picture((0, 0, 0), size=(400, 400))
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.parquet").write_bytes(b"junk")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "d.parquet")
    (tmp_path / "e.jpg").write_bytes(encode_picture((0, 0, 0)))
    (tmp_path / "notes.txt").write_text("not a stamp")
    errors = []
    stamps = list(iter_stamps([tmp_path, tmp_path / "missing.fits", tmp_path / "notes.txt"], errors.append))
    assert [stamp.id for stamp in stamps] == ["a.parquet:0", "a.parquet:3", "e.jpg"]
    places = [error.path.removeprefix(f"{tmp_path}/") for error in errors]
    expected = ["a.parquet:1", "a.parquet:2", "b.png", "c.parquet", "d.parquet", "missing.fits", "notes.txt"]
    assert places == expected
    with pytest.raises(UnreadableStampError):
        list(iter_stamps([tmp_path]))


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(UnreadableStampError, match="holds no stamps"):
        list(iter_stamps([tmp_path]))


@pytest.mark.parametrize(("package", "name"), [("astropy.io", "a.fits"), ("pyarrow.parquet", "a.parquet")])
def test_a_missing_package_is_named_with_the_extra_to_install(tmp_path, monkeypatch, package, name):
    (tmp_path / name).touch()
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "galvm_hf\[data\]"'):
        list(iter_stamps([tmp_path]))


def test_real_flux_cutouts(galvm_data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stamps = list(iter_stamps([galvm_data / "legacy-dr10-flux"]))
    assert len(stamps) == 6
    for stamp in stamps:
        assert stamp.bands == ("g", "r", "z")
        assert stamp.pixels.shape == (3, 101, 101)
        assert stamp.pixel_scale == pytest.approx(0.262, rel=1e-6)


def test_real_parquet_streams_its_first_rows(galvm_data):
    stamps = iter_stamps([galvm_data / "sdss-galaxy-zoo-1" / "train-00000-of-00001.parquet"])
    first = next(stamps)
    assert first.pixels.shape == (320, 320, 3)
    assert first.columns["label"] in {"elliptical", "edge-on", "spiral", "other"}
    assert first.id == first.columns["objid"]
