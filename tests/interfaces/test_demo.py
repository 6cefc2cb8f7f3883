"""The demo: one page that stands alone, honest about what it shows."""

import re
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from galvm_hf.interfaces.cli import app
from galvm_hf.interfaces.demo import nearest_neighbours, run_demo

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")


def test_simulated_demo_writes_one_self_contained_page(tiny_checkpoint, tmp_path):
    arguments = ["demo", "--model", str(tiny_checkpoint), "--number", "30", "--out", str(tmp_path / "demo")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    assert "30 simulated galaxies" in done.stdout
    for line in ("checkpoint", "random weights", "16 x 16 pixels", "Restoration:", "Inpainting:"):
        assert line in done.stdout
    page = (tmp_path / "demo" / "report.html").read_text()
    for heading in ("Features", "Nearest neighbours", "Linear probe", "Restoration", "Inpainting"):
        assert f"<h2>{heading}</h2>" in page
    assert "describes simulation, not the sky" in page
    assert "prefers-color-scheme: dark" in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["report.html"]


def test_missing_heads_and_labels_are_said_and_do_not_fail(tiny_checkpoint, tmp_path):
    encoder_only = tmp_path / "encoder"
    shutil.copytree(tiny_checkpoint, encoder_only)
    weights = load_file(encoder_only / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith(("restoration.", "inpainting."))}
    save_file(kept, encoder_only / "model.safetensors", metadata={"format": "pt"})
    images = tmp_path / "images"
    images.mkdir()
    random = np.random.default_rng(0)
    for index in range(12):
        np.save(images / f"{index}.npy", random.integers(0, 255, (40, 40, 3), dtype=np.uint8))
    (images / "broken.png").write_bytes(b"junk")
    summary = run_demo(tmp_path / "demo", str(encoder_only), [images], number=20)
    assert (summary.number, len(summary.skipped), summary.probes) == (12, 1, {})
    for name in ("Linear probe", "Restoration", "Inpainting"):
        assert any(note.startswith(f"{name}: left out") for note in summary.notes)
    page = summary.report.read_text()
    assert "real images" in page
    assert "simulat" not in page


def test_real_labelled_images(galvm_data, tiny_checkpoint, tmp_path):
    summary = run_demo(tmp_path, str(tiny_checkpoint), [galvm_data / "sdss-galaxy-zoo-1"], number=40)
    assert summary.number == 40
    assert set(summary.probes) == {"checkpoint", "random weights", "16 x 16 pixels"}


def test_too_few_galaxies(tiny_checkpoint, tmp_path):
    with pytest.raises(ValueError, match="needs ten"):
        run_demo(tmp_path, str(tiny_checkpoint), number=3)


def test_nearest_neighbours_are_the_most_similar_and_not_the_query():
    angles = np.array([0.0, 0.1, 0.2, 2.0, 4.0])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert 0 not in nearest_neighbours(features, 0, 4)
    assert nearest_neighbours(features, 0, 2).tolist() == [1, 2]
