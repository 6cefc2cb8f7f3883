"""`galvm install` and `galvm export`: what they write, what they leave alone, and that the bare name loads."""

import os
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import galvm_hf.checkpoints
from galvm_hf.interfaces.cli import app
from galvm_hf.interfaces.install import (
    MARKER,
    ForeignDirectoryError,
    checkpoint_commit,
    export_checkpoint,
    install_checkpoint,
    installed_commit,
    remove_installation,
)

LOAD = (
    "import galvm_hf; from transformers import AutoImageProcessor, AutoModel; "
    "AutoImageProcessor.from_pretrained('galvm'); print(type(AutoModel.from_pretrained('galvm')).__name__)"
)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def load_by_bare_name(cache, folder):
    environment = {**os.environ, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", LOAD]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)


def test_install_is_idempotent_upgrades_and_is_removed(tiny_checkpoint, tmp_path):
    cache = tmp_path / "hub"
    first = install_checkpoint(tiny_checkpoint, cache)
    assert first.changed
    assert len(first.commit) == 40
    assert first.commit == checkpoint_commit(tiny_checkpoint) == installed_commit(cache)
    before = contents(cache)
    assert not install_checkpoint(tiny_checkpoint, cache).changed
    assert contents(cache) == before

    newer = tmp_path / "newer"
    shutil.copytree(tiny_checkpoint, newer)
    (newer / "README.md").write_text("new")
    second = install_checkpoint(newer, cache)
    assert second.commit != first.commit
    assert [path.name for path in (second.entry / "snapshots").iterdir()] == [second.commit]
    assert (second.entry / "refs" / "main").read_text() == second.commit
    assert not [name for name in contents(cache) if name.endswith(".part")]

    assert remove_installation(cache) == second.entry
    assert list(cache.iterdir()) == []
    assert remove_installation(cache) is None


def test_a_damaged_installation_is_mended(tiny_checkpoint, tmp_path):
    done = install_checkpoint(tiny_checkpoint, tmp_path)
    weights = done.entry / "snapshots" / done.commit / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    assert installed_commit(tmp_path) is None
    assert install_checkpoint(tiny_checkpoint, tmp_path).changed
    assert installed_commit(tmp_path) == done.commit


def test_an_interrupted_installation_is_not_seen_and_can_be_finished(tiny_checkpoint, tmp_path, monkeypatch):
    import galvm_hf.interfaces.install as module

    calls = []

    def fail_late(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise OSError("no space left")
        shutil.copyfile(source, target.parent.mkdir(parents=True, exist_ok=True) or target)

    with monkeypatch.context() as patch:
        patch.setattr(module, "copy_file", fail_late)
        with pytest.raises(OSError, match="no space"):
            install_checkpoint(tiny_checkpoint, tmp_path)
    assert not (tmp_path / "models--galvm" / "refs").exists()
    assert install_checkpoint(tiny_checkpoint, tmp_path).changed


def test_an_entry_of_somebody_else_is_left_alone(tiny_checkpoint, tmp_path):
    entry = tmp_path / "models--galvm"
    (entry / "refs").mkdir(parents=True)
    (entry / "refs" / "main").write_text("0" * 40)
    before = contents(tmp_path)
    for touch in (lambda: install_checkpoint(tiny_checkpoint, tmp_path), lambda: remove_installation(tmp_path)):
        with pytest.raises(ForeignDirectoryError, match="was not made by galvm"):
            touch()
    assert contents(tmp_path) == before


def test_export_refuses_foreign_directories_and_renews_its_own(tiny_checkpoint, tmp_path):
    target = tmp_path / "galvm"
    written = export_checkpoint(tiny_checkpoint, target)
    assert {path.name for path in written} == {path.name for path in tiny_checkpoint.iterdir()}
    assert checkpoint_commit(target) == checkpoint_commit(tiny_checkpoint)
    export_checkpoint(tiny_checkpoint, target)

    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").write_text("mine")
    with pytest.raises(ForeignDirectoryError, match="--overwrite"):
        export_checkpoint(tiny_checkpoint, foreign)
    assert [path.name for path in foreign.iterdir()] == ["chapter.tex"]
    export_checkpoint(tiny_checkpoint, foreign, overwrite=True)
    assert (foreign / "chapter.tex").read_text() == "mine"
    assert (foreign / MARKER).is_file()
    with pytest.raises(NotADirectoryError):
        export_checkpoint(tiny_checkpoint, foreign / "chapter.tex")


def test_the_bare_name_loads_without_a_network(tiny_checkpoint, tmp_path):
    """From the cache in any working directory, from an exported directory, and not at all without either."""
    cache, elsewhere, beside = tmp_path / "hub", tmp_path / "elsewhere", tmp_path / "beside"
    elsewhere.mkdir()
    install_checkpoint(tiny_checkpoint, cache)
    export_checkpoint(tiny_checkpoint, beside / "galvm")
    for hub, folder in ((cache, elsewhere), (tmp_path / "empty", beside)):
        done = load_by_bare_name(hub, folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "GalvmModel"


def test_commands(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(galvm_hf.checkpoints, "released_checkpoint", lambda name: tiny_checkpoint)
    run = CliRunner().invoke
    done = run(app, ["install", "--cache-dir", str(tmp_path)])
    assert done.exit_code == 0
    assert "galvm install --remove" in done.stdout
    assert all(str(tmp_path / f"models--{name}") in done.stdout for name in galvm_hf.checkpoints.packaged())
    assert "Already there" in run(app, ["install", "--cache-dir", str(tmp_path)]).stdout
    assert "Removed" in run(app, ["install", "--remove", "--cache-dir", str(tmp_path)]).stdout
    assert "nothing to remove" in run(app, ["install", "--remove", "--cache-dir", str(tmp_path)]).stdout
    assert run(app, ["export", str(tmp_path / "copy")]).exit_code == 0
    assert "must be one of galvm, galvm-lens" in run(app, ["export", str(tmp_path / "x"), "--model", "tiny"]).stderr
    (tmp_path / "models--galvm").mkdir()
    (tmp_path / "models--galvm" / "x").touch()
    done = run(app, ["install", "--cache-dir", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_checkpoint_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(galvm_hf.checkpoints, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
        galvm_hf.checkpoints.released_checkpoint()
