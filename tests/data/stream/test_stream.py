"""The stream as a training loop uses it: complete, the same for any workers, and exact after any stop."""

import io
import json
import pickle
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image

from galvm_hf import GalvmImageProcessor
from galvm_hf.data.stamp import UnreadableStampError
from galvm_hf.data.stream import Augmentation, GalaxyStream

from .conftest import ROWS

# four workers are right wherever there are as many cores
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

BATCH = 4
PLACES = 20
ALL = list(range(ROWS))


def make(source, **options):
    return GalaxyStream(source, **{"batch_size": BATCH, "size": 16} | options)


def indices(batches):
    return [index for batch in batches for index in batch["index"].tolist()]


def ids(batches):
    return [name for batch in batches for name in batch["id"]]


@pytest.fixture(params=["parquet_folder", "tar_file", "hdf5_file"])
def source(request):
    return request.getfixturevalue(request.param)


def test_every_kind_of_file_gives_every_row_once_a_pass_with_its_columns(source):
    stream = make(source, columns=["label"])
    for _ in range(2):
        batches = list(stream)
        assert sorted(indices(batches)) == ALL
        for batch in batches:
            assert batch["label"].tolist() == [int(name.split("-")[1]) % 3 for name in batch["id"]]
    assert stream.epoch == 2
    assert stream.num_rows == ROWS and len(stream) == -(-ROWS // BATCH) == len(batches)


def test_pixels_are_those_of_the_image_processor(parquet_folder, pictures, hdf5_file, flux):
    processor = GalvmImageProcessor(size={"height": 16, "width": 16})
    for batch in make(parquet_folder, batch_size=50):
        for name, image in zip(batch["id"], batch["pixel_values"], strict=True):
            picture = Image.open(io.BytesIO(pictures[int(name.split("-")[1])]))
            torch.testing.assert_close(image, processor(picture, return_tensors="pt").pixel_values[0])
    for batch in make(hdf5_file, batch_size=50):
        expected = processor(flux[batch["index"]], bands="grz", return_tensors="pt").pixel_values
        torch.testing.assert_close(batch["pixel_values"], expected)


def test_workers_change_nothing_but_the_speed(parquet_folder):
    options = {"augmentation": Augmentation(), "seed": 3}
    alone = list(make(parquet_folder, **options))
    for workers in (2, 4):
        helped = list(make(parquet_folder, num_workers=workers, **options))
        assert ids(helped) == ids(alone)
        assert all(torch.equal(a["pixel_values"], b["pixel_values"]) for a, b in zip(alone, helped, strict=True))


def test_augmentation_depends_on_the_sample_and_the_pass_alone(parquet_folder):
    def views(**options):
        stream = make(parquet_folder, augmentation=Augmentation(), **options)
        by_epoch = []
        for _ in range(2):
            pairs = [
                (i, p) for batch in stream for i, p in zip(batch["index"].tolist(), batch["pixel_values"], strict=True)
            ]
            by_epoch.append(dict(pairs))
        return by_epoch

    whole = views()
    assert not torch.equal(whole[0][0], whole[1][0])
    for rank in (0, 1):
        for epoch, part in enumerate(views(rank=rank, world_size=2, batch_size=7)):
            assert part and all(torch.equal(whole[epoch][index], view) for index, view in part.items())


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_are_disjoint_and_together_everything(source, world_size):
    streams = [make(source, rank=rank, world_size=world_size) for rank in range(world_size)]
    orders = []
    for _ in range(2):
        shares = [indices(stream) for stream in streams]
        assert sorted(chain.from_iterable(shares)) == ALL
        orders.append(shares)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_batches_of_all_ranks_are_those_of_one_rank_with_larger_batches(parquet_folder, world_size):
    alone = list(make(parquet_folder, batch_size=BATCH * world_size))
    shares = [list(make(parquet_folder, rank=rank, world_size=world_size)) for rank in range(world_size)]
    for number, batch in enumerate(alone):
        together = [set(ids([share[number]])) for share in shares if number < len(share)]
        assert set.union(*together) == set(batch["id"])


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("workers", [0, 2, 4])
def test_stopped_anywhere_it_goes_on_with_the_very_next_row(parquet_folder, workers, world_size):
    """The ids after resuming are those that would have come: in the rest of this pass and in all of the next."""
    random = np.random.default_rng((workers, world_size))
    options = {"num_workers": workers, "world_size": world_size, "seed": 5}
    streams = [make(parquet_folder, rank=rank, **options) for rank in range(world_size)]
    expected = []
    for stream in streams:
        expected.append([ids(stream) for _ in range(3)])
    for place in range(PLACES):
        rank, epoch = place % world_size, int(random.integers(2))
        # one that was stopped, resumed and finished before, and one that never ran
        running, other = streams[rank], make(parquet_folder, rank=rank, **options)
        running.set_epoch(epoch)
        batches = iter(running)
        before = ids([next(batches) for _ in range(int(random.integers(1, len(running))))])
        state = json.loads(json.dumps(running.state_dict()))
        assert before == expected[rank][epoch][: len(before)]
        for resumed in (running, other) if place < 4 else (running,) if place % 2 else (other,):
            resumed.load_state_dict(state)
            assert ids(resumed) == expected[rank][epoch][len(before) :]
            if place < 4:
                assert ids(resumed) == expected[rank][epoch + 1]


def test_a_second_and_a_third_stop_in_one_pass(parquet_folder):
    expected = ids(make(parquet_folder))
    seen, state = [], None
    for stop in (7, 11, 13, None):
        stream = make(parquet_folder, num_workers=2 if stop == 11 else 0)
        if state:
            stream.load_state_dict(state)
            assert stream.state_dict() == state
        for number, batch in enumerate(stream, start=1):
            seen += batch["id"]
            if number == stop:
                state = stream.state_dict()
                break
    assert seen == expected


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1), (3, 2), (2, 3), (1, 3), (3, 1)])
def test_another_world_size_between_passes_and_within_one(parquet_folder, first, second):
    for stop in (0, 3, 10):
        seen = []
        for rank in range(first):
            stream = make(parquet_folder, rank=rank, world_size=first)
            batches = iter(stream)
            seen += indices([next(batches) for _ in range(stop)])
            state = stream.state_dict()
        others = [make(parquet_folder, rank=rank, world_size=second) for rank in range(second)]
        for other in others:
            other.load_state_dict(state)
            seen += indices(other)
        assert sorted(seen) == ALL
        # the pass behind it is what it would have been without any stop
        afresh = [make(parquet_folder, rank=rank, world_size=second) for rank in range(second)]
        for other, fresh in zip(others, afresh, strict=True):
            fresh.set_epoch(1)
            assert ids(other) == ids(fresh)


