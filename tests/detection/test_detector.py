"""`galvm detect` with the detector itself, of random weights: what it finds in a field is what the model says."""

from copy import copy

import numpy as np
import pytest
import torch
from planted import empty_field, plant, write_field
from transformers import AutoImageProcessor, AutoModelForObjectDetection, pipeline
from typer.testing import CliRunner

from galvm_hf.image_processing_galvm import GalvmImageProcessor
from galvm_hf.interfaces.cli import app

pytest.importorskip("torchvision")
Table = pytest.importorskip("astropy.table").Table

run = CliRunner().invoke


@pytest.fixture(scope="module")
def checkpoint(small_config, tmp_path_factory):
    from galvm_hf.modeling_galvm_detection import GalvmForLensDetection

    config = copy(small_config)
    config.num_labels, config.id2label, config.label2id = 1, {0: "lens"}, {"lens": 0}
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoints") / "random-lens"
    GalvmForLensDetection(config).save_pretrained(folder)
    GalvmImageProcessor().save_pretrained(folder)
    return folder


@pytest.fixture
def flux():
    flux = empty_field((110, 150))
    plant(flux, 60.0, 50.0)
    return flux


def test_one_tile_gives_what_the_model_gives(checkpoint, flux, tmp_path):
    path = write_field(tmp_path / "field.fits", flux)
    arguments = ["--model", str(checkpoint), "--threshold", "0.001", "--device", "cpu"]
    done = run(app, ["detect", str(path), "--out", str(tmp_path / "lenses.ecsv"), *arguments])
    assert done.exit_code == 0, done.stderr
    table = Table.read(tmp_path / "lenses.ecsv")
    model, processor = (kind.from_pretrained(checkpoint) for kind in (AutoModelForObjectDetection, AutoImageProcessor))
    display = processor(flux, bands="grz", do_adaptive_crop=False, do_resize=False, return_tensors="pt")
    with torch.inference_mode():
        outputs = model.eval()(display["pixel_values"])
    (wanted,) = processor.post_process_instance_segmentation(outputs, threshold=0.001, target_sizes=[(110, 150)])
    assert len(table) == len(wanted["scores"]) > 0
    assert table.meta["MODEL"] == "random-lens"
    found = np.stack([table[name] for name in ("score", "x0", "y0", "x1", "y1", "mask_pixels")], axis=1)
    told = torch.cat([wanted["scores"][:, None], wanted["boxes"], wanted["masks"].sum((1, 2))[:, None]], dim=1).numpy()
    np.testing.assert_allclose(found, told, rtol=1e-4, atol=1e-3)


def test_tiles_in_batches(checkpoint, flux, tmp_path):
    path = write_field(tmp_path / "field.fits", flux)
    arguments = ["--model", str(checkpoint), "--threshold", "0.001", "--device", "cpu"]
    arguments += ["--tile", "64", "--overlap", "16", "--batch-size", "4"]
    done = run(app, ["detect", str(path), "--out", str(tmp_path / "lenses.fits"), *arguments])
    assert done.exit_code == 0, done.stderr
    table = Table.read(tmp_path / "lenses.fits")
    assert len(np.unique(table["tile"])) > 1
    for low, high, side in (("x0", "x1", 150), ("y0", "y1", 110)):
        assert (table[low] >= 0).all()
        assert (table[high] <= side).all()


def test_the_pipelines_know_the_detector(checkpoint, flux, caplog):
    for task in ("lens-detection", "object-detection"):
        found = pipeline(task, model=str(checkpoint), device="cpu")(flux, bands="grz", threshold=0.001)
        assert found[0]["label"] == "lens"
    assert "not supported" not in caplog.text
