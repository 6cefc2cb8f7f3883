"""The stream without an end: one line of rows that the ranks share, exact after any stop and whatever their number."""

import json
from itertools import chain, islice

import numpy as np
import pytest
import torch

from galvm_hf.data.stamp import UnreadableStampError
from galvm_hf.data.stream import Augmentation, GalaxyStream

from .conftest import ROWS

# four workers are right wherever there are as many cores
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


def make(source, **options):
    return GalaxyStream(source, **{"batch_size": 10, "size": 8, "seed": 2, "repeat": True} | options)


def take(stream, number):
    """The places of the rows of some batches, as (pass, row)."""
    return [places(batch) for batch in islice(stream, number)]


def places(batch):
    return list(zip(batch["epoch"].tolist(), batch["index"].tolist(), strict=True))


@pytest.fixture(scope="module")
def line(parquet_folder):
    """The rows of the first passes, in the order in which one pass after the other has them."""
    stream, rows = GalaxyStream(parquet_folder, batch_size=50, size=8, seed=2), []
    for _ in range(8):
        for batch in stream:
            rows += places(batch)
    return rows


def test_it_is_the_passes_one_after_the_other_in_full_batches(parquet_folder, line):
    stream = make(parquet_folder)
    batches = take(stream, 65)
    assert batches == [line[first : first + 10] for first in range(0, 650, 10)]
    assert (stream.epoch, stream.state_dict()["position"]) == divmod(650, ROWS)


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [4, 70, 150])
def test_the_batches_of_all_ranks_are_those_of_one_at_every_step(parquet_folder, line, world_size, batch_size):
    """Also where the rows do not divide, and where a batch is larger than the data set."""
    together = world_size * batch_size
    steps = 3 * ROWS // together + 2
    ranks = [
        take(make(parquet_folder, rank=rank, world_size=world_size, batch_size=batch_size), steps)
        for rank in range(world_size)
    ]
    for step in range(steps):
        parts = [rank[step] for rank in ranks]
        assert [len(part) for part in parts] == [batch_size] * world_size
        assert sorted(chain(*parts)) == sorted(line[step * together : (step + 1) * together])


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [23, 150])
def test_stopped_at_any_batch_it_goes_on_with_the_very_next_row(parquet_folder, line, world_size, batch_size):
    """With any other number of ranks and another batch size."""
    together = world_size * batch_size
    stream = make(parquet_folder, rank=world_size - 1, world_size=world_size, batch_size=batch_size)
    batches = iter(stream)
    for step in range(3 * ROWS // together + 1):
        others, visited = 1 + step % 3, (step + 1) * together
        next(batches)
        state = json.loads(json.dumps(stream.state_dict()))
        assert (state["epoch"], state["position"]) == divmod(visited, ROWS)
        seen = []
        for rank in range(others):
            other = make(parquet_folder, rank=rank, world_size=others, batch_size=7)
            other.load_state_dict(state)
            assert other.state_dict() == state
            seen += take(other, 2)
        assert sorted(chain(*seen)) == sorted(line[visited : visited + 14 * others])


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_change_nothing_but_the_speed(parquet_folder, workers):
    options = {"augmentation": Augmentation(), "world_size": 2, "rank": 1}
    alone, helped = make(parquet_folder, **options), make(parquet_folder, num_workers=workers, **options)
    for one, other in islice(zip(alone, helped, strict=True), 25):  # over two ends of passes
        assert places(one) == places(other) and torch.equal(one["pixel_values"], other["pixel_values"])
        assert alone.state_dict() == helped.state_dict()
    # the workers have read on; another loop does not miss what they read
    assert take(helped, 3) == take(alone, 3)


def test_a_state_goes_from_passes_to_an_endless_line_and_back(parquet_folder, line):
    passes = make(parquet_folder, repeat=False)
    first = take(passes, 5)
    endless = make(parquet_folder)
    endless.load_state_dict(passes.state_dict())
    second = take(endless, 25)
    assert list(chain(*first, *second)) == line[:300]
    passes.load_state_dict(endless.state_dict())
    assert list(chain(*map(places, passes))) == line[300 : 2 * ROWS]
    endless.load_state_dict(passes.state_dict())
    assert take(endless, 1) == [line[2 * ROWS : 2 * ROWS + 10]]


def test_another_pass_is_begun_at_its_first_row(parquet_folder, line):
    stream = make(parquet_folder)
    take(stream, 3)
    stream.set_epoch(2)
    assert take(stream, 1) == [line[2 * ROWS : 2 * ROWS + 10]]


def test_it_has_no_length(parquet_folder):
    with pytest.raises(TypeError, match="no length"):
        len(make(parquet_folder))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_of_which_nothing_can_be_decoded_stops_the_run(pictures, tmp_path, workers):
    """Without it a rank would be a step ahead of the others."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    bad = {3, *range(8, 12)}
    images = [{"bytes": None if row in bad else picture, "path": None} for row, picture in enumerate(pictures[:20])]
    pq.write_table(pa.table({"id": [str(row) for row in range(20)], "image": images}), tmp_path / "a.parquet")
    stream = make(tmp_path, shuffle=False, batch_size=4, num_workers=workers)
    batches = iter(stream)
    assert [next(batches)["index"].tolist() for _ in range(2)] == [[0, 1, 2], [4, 5, 6, 7]]
    with pytest.raises(UnreadableStampError, match=r"^8: holds no image bytes.*None of the 4 rows"):
        next(batches)
    assert [name for name, _ in stream.skipped] == ["3", "8", "9", "10", "11"]
    # ranks that each have a row of it keep step
    for rank, indices in enumerate(([8, 10, 12], [9, 11, 13])):
        stream = make(tmp_path, shuffle=False, batch_size=3, rank=rank, world_size=2)
        stream.load_state_dict(stream.state_dict() | {"position": 8})
        assert next(iter(stream))["index"].tolist() == indices[-1:]


def test_the_order_differs_from_pass_to_pass(line):
    orders = np.array([row for _, row in line]).reshape(8, ROWS)
    assert (np.sort(orders) == np.arange(ROWS)).all() and len({order.tobytes() for order in orders}) == 8
