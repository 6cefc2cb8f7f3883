"""Whole runs: they learn, evaluate, release what the Auto classes load, and stop and go on as they should."""

import json
import os
import re
import signal
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForImageToImage,
    AutoModelForMaskedImageModeling,
    AutoModelForPreTraining,
)

pytest.importorskip("accelerate")
pytest.importorskip("datasets")
pytest.importorskip("tensorboard")
pytest.importorskip("sklearn")
from accelerate.state import AcceleratorState

from galvm_hf import GalvmForParameterRegression
from galvm_hf.data.simulate.galaxies import CLASSES
from galvm_hf.head_galvm import SMALLEST_DEVIATION, stage_statistics
from galvm_hf.train import logs
from galvm_hf.train.checkpoints import StateFolder
from galvm_hf.train.data import load_held_out
from galvm_hf.train.logs import RunLog
from galvm_hf.train.loop import TERMINATED
from galvm_hf.train.multitask import MultitaskSettings, train_tasks
from galvm_hf.train.pretrain import PretrainSettings, pretrain
from galvm_hf.train.settings import DataSettings, build
from galvm_hf.train.tasks import Autoencoding, Classification

ROOT = Path(__file__).parents[2]
RUNS = {PretrainSettings: pretrain, MultitaskSettings: train_tasks}


def run(values: dict, folder: Path) -> Path:
    """Start a run in this process, as one of its own would."""
    AcceleratorState._reset_state(reset_partial_state=True)
    kind = MultitaskSettings if "tasks" in values else PretrainSettings
    return RUNS[kind](build(kind, deepcopy(values)), folder)


def last_state(values: dict) -> tuple[dict, dict]:
    states = StateFolder(Path(values["output"]) / "states", 1)
    return states.load(states.latest())


def require_equal(tensors: dict, others: dict) -> None:
    assert tensors.keys() == others.keys()
    for file in tensors:
        assert tensors[file].keys() == others[file].keys()
        for name, value in tensors[file].items():
            assert torch.equal(value, others[file][name]), (file, name)


def autoencode_alone(values: dict, steps: int) -> dict:
    """A run of one task that saves and evaluates at each step."""
    phases = [{"image_size": 32, "steps": steps, "batch_size": 6}]
    return values | {"objectives": {"autoencode": 1}, "phases": phases, "evaluate_every": 1, "save_minutes": 1e-9}


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """All runs but the first do without plots, which take longer than their steps."""
    monkeypatch.setattr(logs, "plot_run", lambda log, folder: None)


@pytest.fixture(scope="module")
def pretrained(make_pretrain_values, simulated, tmp_path_factory) -> dict:
    """Settings of a pre-training run that is done."""
    values = make_pretrain_values(tmp_path_factory.mktemp("pretrained") / "run")
    values["phases"] = [
        {"image_size": 32, "steps": 32, "batch_size": 8},
        {"image_size": 64, "steps": 4, "batch_size": 4},
    ]
    probe = {"train": values["data"], "validation": values["validation"], "labels_per_class": 3, "draws": 2}
    values |= {"probe": probe, "ema_decay": 0.9, "evaluate_every": 9}
    assert run(values, simulated) == Path(values["output"]) / "checkpoint"
    return values


def test_pretraining_learns(pretrained, read_log):
    log = read_log(Path(pretrained["output"]))
    assert [line["step"] for line in log] == list(range(1, 37))
    assert [(line["image_size"], line["batch_size"]) for line in log] == [(32, 8)] * 32 + [(64, 4)] * 4
    assert {line["task"] for line in log} == set(pretrained["objectives"])
    losses = [line["loss"] for line in log if line["task"] == "autoencode"]  # the others begin close to their answer
    assert losses[-1] < 0.7 * losses[0]
    assert log[0]["learning_rate"] == pytest.approx(1.5e-3)
    assert log[-1]["learning_rate"] == pytest.approx(0, abs=1e-9)
    assert all(line["gradient_norm"] > 0 for line in log)
    assert log[-1]["seconds"] > 0


def test_pretraining_is_evaluated_and_probed(pretrained, read_log):
    evaluated = [line for line in read_log(Path(pretrained["output"])) if "validation" in line]
    assert [line["step"] for line in evaluated] == [9, 18, 27, 36]
    first, last = evaluated[0]["validation"], evaluated[-1]["validation"]
    for task in pretrained["objectives"]:
        assert last[task]["error"] < first[task]["error"]
        assert last[task]["psnr"] > first[task]["psnr"]
    assert all(0 <= line["validation"]["probe"] <= 1 for line in evaluated)
    assert evaluated[0]["shares"] == pytest.approx(dict.fromkeys(pretrained["objectives"], 1 / 3))


