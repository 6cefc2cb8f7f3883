"""`galvm evaluate hitl`: what it measures, on galaxies that are easy to tell apart."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from galvm_hf.evaluation import hitl
from galvm_hf.evaluation.hitl import Score, score_probabilities
from galvm_hf.interfaces.cli import app

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


def write_galaxies(path, number, seed):
    """Pictures of round galaxies and of long ones, a fifth of them."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] - 31.5
    images, labels = [], []
    for row in range(number):
        is_long = row % 5 == 0
        width, height = random.uniform(9, 11), 3 if is_long else random.uniform(9, 11)
        blob = 200 * np.exp(-((x / width) ** 2) - (y / height) ** 2)
        noisy = blob[..., None] * random.uniform(0.7, 1, 3) + random.uniform(0, 8, (64, 64, 3))
        buffer = io.BytesIO()
        Image.fromarray(noisy.astype(np.uint8)).save(buffer, format="PNG")
        images.append({"bytes": buffer.getvalue(), "path": None})
        labels.append("edge-on" if is_long else "elliptical")
    struct = pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    names = [f"{path.stem}-{row}" for row in range(number)]
    pq.write_table(pa.table({"image": struct, "label": labels, "objid": names}), path)


def test_scores_are_those_of_the_textbook():
    members = np.array([True, True, False, False])
    assert score_probabilities(np.array([0.9, 0.8, 0.2, 0.1]), members) == Score(1, 1, 1, 1)
    mixed = score_probabilities(np.array([0.9, 0.2, 0.8, 0.1]), members)
    assert (mixed.auc, mixed.precision, mixed.recall) == (0.75, 0.5, 0.5)
    assert mixed.aupr == pytest.approx((1 + 2 / 3) / 2)


def test_tables_figure_and_record(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(hitl, "ROUNDS", 2)
    monkeypatch.setattr(hitl, "RARE_ROUNDS", 1)
    monkeypatch.setattr(hitl, "RANDOM_SHOTS", (8,))
    monkeypatch.setattr(hitl, "RANDOM_LABELS", 30)
    write_galaxies(tmp_path / "train.parquet", 120, 0)
    write_galaxies(tmp_path / "test.parquet", 40, 1)
    arguments = ["evaluate", "hitl", "--train", str(tmp_path / "train.parquet"), "--model", str(tiny_checkpoint)]
    arguments += ["--target", "edge-on", "--rare-label", "label", "--rare", "edge-on", "--seeds", "2"]
    own = [*arguments, "--test", str(tmp_path / "test.parquet"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    done = CliRunner().invoke(app, own)
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "out" / "hitl.json").read_text())
    learning = record["learning"]
    assert list(learning)[:4] == ["5 + 5 random", "8 + 8 random", "30 random", "5 + 5, 1 x 10 chosen"]
    assert all(len(scores) == 2 for scores in learning.values())
    assert np.mean([score["aupr"] for score in learning["5 + 5, 2 x 10 chosen"]]) > 0.5  # chance is 0.2
    assert learning["5 + 5, 2 x 10 chosen"] == learning["5 + 5, 2 x 10, alpha 0.5"]
    found = {row: np.mean([one["found"] for one in of]) for row, of in record["search"].items()}
    assert found["alpha=0.5"] > found["random"]
    assert [file["name"] for file in record["data"]] == ["train.parquet", "test.parquet"]
    assert str(tmp_path) not in json.dumps(record)
    assert "| 5 + 5 random |" in (tmp_path / "out" / "hitl.md").read_text()
    with Image.open(tmp_path / "out" / "hitl.png") as figure:
        assert figure.width > 500
    same = CliRunner().invoke(
        app, [*arguments, "--test", str(tmp_path / "train.parquet"), "--out", str(tmp_path / "out")]
    )
    assert same.exit_code == 1
    assert "both searched and tested on" in same.output


def test_resnet_learns_what_is_easy():
    from galvm_hf.evaluation import scratch

    pytest.importorskip("torchvision")
    generator = torch.Generator().manual_seed(0)
    answers = np.arange(48) % 3 == 0
    images = torch.rand(48, 3, 32, 32, generator=generator) * 0.3
    images[answers, 0] += 0.5
    probabilities = scratch.train_resnet18(images[:32], answers[:32], images[32:], seed=0)
    assert score_probabilities(probabilities, answers[32:]).auc > 0.9
