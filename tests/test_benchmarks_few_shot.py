"""The few-shot benchmark, in small."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip("timm")
pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")

import few_shot

from galvm_hf.data.shards import ShardWriter
from galvm_hf.data.stamp import Stamp
from galvm_hf.evaluation import scratch


def write_shard(folder, number, seed):
    """Round and long galaxies in flux."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48] - 23.5
    with ShardWriter(folder) as writer:
        for index in range(number):
            long = index % 2
            blob = np.exp(-((x / (14 if long else 5)) ** 2) - (y / 5) ** 2)
            flux = (blob + random.normal(0, 0.01, (3, 48, 48))).astype(np.float32)
            columns = {"label": "long" if long else "round"}
            stamp = Stamp(flux, ("g", "r", "z"), 0.262, f"{seed}-{index}", "test", "nanomaggy", columns=columns)
            writer.write(stamp)
    return folder


def test_augmentation_keeps_the_light_in_its_place():
    y, x = torch.meshgrid(torch.arange(65) - 32.0, torch.arange(65) - 32.0, indexing="ij")
    blob = torch.exp(-(x**2 + (y / 2) ** 2) / 60).expand(64, 3, 65, 65)
    turned = scratch.augment(blob, torch.Generator().manual_seed(0))
    assert turned[..., 32, 32].min() > 0.99
    area = turned[:, 0].sum((1, 2)) / blob[:, 0].sum((1, 2))
    low, high = scratch.ZOOM_RANGE
    assert 0.9 / high**2 < area.min() < area.max() < 1.1 / low**2
    # of all orientations: the second moments along rows and columns are alike on average
    along_x, along_y = ((turned[:, 0] * axis**2).sum() for axis in (x, y))
    assert along_x / along_y == pytest.approx(1, abs=0.25)


def test_labels_are_drawn_alike_from_each_class():
    labels = np.repeat([0, 1, 2], [50, 20, 12])
    rows = few_shot.draw_labels(labels, 10, seed=0)
    assert np.bincount(labels[rows]).tolist() == [10, 10, 10]
    assert len(set(rows)) == 30
    assert not np.array_equal(rows, few_shot.draw_labels(labels, 10, seed=1))
    with pytest.raises(ValueError, match="Class 2 has 12"):
        few_shot.draw_labels(labels, 20, seed=0)


@pytest.mark.parametrize("frozen", [False, True])
def test_our_encoder_is_the_checkpoints_and_slower_to_change(frozen, tiny_checkpoint):
    from transformers import AutoModel

    images, labels = torch.rand(4, 3, 64, 64), torch.tensor([0, 1, 0, 1])
    network, groups = few_shot.build(few_shot.OURS, 2, str(tiny_checkpoint), frozen, images)
    assert (network.model.classifier.mean != 0).any()
    expected = AutoModel.from_pretrained(tiny_checkpoint).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.model.galvm.state_dict().items())
    assert [group["share"] for group in groups] == ([1.0] if frozen else [1.0, few_shot.ENCODER_SHARE])
    before = network.model.galvm.layernorm.weight.clone()
    few_shot.train(network, groups, images, labels, 1e-3, steps=2, batch=4, seed=0)
    assert torch.equal(before, network.model.galvm.layernorm.weight) == frozen


def test_the_benchmark_runs_from_files_to_a_table(tiny_checkpoint, tmp_path, capsys):
    train, test = write_shard(tmp_path / "train", 40, 0), write_shard(tmp_path / "test", 12, 1)
    common = ["--train", str(train), "--model", str(tiny_checkpoint), "--networks", "GaLVM", "resnet18"]
    common += ["--shots", "4", "--steps", "2", "--batch-size", "8", "--size", "32"]
    few_shot.main([*common, "--test", str(test), "--seeds", "2", "--out", str(tmp_path / "out.json")])
    table = capsys.readouterr().out
    record = json.loads((tmp_path / "out.json").read_text())
    scores = record["balanced_accuracy"]["resnet18"]["4"]
    assert len(scores) == 2
    assert all(0 <= score <= 1 for score in scores)
    assert f"| resnet18 | {np.mean(scores):.3f} ± {np.std(scores, ddof=1):.3f} |" in table
    few_shot.main([*common, "--learning-rates", "1e-4", "1e-3"])
    assert "| network | labels a class | 0.0001 | 0.001 |" in capsys.readouterr().out
    with pytest.raises(ValueError, match="disjoint"):
        few_shot.main([*common, "--test", str(train)])