def test_a_run_leaves_plots_events_and_its_last_states(pretrained):
    folder = Path(pretrained["output"])
    assert (folder / "plots.png").read_bytes().startswith(b"\x89PNG")
    assert list(folder.glob("tensorboard/events.*"))
    assert [path.name for path in (folder / "states").iterdir()] == ["step-00000036"]
    _, facts = last_state(pretrained)
    assert (facts["step"], facts["processes"]) == (36, 1)
    assert facts["settings"]["learning_rate"] == pretrained["learning_rate"]


def test_the_checkpoint_is_the_average_and_every_auto_class_loads_it(pretrained):
    folder = Path(pretrained["output"]) / "checkpoint"
    stored, average = load_file(folder / "model.safetensors"), last_state(pretrained)[0]["average"]
    assert stored.keys() == average.keys()
    assert all(torch.equal(stored[name], value.bfloat16()) for name, value in average.items())
    weights = last_state(pretrained)[0]["weights"]
    assert not all(torch.equal(stored[name], value.bfloat16()) for name, value in weights.items())
    for auto_class in (AutoModel, AutoModelForPreTraining):
        model, info = auto_class.from_pretrained(folder, output_loading_info=True)
        assert not info["missing_keys"]
        prefix = "galvm." if auto_class is AutoModel else ""
        for name, value in model.state_dict().items():
            assert torch.equal(value, average[prefix + name].bfloat16().float())
    assert AutoImageProcessor.from_pretrained(folder).size == {"height": 64, "width": 64}


def test_a_run_that_is_done_is_left_as_it_is(pretrained, simulated, read_log):
    before = last_state(pretrained)[0]
    log = read_log(Path(pretrained["output"]))
    assert run(pretrained, simulated) == Path(pretrained["output"]) / "checkpoint"
    require_equal(before, last_state(pretrained)[0])
    assert read_log(Path(pretrained["output"])) == log


@pytest.mark.parametrize("strategy", ["frozen", "uniform", "active"])
def test_multitask_training(pretrained, multitask_values, simulated, read_log, strategy):
    begin = Path(pretrained["output"]) / "checkpoint"
    del multitask_values["model_overrides"]
    truth = {"kind": "parameters", "labels": ["half_light_radius", "axis_ratio"], "reference": 0.5}
    multitask_values["tasks"]["parameters"] = multitask_values["tasks"]["restoration"] | truth
    multitask_values |= {
        "strategy": strategy,
        "start_from": str(begin),
        "phases": [{"image_size": 32, "steps": 12, "batch_size": 8}],
        "learning_rate": 1e-3,
        "evaluate_every": 4,
        "ema_decay": 0.5,
    }
    folder = run(multitask_values, simulated)

    log = read_log(folder.parent)
    evaluated = [line for line in log if "validation" in line]
    assert [line["step"] for line in evaluated] == [4, 8, 12]
    assert {line["task"] for line in log} == set(multitask_values["tasks"])
    first, last = evaluated[0]["validation"], evaluated[-1]["validation"]
    images = ("restoration", "inpainting")  # what so few steps improve
    assert sum(last[task]["error"] for task in images) < sum(first[task]["error"] for task in images)
    assert set(last["morphology"]) == {"error", "balanced_accuracy", "accuracy"}

    shares = [line["shares"] for line in evaluated]
    assert shares[0] == pytest.approx(dict.fromkeys(multitask_values["tasks"], 1 / 4))
    if strategy == "active":
        tasks = multitask_values["tasks"]
        shortfalls = {name: first[name]["error"] / tasks[name]["reference"] for name in tasks}
        total = sum(shortfalls.values())
        expected = {name: (1 / 4 + 0.1 + 0.6 * value / total) / 2 for name, value in shortfalls.items()}
        assert shares[1] == pytest.approx(expected)
        assert shares[2] != shares[1]
        assert last_state(multitask_values)[1]["shares"]["shares"] != shares[2]  # moved by the last evaluation
    else:
        assert shares[1:] == shares[:-1]

    stored, started = load_file(folder / "model.safetensors"), load_file(begin / "model.safetensors")
    encoder = [name for name in started if name.startswith("galvm.")]
    same = {name for name in started if name in stored and torch.equal(stored[name], started[name])}
    if strategy == "frozen":
        assert same.issuperset(encoder)
        others = {name for name in started if name.startswith("decoder.")}
        assert others
        assert same.issuperset(others)  # heads that are not trained still fit
        trained = [name for name in stored if name.startswith(("restoration.", "inpainting."))]
        assert len(same.intersection(trained)) < 0.3 * len(trained)  # bfloat16 hides small steps
    else:
        assert len(same.intersection(encoder)) < 0.5 * len(encoder)
        assert not any(name.startswith("decoder.") for name in stored)  # it would not fit any more
    for auto_class in (AutoModelForImageClassification, AutoModelForImageToImage, AutoModelForMaskedImageModeling):
        model, info = auto_class.from_pretrained(folder, output_loading_info=True)
        assert not info["missing_keys"]
        assert all(torch.equal(value.bfloat16(), stored[name]) for name, value in model.state_dict().items())
    model, info = GalvmForParameterRegression.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert model.config.parameter_names == truth["labels"]
    assert all(deviation != 1 for deviation in model.config.parameter_deviations)
    assert list(AutoModelForImageClassification.from_pretrained(folder).config.id2label.values()) == list(CLASSES)


