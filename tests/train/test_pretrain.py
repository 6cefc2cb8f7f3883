"""Pre-training: settings that are refused, stamps that are all seen, and whole runs from the command line."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoImageProcessor, AutoModel, AutoModelForImageToImage, AutoModelForMaskedImageModeling

from galvm_hf.data.simulate import simulate_galaxies
from galvm_hf.train.pretrain import PretrainSettings, augment, find_sources, pretrain, samples

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "training" / "pretrain.py"
STAMPS, HELD_OUT = 48, 8

# Runs the script of the command line, and writes down which stamps this process trains on, one line a step.
SPY = """
import hashlib, json, os, runpy, sys
from pathlib import Path
from galvm_hf.train import pretrain as module

augment = module.augment
log = Path(os.environ["SPY_FOLDER"], f"rank-{os.environ['RANK']}.jsonl").open("w")

def noting(images, generator):
    print(json.dumps([hashlib.md5(image.numpy().tobytes()).hexdigest() for image in images]), file=log, flush=True)
    return augment(images, generator)

module.augment = noting
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Simulated galaxies, as flux."""
    folder = tmp_path_factory.mktemp("stamps")
    galaxies = simulate_galaxies(STAMPS, torch.Generator().manual_seed(0), size=64)
    (folder / "simulated").mkdir()
    for index, flux in enumerate(galaxies.flux.numpy()):
        np.save(folder / "simulated" / f"{index:02}.npy", flux)
    return folder


@pytest.fixture
def values(tmp_path):
    """Settings of a run of seconds."""
    return {
        "model": "tiny",
        "model_overrides": {"image_size": 64, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2]},
        "data": ["simulated/*.npy"],
        "output": str(tmp_path / "run"),
        "objectives": {"autoencode": 1, "denoise": 1, "masked": 1},
        "phases": [{"image_size": 32, "steps": 60, "batch_size": 8}, {"image_size": 64, "steps": 6, "batch_size": 4}],
        "learning_rate": 3e-3,
        "warmup_steps": 3,
        "validation_stamps": HELD_OUT,
        "validation_every": 1000,
        "seed": 1,
    }


@pytest.fixture
def write(tmp_path):
    def write(values):
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
        return tmp_path / "run.yaml"

    return write


def launch(launcher, arguments, **environment):
    """Run a command as a user does, and return what it printed; its error is this test's."""
    done = subprocess.run(
        [sys.executable, "-m", *launcher, *map(str, arguments)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_run_from_the_command_line_learns_and_its_checkpoint_loads(data, values, write, tmp_path):
    values["validation_every"] = 6
    launcher = ["accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    printed = launch(launcher, [SCRIPT, "--config", write(values), "--data", data])
    run = tmp_path / "run"
    assert f"Checkpoint: {run / 'checkpoint'}" in printed

    log = read_log(run)
    assert [record["step"] for record in log] == list(range(1, 67))
    assert [record["image_size"] for record in log] == [32] * 60 + [64] * 6
    assert log[-1]["stamps_seen"] == 60 * 8 + 6 * 4
    assert {record["objective"] for record in log} == set(values["objectives"])
    assert log[-1]["learning_rate"] == pytest.approx(0, abs=1e-9)
    validations = [record["validation"] for record in log if "validation" in record]
    assert [record["step"] for record in log if "validation" in record] == list(range(6, 67, 6))
    assert set(validations[0]) == set(values["objectives"])
    assert sum(validations[-1].values()) < 0.8 * sum(validations[0].values())

    facts = json.loads((run / "run.json").read_text())
    assert facts["training_stamps"] == STAMPS - HELD_OUT
    assert facts["processes"] == 1
    assert facts["settings"]["learning_rate"] == values["learning_rate"]

    for auto_class in (AutoModel, AutoModelForImageToImage, AutoModelForMaskedImageModeling):
        model, info = auto_class.from_pretrained(run / "checkpoint", output_loading_info=True)
        assert not info["missing_keys"]
        assert model.config.depths == [1, 1]
    processor = AutoImageProcessor.from_pretrained(run / "checkpoint")
    flux = np.load(data / "simulated" / "00.npy")
    assert processor(flux, bands="grz", return_tensors="pt").pixel_values.shape == (1, 3, 64, 64)


def test_two_processes_share_every_batch(data, values, write, tmp_path):
    values["phases"] = [{"image_size": 32, "steps": 10, "batch_size": 8}]  # 80 stamps: two passes over 40
    (tmp_path / "spy.py").write_text(SPY)
    # `accelerate launch --cpu` starts one process whatever --num_processes says, so that torchrun it is
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    arguments = [tmp_path / "spy.py", SCRIPT, "--config", write(values), "--data", data]
    printed = launch(launcher, arguments, ACCELERATE_USE_CPU="true", SPY_FOLDER=str(tmp_path))
    assert printed.count("Checkpoint: ") == 1
    assert json.loads((tmp_path / "run" / "run.json").read_text())["processes"] == 2
    log = read_log(tmp_path / "run")
    assert log[-1]["stamps_seen"] == 80
    assert all(math.isfinite(loss) for loss in log[-1]["validation"].values())

    seen = [
        [json.loads(line) for line in (tmp_path / f"rank-{rank}.jsonl").read_text().splitlines()] for rank in (0, 1)
    ]
    batches = [first + second for first, second in zip(*seen, strict=True)]
    assert [len(batch) for batch in batches] == [8] * 10
    for number in (0, 1):
        one_pass = [stamp for batch in batches[5 * number : 5 * number + 5] for stamp in batch]
        assert len(set(one_pass)) == len(one_pass) == STAMPS - HELD_OUT


@pytest.mark.parametrize("batch_size", [3, 10, 25])
def test_a_pass_has_every_stamp_once_and_an_order_of_its_own(batch_size):
    training = torch.arange(100, 110)
    drawn = torch.cat([samples(training, start, batch_size, seed=5) for start in range(0, 150, batch_size)])
    passes = drawn[:150].view(15, 10)
    for one_pass in passes:
        assert torch.equal(one_pass.sort().values, training)
    assert len({tuple(one_pass.tolist()) for one_pass in passes}) > 13
    assert torch.equal(samples(training, 37, 5, seed=5), drawn[37:42])  # from any place, as a run that goes on does
    assert not torch.equal(samples(training, 0, 10, seed=6), drawn[:10])


def test_augmentation_gives_each_of_the_eight_symmetries():
    image = torch.rand(3, 6, 6)
    symmetries = [image.rot90(turns, (1, 2)) for turns in range(4)]
    symmetries += [symmetry.flip(2) for symmetry in symmetries]
    turned = augment(image.expand(400, -1, -1, -1), torch.Generator().manual_seed(0))
    counts = [sum(torch.equal(each, symmetry) for each in turned) for symmetry in symmetries]
    assert sum(counts) == 400
    assert min(counts) > 25
    assert torch.equal(turned, augment(image.expand(400, -1, -1, -1), torch.Generator().manual_seed(0)))


def test_sources_are_sorted_and_each_is_named_once(data):
    names = [path.name for path in find_sources(["simulated/0[3-5].npy", "simulated/0*.npy"], data)]
    assert names == ["03.npy", "04.npy", "05.npy", *(f"{index:02}.npy" for index in (0, 1, 2, 6, 7, 8, 9))]


def test_the_runs_of_the_project_can_be_read():
    files = sorted((ROOT / "configs" / "pretrain").glob("*.yaml"))
    assert files
    for path in files:
        settings = PretrainSettings.from_yaml(path)
        assert settings.model_config().image_size >= max(image_size for image_size, _ in settings.plan())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_speed": 1.0}, r"unknown settings \['learning_speed'\]; known are"),
        ({"model": "huge"}, "model must be one of .*'huge'"),
        ({"learning_rate": "1e-3"}, "learning_rate.*got str.*'1e-3'"),
        ({"learning_rate": 0}, "learning_rate must be positive, got 0"),
        ({"validation_stamps": 0}, "validation_stamps must be positive, got 0"),
        ({"validation_every": -1}, "validation_every must be positive, got -1"),
        ({"data": "simulated"}, "'data'.*expected a list, got str"),
        ({"objectives": {}}, "objectives needs at least one"),
        ({"objectives": {"denoise": -1}}, "positive weight, got {'denoise': -1}"),
        ({"phases": []}, "phases needs at least one"),
        ({"phases": [{"image_size": 32, "steps": 1}]}, "a phase has image_size, steps and batch_size, got"),
        ({"phases": [{"image_size": 32, "steps": 0, "batch_size": 1}]}, "at least 1, got .*'steps': 0"),
    ],
)
def test_wrong_settings_are_refused_with_file_and_value(values, write, change, message):
    path = write({**values, **change})
    with pytest.raises(ValueError, match=rf"(?s){path}.*{message}"):
        PretrainSettings.from_yaml(path)


def test_missing_settings_and_empty_files_are_refused(values, tmp_path, write):
    del values["data"]
    with pytest.raises(ValueError, match=r"run\.yaml: .*missing .* 'data'"):
        PretrainSettings.from_yaml(write(values))
    (tmp_path / "run.yaml").write_text("")
    with pytest.raises(ValueError, match="got None"):
        PretrainSettings.from_yaml(tmp_path / "run.yaml")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data": ["simulated/*.fits"]}, FileNotFoundError, r"Nothing matches 'simulated/\*\.fits' in .*GALVM_DATA"),
        ({"objectives": {"sharpen": 1}}, ValueError, r"objectives must be some of .*'sharpen'"),
        ({"validation_stamps": STAMPS}, ValueError, f"{STAMPS} stamps leave none to train on beside {STAMPS}"),
        (
            {"phases": [{"image_size": 96, "steps": 1, "batch_size": 2}]},
            ValueError,
            "image_size 96 of a phase is larger than the stamps, 64 px",
        ),
    ],
)
def test_settings_that_do_not_fit_the_data_are_refused(data, values, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        pretrain(PretrainSettings(**{**values, **change}), data)
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(data, values, tmp_path):
    values |= {"phases": [{"image_size": 32, "steps": 3, "batch_size": 4}], "warmup_steps": 0, "gradient_clip": 1e9}
    checkpoint = pretrain(PretrainSettings(**values), data)
    assert checkpoint == tmp_path / "run" / "checkpoint"
    weights = (checkpoint / "model.safetensors").read_bytes()
    broken = {**values, "learning_rate": 1e30}
    with pytest.raises(FloatingPointError, match=r"loss is (nan|inf) at step 1, stamps \[\d+, .*learning_rate"):
        pretrain(PretrainSettings(**broken), data)
    with pytest.raises(FloatingPointError, match=r"validation loss is .*nan.* after step 0.*learning_rate"):
        pretrain(PretrainSettings(**{**broken, "validation_every": 1}), data)
    assert (checkpoint / "model.safetensors").read_bytes() == weights
