"""What the tests of training share: simulated shards, settings of runs of seconds, and a way to start them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

STAMPS = {"train": 60, "validation": 20}
SIZES = {
    "image_size": 64,
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [1, 2],
    "head_depth": 1,
    "detail_depths": [0, 1, 0],
    "classifier_hidden_size": 16,
}


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    """A folder with shards of simulated galaxies, `train` and `validation`, each with its class and the truth."""
    pytest.importorskip("datasets")
    from galvm_hf.data.shards import ShardWriter
    from galvm_hf.data.simulate import BANDS, PIXEL_SCALE, simulate_galaxies
    from galvm_hf.data.simulate.galaxies import CLASSES
    from galvm_hf.data.stamp import Stamp

    folder = tmp_path_factory.mktemp("simulated")
    for seed, (name, number) in enumerate(STAMPS.items()):
        galaxies = simulate_galaxies(number, torch.Generator().manual_seed(seed), size=64)
        truth = {key: values.tolist() for key, values in galaxies.truth.items()}
        with ShardWriter(folder / name) as writer:
            for row, flux in enumerate(galaxies.flux.numpy()):
                columns = {"label": CLASSES[galaxies.labels[row]], **{key: float(truth[key][row]) for key in truth}}
                writer.write(Stamp(flux, BANDS, PIXEL_SCALE, f"{name}-{row}", "simulated", columns=columns))
    return folder


def stamps(name: str) -> dict:
    """Settings of a stream: the shards of a split, cut from the centre."""
    return {"sources": [f"{name}/*.parquet"], "crop": 0.9}


def run_values(output: Path) -> dict:
    """Settings that all runs of seconds share."""
    return {
        "output": str(output),
        "phases": [{"image_size": 32, "steps": 4, "batch_size": 6}],
        "learning_rate": 3e-3,
        "warmup_steps": 2,
        "evaluate_every": 100,
        "trackers": ["tensorboard"],
        "seed": 1,
    }


@pytest.fixture(scope="session")
def make_pretrain_values():
    """Makes settings of a pre-training run of seconds, as a YAML file gives them."""

    def make(output: Path) -> dict:
        return {
            **run_values(output),
            "model": "tiny",
            "model_overrides": dict(SIZES),
            "data": stamps("train"),
            "validation": stamps("validation"),
            "validation_stamps": 9,
            "objectives": {"autoencode": 1, "denoise": 1, "masked": 1},
        }

    return make


@pytest.fixture
def pretrain_values(make_pretrain_values, tmp_path) -> dict:
    """Settings of a pre-training run of seconds into `tmp_path / "run"`."""
    return make_pretrain_values(tmp_path / "run")


@pytest.fixture
def multitask_values(tmp_path) -> dict:
    """Settings of a multitask run of seconds into `tmp_path / "run"`, as a YAML file gives them."""
    from galvm_hf.data.simulate.galaxies import CLASSES

    task = {"data": "stamps", "validation": stamps("validation"), "validation_stamps": 10}
    return {
        **run_values(tmp_path / "run"),
        "model": "tiny",
        "model_overrides": dict(SIZES),
        "data": {"stamps": stamps("train")},
        "tasks": {
            "morphology": {**task, "kind": "classification", "reference": 0.1, "labels": list(CLASSES)},
            "restoration": {**task, "kind": "restoration", "reference": 0.001},
            "inpainting": {**task, "kind": "inpainting", "reference": 0.001},
        },
        "strategy": "uniform",
    }


@pytest.fixture
def write(tmp_path):
    """Writes settings to a YAML file."""
    yaml = pytest.importorskip("yaml")

    def write(values: dict) -> Path:
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
        return tmp_path / "run.yaml"

    return write


@pytest.fixture(scope="session")
def read_log():
    """Reads the lines of a run's log."""

    def read_log(run: Path) -> list[dict]:
        return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]

    return read_log


@pytest.fixture(scope="session")
def launch():
    """Runs a command as a user does, and gives what it printed."""

    def launch(*arguments: object, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *map(str, arguments)],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return launch
