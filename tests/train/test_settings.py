"""Settings: what a YAML file may say, and what it is told when it may not."""

from pathlib import Path

import pytest

from galvm_hf import GalvmConfig
from galvm_hf.train.multitask import MultitaskSettings
from galvm_hf.train.pretrain import PretrainSettings
from galvm_hf.train.settings import DataSettings, PhaseSettings

CONFIGS = Path(__file__).parents[2] / "configs"
SETTINGS = {"pretrain": PretrainSettings, "multitask": MultitaskSettings}
FILES = [(kind, path) for kind in SETTINGS for path in sorted((CONFIGS / kind).glob("*.yaml"))]


@pytest.mark.parametrize(("kind", "path"), FILES, ids=[f"{kind}-{path.stem}" for kind, path in FILES])
def test_the_runs_of_the_project_can_be_read(kind, path):
    settings = SETTINGS[kind].from_yaml(path)
    if not settings.start_from:  # a run before it makes that checkpoint
        assert settings.model_config().image_size >= max(phase.image_size for phase in settings.phases)


def test_the_project_has_runs():
    assert {kind for kind, _ in FILES} == set(SETTINGS)


def test_nested_settings_become_objects(pretrain_values, write):
    pretrain_values["probe"] = {"train": pretrain_values["data"], "validation": pretrain_values["validation"]}
    settings = PretrainSettings.from_yaml(write(pretrain_values))
    assert settings.data == DataSettings(["train/*.parquet"], crop=0.9)
    assert settings.phases == [PhaseSettings(32, 4, 6)]
    assert settings.probe.validation == settings.validation
    assert settings.objectives == {"autoencode": 1, "denoise": 1, "masked": 1}
    assert settings.steps == 4
    augmentation = settings.data.augmentation()
    assert (augmentation.rotation, augmentation.zoom, augmentation.shift) == ("free", (0.9, 1.1), 0.05)


def test_tasks_become_objects_by_name(multitask_values, write):
    multitask_values |= {"strategy": "active", "mixing": {"floor": 0.2}}
    settings = MultitaskSettings.from_yaml(write(multitask_values))
    assert list(settings.tasks) == sorted(multitask_values["tasks"])  # YAML was written in that order
    assert settings.tasks["morphology"].validation == DataSettings(["validation/*.parquet"], crop=0.9)
    assert (settings.mixing.momentum, settings.mixing.floor) == (0.5, 0.2)


