"""The README's snippets, as a reader would run them: each in a process of its own, with the printed results."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from galvm_hf.checkpoints import released_checkpoint
from galvm_hf.interfaces.install import install_checkpoint

README = Path(__file__).parents[1] / "README.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """A home of its own with the checkpoint installed under its bare name, and no network."""
    home = tmp_path_factory.mktemp("home")
    install_checkpoint(released_checkpoint(), home / "hub")
    return {**os.environ, "HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub"), "HF_HUB_OFFLINE": "1"}


def test_there_are_snippets():
    assert len(SNIPPETS) >= 3


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippet_prints_what_it_says(snippet, environment, tmp_path):
    expected = re.findall(r"^# => (.*)$", snippet, re.MULTILINE)
    result = subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=180, env=environment, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert expected
    assert result.stdout.splitlines() == expected


def test_documents_name_files_that_exist():
    root = README.parent
    for document in (README, root / "CHANGELOG.md", root / "model_card.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
            assert (root / target).exists(), f"{document.name} links to {target}"
    for name in re.findall(r"`((?:src|training|configs|benchmarks|docs)/[\w./-]*)`", README.read_text()):
        assert (root / name).exists(), f"README.md names {name}"
