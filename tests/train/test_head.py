"""A classification head on fixed features: learns, keeps the other heads, and says what it cannot do."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageClassification, AutoModelForImageToImage

from galvm_hf.train.head import add_classification_head

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def write_discs(path, number: int, column: str = "label") -> None:
    """Pictures of large red and small blue discs, alternating."""
    random, rows = np.random.default_rng(0), []
    distance = np.hypot(*np.mgrid[-48:48, -48:48])
    for index in range(number):
        red = index % 2 == 0
        picture = random.integers(0, 20, (96, 96, 3))
        picture[distance < (30 if red else 12)] += np.array([180, 60, 20] if red else [20, 60, 180])
        stream = io.BytesIO()
        Image.fromarray(picture.astype(np.uint8)).save(stream, "PNG")
        rows.append({"image": {"bytes": stream.getvalue(), "path": None}, column: "red" if red else "blue"})
    pq.write_table(pa.Table.from_pylist(rows), path)


def test_head_learns_and_the_rest_stays(tiny_checkpoint, tmp_path):
    write_discs(tmp_path / "train.parquet", 80)
    result = add_classification_head(tiny_checkpoint, tmp_path / "train.parquet", tmp_path / "out")
    assert result.balanced_accuracy > 0.9
    assert (result.n_train, result.n_validation) == (68, 12)
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "out")
    assert model.config.id2label == {0: "blue", 1: "red"}
    before, after = load_file(tiny_checkpoint / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    kept = [name for name in before if not name.startswith("classifier.")]
    assert all(torch.equal(before[name], after[name]) for name in kept)
    AutoModelForImageToImage.from_pretrained(tmp_path / "out")


def test_stamps_without_the_column_are_refused(tiny_checkpoint, tmp_path):
    write_discs(tmp_path / "train.parquet", 8, column="morphology")
    with pytest.raises(ValueError, match=r"No stamp of .* has a value in a column 'label'"):
        add_classification_head(tiny_checkpoint, tmp_path / "train.parquet", tmp_path / "out")