def test_the_model_is_a_preset_with_overrides_or_that_of_a_checkpoint(pretrain_values, tiny_checkpoint, write):
    config = PretrainSettings.from_yaml(write(pretrain_values)).model_config()
    assert (config.image_size, list(config.depths), config.patch_size) == (64, [1, 1], GalvmConfig.tiny().patch_size)
    changed = {**pretrain_values, "start_from": str(tiny_checkpoint)}
    with pytest.raises(ValueError, match="start_from brings its own configuration: leave model_overrides out"):
        PretrainSettings.from_yaml(write(changed))
    del changed["model_overrides"]
    config = PretrainSettings.from_yaml(write(changed)).model_config()
    assert tuple(config.depths) == (2, 2, 2, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_speed": 1.0}, r"unknown settings \['learning_speed'\]; known are"),
        ({"model": "huge"}, "model must be one of .*'huge'"),
        ({"optimizer": "sgd"}, "optimizer must be 'adamw' or 'adam', got 'sgd'"),
        ({"mixed_precision": "fp8"}, "mixed_precision must be 'no' or 'bf16', got 'fp8'"),
        ({"learning_rate": "1e-3"}, "learning_rate.*got str.*'1e-3'"),
        ({"learning_rate": 0}, "learning_rate must be positive, got 0"),
        ({"micro_batch_size": 0}, "micro_batch_size must be positive, got 0"),
        ({"evaluate_every": -1}, "evaluate_every must be positive, got -1"),
        ({"save_minutes": 0}, "save_minutes must be positive, got 0"),
        ({"keep": 0}, "keep must be positive, got 0"),
        ({"ema_decay": 1.0}, r"ema_decay must be in \[0, 1\), got 1.0"),
        ({"ema_decay": -0.1}, r"ema_decay must be in \[0, 1\), got -0.1"),
        ({"phases": []}, "phases needs at least one"),
        ({"phases": [{"image_size": 32, "steps": 1}]}, "missing 1 required .*'batch_size'"),
        ({"phases": [{"image_size": 32, "steps": 0, "batch_size": 1}]}, "steps must be positive, got 0"),
        ({"phases": [{"image_size": 32, "steps": "1", "batch_size": 1}]}, "'steps'.*got str.*'1'"),
        (
            {"phases": [{"image_size": 32, "steps": 1, "batch_size": 1, "rate": 1}]},
            r"unknown settings \['rate'\] of phases; known are .*'steps'",
        ),
        ({"phases": 3}, "'phases'.*got int"),
        ({"data": "simulated"}, "'data'.*got str.*'simulated'"),
        ({"data": {"crop": 0.9}}, "missing 1 required .*'sources'"),
        ({"data": {"sources": []}}, "sources needs at least one"),
        ({"data": {"sources": ["a"], "colour": 1}}, r"unknown settings \['colour'\] of data; known are"),
        ({"data": {"sources": ["a"], "rotation": "some"}}, "rotation.*'some'"),
        ({"data": {"sources": ["a"], "zoom": [1.1, 0.9]}}, r"zoom.*1\.1"),
        ({"probe": {"train": {"sources": ["a"]}, "validation": {"sources": 1}}}, "'sources'.*got int"),
        ({"objectives": {}}, r"objectives must be some of .*got \[\]"),
        ({"objectives": {"sharpen": 1}}, "objectives must be some of .*'sharpen'"),
        ({"objectives": {"denoise": -1}}, "positive weight, got {'denoise': -1}"),
    ],
)
def test_wrong_settings_are_refused_with_file_setting_and_value(pretrain_values, write, change, message):
    path = write({**pretrain_values, **change})
    with pytest.raises(ValueError, match=rf"(?s)^{path}: .*{message}"):
        PretrainSettings.from_yaml(path)


TASK = {"kind": "restoration", "data": "stamps", "validation": {"sources": ["a"]}, "reference": 1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "greedy"}, "strategy must be one of .*'greedy'"),
        ({"tasks": {}}, "tasks needs at least one task"),
        ({"tasks": {"sharp": {**TASK, "kind": "sharpen"}}}, "kind of sharp must be one of .*'sharpen'"),
        ({"tasks": {"sharp": {**TASK, "data": "stars"}}}, r"data of sharp must be one of \['stamps'\], got 'stars'"),
        ({"tasks": {"sharp": {**TASK, "reference": 0}}}, "reference must be positive, got 0"),
        ({"tasks": {"sharp": {**TASK, "loss_weight": -1}}}, "loss_weight must be positive, got -1"),
        ({"tasks": {"sharp": {**TASK, "labls": []}}}, r"unknown settings \['labls'\] of tasks\.sharp"),
        ({"tasks": {"one": TASK, "two": TASK}}, "one head of each kind.*'restoration', 'restoration'"),
        ({"mixing": {"floor": "low"}}, "'floor'.*'low'"),
        ({"data": {"stamps": {"sources": ["a"], "size": 1}}}, r"unknown settings \['size'\] of data\.stamps"),
    ],
)
def test_wrong_multitask_settings_are_refused(multitask_values, write, change, message):
    path = write({**multitask_values, **change})
    with pytest.raises(ValueError, match=rf"(?s)^{path}: .*{message}"):
        MultitaskSettings.from_yaml(path)


def test_missing_settings_and_files_that_are_no_settings_are_refused(pretrain_values, tmp_path, write):
    del pretrain_values["data"]
    with pytest.raises(ValueError, match=r"run\.yaml: .*missing .* 'data'"):
        PretrainSettings.from_yaml(write(pretrain_values))
    (tmp_path / "run.yaml").write_text("")
    with pytest.raises(ValueError, match=r"run\.yaml: .*got None"):
        PretrainSettings.from_yaml(tmp_path / "run.yaml")
    (tmp_path / "run.yaml").write_text("model: [tiny\n")
    with pytest.raises(ValueError, match=r"(?s)run\.yaml: .*line 2"):
        PretrainSettings.from_yaml(tmp_path / "run.yaml")
