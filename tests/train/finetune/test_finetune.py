"""Fine-tuning end to end on a tiny model: it learns, measures honestly, and leaves a folder that loads."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModelForImageClassification, AutoModelForImageToImage

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("accelerate")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from galvm_hf.train.finetune import FinetuneSettings, finetune  # noqa: E402
from galvm_hf.train.finetune.run import push_to_hub  # noqa: E402


def disc(radius: float, colour: tuple[int, int, int], seed: int) -> bytes:
    """A disc on a dark, noisy sky: PNG bytes."""
    picture = np.random.default_rng(seed).integers(0, 20, (96, 96, 3))
    picture[np.hypot(*np.mgrid[-48:48, -48:48]) < radius] += np.array(colour)
    stream = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def write_discs(path, number: int, first: int = 0, **columns) -> None:
    """Red and blue discs, alternating."""
    rows = [
        {
            "image": {"bytes": disc(20, (20, 60, 180) if seed % 2 else (180, 60, 20), seed), "path": None},
            "label": "blue" if seed % 2 else "red",
        }
        for seed in range(first, first + number)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


def settings(tiny_checkpoint, tmp_path, **overrides) -> FinetuneSettings:
    defaults = {"data": [str(tmp_path / "discs.parquet")], "out": str(tmp_path / "out"), "model": str(tiny_checkpoint)}
    return FinetuneSettings(**{**defaults, "device": "cpu", "epochs": 6, "learning_rate": 1e-3, **overrides})


def predict(folder, images: list[bytes]) -> torch.Tensor:
    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForImageClassification.from_pretrained(folder)
    pictures = [Image.open(io.BytesIO(image)) for image in images]
    with torch.no_grad():
        return model(**processor(pictures, return_tensors="pt")).logits


def test_a_few_labels_are_cross_validated_and_the_other_heads_stay(tiny_checkpoint, tmp_path):
    write_discs(tmp_path / "discs.parquet", 20)
    result = finetune(settings(tiny_checkpoint, tmp_path))
    assert result.how == "cross-validation in 5 folds"
    assert result.metrics["accuracy"].number == 20
    assert result.metrics["accuracy"].value > 0.9
    folder = tmp_path / "out"
    logits = predict(folder, [disc(20, (180, 60, 20), 100), disc(20, (20, 60, 180), 101)])
    config = AutoModelForImageClassification.from_pretrained(folder).config
    assert [config.id2label[number] for number in logits.argmax(1).tolist()] == ["red", "blue"]
    before, after = load_file(tiny_checkpoint / "model.safetensors"), load_file(folder / "model.safetensors")
    kept = [name for name in before if not name.startswith("classifier.")]
    assert all(torch.equal(before[name], after[name]) for name in kept)
    AutoModelForImageToImage.from_pretrained(folder)
    names = {path.name for path in folder.iterdir()}
    assert {"README.md", "metrics.json", "confusion.png", "calibration.png"} <= names
    assert not {name for name in names if name.startswith(".")}
    numbers = json.loads((folder / "metrics.json").read_text())
    assert numbers["metrics"]["accuracy"]["n"] == numbers["n"]["trained_on"] == 20
    assert str(result.metrics["accuracy"]) in (folder / "README.md").read_text()
    assert str(tmp_path) not in (folder / "metrics.json").read_text() + (folder / "README.md").read_text()


def test_full_fine_tuning_trains_the_encoder_and_measures_on_a_part_it_has_not_seen(tiny_checkpoint, tmp_path):
    write_discs(tmp_path / "discs.parquet", 24)
    result = finetune(settings(tiny_checkpoint, tmp_path, encoder="full", validation=0.25, epochs=3))
    numbers = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (numbers["n"]["trained_on"], numbers["n"]["validated_on"], numbers["n"]["measured_on"]) == (12, 6, 6)
    assert result.metrics["accuracy"].value > 0.8
    before, after = load_file(tiny_checkpoint / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert not any(name.startswith("restoration") for name in after)
    moved = [name for name in after if name.startswith("galvm.") and not torch.equal(after[name], before[name].float())]
    assert len(moved) > 100


def test_values_come_out_in_their_own_units(tiny_checkpoint, tmp_path):
    random = np.random.default_rng(0)
    rows = []
    for seed in range(40):
        radius = random.uniform(8, 30)
        picture = {"bytes": disc(radius, (20, int(4 * radius), 180), seed), "path": None}
        rows.append({"image": picture, "magnitude": 20.0 - radius / 100, "angle": 1000 + 10 * radius})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "discs.parquet")
    result = finetune(settings(tiny_checkpoint, tmp_path, labels=["magnitude", "angle"], epochs=30))
    assert result.metrics["r2"]["angle"].value > 0.5
    outputs = predict(tmp_path / "out", [row["image"]["bytes"] for row in rows])
    truth = torch.tensor([[row["magnitude"], row["angle"]] for row in rows])
    error = (outputs - truth).abs().mean(0) / truth.std(0)
    assert (error < 0.7).all()
    assert (tmp_path / "out" / "predicted.png").exists()


def test_a_test_set_is_used_for_nothing_else(tiny_checkpoint, tmp_path):
    write_discs(tmp_path / "discs.parquet", 12)
    write_discs(tmp_path / "test.parquet", 6, first=50)
    result = finetune(settings(tiny_checkpoint, tmp_path, test=[str(tmp_path / "test.parquet")]))
    assert (result.how, result.metrics["accuracy"].number) == ("a test set of its own", 6)
    write_discs(tmp_path / "test.parquet", 6, first=8)
    with pytest.raises(ValueError, match="4 galaxies of the test set are in the data"):
        finetune(settings(tiny_checkpoint, tmp_path, test=[str(tmp_path / "test.parquet")]))


def test_the_folder_is_uploaded(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    calls = []

    class Stub:
        def create_repo(self, name, exist_ok):
            calls.append(("create_repo", name, exist_ok))
            return type("Repository", (), {"repo_id": f"somebody/{name}"})

        def upload_folder(self, **arguments):
            calls.append(("upload_folder", arguments["repo_id"], arguments["folder_path"]))
            return "https://hub/commit/1"

    monkeypatch.setattr("huggingface_hub.HfApi", Stub)
    assert push_to_hub(tmp_path, "my-model") == "https://hub/commit/1"
    assert calls == [("create_repo", "my-model", True), ("upload_folder", "somebody/my-model", tmp_path)]


def test_yaml_states_a_run_and_bad_settings_are_refused(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("data: [a.parquet]\nout: model\nepochs: 3\n")
    run = FinetuneSettings.from_yaml(path, out="elsewhere")
    assert (run.data, run.out, run.epochs) == (["a.parquet"], "elsewhere", 3)
    path.write_text("data: [a.parquet]\nout: model\nepoch: 3\n")
    with pytest.raises(ValueError, match=r"unknown settings \['epoch'\]"):
        FinetuneSettings.from_yaml(path)
    path.write_text("data: [a.parquet]\nout: model\nvalidation: 0.7\n")
    with pytest.raises(ValueError, match=r"validation is a share between 0 and 0\.5, got 0\.7"):
        FinetuneSettings.from_yaml(path)