@pytest.mark.parametrize(
    "change", [{"micro_batch_size": 2}, {"gradient_checkpointing": True}], ids=["micro-batches", "checkpointing"]
)
def test_what_saves_memory_does_not_change_the_run(multitask_values, simulated, read_log, tmp_path, change):
    run(multitask_values, simulated)
    run({**multitask_values, **change, "output": str(tmp_path / "other")}, simulated)
    log, other = (read_log(tmp_path / name) for name in ("run", "other"))
    assert [line["task"] for line in log] == [line["task"] for line in other]
    assert [line["loss"] for line in log] == pytest.approx([line["loss"] for line in other], rel=1e-5)
    assert log[-1]["validation"]["restoration"] == pytest.approx(other[-1]["validation"]["restoration"], rel=1e-4)


@pytest.mark.parametrize(
    "change", [{"optimizer": "adam"}, {"mixed_precision": "bf16"}, {"ema_decay": 0}, {"trackers": []}]
)
def test_other_ways_to_train(pretrain_values, simulated, read_log, change):
    values = autoencode_alone(pretrain_values, 4) | {"evaluate_every": 100} | change
    run(values, simulated)
    log = read_log(Path(values["output"]))
    assert log[-1]["loss"] < log[0]["loss"]
    tensors, _ = last_state(values)
    assert {value.dtype for file in tensors.values() for value in file.values()} == {torch.float32}
    if change == {"ema_decay": 0}:
        require_equal({"": tensors["weights"]}, {"": tensors["average"]})


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_last_good_state(
    pretrain_values, simulated, read_log, tmp_path, monkeypatch
):
    values = autoencode_alone(pretrain_values, 5) | {"micro_batch_size": 2}
    make_batch, parts = Autoencoding.make_batch, []

    def spoil(self, samples, image_size, generators):
        batch = make_batch(self, samples, image_size, generators)
        if image_size == 32:  # evaluation is at 64
            parts.append(samples["id"])
            if len(parts) == 3 * 3 + 2:  # of the fourth step, the second of three
                batch["pixel_values"] = torch.full_like(batch["pixel_values"], float("nan"))
        return batch

    with monkeypatch.context() as patch:
        patch.setattr(Autoencoding, "make_batch", spoil)
        with pytest.raises(FloatingPointError) as stop:
            run(values, simulated)
    message = str(stop.value)
    assert re.search(r"autoencode.* not finite at step 4", message)
    assert str(parts[10]) in message
    assert f"{tmp_path / 'run' / 'states' / 'step-00000003'}" in message
    assert "learning_rate" in message
    tensors, facts = last_state(values)
    assert facts["step"] == 3
    stored = load_file(tmp_path / "run" / "checkpoint" / "model.safetensors")
    assert all(torch.equal(stored[name], value.bfloat16()) for name, value in tensors["average"].items())

    run(values, simulated)  # the samples are mended
    whole = values | {"output": str(tmp_path / "whole")}
    run(whole, simulated)
    require_equal(last_state(values)[0], last_state(whole)[0])
    assert [line["step"] for line in read_log(tmp_path / "run")] == [1, 2, 3, 4, 5]


