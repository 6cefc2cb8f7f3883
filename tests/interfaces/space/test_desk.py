"""The desk: names, sessions that are there again, and uploads that are refused in a sentence."""

import gzip
import io
import pickle
import struct
import zipfile
import zlib

import numpy as np
import PIL.Image
import pytest

from galvm_hf.data.stamp import UnreadableStampError
from galvm_hf.interfaces.space import Desk
from galvm_hf.interfaces.space.desk import MAX_UPLOAD, check_name

fits = pytest.importorskip("astropy.io.fits")


def png(width, height, rows=b""):
    """A PNG of any claimed size, grey, whose content is `rows` compressed."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def cube(side=64):
    buffer = io.BytesIO()
    fits.PrimaryHDU(np.random.default_rng(0).normal(size=(3, side, side)).astype("f4")).writeto(buffer)
    return buffer.getvalue()


def huge_cube():
    """A FITS header that claims 2 TB, and nothing behind it."""
    cards = {"SIMPLE": "T", "BITPIX": "-32", "NAXIS": "3", "NAXIS1": "408248", "NAXIS2": "408248", "NAXIS3": "3"}
    text = "".join(f"{key:<8}= {value:>20}".ljust(80) for key, value in cards.items()) + "END".ljust(80)
    return text.encode().ljust(2880)


class Exploit:
    def __reduce__(self):
        return exec, ("open('executed', 'w').close()",)


def pickled():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        content = io.BytesIO()
        np.save(content, np.array([Exploit()], dtype=object), allow_pickle=True)
        archive.writestr("images.npy", content.getvalue())
    return buffer.getvalue()


BAD_UPLOADS = {
    "200-megapixels.png": png(20_000, 10_000),
    "bomb.png": png(30_000, 30_000, bytes(30_001 * 2000)),
    "two-terabytes.fits": huge_cube(),
    "bomb.fits.gz": gzip.compress(huge_cube() + bytes(2**26)),
    "pickle.npz": pickled(),
    "pickle.png": pickle.dumps(Exploit()),
    "page.jpg": b"<html><script>alert(1)</script></html>",
    "empty.fits": b"",
}


@pytest.mark.parametrize("name", BAD_UPLOADS)
def test_bad_uploads_are_refused_in_a_sentence(desk, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(BAD_UPLOADS[name])
    session = desk.start("spirals", "ada")
    with pytest.raises(UnreadableStampError) as refusal:
        desk.answer_upload(session, "ada", path, f"../../{name}", True)
    assert str(refusal.value).startswith(f"{name}: ")
    assert str(tmp_path) not in str(refusal.value)
    assert not (tmp_path / "executed").exists()
    assert not desk.session(session).answers


def test_an_upload_that_is_too_large_is_not_even_read(desk, tmp_path):
    path = tmp_path / "large.fits"
    with path.open("wb") as stream:
        stream.truncate(MAX_UPLOAD + 1)
    with pytest.raises(UnreadableStampError, match="more than the"):
        desk.answer_upload(desk.start("spirals", "ada"), "ada", path, path.name, True)


@pytest.mark.parametrize("name", ["a.png", "b.jpg", "c.fits", "d.fits.gz"])
def test_own_images_are_examples(desk, name, galaxy_png, tmp_path, survey):
    path = tmp_path / name
    if ".fits" in name:
        path.write_bytes(gzip.compress(cube()) if name.endswith("gz") else cube())
    else:
        PIL.Image.open(io.BytesIO(galaxy_png)).save(path)
    session = desk.start("spirals", "ada", negatives=survey.ids.to_pylist()[:2])
    said = desk.answer_upload(session, "ada", path, name, True)
    assert said.object_id == f"upload 1: {name}"
    assert said.features.isfinite().all()
    assert len(desk.session(session).propose("ada").object_ids) == 10


def test_uploads_are_of_the_checkpoint_of_the_collection(survey, galaxy_png, tmp_path):
    with Desk(survey, tmp_path, model="galvm") as desk:
        (tmp_path / "a.png").write_bytes(galaxy_png)
        with pytest.raises(ValueError, match="not of galvm: its weights are others"):
            desk.answer_upload(desk.start("spirals", "ada"), "ada", tmp_path / "a.png", "a.png", True)


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "/etc", ".hidden", "a/b", "a\\b", "a\nb", "x" * 200, "星" * 20, "a."]
)
def test_names_that_lead_elsewhere_are_refused(desk, name):
    with pytest.raises(ValueError, match="The name of a person begins with"):
        check_name(name, "person")
    with pytest.raises(ValueError, match="The name of a session begins with"):
        desk.session(name)
    assert not desk.names()


@pytest.mark.parametrize("name", ["Ada", "Ada L.-B", "O'Neill", "Åsa", "星野"])
def test_names_of_people(name):
    assert check_name(f" {name} ", "person") == name


def test_sessions_are_there_again(survey, spirals, tmp_path):
    with Desk(survey, tmp_path) as desk:
        name = desk.start(" Face-on   spirals! ", "ada", spirals[:3])
        assert name == "face-on-spirals"
        with pytest.raises(FileExistsError, match="There is a session face-on-spirals already"):
            desk.start("face-on spirals", "bob")
        before = desk.session(name).snapshot()
    (desk.folder / "other").mkdir()
    with Desk(survey, tmp_path) as desk:
        assert desk.names() == [name]
        assert desk.session(name).snapshot() == before
        assert desk.session(name).target == "Face-on spirals!"
        with pytest.raises(FileNotFoundError, match="There is no session mergers"):
            desk.session("mergers")
