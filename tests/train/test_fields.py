"""The stream of fields: every field once a pass, the same for any number of ranks, exact after a stop."""

from itertools import islice

import pytest
import torch

pytest.importorskip("pycocotools")
from ring_fields import write_ring_fields

from galvm_hf.data.fields import FieldDataset
from galvm_hf.train.data import load_held_out
from galvm_hf.train.fields import FieldSettings, FieldStream


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_ring_fields(tmp_path_factory.mktemp("stream") / "train", 10)


def stream(folder, batch_size, **options):
    return FieldStream(FieldDataset([folder], size=48), batch_size, seed=5, **options)


def test_each_pass_shows_every_field_once_in_another_order(folder):
    indices = [batch["index"].tolist() for batch in islice(stream(folder, 5), 4)]
    assert sorted(indices[0] + indices[1]) == sorted(indices[2] + indices[3]) == list(range(10))
    assert indices[0] + indices[1] != indices[2] + indices[3]


def test_a_field_looks_different_in_each_pass(folder):
    first, second = ({b["id"][i]: b["pixel_values"][i] for i in range(10)} for b in islice(stream(folder, 10), 2))
    assert any(not torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_batches_of_one(folder, world_size):
    whole = list(islice(stream(folder, 6), 5))
    ranks = [islice(stream(folder, 6 // world_size, rank=r, world_size=world_size), 5) for r in range(world_size)]
    for together, parts in zip(whole, zip(*ranks, strict=True), strict=True):
        for rank, part in enumerate(parts):
            assert torch.equal(part["pixel_values"], together["pixel_values"][rank::world_size])
            assert part["id"] == together["id"][rank::world_size]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_it_goes_on_where_it_was(folder, num_workers):
    expected = list(islice(stream(folder, 4), 6))
    first = stream(folder, 4, num_workers=num_workers)
    list(islice(first, 3))
    second = stream(folder, 4)
    second.load_state_dict(first.state_dict())
    for batch, known in zip(islice(second, 3), expected[3:], strict=True):
        assert torch.equal(batch["pixel_values"], known["pixel_values"])
        assert torch.equal(batch["index"], known["index"])


def test_a_state_of_other_fields_is_refused(folder):
    other = stream(folder, 4)
    with pytest.raises(ValueError, match="has fields 11, and this stream 10"):
        other.load_state_dict(other.state_dict() | {"fields": 11})


def test_held_out_fields_are_the_middle_of_the_first(folder):
    settings = FieldSettings([folder.name])
    samples, number = load_held_out(settings, folder.parent, 4, 48, [])
    whole = FieldDataset([folder])
    assert number == 4
    for row in range(4):
        assert torch.equal(samples["pixel_values"][row], whole.read(row).pixel_values[:, 8:56, 8:56])
    parts = [load_held_out(settings, folder.parent, 3, 48, [], rank, 2)[0]["index"].tolist() for rank in range(2)]
    assert parts == [[0, 2], [1, 2]]
