"""Streams of a run: sources in order, the same held-out stamps every time, parts that make the whole."""

import itertools

import pytest
import torch

from galvm_hf.data.stamp import UnreadableStampError
from galvm_hf.train.data import (
    find_sources,
    interleave,
    join_samples,
    load_held_out,
    micro_batches,
    open_training,
    read_column,
    take_samples,
)
from galvm_hf.train.settings import DataSettings

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

VALIDATION = DataSettings(["validation/*.parquet"], crop=0.9)


def test_sources_are_in_the_order_of_the_patterns_and_each_is_named_once(tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.parquet").touch()
    remote = "hf://datasets/owner/name/*.parquet"
    found = find_sources(["[3-4].parquet", remote, "*.parquet"], tmp_path)
    assert found == [str(tmp_path / f"{n}.parquet") if n != "hf" else remote for n in (3, 4, "hf", 0, 1, 2, 5)]


def test_a_pattern_without_a_match_is_named_with_the_folder_and_a_remedy(tmp_path):
    (tmp_path / "a.parquet").touch()
    with pytest.raises(FileNotFoundError, match=rf"Nothing matches 'b/\*' in {tmp_path}\..*--data.*GALVM_DATA"):
        find_sources(["*.parquet", "b/*"], tmp_path)


def test_held_out_stamps_are_the_same_at_each_call(simulated):
    first, number = load_held_out(VALIDATION, simulated, 7, 32, ["label"])
    again, _ = load_held_out(VALIDATION, simulated, 7, 32, ["label"])
    assert number == 7
    assert first["id"] == again["id"] == [f"validation-{row}" for row in range(7)]
    assert first["label"] == again["label"]
    assert first["pixel_values"].shape == (7, 3, 32, 32)
    assert torch.equal(first["pixel_values"], again["pixel_values"])
    assert load_held_out(VALIDATION, simulated, 1000, 32, [])[1] == 20


@pytest.mark.parametrize(("number", "world"), [(9, 2), (9, 4), (8, 4), (2, 3)])
def test_parts_of_processes_interleave_to_the_whole(simulated, number, world):
    whole, _ = load_held_out(VALIDATION, simulated, number, 32, [])
    loaded = [load_held_out(VALIDATION, simulated, number, 32, [], rank, world) for rank in range(world)]
    assert {total for _, total in loaded} == {number}
    parts = [samples["pixel_values"] for samples, _ in loaded]
    assert len({len(part) for part in parts}) == 1  # no process waits for another
    assert torch.equal(interleave(parts, number), whole["pixel_values"])


def test_training_never_ends_and_each_pass_has_every_stamp_once(simulated):
    data = DataSettings(["train/*.parquet"], crop=0.9)
    stream = open_training(data, simulated, 10, 32, ["label"], seed=3, num_workers=0)
    batches = list(itertools.islice(stream, 12))
    passes = [[name for batch in batches[start : start + 6] for name in batch["id"]] for start in (0, 6)]
    assert set(passes[0]) == set(passes[1]) == {f"train-{row}" for row in range(60)}
    assert passes[0] != passes[1]
    assert len(batches[0]["label"]) == 10


def test_samples_from_all_over_the_files_are_the_same_at_each_call(simulated):
    files = DataSettings(["train/*.parquet", "validation/*.parquet"], crop=0.9)
    drawn = [load_held_out(files, simulated, 20, 32, [], shuffle=True)[0]["id"] for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert {identity.split("-")[0] for identity in drawn[0]} == {"train", "validation"}
    first = load_held_out(files, simulated, 20, 32, [])[0]["id"]
    assert {identity.split("-")[0] for identity in first} == {"train"}


def test_a_column_is_read_without_the_images(simulated, tmp_path):
    labels = read_column(find_sources(["train/*.parquet"], simulated), None, "label")
    samples, _ = load_held_out(DataSettings(["train/*.parquet"]), simulated, 60, 32, ["label"])
    assert labels == samples["label"]
    assert read_column([str(simulated / "train"), str(simulated / "validation")], None, "label")[:60] == labels


def test_a_column_is_read_as_often_as_a_pass_shows_its_rows(tmp_path):
    rows = [
        {"image": {"bytes": b"", "path": None}, "kind": kind, "id": str(row)} for row, kind in enumerate("aaaaaaaab")
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "stamps.parquet")
    sources = [str(tmp_path / "stamps.parquet")]
    assert read_column(sources, None, "kind") == list("aaaaaaaab")
    assert read_column(sources, "kind", "kind") == list("aaaaaaaabbb")  # the root of eight, rounded
    assert read_column(sources, "kind", "id") == [*"01234567", *"888"]


def test_columns_that_cannot_be_read_are_told(simulated, tmp_path):
    source = find_sources(["train/*.parquet"], simulated)
    with pytest.raises(UnreadableStampError, match="morphology"):
        read_column(source, None, "morphology")
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "stamps.h5", "w") as file:
        file["images"] = torch.zeros(2, 3, 8, 8).numpy()
        file["label"] = [0, 1]
    with pytest.raises(ValueError, match=r"stamps\.h5.*galvm prepare shards"):
        read_column([str(tmp_path / "stamps.h5")], None, "label")


def test_values_that_are_missing_in_some_batches_alone_are_joined(simulated, tmp_path):
    table = pq.read_table(find_sources(["train/*.parquet"], simulated)[0])
    table = pa.concat_tables([table, table])  # more than one batch of held-out stamps
    values = [None if row == 100 else float(row) for row in range(len(table))]
    table = table.append_column("mass", pa.array(values))
    pq.write_table(table, tmp_path / "stamps.parquet", row_group_size=20)
    samples, number = load_held_out(DataSettings(["stamps.parquet"]), tmp_path, 120, 32, ["mass"])
    assert number == 120
    assert [None if value is None else float(value) for value in samples["mass"]] == values


def test_batches_are_taken_apart_and_put_together():
    samples = {"id": list("abcde"), "pixel_values": torch.arange(5.0), "label": [1, None, 3, 4, 5]}
    parts = list(micro_batches(samples, 2))
    assert [len(part["id"]) for part in parts] == [2, 2, 1]
    joined = join_samples(parts)
    assert joined["id"] == samples["id"]
    assert joined["label"] == samples["label"]
    assert torch.equal(joined["pixel_values"], samples["pixel_values"])
    taken = take_samples(samples, [4, 0, 0])
    assert (taken["id"], taken["pixel_values"].tolist()) == (["e", "a", "a"], [4.0, 0.0, 0.0])