def test_a_gradient_that_is_not_finite_is_never_saved(pretrain_values, simulated, monkeypatch):
    values = autoencode_alone(pretrain_values, 4)
    loss, calls = Autoencoding.loss, []

    def spoil(self, model, batch):
        calls.append(None)
        more = (0.0 * model.galvm.layernorm.weight).sqrt().sum() if len(calls) == 3 else 0.0  # slope 0 x infinity
        return loss(self, model, batch) + more

    monkeypatch.setattr(Autoencoding, "loss", spoil)
    with pytest.raises(FloatingPointError, match="autoencode"):
        run(values | {"evaluate_every": 100}, simulated)
    tensors, facts = last_state(values)
    assert facts["step"] == 2
    assert all(value.isfinite().all() for file in tensors.values() for value in file.values())


def test_weights_that_break_are_found_by_the_evaluation(pretrain_values, simulated):
    values = autoencode_alone(pretrain_values, 3)
    values |= {"learning_rate": 1e30, "warmup_steps": 0, "ema_decay": 0}
    message = "validation error of autoencode is (nan|inf) after step 1. Lower learning_rate"
    with pytest.raises(FloatingPointError, match=message):
        run(values, simulated)
    folder = Path(values["output"])
    assert not (folder / "checkpoint").exists()
    assert not list(folder.glob("states/*"))


def test_settings_that_change_a_run_are_refused_and_others_are_free(pretrain_values, simulated, read_log):
    values = autoencode_alone(pretrain_values, 2)
    run(values, simulated)
    changed = values | {"learning_rate": 0.5, "data": {**values["data"], "crop": 0.5}}
    with pytest.raises(ValueError, match=r"step-00000002 is of a run with other settings: ") as stop:
        run(changed, simulated)
    for part in ("learning_rate was 0.003 and is 0.5", "data was {", "'crop': 0.9", "'crop': 0.5", "change `output`"):
        assert part in str(stop.value)
    assert "seed" not in str(stop.value)
    run(values | {"save_minutes": 5, "keep": 1, "micro_batch_size": 1, "num_workers": 1}, simulated)
    state = Path(values["output"]) / "states" / "step-00000002" / "state.json"
    assert len(read_log(Path(values["output"]))) == 2
    state.write_text(json.dumps(json.loads(state.read_text()) | {"version": 99}))
    with pytest.raises(ValueError, match="is of version 99, and this is 1: begin a new run"):
        run(values, simulated)


def test_a_run_that_is_told_to_end_saves_and_goes_on(multitask_values, simulated, read_log, tmp_path, monkeypatch):
    multitask_values |= {"strategy": "active", "evaluate_every": 2}
    multitask_values["phases"] = [{"image_size": size, "steps": 4, "batch_size": 6} for size in (32, 64)]
    write, before = RunLog.write, signal.getsignal(signal.SIGTERM)

    def tell(self, record):
        write(self, record)
        if record["step"] in (3, 5):  # the steps after these see it: at a change of phase, and at an evaluation
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(RunLog, "write", tell)
        for step in (4, 6):
            with pytest.raises(SystemExit) as stop:
                run(multitask_values, simulated)
            assert stop.value.code == TERMINATED
            assert last_state(multitask_values)[1]["step"] == step
            assert signal.getsignal(signal.SIGTERM) is before
    run(multitask_values, simulated)

    whole = multitask_values | {"output": str(tmp_path / "whole")}
    run(whole, simulated)
    (tensors, facts), (others, expected) = last_state(multitask_values), last_state(whole)
    require_equal(tensors, others)
    assert facts["shares"] == expected["shares"]
    assert facts["streams"] == expected["streams"]
    log, other = (
        [{name: line[name] for name in line if name != "seconds"} for line in read_log(tmp_path / folder)]
        for folder in ("run", "whole")
    )
    assert log == other


def test_a_kill_right_after_a_state_is_saved_leaves_a_whole_log(pretrain_values, simulated, read_log, monkeypatch):
    values = autoencode_alone(pretrain_values, 3)
    save = StateFolder.save

    def die(self, step, tensors, facts):
        save(self, step, tensors, facts)
        if step == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StateFolder, "save", die)
        with pytest.raises(KeyboardInterrupt):
            run(values, simulated)
    run(values, simulated)
    log = read_log(Path(values["output"]))
    assert [line["step"] for line in log if "validation" in line] == [1, 2, 3]


