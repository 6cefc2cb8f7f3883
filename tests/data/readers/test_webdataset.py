"""WebDataset: tar files read from beginning to end, sample by sample."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from galvm_hf.data.readers import iter_stamps, summarise_sources
from galvm_hf.data.stamp import UnreadableStampError

fits = pytest.importorskip("astropy.io.fits")
pa = pytest.importorskip("pyarrow")


@pytest.fixture
def flux():
    return np.random.default_rng(0).normal(size=(3, 8, 9)).astype(np.float32)


def encode_array(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def encode_cube(flux):
    buffer = io.BytesIO()
    fits.PrimaryHDU(flux, fits.Header({"BUNIT": "nanomaggy", "BANDS": "grz"})).writeto(buffer)
    return buffer.getvalue()


def encode_picture():
    buffer = io.BytesIO()
    Image.new("RGB", (9, 8), (10, 20, 30)).save(buffer, format="JPEG")
    return buffer.getvalue()


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_samples_of_every_kind(tmp_path, flux):
    members = {
        "train/0.json": b'{"ra": 1.5, "id": "x", "votes": [1, 2], "checked": true}',
        "train/0.fits": encode_cube(flux),
        "train/1.npy": encode_array(flux),
        "train/1.json": b'{"ra": 2}',
        "train/2.JPG": encode_picture(),
        "train/2.cls": b"7\n",
        "README": b"no sample",
        "train/notes.md": b"no sample either",
    }
    path = write_tar(tmp_path / "a.tar", members)
    cube, array, picture = iter_stamps([path])
    assert (cube.id, array.id, picture.id) == ("x", "a.tar:train/1", "a.tar:train/2")
    assert (cube.units, array.units, picture.bands) == ("nanomaggy", None, None)
    np.testing.assert_array_equal([cube.pixels, array.pixels], [flux, flux])
    assert picture.encoded == members["train/2.JPG"]
    assert dict(cube.columns) == {"ra": 1.5, "id": "x", "checked": True}
    assert (dict(array.columns), dict(picture.columns)) == ({"ra": 2}, {"label": 7})
    number, columns = summarise_sources([path])
    assert number == 3
    assert columns == {"ra": pa.string(), "id": pa.string(), "checked": pa.bool_(), "label": pa.int64()}


def test_a_bad_sample_is_reported_and_the_rest_read(tmp_path, flux):
    members = {
        "0.npy": encode_array(flux),
        "1.jpg": b"<html>404</html>",
        "2.json": b"{}",
        "3.npy": encode_array(flux)[:-9],
        "4.npy": encode_array(flux),
        "4.json": b"{",
        "5.fits": encode_cube(flux)[:-2880],
        "6.npy": encode_array(flux[None]),
        "7.npy": encode_array(flux),
    }
    errors = []
    stamps = list(iter_stamps([write_tar(tmp_path / "a.tar", members)], errors.append))
    assert [stamp.id for stamp in stamps] == ["a.tar:0", "a.tar:7"]
    assert [error.path.removeprefix(f"{tmp_path}/") for error in errors] == [
        *("a.tar:1.jpg", "a.tar:2", "a.tar:3.npy", "a.tar:4.json", "a.tar:5.fits[0]", "a.tar:6.npy")
    ]
    assert "web page" in errors[0].cause and "cut short" in errors[4].cause


@pytest.mark.parametrize("kind", ["cut short", "header", "backwards"])
def test_a_damaged_archive_gives_what_comes_before_and_says_so(tmp_path, flux, kind):
    path = write_tar(tmp_path / "a.tar", {f"{index}.npy": encode_array(flux) for index in range(4)})
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as archive:
        third = archive.getmembers()[2].offset
    if kind == "cut short":
        content = content[: third + 700]
    elif kind == "header":
        content[third + 20] ^= 0xFF
    else:  # a size below zero, with the checksum that goes with it
        header = tarfile.TarInfo("2.npy")
        header.size = -third - 512
        content[third : third + 512] = header.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(content)
    errors = []
    stamps = list(iter_stamps([path], errors.append))
    assert [stamp.id for stamp in stamps] in (["a.tar:0", "a.tar:1"], ["a.tar:0"])
    assert len(errors) == 1


def test_a_member_that_claims_a_huge_size_is_refused(tmp_path):
    header = tarfile.TarInfo("0.npy")
    header.size = 2**40
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with pytest.raises(UnreadableStampError, match="more than any stamp"):
        list(iter_stamps([tmp_path]))
