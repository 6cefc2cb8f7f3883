"""`galvm prepare cutouts`, `shards`, `splits` and `composites`, as they are typed."""

import numpy as np
import pytest
from made_up_stamps import write_made_up_stamps
from typer.testing import CliRunner

from galvm_hf.data.readers import iter_stamps
from galvm_hf.interfaces.cli import app

fits = pytest.importorskip("astropy.io.fits")
Table = pytest.importorskip("astropy.table").Table
pytest.importorskip("datasets")

run = CliRunner().invoke


@pytest.fixture
def survey(tmp_path):
    """One simulated brick of noise, and a catalogue of two objects in it and one outside."""
    for number, band in enumerate("grz"):
        header = fits.Header(
            {
                **{"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0},
                **{"CRPIX1": 50.5, "CRPIX2": 50.5, "CDELT1": -0.262 / 3600, "CDELT2": 0.262 / 3600},
                "BUNIT": "nanomaggy",
            }
        )
        pixels = np.random.default_rng(number).normal(size=(100, 100)).astype("f4")
        fits.PrimaryHDU(pixels, header).writeto(tmp_path / f"brick-{band}.fits")
    ra, label = [150.0, 150.0 + 40 * 0.262 / 3600, 20.0], ["spiral", "elliptical", "spiral"]
    Table({"name": ["A 1", "B/2", "C"], "ra": ra, "dec": [2.0] * 3, "label": label}).write(tmp_path / "cat.csv")
    return tmp_path


def cut(survey, *options):
    arguments = ["--images", f"{survey}/brick-{{band}}.fits", "--catalog", str(survey / "cat.csv"), "--size", "32"]
    return run(app, ["prepare", "cutouts", *arguments, "--out", str(survey / "out"), *options])


def test_cutouts_to_fits_and_on_to_shards(survey):
    done = cut(survey)
    assert done.exit_code == 0, done.stderr
    assert "2 stamps" in done.stdout
    assert "1 at an edge; 1 objects without a stamp" in done.stdout
    assert "cat.csv:2 (C)" in done.stderr
    assert sorted(path.name for path in (survey / "out").glob("[!.]*")) == [
        "A_1.fits",
        "B_2.fits",
        "catalogue.ecsv",
        "skipped.csv",
    ]
    assert "2 of them from an earlier run" in cut(survey).stdout
    arguments = [str(survey / "out"), "--out", str(survey / "set"), "--shard-size", "1MB", "--name", "Mine"]
    done = run(app, ["prepare", "shards", *arguments, "--license", "cc-by-4.0"])
    assert done.exit_code == 0, done.stderr
    assert "2 stamps" in done.stdout
    assert [stamp.id for stamp in iter_stamps([survey / "set"])] == ["A_1.fits", "B_2.fits"]
    assert "license: cc-by-4.0" in (survey / "set" / "README.md").read_text()


def test_cutouts_to_parquet_carry_labels(survey):
    done = cut(survey, "--format", "parquet")
    assert done.exit_code == 0, done.stderr
    stamps = list(iter_stamps([survey / "out"]))
    assert [(stamp.id, stamp.columns["label"]) for stamp in stamps] == [("A 1", "spiral"), ("B/2", "elliptical")]
    assert [stamp.columns["at_edge"] for stamp in stamps] == [False, True]
    assert (survey / "out" / "README.md").exists()
    assert cut(survey, "--format", "parquet").exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bands", "g,r,w"], "band w"),
        (["--ra-column", "x"], "no column x"),
        (["--pixel-scale", "-1"], "pixel_scale -1.0"),
        (["--bands", "g,g"], "name each band once"),
    ],
)
def test_errors_of_cutouts_are_one_line(survey, options, message):
    done = cut(survey, *options)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


def test_changed_options_are_refused_until_told_to_overwrite(survey):
    assert cut(survey).exit_code == 0
    done = cut(survey, "--pixel-scale", "0.3")
    assert (done.exit_code, "--overwrite" in done.stderr) == (1, True)
    done = cut(survey, "--pixel-scale", "0.3", "--overwrite")
    assert done.exit_code == 0, done.stderr


def test_errors_of_shards(tmp_path):
    arguments = [str(tmp_path / "no"), "--out", str(tmp_path / "set")]
    done = run(app, ["prepare", "shards", *arguments])
    assert done.exit_code == 1
    assert "No stamp was written" in done.stderr
    done = run(app, ["prepare", "shards", *arguments, "--shard-size", "big"])
    assert (done.exit_code, "big" in done.stderr) == (1, True)


def test_splits_of_shards(tmp_path):
    for folder, seeds in (("set", range(30)), ("held", (4, 100))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            pixels = np.random.default_rng(seed).normal(1, 0.5, size=(3, 32, 32)).astype("f4")
            np.savez(tmp_path / folder / f"{seed}.npz", flux=pixels, bands="grz")
        arguments = [str(tmp_path / folder), "--out", str(tmp_path / f"{folder}-shards")]
        assert run(app, ["prepare", "shards", *arguments]).exit_code == 0
    arguments = [str(tmp_path / "set-shards"), "--out", str(tmp_path / "splits"), "--validation", "0.2"]
    arguments += ["--exclude", str(tmp_path / "held-shards"), "--where", "bands=g,r,z"]
    done = run(app, ["prepare", "splits", *arguments])
    assert done.exit_code == 0, done.stderr
    assert "23 train, 6 validation rows" in done.stdout and "1 dropped" in done.stdout
    assert len(list(iter_stamps([tmp_path / "splits" / "train-00000.parquet"]))) == 23
    assert (tmp_path / "splits" / "splits.json").exists()
    for wrong, message in ((["--where", "bands"], "column=value"), ([], "already")):
        done = run(app, ["prepare", "splits", *arguments, *wrong])
        assert done.exit_code == 1 and message in done.stderr.splitlines()[-1]


def test_help_shows_examples():
    for command in ("cutouts", "shards", "splits"):
        done = run(app, ["prepare", command, "--help"])
        assert done.exit_code == 0
        assert "Examples" in done.stdout


def test_composites_in_two_runs(tmp_path):
    data, out = write_made_up_stamps(tmp_path / "data"), tmp_path / "out"
    arguments = ["prepare", "composites", "--data", str(data), "--split", "test", "--out", str(out), "--number", "2"]
    result = run(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.output.strip().splitlines()[-1] == f"2 composite fields in {out}, 0 of them from an earlier run."
    (out / "field-00001.json").unlink()
    assert "1 of them from an earlier run" in run(app, arguments).output
    refused = run(app, [*arguments, "--seed", "5"])
    assert refused.exit_code == 1
    assert "is of another job" in refused.output


def test_composites_need_real_images(tmp_path):
    result = run(
        app, ["prepare", "composites", "--data", str(tmp_path), "--split", "train", "--out", str(tmp_path / "o")]
    )
    assert result.exit_code == 1
    assert "holds no Parquet file" in result.output
