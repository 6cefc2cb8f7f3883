"""The command line of the training scripts: help, and what is told when something is missing."""

import sys
from pathlib import Path

import pytest

from galvm_hf.train.launch import launch
from galvm_hf.train.pretrain import PretrainSettings


@pytest.fixture
def start(monkeypatch):
    """Runs the command line with arguments; gives the runs that it started."""
    monkeypatch.delenv("GALVM_DATA", raising=False)
    monkeypatch.delenv("RANK", raising=False)

    def start(*arguments: object) -> list[tuple[PretrainSettings, Path]]:
        runs = []

        def train(settings, folder):
            runs.append((settings, folder))
            return Path(settings.output) / "checkpoint"

        monkeypatch.setattr(sys, "argv", ["pretrain.py", *map(str, arguments)])
        launch("Train on galaxies.\n\n    a command", PretrainSettings, train)
        return runs

    return start


def refused(start, capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as stop:
        start(*arguments)
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_help_describes_the_script_and_its_options(start, capsys):
    with pytest.raises(SystemExit) as stop:
        start("--help")
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for part in ("Train on galaxies.\n\n    a command", "--config", "--data", "--output", "GALVM_DATA"):
        assert part in printed


def test_a_run_is_started_with_settings_and_folder(start, pretrain_values, write, capsys, tmp_path, monkeypatch):
    [(settings, folder)] = start("--config", write(pretrain_values), "--data", tmp_path)
    assert (settings.output, settings.steps, folder) == (str(tmp_path / "run"), 4, tmp_path)
    assert capsys.readouterr().out == f"Checkpoint: {tmp_path / 'run' / 'checkpoint'}\n"
    monkeypatch.setenv("GALVM_DATA", str(tmp_path / "stamps"))
    [(settings, folder)] = start("--config", write(pretrain_values), "--output", tmp_path / "other")
    assert (settings.output, folder) == (str(tmp_path / "other"), tmp_path / "stamps")


def test_one_process_alone_says_where_the_checkpoint_is(start, pretrain_values, write, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    start("--config", write(pretrain_values), "--data", tmp_path)
    assert capsys.readouterr().out == ""


def test_what_is_missing_is_told(start, capsys, pretrain_values, write, tmp_path):
    assert "--config" in refused(start, capsys, "--data", tmp_path)
    message = "name the folder of the stamps by --data or the environment variable GALVM_DATA"
    assert message in refused(start, capsys, "--config", write(pretrain_values))
    assert "none.yaml" in refused(start, capsys, "--config", tmp_path / "none.yaml", "--data", tmp_path)
    path = write({**pretrain_values, "model": "huge"})
    assert "run.yaml: " in refused(start, capsys, "--config", path, "--data", tmp_path)
