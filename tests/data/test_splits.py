"""Splits: disjoint, stratified, the same again for a seed, and without a galaxy that another file has."""

import json
from itertools import chain

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
datasets = pytest.importorskip("datasets")

import cv2  # noqa: E402

from galvm_hf.data.shards import ShardWriter  # noqa: E402
from galvm_hf.data.simulate import BANDS, PIXEL_SCALE, simulate_galaxies  # noqa: E402
from galvm_hf.data.splits import write_splits  # noqa: E402
from galvm_hf.data.stamp import Stamp, UnreadableStampError  # noqa: E402

ROWS = 300


def encoded(seed, brightness=255):
    """A picture that is like no other of these."""
    coarse = np.random.default_rng(seed).random((12, 12, 3))
    picture = np.clip(cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC), 0, 1)
    return cv2.imencode(".png", (picture * brightness).astype(np.uint8))[1].tobytes()


def write(path, images, names=("round", "flat", "odd"), **columns):
    labels = [0 if row % 10 < 7 else 1 if row % 10 < 9 else 2 for row in range(len(images))]
    features = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=list(names)),
        **{key: datasets.Value("string") for key in columns},
    )
    rows = {"image": [{"bytes": image, "path": None} for image in images], "label": labels, **columns}
    datasets.Dataset.from_dict(rows, features).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    images = [encoded(row) for row in range(ROWS)]
    return write(tmp_path_factory.mktemp("source") / "all.parquet", images, name=[f"n{row}" for row in range(ROWS)])


def split(source, out, **options):
    sources = source if isinstance(source, list) else [source]
    return write_splits(sources, out, **{"validation": 0.2, "test": 0.1, "show_progress": False} | options)


def names(out):
    return {
        part: [
            name for path in sorted(out.glob(f"{part}-*.parquet")) for name in pq.read_table(path)["name"].to_pylist()
        ]
        for part in ("train", "validation", "test")
    }


def test_splits_are_disjoint_complete_and_stratified(source, tmp_path):
    summary = split(source, tmp_path, label="label")
    parts = names(tmp_path)
    assert sorted(chain(*parts.values())) == sorted(f"n{row}" for row in range(ROWS))
    assert summary.rows == {part: len(rows) for part, rows in parts.items()}
    assert summary.rows == {"train": 210, "validation": 60, "test": 30}
    assert summary.classes == {
        "train": {"flat": 42, "odd": 21, "round": 147},
        "validation": {"flat": 12, "odd": 6, "round": 42},
        "test": {"flat": 6, "odd": 3, "round": 21},
    }
    said = json.loads((tmp_path / "splits.json").read_text())
    assert said["rows"] == summary.rows and said["settings"]["label"] == "label"
    assert parts["train"] != sorted(parts["train"], key=lambda name: int(name[1:]))


def test_rows_and_the_metadata_of_datasets_stay_what_they_were(source, tmp_path):
    split(source, tmp_path)
    before = {row["name"]: row for row in pq.read_table(source).to_pylist()}
    (path,) = tmp_path.glob("train-*.parquet")
    file = pq.ParquetFile(path)
    assert file.schema_arrow.equals(pq.read_schema(source), check_metadata=True)
    assert all(row == before[row["name"]] for row in file.read().to_pylist())
    loaded = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["label"].names == ["round", "flat", "odd"] and loaded[0]["image"].size == (48, 48)


