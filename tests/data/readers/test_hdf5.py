"""HDF5 as ssl-legacysurvey writes it: read by slices, with its catalogue."""

import numpy as np
import pytest

from galvm_hf.data.readers import hdf5, iter_stamps, summarise_sources
from galvm_hf.data.stamp import UnreadableStampError

h5py = pytest.importorskip("h5py")
pa = pytest.importorskip("pyarrow")


def write_survey(path, images, **options):
    """The names and types of ssl-legacysurvey's files, around simulated noise."""
    number = len(images)
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, **options)
        file["ra"], file["dec"] = np.linspace(0, 350, number), np.linspace(-30, 30, number)
        file["inds"] = np.arange(number)
        file["source_type"] = np.array([b"DEV", b"EXP", b"PSF"])[np.arange(number) % 3]
        file["flux"] = np.ones((number, 3), dtype=np.float32)
        file["comment"] = ["of variable length"] * number
    return path


def noise(number, side, seed=0):
    return np.random.default_rng(seed).normal(size=(number, 3, side, side)).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"chunks": (2, 3, 152, 152), "compression": "gzip"}])
def test_a_file_of_the_survey(tmp_path, options):
    images = noise(5, 152)
    path = write_survey(tmp_path / "a.h5", images, **options)
    stamps = list(iter_stamps([path]))
    np.testing.assert_array_equal([stamp.pixels for stamp in stamps], images)
    last = stamps[-1]
    assert (last.id, last.bands, last.units, last.pixel_scale) == ("a.h5:4", ("g", "r", "z"), "nanomaggy", 0.262)
    assert dict(last.columns) == {"ra": 350.0, "dec": 30.0, "inds": 4, "source_type": "EXP"}
    kinds = {"dec": pa.float64(), "inds": pa.int64(), "ra": pa.float64(), "source_type": pa.string()}
    assert summarise_sources([path]) == (5, kinds)


def test_stamps_of_another_size_have_no_scale_and_pictures_no_bands(tmp_path):
    stamp = next(iter_stamps([write_survey(tmp_path / "a.h5", noise(2, 16))]))
    assert (stamp.bands, stamp.units, stamp.pixel_scale) == (("g", "r", "z"), None, None)
    pictures = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), dtype=np.uint8)
    stamps = list(iter_stamps([write_survey(tmp_path / "b.h5", pictures)]))
    assert {stamp.bands for stamp in stamps} == {None}
    np.testing.assert_array_equal([stamp.pixels for stamp in stamps], pictures)


def test_rows_are_read_by_slices_and_never_all_at_once(tmp_path, monkeypatch):
    path = write_survey(tmp_path / "a.h5", noise(50, 16))
    monkeypatch.setattr(hdf5, "_SLICE_BYTES", 4 * 3 * 16 * 16 * 4)
    taken = []
    read = h5py.Dataset.__getitem__

    def watch(dataset, selection, **options):
        taken.append(selection)
        return read(dataset, selection, **options)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", watch)
    assert sum(1 for _ in iter_stamps([path])) == 50
    assert all(isinstance(selection, slice) and selection.stop - selection.start <= 4 for selection in taken)


def test_a_slice_that_is_damaged_is_reported_and_the_rest_read(tmp_path, monkeypatch):
    path = write_survey(tmp_path / "a.h5", noise(6, 16), chunks=(2, 3, 16, 16), fletcher32=True)
    monkeypatch.setattr(hdf5, "_SLICE_BYTES", 1)
    with h5py.File(path) as file:
        chunk = file["images"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 100] ^= 0xFF
    path.write_bytes(content)
    errors = []
    assert [stamp.id for stamp in iter_stamps([path], errors.append)] == [f"a.h5:{row}" for row in (0, 1, 4, 5)]
    assert [error.path for error in errors] == [f"{path}:2-3"]


def test_a_row_without_a_finite_pixel_is_reported(tmp_path):
    images = noise(3, 16)
    images[1] = np.nan
    errors = []
    stamps = list(iter_stamps([write_survey(tmp_path / "a.h5", images)], errors.append))
    assert [stamp.columns["inds"] for stamp in stamps] == [0, 2]
    assert [error.path for error in errors] == [f"{tmp_path}/a.h5:1"]


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_refused(tmp_path, kept):
    path = write_survey(tmp_path / "a.h5", noise(10, 32))
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UnreadableStampError, match="not a readable HDF5 file"):
        list(iter_stamps([path]))


def test_what_is_no_stack_of_stamps_is_refused(tmp_path):
    for name, images in {
        "a.h5": np.ones((3, 8, 8)),
        "b.h5": np.ones((2, 4, 8, 8)),
        "c.h5": np.ones((2, 3, 8, 8), int),
    }.items():
        with h5py.File(tmp_path / name, "w") as file:
            file["images"] = images
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["pictures"] = np.ones((2, 3, 8, 8))
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file.create_dataset("images", shape=(4, 3, 10**5, 10**5), dtype="f4", chunks=(1, 3, 64, 64))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("images", shape=(10**6, 3, 64, 64), dtype="f4", chunks=(8 * 10**4, 3, 64, 64))
    for name, options in {"g.h5": {}, "h.h5": {"chunks": (1, 3, 8, 8)}}.items():
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("images", shape=(10**9, 3, 8, 8), dtype="f4", **options)
    errors = []
    assert list(iter_stamps([tmp_path], errors.append)) == []
    causes = [error.cause for error in errors]
    assert "no dataset `images` of four axes" in causes[0] and "no dataset" in causes[3]
    assert "in the shape (4, 8, 8)" in causes[1] and "int64" in causes[2]
    assert "more than the" in causes[4] and "more than the" in causes[5]
    assert all("claims 192000000000 values" in cause and "holds 0" in cause for cause in causes[6:])
    assert errors[5].path == f"{tmp_path}/f.h5:images (one chunk)"
