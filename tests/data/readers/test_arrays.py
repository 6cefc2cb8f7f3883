"""NumPy files: one stamp or a stack of them, streamed and never held whole."""

import tracemalloc
import zipfile

import numpy as np
import pytest

from galvm_hf.data.readers import iter_stamps, read_stamp, summarise_sources
from galvm_hf.data.stamp import UnreadableStampError

pa = pytest.importorskip("pyarrow")


@pytest.fixture
def stack():
    return np.random.default_rng(0).normal(size=(5, 3, 8, 9)).astype(np.float32)


@pytest.mark.parametrize("dtype", [">f8", "<f4", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_one_stamp_of_flux(tmp_path, stack, dtype, order):
    np.save(tmp_path / "a.npy", np.asarray(stack[0], dtype=dtype, order=order))
    stamp = read_stamp(tmp_path / "a.npy")
    assert (stamp.bands, stamp.units, stamp.id) == (("g", "r", "z"), None, "a.npy")
    assert stamp.pixels.dtype == np.float32 and stamp.pixels.dtype.isnative
    np.testing.assert_array_equal(stamp.pixels, stack[0].astype(dtype).astype(np.float32))


def test_one_picture(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", picture)
    stamp = read_stamp(tmp_path / "a.npy")
    assert stamp.bands is None
    np.testing.assert_array_equal(stamp.pixels, picture)


@pytest.mark.parametrize("key", ["images", "flux", "anything"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_stack_brings_the_columns_beside_it(tmp_path, stack, key, save):
    save(tmp_path / "a.npz", **{key: stack}, ra=np.arange(5.0), kind=np.array(list("abcde")), odd=np.ones((5, 2)))
    stamps = list(iter_stamps([tmp_path]))
    assert [stamp.id for stamp in stamps] == [f"a.npz:{row}" for row in range(5)]
    assert [dict(stamp.columns) for stamp in stamps][:2] == [{"ra": 0.0, "kind": "a"}, {"ra": 1.0, "kind": "b"}]
    np.testing.assert_array_equal([stamp.pixels for stamp in stamps], stack)
    assert summarise_sources([tmp_path]) == (5, {"ra": pa.float64(), "kind": pa.string()})


def test_a_stack_keeps_the_rows_that_can_be_read(tmp_path, stack):
    stack[1] = np.nan
    np.save(tmp_path / "a.npy", stack)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-10])
    errors = []
    assert [stamp.id for stamp in iter_stamps([tmp_path], errors.append)] == ["a.npy:0", "a.npy:2", "a.npy:3"]
    assert [error.path for error in errors] == [f"{tmp_path}/a.npy:1", f"{tmp_path}/a.npy:4"]
    assert "finite" in errors[0].cause and "ends after 854 of 864 bytes" in errors[1].cause


@pytest.mark.parametrize("save", [np.save, np.savez_compressed])
def test_a_stack_is_never_in_memory_whole(tmp_path, save):
    number = 400
    path = tmp_path / ("a.npy" if save is np.save else "a.npz")
    save(path, np.ones((number, 3, 64, 64), dtype=np.float32))
    size = 3 * 64 * 64 * 4
    tracemalloc.start()
    assert sum(1 for _ in iter_stamps([path])) == number
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * size + 2**20


@pytest.mark.parametrize(
    "content",
    [
        np.ones((4, 4)),
        np.ones((3, 4, 4), dtype=np.int32),
        np.ones((4, 4, 4)),
        np.ones((3, 0, 4)),
        np.ones((0, 3, 4, 4)),
        np.array([{"a": 1}]),
        np.zeros(3, dtype=[("a", "f4")]),
        None,
    ],
)
def test_other_arrays_are_refused(tmp_path, content):
    path = tmp_path / "a.npy"
    np.save(path, content) if content is not None else path.write_bytes(b"no array")
    with pytest.raises(UnreadableStampError, match=r"a\.npy"):
        read_stamp(path)


def test_a_header_that_claims_a_huge_stamp_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 10, 10), dtype=np.float32))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(3, 10, 10), }        ", b"(3, 100000, 100000), }"))
    with pytest.raises(UnreadableStampError, match="claims the shape 3 x 100000 x 100000"):
        read_stamp(tmp_path / "a.npy")


def test_a_flipped_byte_of_an_archive_is_told_before_a_stamp_leaves(tmp_path, stack):
    np.savez(tmp_path / "a.npz", images=stack)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    errors = []
    assert list(iter_stamps([tmp_path], errors.append)) == []
    assert "CRC" in errors[0].cause


def test_an_archive_without_arrays_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with pytest.raises(UnreadableStampError, match="holds no array"):
        read_stamp(tmp_path / "a.npz")
