"""Rare classes are shown more often, and nothing else about a stream changes."""

from collections import Counter
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from galvm_hf.data.stamp import UnreadableStampError
from galvm_hf.data.stream import Augmentation, GalaxyStream
from galvm_hf.data.stream.balance import repeat_factors

CLASSES = ["common"] * 40 + ["rare"] * 10 + ["rarest"] * 3 + [None] * 5
EXPECTED = {"common": 40, "rare": 20, "rarest": 12, None: 5}


@pytest.fixture(scope="module")
def files(pictures, tmp_path_factory):
    """Two files in small row groups, the classes all over them."""
    folder = tmp_path_factory.mktemp("balance")
    order = np.random.default_rng(0).permutation(len(CLASSES))
    for shard, rows in enumerate(np.array_split(order, 2)):
        columns = {
            "id": [f"galaxy-{row}" for row in rows],
            "image": [{"bytes": pictures[row], "path": None} for row in rows],
            "kind": [CLASSES[row] for row in rows],
        }
        pq.write_table(pa.table(columns), folder / f"{shard}.parquet", row_group_size=8)
    return folder


def make(source, **options):
    return GalaxyStream(source, **{"batch_size": 10, "size": 8, "seed": 2, "columns": ["kind"]} | options)


def test_repeats_are_roots_of_how_much_larger_the_largest_class_is():
    assert repeat_factors({"a": 3651, "b": 551, "c": 425, "d": 73}) == {"a": 1, "b": 3, "c": 3, "d": 7}


def test_a_pass_shows_each_row_of_a_class_as_often_as_its_class_asks_for(files):
    stream = make(files, balance="kind")
    batches = list(stream)
    kinds = Counter(kind for batch in batches for kind in batch["kind"])
    assert kinds == EXPECTED
    assert stream.num_rows == sum(EXPECTED.values())
    shown = Counter(identity for batch in batches for identity in batch["id"])
    repeats = {"common": 1, "rare": 2, "rarest": 4, None: 1}
    assert shown == {f"galaxy-{row}": repeats[kind] for row, kind in enumerate(CLASSES)}


def test_without_it_each_row_is_shown_once(files):
    assert Counter(kind for batch in make(files) for kind in batch["kind"]) == Counter(CLASSES)


def test_a_row_that_is_shown_again_looks_different(files):
    views = {}
    for batch in make(files, balance="kind", augmentation=Augmentation()):
        for identity, view in zip(batch["id"], batch["pixel_values"], strict=True):
            views.setdefault(identity, []).append(view)
    again = [seen for seen in views.values() if len(seen) > 1]
    assert len(again) == 13
    assert all((seen[0] != seen[1]).any() for seen in again)


def test_it_goes_on_exactly_and_is_shared_exactly(files):
    def identities(batches):
        return [batch["id"] for batch in batches]

    options = {"balance": "kind", "repeat": True}
    whole = identities(islice(make(files, **options), 12))
    stopped = make(files, **options)
    assert identities(islice(stopped, 5)) == whole[:5]
    resumed = make(files, **options)
    resumed.load_state_dict(stopped.state_dict())
    assert identities(islice(resumed, 7)) == whole[5:]
    ranks = [make(files, batch_size=5, rank=rank, world_size=2, **options) for rank in (0, 1)]
    for batch, *parts in zip(whole, *(islice(rank, 12) for rank in ranks), strict=True):
        assert sorted(batch) == sorted(parts[0]["id"] + parts[1]["id"])


def test_files_without_columns_are_refused(tar_file, files):
    with pytest.raises(ValueError, match=r"galaxies\.tar: labels are read from Parquet"):
        GalaxyStream(tar_file, balance="label")
    with pytest.raises(UnreadableStampError, match=r"0\.parquet: has no column colour"):
        make(files, balance="colour")