def test_a_seed_gives_the_same_again(source, tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        split(source, tmp_path / folder, seed=seed)
    assert names(tmp_path / "a") == names(tmp_path / "b") != names(tmp_path / "c")


def test_galaxies_of_excluded_files_are_dropped_with_all_that_show_them(source, tmp_path):
    held = write(tmp_path / "held.parquet", [encoded(7), encoded(1000), encoded(40, brightness=200)])
    again = write(tmp_path / "again.parquet", [encoded(7, brightness=210)], name=["again"])
    summary = split([source, again], tmp_path / "out", exclude=[held])
    assert {(row, of) for row, of, _ in summary.excluded} == {
        ("all.parquet:7", "held.parquet:0"),
        ("all.parquet:40", "held.parquet:2"),
        ("again.parquet:0", "held.parquet:0"),
    }
    assert summary.identical == 1 and sum(summary.rows.values()) == ROWS + 1 - 3
    left = names(tmp_path / "out")
    assert not {"n7", "n40", "again"} & {name for part in left.values() for name in part}


def test_pictures_of_one_galaxy_are_in_one_split(tmp_path):
    images = [encoded(row // 3, brightness=255 - 30 * (row % 3)) for row in range(120)]
    summary = split(
        write(tmp_path / "a.parquet", images, name=[f"n{row // 3}" for row in range(120)]), tmp_path / "out"
    )
    assert len(summary.grouped) == 120 and summary.identical == 0
    parts = [set(part) for part in names(tmp_path / "out").values()]
    assert not parts[0] & parts[1] and not parts[1] & parts[2] and not parts[0] & parts[2]
    assert sum(map(len, parts)) == 40


def test_only_rows_that_are_asked_for(source, tmp_path):
    summary = split(source, tmp_path, where={"label": "flat"}, test=0)
    assert summary.rows == {"train": 48, "validation": 12}
    assert {row["label"] for row in pq.read_table(tmp_path / "train-00000.parquet").to_pylist()} == {1}
    assert not list(tmp_path.glob("test-*"))


def test_flux_shards_are_split_and_compared_as_the_stream_shows_them(tmp_path):
    galaxies = simulate_galaxies(24, torch_generator()).flux.numpy()
    for folder, fluxes in (("shards", galaxies), ("held", galaxies[3:5] * 1.02)):
        with ShardWriter(tmp_path / folder) as writer:
            for number, flux in enumerate(fluxes):
                writer.write(Stamp(flux, BANDS, PIXEL_SCALE, f"{folder}-{number}", "simulated"))
    summary = split(tmp_path / "shards", tmp_path / "out", exclude=[tmp_path / "held"])
    assert [int(row.split(":")[1]) for row, _, _ in summary.excluded] == [3, 4]
    identities = {
        name for path in (tmp_path / "out").glob("*.parquet") for name in pq.read_table(path)["id"].to_pylist()
    }
    assert identities == {f"shards-{number}" for number in range(24)} - {"shards-3", "shards-4"}


def torch_generator():
    import torch

    return torch.Generator().manual_seed(0)


def test_large_splits_are_several_files_of_small_row_groups(source, tmp_path, monkeypatch):
    from galvm_hf.data import splits

    monkeypatch.setattr(splits, "ROW_GROUP", 32)
    monkeypatch.setattr(splits, "SHARD_BYTES", 300_000)
    split(source, tmp_path)
    paths = sorted(tmp_path.glob("train-*.parquet"))
    assert len(paths) > 1 and paths[1].name == "train-00001.parquet"
    files = [pq.ParquetFile(path) for path in paths]
    assert all(file.metadata.row_group(group).num_rows <= 32 for file in files for group in range(file.num_row_groups))
    assert sum(file.metadata.num_rows for file in files) == 210


def test_a_row_that_cannot_be_decoded_is_in_no_split(tmp_path):
    path = write(tmp_path / "a.parquet", [*(encoded(row) for row in range(20)), b"<html>"], name=["n"] * 21)
    summary = split(path, tmp_path / "out")
    assert [row for row, _ in summary.skipped] == ["a.parquet:20"] and sum(summary.rows.values()) == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 0}, "leave rows to train on"),
        ({"validation": 0.6, "test": 0.4}, "leave rows to train on"),
        ({"validation": 0.001}, "No row is left for validation"),
        ({"where": {"name": "nobody"}}, "No row is left for train"),
        ({"label": "class"}, "no column class"),
    ],
)
def test_what_cannot_be_done_is_said(source, tmp_path, options, message):
    with pytest.raises((ValueError, UnreadableStampError), match=message):
        split(source, tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_splits_are_not_written_over_by_mistake(source, tmp_path):
    split(source, tmp_path)
    with pytest.raises(ValueError, match="already"):
        split(source, tmp_path, test=0)
    split(source, tmp_path, test=0, overwrite=True)
    assert not list(tmp_path.glob("test-*"))


def test_sources_of_other_columns_are_refused(source, tmp_path):
    other = write(tmp_path / "b.parquet", [encoded(0)], names=("a", "b", "c"), name=["n"])
    with pytest.raises(ValueError, match=r"b\.parquet has other columns or class names"):
        split([source, other], tmp_path / "out")
