"""`galvm evaluate restoration`, `inpainting` and `classification`."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from galvm_hf.interfaces.cli import app

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("sklearn")
pytest.importorskip("torchmetrics")

run = CliRunner().invoke
CLASSES = ("elliptical", "edge-on", "spiral", "other")


def write_galaxies(path, number, seed, labels=CLASSES):
    """Elliptical blobs with noise, as PNG pictures of 96 px."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :96] - 47.5
    images = []
    for _ in range(number):
        radii = random.uniform(6, 18, 2)
        blob = 200 * np.exp(-((x / radii[0]) ** 2) - (y / radii[1]) ** 2)
        noisy = blob[..., None] * random.uniform(0.6, 1, 3) + random.uniform(0, 8, (96, 96, 3))
        buffer = io.BytesIO()
        Image.fromarray(noisy.astype(np.uint8)).save(buffer, format="PNG")
        images.append({"bytes": buffer.getvalue(), "path": None})
    struct = pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"image": struct, "label": [labels[i % len(labels)] for i in range(number)]}), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("galaxies")
    write_galaxies(folder / "train.parquet", 12, 0)
    write_galaxies(folder / "test.parquet", 8, 1)
    write_galaxies(folder / "partly.parquet", 8, 2, ("spiral", None))
    return folder


def arguments(task, folder, checkpoint, *others):
    return ["evaluate", task, "--data", str(folder / "test.parquet"), "--model", str(checkpoint), *others]


def record_of(task, folder, checkpoint, tmp_path, *others):
    out = tmp_path / f"{task}.json"
    done = run(app, arguments(task, folder, checkpoint, "--out", str(out), *others))
    assert done.exit_code == 0, done.output
    return json.loads(out.read_text()), done.output


def test_restoration_is_measured_beside_classical_filters(folder, tiny_checkpoint, tmp_path):
    fit = ("--fit", str(folder / "train.parquet"))
    record, output = record_of("restoration", folder, tiny_checkpoint, tmp_path, *fit)
    psnr = {name.partition(",")[0]: of["psnr"]["value"] for name, of in record["results"].items()}
    assert list(psnr) == ["degraded", "Gaussian smoothing", "Wiener", "every-head"]
    assert psnr["degraded"] < psnr["Gaussian smoothing"] < psnr["Wiener"]
    assert f"{psnr['degraded']:.1f}" in output
    assert "8 galaxies" in output
    assert [file["name"] for file in record["data"]] == ["test.parquet", "train.parquet"]
    assert record["settings"] == {"model": "every-head", "crop": 0.625, "seed": 0}
    assert str(folder) not in json.dumps(record)
    assert record["weights"][0]["name"] == "model.safetensors"
    again, _ = record_of("restoration", folder, tiny_checkpoint, tmp_path, *fit, "--batch-size", "3")
    assert again["results"]["degraded"] == record["results"]["degraded"]


def test_inpainting_is_measured_beside_opencv(folder, tiny_checkpoint, tmp_path):
    record, output = record_of("inpainting", folder, tiny_checkpoint, tmp_path)
    assert list(record["results"]) == ["4 px", "8 px", "16 px"]
    for methods in record["results"].values():
        assert methods["OpenCV Navier-Stokes, 3 px"]["ratio"]["value"] == 1
        assert methods["mean of what is visible"]["mse"]["number"] == 8
    assert "Telea" in output


def test_classification_is_measured_and_drawn(folder, tiny_checkpoint, tmp_path):
    pytest.importorskip("matplotlib")
    plot = ("--plot", str(tmp_path / "confusion.png"))
    record, output = record_of("classification", folder, tiny_checkpoint, tmp_path, *plot)
    assert np.sum(record["results"]["confusion"]) == 8
    assert list(record["results"]["recall"]) == list(CLASSES)
    assert "balanced accuracy" in output
    assert record["settings"]["crop"] == "adaptive"
    assert (tmp_path / "confusion.png").is_file()


def test_rows_without_a_class_are_left_out(folder, tiny_checkpoint, tmp_path):
    record, _ = record_of(
        "classification", folder, tiny_checkpoint, tmp_path, "--data", str(folder / "partly.parquet"), "--crop", "1"
    )
    assert record["results"]["accuracy"]["number"] == 4


@pytest.mark.parametrize(
    ("task", "others", "message"),
    [
        ("restoration", ["--fit", "test.parquet"], "disjoint"),
        ("restoration", ["--crop", "tight"], "--crop must be"),
        ("inpainting", ["--crop", "2"], "crop must be"),
        ("classification", ["--label", "kind"], "--label"),
    ],
)
def test_what_a_user_can_mend_is_one_line(task, others, message, folder, tiny_checkpoint):
    others = [str(folder / word) if word.endswith(".parquet") else word for word in others]
    done = run(app, arguments(task, folder, tiny_checkpoint, *others))
    assert done.exit_code == 1
    assert message in done.output
    assert done.output.count("\n") == 1


@pytest.mark.parametrize("task", ["restoration", "inpainting", "classification"])
def test_help_shows_an_example(task):
    assert f"galvm evaluate {task} --data test.parquet" in run(app, ["evaluate", task, "--help"]).output