def test_a_new_head_is_standardised_by_training_stamps_and_one_that_goes_on_is_not(
    pretrained, multitask_values, simulated, tmp_path
):
    """The numbers are those of the encoder that training began with, at the size that the first phase shows."""
    begin = Path(pretrained["output"]) / "checkpoint"
    del multitask_values["model_overrides"], multitask_values["tasks"]["inpainting"]
    del multitask_values["tasks"]["restoration"]
    multitask_values |= {
        "start_from": str(begin),
        "phases": [{"image_size": 32, "stamp_size": 32, "steps": 2, "batch_size": 4}],
    }
    folder = run(multitask_values, simulated)
    stored = load_file(folder / "model.safetensors")
    stamps, _ = load_held_out(DataSettings(["train/*.parquet"], crop=0.9), simulated, 1000, 64, [])
    images = torch.nn.functional.avg_pool2d(stamps["pixel_values"], 2)
    with torch.no_grad():
        outputs = AutoModel.from_pretrained(begin)(images)
        features = stage_statistics(outputs)
    deviations = features.std(0, correction=0).clamp(min=SMALLEST_DEVIATION)
    tolerance = {"rtol": 1e-2, "atol": 1e-3}  # checkpoints are bfloat16
    torch.testing.assert_close(stored["classifier.mean"].float(), features.mean(0), **tolerance)
    torch.testing.assert_close(stored["classifier.deviation"].float(), deviations, **tolerance)

    longer = multitask_values | {"start_from": str(folder), "output": str(tmp_path / "longer")}
    again = load_file(run(longer, simulated) / "model.safetensors")
    assert torch.equal(again["classifier.mean"], stored["classifier.mean"])
    assert not torch.equal(again["classifier.fc1.weight"], stored["classifier.fc1.weight"])


def test_each_kind_of_task_sees_images_of_the_size_that_the_phase_says(
    multitask_values, simulated, read_log, monkeypatch
):
    make_batch, evaluated = Classification.make_batch, []

    def watch(self, samples, image_size, generators):
        if not torch.is_grad_enabled():
            evaluated.append(image_size)
        return make_batch(self, samples, image_size, generators)

    monkeypatch.setattr(Classification, "make_batch", watch)
    multitask_values["phases"] = [
        {"image_size": 32, "stamp_size": 48, "steps": 6, "batch_size": 4},
        {"image_size": 48, "steps": 6, "batch_size": 4},
    ]
    log = read_log(run(multitask_values | {"evaluate_every": 6}, simulated).parent)
    sizes = [
        {line["image_size"] for line in log[first : first + 6] if line["task"] == "morphology"} for first in (0, 6)
    ]
    assert sizes == [{48}, {64}]
    assert {line["image_size"] for line in log if line["task"] != "morphology"} == {32, 48}
    assert evaluated == [48, 48, 64]  # the first is what the head is prepared with


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"data": {"sources": ["train/*.fits"]}},
            FileNotFoundError,
            r"Nothing matches 'train/\*\.fits' in .*GALVM_DATA",
        ),
        (
            {"phases": [{"image_size": 96, "steps": 1, "batch_size": 2}]},
            ValueError,
            "image_size 96 of a phase is larger than the model's image_size, 64 px",
        ),
        (
            {"phases": [{"image_size": 32, "stamp_size": 128, "steps": 1, "batch_size": 2}]},
            ValueError,
            "stamp_size 128 of a phase is larger than the model's image_size, 64 px",
        ),
    ],
)
def test_settings_that_do_not_fit_the_data_are_refused(pretrain_values, simulated, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        run(pretrain_values | change, simulated)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_other_sizes_is_refused(pretrained, pretrain_values, simulated, tmp_path):
    started = Path(pretrained["output"]) / "checkpoint"
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "model.safetensors").write_bytes((started / "model.safetensors").read_bytes())
    config = json.loads((started / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(config | {"embed_dim": 32}))
    del pretrain_values["model_overrides"]
    with pytest.raises(ValueError, match=r"in the checkpoint and .* in this run's model"):
        run(pretrain_values | {"start_from": str(changed)}, simulated)


def test_a_run_from_the_command_line(pretrain_values, simulated, write, launch, read_log, tmp_path):
    pretrain_values["phases"][0]["steps"] = 3
    command = ["accelerate.commands.launch", "--cpu", "--num_processes", "1", ROOT / "training" / "pretrain.py"]
    printed = launch(*command, "--config", write(pretrain_values), "--data", simulated)
    assert f"Checkpoint: {tmp_path / 'run' / 'checkpoint'}" in printed
    assert len(read_log(tmp_path / "run")) == 3
    AutoModel.from_pretrained(tmp_path / "run" / "checkpoint")
