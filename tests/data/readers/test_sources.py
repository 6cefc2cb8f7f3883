"""Files and folders as one stream: order, names, what is skipped and counted, and what needs another package."""

import io

import numpy as np
import pytest
from PIL import Image

from galvm_hf.data.readers import iter_stamps, list_stamp_files, read_stamp, summarise_sources
from galvm_hf.data.stamp import UnreadableStampError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def encode_picture(colour, size=(24, 20)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format="PNG")
    return buffer.getvalue()


def test_a_folder_is_walked_in_order(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("z.png", "b/a.PNG", "b/c/d.png", "a.png"):
        (tmp_path / name).write_bytes(encode_picture((1, 2, 3)))
    (tmp_path / "notes.txt").write_text("no stamp")
    assert [stamp.id for stamp in iter_stamps([tmp_path])] == ["a.png", "b/a.PNG", "b/c/d.png", "z.png"]
    assert [path.name for path in list_stamp_files(tmp_path)] == ["a.png", "a.PNG", "d.png", "z.png"]
    assert summarise_sources([tmp_path, tmp_path / "a.png"]) == (5, {})


def test_bulk_reading_skips_counts_and_goes_on(tmp_path):
    good, struct = {"bytes": encode_picture((1, 2, 3)), "path": None}, [("bytes", pa.binary()), ("path", pa.string())]
    rows = [good, {"bytes": b"junk", "path": None}, {"bytes": None, "path": "x"}, good]
    pq.write_table(pa.table({"image": pa.array(rows, pa.struct(struct))}), tmp_path / "a.parquet")
    whole = encode_picture((0, 0, 0), size=(400, 400))
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.parquet").write_bytes(b"junk")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "d.parquet")
    (tmp_path / "e.jpg").write_bytes(encode_picture((0, 0, 0)))
    (tmp_path / "f.h5").write_bytes(b"junk")
    (tmp_path / "g.npz").write_bytes(b"junk")
    (tmp_path / "h.tar").write_bytes(b"junk" * 200)
    (tmp_path / "notes.txt").write_text("no stamp")
    errors = []
    stamps = list(iter_stamps([tmp_path, tmp_path / "missing.fits", tmp_path / "notes.txt"], errors.append))
    assert [stamp.id for stamp in stamps] == ["a.parquet:0", "a.parquet:3", "e.jpg"]
    assert [error.path.removeprefix(f"{tmp_path}/") for error in errors] == [
        *("a.parquet:1", "a.parquet:2", "b.png", "c.parquet", "d.parquet", "f.h5", "g.npz", "h.tar"),
        *("missing.fits", "notes.txt"),
    ]
    assert all(error.cause and error.remedy for error in errors)
    with pytest.raises(UnreadableStampError):
        list(iter_stamps([tmp_path]))
    number, columns = summarise_sources([tmp_path])
    assert (number, columns) == (7, {"x": pa.int64()})


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(UnreadableStampError, match="holds no stamps"):
        list(iter_stamps([tmp_path]))


@pytest.mark.parametrize("name", ["a.fits", "a.h5", "a.jpg", "a.npy", "a.npz", "a.parquet", "a.png", "a.tar"])
@pytest.mark.parametrize(
    ("content", "cause"), [(b"", "is empty"), (b"<!DOCTYPE html>\n<html>504 Gateway Time-out</html>", "is a web page")]
)
def test_failed_downloads_are_told_for_every_kind(tmp_path, name, content, cause):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableStampError, match=cause) as caught:
        read_stamp(tmp_path / name)
    assert (caught.value.path, caught.value.remedy[:11]) == (str(tmp_path / name), "Fetch it ag")


def test_what_is_no_file_that_can_be_opened_is_refused(tmp_path, monkeypatch):
    (tmp_path / "folder.fits").mkdir()
    with pytest.raises(UnreadableStampError, match="is a folder"):
        read_stamp(tmp_path / "folder.fits")
    with pytest.raises(UnreadableStampError, match="does not exist"):
        read_stamp(tmp_path / "no.fits")
    (tmp_path / "a.png").write_bytes(encode_picture((1, 2, 3)))

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(UnreadableStampError, match=r"cannot be opened \(Permission denied\)\. Check its permissions"):
        read_stamp(tmp_path / "a.png")


def test_one_stamp_is_asked_for_and_there_are_more(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 3, 4, 4), dtype=np.float32))
    with pytest.raises(UnreadableStampError, match="holds more than one stamp"):
        read_stamp(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("package", "name"), [("astropy.io", "a.fits"), ("pyarrow.parquet", "a.parquet"), ("h5py", "a.h5")]
)
def test_a_missing_package_is_named_with_the_extra_to_install(tmp_path, monkeypatch, package, name):
    (tmp_path / name).write_bytes(b"SIMPLE")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "galvm_hf\[data\]"'):
        list(iter_stamps([tmp_path]))