def test_the_epoch_of_a_state_stays_when_it_is_set_again(parquet_folder):
    """Training loops call `set_epoch` at the start of each pass, also of the one that they resume."""
    stream = make(parquet_folder)
    stream.set_epoch(4)
    batches = iter(stream)
    taken = ids([next(batches) for _ in range(6)])
    other = make(parquet_folder)
    other.load_state_dict(stream.state_dict())
    other.set_epoch(4)
    assert len(other) == len(make(parquet_folder)) - 6
    rest = ids(other)
    assert not set(rest) & set(taken) and len(rest) + len(taken) == ROWS


def test_a_loop_that_was_broken_off_begins_again(parquet_folder):
    stream = make(parquet_folder, num_workers=2)
    first = next(iter(stream))["id"]
    assert ids(stream)[:BATCH] == first


@pytest.mark.parametrize(("change", "value"), [("seed", 1), ("rows", 3), ("version", 0)])
def test_a_state_of_something_else_is_refused(parquet_folder, change, value):
    stream = make(parquet_folder)
    with pytest.raises(ValueError, match=f"{change} {value}"):
        stream.load_state_dict(stream.state_dict() | {change: value})


@pytest.mark.parametrize("place", [(0, None), (None, 2), (2, 2), (-1, 2)])
def test_an_impossible_rank_is_refused(parquet_folder, place):
    with pytest.raises(ValueError, match="rank"):
        make(parquet_folder, rank=place[0], world_size=place[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_that_cannot_be_decoded_are_left_out_and_listed(pictures, tmp_path, workers):
    import pyarrow as pa
    import pyarrow.parquet as pq

    broken = {3: b"<html>Not found</html>", 8: pictures[8][:100], 9: None}
    images = [{"bytes": broken.get(row, picture), "path": None} for row, picture in enumerate(pictures[:20])]
    pq.write_table(pa.table({"id": [str(row) for row in range(20)], "image": images}), tmp_path / "a.parquet")
    stream = make(tmp_path, num_workers=workers)
    assert sorted(indices(stream)) == sorted(set(range(20)) - set(broken))
    assert sorted(int(name) for name, _ in stream.skipped) == sorted(broken)
    assert dict(stream.skipped)["9"] == "holds no image bytes"
    # a stop behind a batch with a bad row is exact too
    batches = iter(stream)
    seen = indices([next(batches) for _ in range(3)])
    other = make(tmp_path)
    other.load_state_dict(stream.state_dict())
    assert sorted(seen + indices(other)) == sorted(set(range(20)) - set(broken))


def test_flux_columns_of_shards_are_read_band_by_band(flux, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    extra = np.zeros_like(flux[:5, :1])
    cubes = np.concatenate([flux[:5, ::-1], extra], axis=1)  # z, r, g, i
    columns = {
        "flux": [cube.tobytes() for cube in cubes],
        "shape": [list(cube.shape) for cube in cubes],
        "bands": ["z,r,g,i"] * 4 + ["z,r,i,y"],
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    stream = make(tmp_path, shuffle=False)
    (batch,) = stream
    expected = GalvmImageProcessor(size={"height": 16, "width": 16})(flux[:4], bands="grz", return_tensors="pt")
    torch.testing.assert_close(batch["pixel_values"], expected.pixel_values)
    assert "z', 'r', 'i', 'y'" in stream.skipped[0][1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 0}, "must be positive"),
        ({"size": 0}, "must be positive"),
        ({"crop": 0}, "a share in"),
        ({"crop": 1.5}, "a share in"),
        ({"crop": "centre"}, "a share in"),
        ({"columns": ["label", "scale"]}, "`columns` has scale"),
    ],
)
def test_options_out_of_range_are_refused(parquet_folder, wrong, message):
    with pytest.raises(ValueError, match=message):
        make(parquet_folder, **wrong)


def test_a_file_without_rows_is_named(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": pa.array([], pa.struct({"bytes": pa.binary()}))}), tmp_path / "a.parquet")
    with pytest.raises(UnreadableStampError, match=r"a\.parquet: has no rows"):
        make(tmp_path)


def test_missing_files_and_columns_are_named(parquet_folder, tmp_path):
    with pytest.raises(UnreadableStampError, match=r"nothing\*.parquet: matches no file"):
        make(tmp_path / "nothing*.parquet")
    with pytest.raises(UnreadableStampError, match=r"0\.parquet: has no column redshift"):
        make(parquet_folder, columns=["redshift"])
    (tmp_path / "a.parquet").write_text("<html>Not found</html>")
    with pytest.raises(UnreadableStampError, match=r"a\.parquet: cannot be opened"):
        make(tmp_path)
    with pytest.raises(UnreadableStampError, match="is nothing that streams"):
        make(tmp_path / "a.fits")


def test_the_maker_of_samples_travels_to_workers_without_the_files(parquet_folder):
    stream = make(parquet_folder)
    assert len(pickle.dumps(stream._loader.dataset)) < 1000
