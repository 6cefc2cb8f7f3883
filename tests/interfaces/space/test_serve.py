"""Where sessions and labels go: a folder here, a dataset repository on a Space."""

import os
import re
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from galvm_hf.interfaces.space import open_desk

SPACE = Path(__file__).parents[3] / "spaces" / "hitl"


@pytest.fixture
def hub(monkeypatch):
    """What is asked of the Hub, which is never reached."""
    calls = []

    class Scheduler:
        def __init__(self, **settings):
            calls.append(("schedule", settings))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            calls.append(("last commit", {}))

    monkeypatch.setattr(huggingface_hub, "CommitScheduler", Scheduler)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **settings: calls.append(("fetch", settings)))
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_exists", lambda *_, **__: True)
    for name in ("SPACE_ID", "GALVM_LABELS_REPO"):
        monkeypatch.delenv(name, raising=False)
    return calls


def test_here_nothing_is_asked_of_the_hub(hub, survey, tmp_path, monkeypatch):
    monkeypatch.setenv("GALVM_LABELS_REPO", "somebody/labels")
    with open_desk(survey.folder, tmp_path) as desk:
        assert not desk.is_simulated
        desk.start("spirals", "ada")
    assert not hub


def test_on_a_space_labels_go_to_a_dataset(hub, survey, tmp_path, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    monkeypatch.setenv("GALVM_LABELS_REPO", "somebody/labels")
    with open_desk(survey.folder, tmp_path) as desk:
        name = desk.start("spirals", "ada")
    assert [call for call, _ in hub] == ["fetch", "schedule", "last commit"]
    fetched, scheduled = hub[0][1], hub[1][1]
    assert fetched == {"repo_type": "dataset", "local_dir": tmp_path}
    assert (scheduled["repo_id"], scheduled["repo_type"]) == ("somebody/labels", "dataset")
    committed = huggingface_hub.utils.filter_repo_objects(
        [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()],
        ignore_patterns=scheduled["ignore_patterns"],
    )
    assert list(committed) == [f"sessions/{name}/ada.jsonl"]


def test_the_simulated_survey_is_made_once(hub, tiny_checkpoint, tmp_path):
    tokens = []
    for _ in range(2):
        with open_desk(None, tmp_path, str(tiny_checkpoint), "cpu", number=12) as desk:
            assert desk.is_simulated
            assert len(desk.collection) == 12
            tokens.append(desk.collection.token)
            if "spirals" not in desk.names():
                desk.start("spirals", "ada")
    assert tokens[0] == tokens[1]
    assert desk.names() == ["spirals"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sessions", "simulated-survey"]


def test_the_front_matter_of_the_space_is_complete():
    text = (SPACE / "README.md").read_text()
    facts = huggingface_hub.RepoCard(text).data.to_dict()
    for key in ("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "app_file", "license"):
        assert facts[key], key
    assert len(facts["short_description"]) <= 60
    assert (SPACE / facts["app_file"]).is_file()
    oldest = re.search(r'"gradio>=([\d.]+)"', (SPACE.parents[1] / "pyproject.toml").read_text())[1]
    assert facts["sdk_version"].startswith(oldest)


def test_the_space_says_what_is_wrong_with_a_collection(tmp_path):
    environment = os.environ | {"GALVM_COLLECTION": str(tmp_path / "nothing")}
    done = subprocess.run(
        [sys.executable, SPACE / "app.py"], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "is no collection" in done.stderr
