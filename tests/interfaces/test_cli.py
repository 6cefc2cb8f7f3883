"""`galvm embed`, `galvm info`, `galvm evaluate probe`, and errors in one line."""

import csv
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from galvm_hf.interfaces.cli import app

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("sklearn")

run = CliRunner().invoke


def encode_galaxy(seed, wide):
    """A blob on a dark sky, round or elongated: PNG bytes."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48] - 23.5
    blob = 200 * np.exp(-((x / (12 if wide else 5)) ** 2) - (y / 5) ** 2) + random.uniform(0, 8, (48, 48))
    buffer = io.BytesIO()
    Image.fromarray(blob.astype(np.uint8)).convert("RGB").save(buffer, format="PNG")
    return buffer.getvalue()


def write_parquet(path, number, seed=0, junk=(), **columns):
    images = [
        {"bytes": b"junk" if index in junk else encode_galaxy(seed + index, index % 2), "path": None}
        for index in range(number)
    ]
    labels = ["disc" if index % 2 else "round" for index in range(number)]
    struct = pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"image": struct, "label": labels, **columns}), path)


def test_embed_writes_features_and_carries_columns(tiny_checkpoint, tmp_path):
    write_parquet(tmp_path / "a.parquet", 5, junk={1}, objid=list("abcde"), source=["survey"] * 5)
    np.save(tmp_path / "b.npy", np.random.default_rng(0).normal(size=(3, 64, 64)).astype(np.float32))
    np.save(tmp_path / "c.npy", np.full((3, 64, 64), np.nan, dtype=np.float32))
    (tmp_path / "d.png").write_bytes(encode_galaxy(9, True))
    out = tmp_path / "out" / "features.parquet"
    done = run(app, ["embed", str(tmp_path), "--out", str(out), "--model", str(tiny_checkpoint), "--batch-size", "3"])
    assert done.exit_code == 0, done.stderr
    assert "6 galaxies embedded" in done.stdout
    table = pq.read_table(out)
    assert table.schema.names == ["id", "source", "features", "label", "objid", "input_source"]
    assert table["id"].to_pylist() == ["a", "c", "d", "e", "b.npy", "d.png"]
    assert table["label"].to_pylist() == ["round", "round", "disc", "round", None, None]
    assert table["input_source"].to_pylist() == ["survey"] * 4 + [None] * 2
    kind = table.schema.field("features").type
    assert pa.types.is_fixed_size_list(kind)
    assert kind.value_type == pa.float32()
    features = np.array(table["features"].to_pylist())
    assert np.isfinite(features).all()
    with (out.parent / "features.skipped.csv").open() as stream:
        skipped = list(csv.DictReader(stream))
    assert [row["path"].split("/")[-1] for row in skipped] == ["a.parquet:1", "c.npy"]
    assert all(row["path"] in done.stderr for row in skipped)
    assert sorted(path.name for path in out.parent.iterdir()) == ["features.parquet", "features.skipped.csv"]


def test_features_do_not_depend_on_the_batch_and_are_those_of_the_model(tiny_checkpoint, tmp_path):
    from transformers import AutoImageProcessor, AutoModel

    write_parquet(tmp_path / "a.parquet", 5)
    found = []
    for batch_size in ("1", "4"):
        out = tmp_path / f"{batch_size}.parquet"
        arguments = ["--out", str(out), "--model", str(tiny_checkpoint), "--batch-size", batch_size, "--no-crop"]
        assert run(app, ["embed", str(tmp_path / "a.parquet"), *arguments]).exit_code == 0
        found.append(np.array(pq.read_table(out)["features"].to_pylist()))
    np.testing.assert_allclose(*found, atol=1e-5)
    processor, model = (kind.from_pretrained(tiny_checkpoint) for kind in (AutoImageProcessor, AutoModel))
    picture = Image.open(io.BytesIO(encode_galaxy(0, False)))
    direct = model(**processor(picture, do_adaptive_crop=False, return_tensors="pt")).pooler_output
    np.testing.assert_allclose(found[0][0], direct[0].detach(), atol=1e-5)


def test_a_clean_run_takes_an_old_list_of_skipped_images_away(tiny_checkpoint, tmp_path):
    (tmp_path / "a.png").write_bytes(encode_galaxy(0, False))
    (tmp_path / "features.skipped.csv").write_text("old")
    out = tmp_path / "features.parquet"
    assert (
        run(app, ["embed", str(tmp_path / "a.png"), "--out", str(out), "--model", str(tiny_checkpoint)]).exit_code == 0
    )
    assert not (tmp_path / "features.skipped.csv").exists()


def test_embedding_nothing_fails_and_leaves_an_older_file(tiny_checkpoint, tmp_path):
    out = tmp_path / "features.parquet"
    out.write_text("older")
    done = run(app, ["embed", str(tmp_path / "no.fits"), "--out", str(out), "--model", str(tiny_checkpoint)])
    assert done.exit_code == 1
    assert "no.fits: does not exist" in done.stderr
    assert out.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["features.parquet"]


def test_embedding_selects_g_r_z_and_skips_flux_of_unknown_zero_point(tiny_checkpoint, tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    flux = np.random.default_rng(0).normal(size=(4, 64, 64)).astype(np.float32)
    (tmp_path / "in").mkdir()
    for name, planes, header in (
        ("a.fits", flux[[0, 1, 3]], {"BANDS": "grz"}),
        ("b.fits", flux, {"BANDS": "griz"}),
        ("c.fits", flux, {"BANDS": "griz", "BUNIT": "adu"}),
        ("d.fits", flux[:3], {"BANDS": "gri"}),
    ):
        fits.PrimaryHDU(planes, fits.Header(header)).writeto(tmp_path / "in" / name)
    out = tmp_path / "features.parquet"
    done = run(app, ["embed", str(tmp_path / "in"), "--out", str(out), "--model", str(tiny_checkpoint)])
    assert done.exit_code == 0, done.stderr
    table = pq.read_table(out)
    assert table["id"].to_pylist() == ["a.fits", "b.fits"]
    np.testing.assert_allclose(*table["features"].to_pylist(), atol=1e-5)
    with out.with_suffix(".skipped.csv").open() as stream:
        causes = [row["cause"] for row in csv.DictReader(stream)]
    assert causes == [
        "is in adu, which no zero point turns into nanomaggy",
        "has the bands g, r, i, and not z",
    ]


def test_real_flux_is_embedded(galvm_data, tiny_checkpoint, tmp_path):
    out = tmp_path / "features.parquet"
    done = run(app, ["embed", str(galvm_data / "legacy-dr10-flux"), "--out", str(out), "--model", str(tiny_checkpoint)])
    assert done.exit_code == 0
    assert pq.read_metadata(out).num_rows == 6


def test_probe_compares_three_representations(tiny_checkpoint, tmp_path):
    write_parquet(tmp_path / "train.parquet", 16)
    write_parquet(tmp_path / "test.parquet", 8, seed=100)
    arguments = ["--train", str(tmp_path / "train.parquet"), "--model", str(tiny_checkpoint)]
    done = run(app, ["evaluate", "probe", *arguments, "--test", str(tmp_path / "test.parquet")])
    assert done.exit_code == 0, done.stderr
    assert "16 galaxies to train on, 8 to test on" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["checkpoint", "random", "16"]
    assert rows[2][4] == "1.000"  # pixels tell a round blob from a long one
    done = run(app, ["evaluate", "probe", *arguments, "--test", str(tmp_path / "train.parquet")])
    assert (done.exit_code, "disjoint" in done.stderr) == (1, True)
    done = run(app, ["evaluate", "probe", *arguments, "--test", str(tmp_path / "test.parquet"), "--label", "kind"])
    assert (done.exit_code, "--label" in done.stderr) == (1, True)


def test_info_says_what_is_here(tmp_path, tiny_checkpoint, monkeypatch):
    import galvm_hf.checkpoints

    monkeypatch.setattr(galvm_hf.checkpoints, "released_checkpoint", lambda name="galvm": tiny_checkpoint)
    done = run(app, ["info"])
    assert done.exit_code == 0, done.stderr
    for word in ("torch", "cpu", "tiny", "256 features", "sha256", "restoration", str(tiny_checkpoint)):
        assert word in done.stdout


@pytest.mark.parametrize(
    "arguments", [["embed", "x.png", "--model", "./nowhere"], ["demo", "--data", "nowhere", "--model", "./nowhere"]]
)
def test_errors_are_one_clear_line(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(app, arguments)
    assert done.exit_code == 1
    assert done.stderr == "Error: There is no checkpoint directory ./nowhere. Check the spelling of --model.\n"


def test_help_shows_examples():
    for command in (["embed"], ["install"], ["export"], ["demo"], ["evaluate", "probe"]):
        done = run(app, [*command, "--help"])
        assert done.exit_code == 0
        assert "Examples" in done.stdout


def test_the_command_runs_as_a_process(tmp_path):
    command = [
        sys.executable,
        "-c",
        "from galvm_hf.interfaces.cli import app; app()",
        "embed",
        "no.png",
        "--model",
        "./no",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
