"""`galvm simulate`: files that other tools read, the same by seed, continued when stopped."""

import io
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from galvm_hf.data.simulate.files.stamps import CHUNK, chunk_generator, iter_simulated
from galvm_hf.data.simulate.galaxies.population import CLASSES
from galvm_hf.data.simulate.lenses.stamps import KINDS
from galvm_hf.interfaces.simulate import simulate_app


def run(*arguments):
    return CliRunner().invoke(simulate_app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def lenses(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "lenses"
    result = run("lenses", "--number", 12, "--seed", 1, "--size", 64, "--out", out)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "fields"
    result = run("fields", "--number", 2, "--seed", 1, "--size", 200, 240, "--lenses", 3, 3, "--out", out)
    assert result.exit_code == 0, result.output
    return out


def test_datasets_reads_the_shards(lenses):
    from datasets import load_dataset

    rows = list(load_dataset("parquet", data_files=str(lenses / "train-*.parquet"), split="train", streaming=True))
    assert len(rows) == 12
    assert [row["id"] for row in rows[:2]] == ["lenses-1-00000000", "lenses-1-00000001"]
    for row, stamp in zip(rows, iter_simulated("lenses", 12, 1, 64), strict=True):
        flux = np.frombuffer(row["flux"], "<f4").reshape(row["shape"])
        np.testing.assert_array_equal(flux, stamp.pixels)
        assert (row["bands"], row["units"], row["pixel_scale"]) == ("g,r,z", "nanomaggy", 0.262)
        # 1 is a lens, and only a lens has an Einstein radius, images, a box and a mask
        lens = row["label"] == 1
        assert (row["kind"] == KINDS.index("lens")) == lens
        assert all((row[name] is not None) == lens for name in ("einstein_radius", "images", "box_x0", "mask"))
        assert row["psf_fwhm"] == pytest.approx(stamp.columns["psf_fwhm"])


def test_pictures_are_a_stream_with_their_truth(tmp_path):
    from galvm_hf.data.stream import GalaxyStream

    out = tmp_path / "pictures"
    result = run("pictures", "--number", 6, "--seed", 1, "--out", out)
    assert result.exit_code == 0, result.output
    columns = ["label", "half_light_radius", "pixel_scale"]
    (batch,) = GalaxyStream(out / "*.parquet", batch_size=8, columns=columns, shuffle=False)
    assert batch["id"][0] == "pictures-1-00000000"
    assert set(batch["label"]) <= set(CLASSES)
    # Galaxy Zoo's pictures are some thirteen radii across
    share = batch["half_light_radius"] / (batch["pixel_scale"] * 320)
    assert ((share > 0.02) & (share < 0.2)).all()
    stamp = next(iter_simulated("pictures", 6, 1, 320))
    assert stamp.pixels.shape == (320, 320, 3)
    assert run("pictures", "--number", 6, "--seed", 1, "--out", out).output.endswith("6 of them from an earlier run.\n")


def test_features_name_the_classes(lenses):
    import pyarrow.parquet as pq
    from datasets import Features

    features = Features.from_arrow_schema(pq.read_schema(next(lenses.glob("*.parquet"))))
    assert features["label"].names == ["other", "lens"]
    assert features["kind"].names == list(KINDS)


def test_the_card_says_that_it_is_simulated(lenses):
    card = (lenses / "README.md").read_text(encoding="utf-8")
    assert "- simulated" in card
    assert "none is an observation" in card


def test_our_reader_reads_the_shards(lenses):
    from galvm_hf.data.readers import iter_stamps

    stamps = list(iter_stamps([lenses]))
    assert len(stamps) == 12
    assert stamps[0].bands == ("g", "r", "z")
    assert {stamp.columns["label"] for stamp in stamps} == {"lens", "other"}


def test_galaxies(tmp_path):
    from datasets import load_dataset

    result = run("galaxies", "--number", 5, "--size", 64, "--out", tmp_path / "galaxies")
    assert result.exit_code == 0, result.output
    rows = load_dataset("parquet", data_files=str(tmp_path / "galaxies" / "*.parquet"), split="train", streaming=True)
    assert [row["id"] for row in rows] == [f"galaxies-0-{index:08d}" for index in range(5)]
    assert rows.features["label"].names == list(CLASSES)


def test_a_stamp_depends_on_the_seed_and_its_chunk_alone():
    short = list(iter_simulated("galaxies", 3, 5, 40))
    later = list(iter_simulated("galaxies", CHUNK + 2, 5, 40, start=1))
    np.testing.assert_array_equal(short[1].pixels, later[0].pixels)
    assert [stamp.id for stamp in later[:2]] == ["galaxies-5-00000001", "galaxies-5-00000002"]
    assert len(later) == CHUNK + 1
    seeds = {chunk_generator(*key).initial_seed() for key in ((0, "a", 0), (0, "a", 1), (1, "a", 0), (0, "b", 0))}
    assert len(seeds) == 4


def test_cubes(tmp_path):
    from astropy.io import fits

    out = tmp_path / "cubes"
    result = run("lenses", "--number", 4, "--seed", 1, "--size", 64, "--format", "fits", "--out", out)
    assert result.exit_code == 0, result.output
    for stamp in iter_simulated("lenses", 4, 1, 64):
        with fits.open(out / f"{stamp.id}.fits", checksum=True) as hdus:
            np.testing.assert_array_equal(hdus[0].data, stamp.pixels)
            header = hdus[0].header
            assert (header["BANDS"], header["BUNIT"], header["SIMULATD"]) == ("grz", "nanomaggy", True)
            lens = stamp.columns["label"] == "lens"
            assert ("MASK" in hdus) == lens
            if lens:
                assert header["TRUTH EINSTEIN_RADIUS"] == pytest.approx(stamp.columns["einstein_radius"])
                rows, columns = np.nonzero(hdus["MASK"].data)
                assert columns.min() == stamp.columns["box_x0"] and rows.max() + 1 == stamp.columns["box_y1"]


def test_a_stopped_job_goes_on(tmp_path):
    from astropy.io import fits

    arguments = ("lenses", "--number", 3, "--size", 40, "--format", "fits", "--out", tmp_path / "cubes")
    run(*arguments)
    files = sorted((tmp_path / "cubes").glob("*.fits"))
    whole = [fits.getdata(path) for path in files]
    files[2].unlink()
    result = run(*arguments)
    assert "2 of them from an earlier run" in result.output
    np.testing.assert_array_equal([fits.getdata(path) for path in files], whole)


@pytest.mark.parametrize("what", ["galaxies", "lenses", "fields"])
def test_other_files_are_not_written_among(what, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    result = run(what, "--number", 1, "--out", tmp_path)
    assert result.exit_code == 1
    assert "holds other files already" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_another_job_is_not_mixed_in(fields):
    result = run("fields", "--number", 2, "--seed", 2, "--size", 200, 240, "--lenses", 3, 3, "--out", fields)
    assert result.exit_code == 1
    assert "is of another job" in result.output


@pytest.mark.parametrize("arguments", [("--number", 0), ("--number", 1, "--size", 8)])
def test_nonsense_is_refused(arguments, tmp_path):
    result = run("lenses", *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_fields_have_flux_wcs_and_instances(fields):
    from astropy.io import fits
    from astropy.table import Table
    from astropy.wcs import WCS

    for index in range(2):
        table = Table.read(fields / f"field-{index:05d}.ecsv")
        with fits.open(fields / f"field-{index:05d}.fits", checksum=True) as hdus:
            assert hdus[0].data.shape == (3, 200, 240)
            assert (hdus[0].header["BANDS"], hdus[0].header["BUNIT"]) == ("grz", "nanomaggy")
            x, y = WCS(hdus[0].header).celestial.world_to_pixel_values(table["ra"], table["dec"])
            np.testing.assert_allclose(x, table["x"], atol=0.01)
            np.testing.assert_allclose(y, table["y"], atol=0.01)
            assert set(np.unique(hdus["INSTANCES"].data)) - {0} <= set(table["instance"])
        assert (table["class"] == "lens").sum() == 3
        assert str(table["einstein_radius"].unit) == "arcsec"


def test_our_reader_reads_fields(fields):
    from galvm_hf.data.readers import read_stamp

    stamp = read_stamp(fields / "field-00000.fits")
    assert stamp.pixels.shape == (3, 200, 240)
    assert (stamp.bands, stamp.units) == (("g", "r", "z"), "nanomaggy")
    assert stamp.pixel_scale == pytest.approx(0.262)
    assert stamp.wcs is not None


def test_annotations_agree_with_the_instances(fields):
    from astropy.io import fits

    coco = json.loads((fields / "annotations.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in coco["images"]] == ["field-00000.fits", "field-00001.fits"]
    assert [entry["id"] for entry in coco["annotations"]] == list(range(1, len(coco["annotations"]) + 1))
    for image in coco["images"]:
        entries = [entry for entry in coco["annotations"] if entry["image_id"] == image["id"]]
        instances = fits.getdata(fields / image["file_name"], "INSTANCES")
        for number, entry in enumerate(entries, 1):
            counts = entry["segmentation"]["counts"]
            mask = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(200, 240, order="F")
            assert mask.sum() == entry["area"]
            assert mask[instances == number].all()
            rows, columns = np.nonzero(mask)
            left, top, width, height = entry["bbox"]
            assert (columns.min(), rows.min()) == (left, top)
            assert (columns.max() + 1, rows.max() + 1) == (left + width, top + height)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_pycocotools_reads_the_annotations(fields):
    coco_module = pytest.importorskip("pycocotools.coco")
    from contextlib import redirect_stdout

    with redirect_stdout(io.StringIO()):
        coco = coco_module.COCO(str(fields / "annotations.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["lens"]
    for entry in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(entry)
        assert mask.shape == (200, 240)
        assert mask.sum() == entry["area"]
