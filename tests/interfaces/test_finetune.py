"""`galvm finetune`: from folders of pictures to a model, with its accuracy printed."""

import numpy as np
import pytest
import typer
from PIL import Image
from transformers import AutoModelForImageClassification
from typer.testing import CliRunner

pytest.importorskip("accelerate")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from galvm_hf.interfaces.finetune import finetune

app = typer.Typer(rich_markup_mode="markdown")
app.command()(finetune)


@pytest.fixture
def pictures(tmp_path):
    """Two folders of six discs, one red and one blue."""
    for number in range(12):
        path = tmp_path / "pictures" / ("blue" if number % 2 else "red") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = np.random.default_rng(number).integers(0, 20, (64, 64, 3))
        picture[np.hypot(*np.mgrid[-32:32, -32:32]) < 14] += (20, 60, 180) if number % 2 else (180, 60, 20)
        Image.fromarray(picture.astype(np.uint8)).save(path)
    return tmp_path / "pictures"


def test_folders_become_a_model(pictures, tiny_checkpoint, tmp_path):
    (pictures / "red" / "broken.png").write_bytes(b"junk")
    options = ["--model", str(tiny_checkpoint), "--epochs", "6", "--learning-rate", "3e-3", "--device", "cpu"]
    result = CliRunner().invoke(app, [str(pictures), "--out", str(tmp_path / "out"), *options])
    assert result.exit_code == 0, result.output
    assert "12 labelled galaxies, 2 classes; head trained for" in result.output
    assert "Measured on 12 galaxies by cross-validation in 5 folds; 95 % interval:" in result.output
    line = next(line for line in result.output.splitlines() if line.strip().startswith("Accuracy"))
    value, low, _, high = line.split("Accuracy")[1].replace("(", "").replace(")", "").split()
    assert 0 <= float(low) <= float(value) <= float(high) <= 1
    assert "broken.png" in result.stderr
    config = AutoModelForImageClassification.from_pretrained(tmp_path / "out").config
    assert config.id2label == {0: "blue", 1: "red"}


def test_what_is_wrong_is_told_in_one_line(pictures, tiny_checkpoint, tmp_path):
    arguments = [str(pictures / "red"), "--out", str(tmp_path / "out"), "--model", str(tiny_checkpoint)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert result.stderr.strip().splitlines()[-1].startswith("Error: There is one class only, 'red'")
    assert not (tmp_path / "out").exists()


def test_help_shows_examples():
    result = CliRunner().invoke(app, ["--help"], terminal_width=200)
    assert result.exit_code == 0
    assert "galvm finetune labelled.parquet --labels label --out my-model" in result.output
