"""Training of the detector as a user starts it: it learns, is released, goes on after a stop, and has a peer."""

import os
import signal
from pathlib import Path

import pytest
import torch

pytest.importorskip("accelerate")
pytest.importorskip("pycocotools")
pytest.importorskip("tensorboard")
pytest.importorskip("torchvision")
from accelerate.state import AcceleratorState
from ring_fields import write_ring_fields
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from galvm_hf.train.detect import DetectionSettings, train_detector
from galvm_hf.train.logs import RunLog
from galvm_hf.train.settings import build

ROOT = Path(__file__).parents[2]
SIZES = {
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [1, 2],
    "detection_channels": 16,
    "detection_hidden_size": 32,
    "detections_per_image": 6,
}


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    write_ring_fields(folder / "train", 24, seed=1)
    write_ring_fields(folder / "validation", 9, seed=2)
    return folder


def values(output: Path, steps: int = 120) -> dict:
    return {
        "model": "tiny",
        "model_overrides": SIZES,
        "output": str(output),
        "data": {"sources": ["train"]},
        "validation": {"sources": ["validation"]},
        "phases": [{"image_size": 64, "steps": steps, "batch_size": 4}],
        "learning_rate": 3.0e-3,
        "warmup_steps": 10,
        "ema_decay": 0.9,
        "evaluate_every": 60,
        "seed": 1,
    }


def run(settings: dict, fields: Path) -> Path:
    """A run in this process, as one of its own would be."""
    AcceleratorState._reset_state(reset_partial_state=True)
    return train_detector(build(DetectionSettings, settings), fields)


def test_the_script_learns_and_releases_a_detector(fields, write, launch, read_log, tmp_path):
    config = write(values(tmp_path / "run"))
    script = ROOT / "training" / "detect.py"
    one = ROOT / "configs" / "accelerate" / "one-cpu.yaml"
    printed = launch("accelerate.commands.launch", "--config_file", one, script, "--config", config, "--data", fields)
    folder = tmp_path / "run" / "checkpoint"
    assert f"Checkpoint: {folder}" in printed
    log = read_log(tmp_path / "run")
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]
    scores = [line["validation"]["lenses"] for line in log if "validation" in line]
    assert len(scores) == 2
    assert scores[-1]["ap50"] > 0.5
    model = AutoModelForObjectDetection.from_pretrained(folder)
    assert model.config.id2label == {0: "lens"}
    processor = AutoImageProcessor.from_pretrained(folder)
    assert processor(torch.rand(3, 70, 50).numpy(), return_tensors="pt")["pixel_values"].shape == (1, 3, 70, 50)


def test_two_processes_learn_together(fields, write, launch, read_log, tmp_path):
    script = ROOT / "training" / "detect.py"
    config = write(values(tmp_path / "run", steps=12))
    two = ["--config_file", ROOT / "configs" / "accelerate" / "two-cpu-processes.yaml", "--main_process_port", "0"]
    launch("accelerate.commands.launch", *two, script, "--config", config, "--data", fields, ACCELERATE_USE_CPU="true")
    log = read_log(tmp_path / "run")
    assert len(log) == 12
    assert log[-1]["loss"] < log[0]["loss"]
    assert 0 <= log[-1]["validation"]["lenses"]["ap50"] <= 1


def test_a_run_that_was_stopped_ends_as_one_that_was_not(fields, read_log, tmp_path, monkeypatch):
    whole, stopped = (values(tmp_path / name, steps=6) | {"save_minutes": 60} for name in ("whole", "stopped"))
    run(whole, fields)
    written = RunLog.write

    def write_then_stop(self, record):
        written(self, record)
        if record["step"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(RunLog, "write", write_then_stop)
    with pytest.raises(SystemExit):
        run(stopped, fields)
    monkeypatch.undo()
    run(stopped, fields)
    ends = [load_file(Path(one["output"]) / "checkpoint" / "model.safetensors") for one in (whole, stopped)]
    assert ends[0].keys() == ends[1].keys()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert len(read_log(tmp_path / "stopped")) == 6


def test_the_peer_trains_and_is_told_apart(fields, tmp_path):
    pytest.importorskip("timm")
    from galvm_hf.interfaces.detect import load_model
    from galvm_hf.train.resnet import ResNetForLensDetection

    folder = run(values(tmp_path / "run", steps=2) | {"encoder": "resnet50"}, fields)
    model, _ = load_model(str(folder))
    assert isinstance(model, ResNetForLensDetection)
    assert not any(name.startswith("galvm.") for name in model.state_dict())


def test_nonsense_is_refused(tmp_path):
    with pytest.raises(ValueError, match="encoder must be one of"):
        build(DetectionSettings, values(tmp_path) | {"encoder": "vgg"})
    phases = [{"image_size": size, "steps": 1, "batch_size": 1} for size in (64, 96)]
    with pytest.raises(ValueError, match="the same image_size"):
        build(DetectionSettings, values(tmp_path) | {"phases": phases})
