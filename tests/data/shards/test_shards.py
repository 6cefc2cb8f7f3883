"""Shards: what `datasets` and our reader see in them, their size, their card, and jobs that are killed."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from galvm_hf.data.readers import iter_stamps
from galvm_hf.data.shards import ShardWriter, read_records, repack_sources, write_dataset_card
from galvm_hf.data.stamp import Stamp

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
datasets = pytest.importorskip("datasets")

KILLED_JOB = """
import os, random, signal, sys
import numpy as np
import datasets, pyarrow.parquet
import galvm_hf.data.shards.writer as shards
from galvm_hf.data.stamp import Stamp

root = sys.argv[1]

def stamps(start):
    for index in range(start, 60):
        flux = np.random.default_rng(index).normal(size=(3, 16, 16)).astype("f4")
        yield Stamp(flux, ("g", "r", "z"), 0.262, f"s{index}", "made", columns={"label": "ab"[index % 2]})

def write(directory, kill_at):
    # SIGKILL at the n-th of the moments around which files change: before and after each.
    moments = iter(range(10**9))
    def moment():
        if next(moments) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    def around(function):
        def wrapped(*arguments):
            moment()
            result = function(*arguments)
            moment()
            return result
        return wrapped
    os.replace, os.fsync = around(os.replace), around(os.fsync)
    with shards.ShardWriter(directory, shard_size=40_000, class_names={"label": ["a", "b"]}, job={"n": 60}) as writer:
        for stamp in stamps(writer.rows):
            moment()
            writer.write(stamp)
    os._exit(0)

for seed in (1, 2, 3):
    chance, runs = random.Random(seed), 0
    while True:
        runs += 1
        child = os.fork()
        if not child:
            write(f"{root}/killed-{seed}", chance.randrange(20, 90) if runs < 12 else None)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
    print(runs)
"""


def flux_stamp(index, size=16, **columns):
    flux = np.random.default_rng(index).normal(size=(3, size, size)).astype(np.float32)
    return Stamp(flux, ("g", "r", "z"), 0.262, f"s{index}", "made.fits", "nanomaggy", None, columns)


def encode(colour, kind="PNG", size=(24, 20)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, format=kind)
    return buffer.getvalue()


def shard_files(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.glob("*.parquet"))}


def write_shards(directory, stamps, **options):
    with ShardWriter(directory, **options) as writer:
        for stamp in stamps:
            writer.write(stamp)


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_reads_flux(tmp_path, streaming):
    stamps = [flux_stamp(index, label="ab"[index % 2], z=index / 8) for index in range(10)]
    write_shards(tmp_path / "set", stamps, class_names={"label": ["a", "b"]})
    write_dataset_card(tmp_path / "set")
    options = {"streaming": streaming, "cache_dir": tmp_path / "cache"}
    files = {"train": str(tmp_path / "set" / "train-*.parquet")}
    for loaded in (
        datasets.load_dataset("parquet", data_files=files, split="train", **options),
        datasets.load_dataset(str(tmp_path / "set"), split="train", **options),
    ):
        assert loaded.features["flux"] == datasets.Value("binary")
        assert loaded.features["shape"] == datasets.List(datasets.Value("int32"))
        assert loaded.features["label"] == datasets.ClassLabel(names=["a", "b"])
        rows = list(loaded)
        assert [row["id"] for row in rows] == [stamp.id for stamp in stamps]
        assert [row["label"] for row in rows] == [0, 1] * 5
        assert (rows[0]["bands"], rows[0]["units"], rows[0]["pixel_scale"]) == ("g,r,z", "nanomaggy", 0.262)
        for row, stamp in zip(rows, stamps, strict=True):
            np.testing.assert_array_equal(np.frombuffer(row["flux"], "<f4").reshape(row["shape"]), stamp.pixels)
            assert row["z"] == stamp.columns["z"]


def test_pictures_keep_their_bytes(tmp_path):
    jpeg = encode((200, 30, 10), "JPEG")
    pixels = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    stamps = [
        Stamp(np.zeros((20, 24, 3), np.uint8), None, None, "a", "x", encoded=jpeg),
        Stamp(pixels, None, None, "b", "x"),
    ]
    write_shards(tmp_path, stamps)
    (path,) = tmp_path.glob("*.parquet")
    assert pq.read_table(path)["image"][0].as_py()["bytes"] == jpeg
    rows = list(datasets.load_dataset("parquet", data_files=str(path), split="train", streaming=True))
    assert rows[0]["image"].size == (24, 20)
    np.testing.assert_array_equal(np.asarray(rows[1]["image"]), pixels)


def test_our_reader_gives_the_stamps_back(tmp_path):
    WCS = pytest.importorskip("astropy.wcs").WCS
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [150, 2], [-7e-5, 7e-5]
    flux = flux_stamp(1)
    stamp = Stamp(flux.pixels, flux.bands, 0.262, "s", "made.fits", "nanomaggy", wcs, {"label": None, "source": "GZ"})
    write_shards(
        tmp_path, [stamp, flux_stamp(2, label="x", source="SDSS")], columns={"label": "string", "source": "string"}
    )
    first, second = iter_stamps([tmp_path])
    np.testing.assert_array_equal(first.pixels, stamp.pixels)
    np.testing.assert_allclose(first.wcs.pixel_to_world_values(3, 4), wcs.pixel_to_world_values(3, 4))
    assert (first.id, first.source, first.units) == ("s", "made.fits", "nanomaggy")
    assert dict(first.columns) == {"label": None, "input_source": "GZ"}
    assert (second.wcs, dict(second.columns)) == (None, {"label": "x", "input_source": "SDSS"})


def test_shards_are_of_the_stated_size(tmp_path):
    write_shards(tmp_path, (flux_stamp(index, 32) for index in range(300)), shard_size=1_000_000)
    sizes = [len(content) for content in shard_files(tmp_path).values()]
    assert len(sizes) == 4
    assert all(900_000 < size < 1_100_000 for size in sizes[:-1])
    assert sizes[-1] < 1_100_000
    metadata = pq.read_metadata(tmp_path / "train-00000-of-00004.parquet")
    assert metadata.num_row_groups == 1
    write_shards(tmp_path / "small", (flux_stamp(index, 4) for index in range(300)))
    metadata = pq.read_metadata(tmp_path / "small" / "train-00000-of-00001.parquet")
    assert [metadata.row_group(group).num_rows for group in range(3)] == [128, 128, 44]
    columns = [metadata.row_group(0).column(index) for index in range(metadata.num_columns)]
    compression = {column.path_in_schema: column.compression for column in columns}
    assert (compression["flux"], compression["id"]) == ("UNCOMPRESSED", "ZSTD")
    write_shards(tmp_path / "large", (flux_stamp(index, 512) for index in range(4)))
    metadata = pq.read_metadata(tmp_path / "large" / "train-00000-of-00001.parquet")
    assert [metadata.row_group(group).num_rows for group in range(2)] == [2, 2]  # of 3 MiB each, 8 MiB at most


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_job_killed_at_random_places_ends_with_the_same_bytes(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED_JOB, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr
    runs = [int(line) for line in done.stdout.split()]
    assert len(runs) == 3
    assert min(runs) > 2  # each job was killed at least twice
    stamps = (
        Stamp(flux_stamp(index).pixels, ("g", "r", "z"), 0.262, f"s{index}", "made", columns={"label": "ab"[index % 2]})
        for index in range(60)
    )
    write_shards(tmp_path / "whole", stamps, shard_size=40_000, class_names={"label": ["a", "b"]}, job={"n": 60})
    expected = shard_files(tmp_path / "whole")
    assert len(expected) > 4
    for seed in (1, 2, 3):
        assert shard_files(tmp_path / f"killed-{seed}") == expected
        assert len(list((tmp_path / f"killed-{seed}").iterdir())) == len(expected) + 1  # the record, and no rest


def test_an_error_keeps_finished_shards_and_no_half_ones(tmp_path):
    with pytest.raises(KeyboardInterrupt), ShardWriter(tmp_path, shard_size=40_000) as writer:
        for index in range(40):
            writer.write(flux_stamp(index))
        raise KeyboardInterrupt
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[0] == ".train.shards.json"
    assert all(name.endswith(".parquet.part") for name in names[1:])
    assert list(iter_stamps([tmp_path], on_error=lambda error: None)) == []  # nobody takes them for the dataset
    again = ShardWriter(tmp_path, shard_size=40_000)
    assert again.rows == 13 * len(names[1:])
    assert not again.complete


def test_another_job_is_refused(tmp_path):
    write_shards(tmp_path, [flux_stamp(0)], job={"seed": 1})
    with pytest.raises(ValueError, match=r"seed was 1, now 2.*--overwrite"):
        ShardWriter(tmp_path, job={"seed": 2})
    with pytest.raises(ValueError, match="shard_size was 256000000, now 1000"):
        ShardWriter(tmp_path, shard_size=1000, job={"seed": 1})
    done = ShardWriter(tmp_path, job={"seed": 1})
    assert (done.complete, done.rows) == (True, 1)
    with pytest.raises(ValueError, match="is complete"):
        done.write(flux_stamp(1))
    write_shards(tmp_path, [flux_stamp(1), flux_stamp(2)], job={"seed": 2}, overwrite=True)
    assert [stamp.id for stamp in iter_stamps([tmp_path])] == ["s1", "s2"]
    (tmp_path / ".train.shards.json").unlink()
    with pytest.raises(ValueError, match="not made here"):
        ShardWriter(tmp_path)


def test_what_does_not_go_together_is_refused(tmp_path):
    picture = Stamp(np.zeros((8, 8, 3), np.uint8), None, None, "p", "x.png")
    with pytest.raises(ValueError, match=r"x\.png \(p\) is a picture"), ShardWriter(tmp_path / "a") as writer:
        writer.write(flux_stamp(0))
        writer.write(picture)
    names = {"label": ["a", "b"]}
    with pytest.raises(ValueError, match="class 'c'"), ShardWriter(tmp_path / "b", class_names=names) as writer:
        writer.write(flux_stamp(0, label="c"))
    with pytest.raises(ValueError, match="No stamp was written"), ShardWriter(tmp_path / "c"):
        pass
    with pytest.raises(ValueError, match="one word"):
        ShardWriter(tmp_path, split="../train")
    write_shards(tmp_path / "d", [flux_stamp(0)])
    with pytest.raises(ValueError, match=r"split train .* has other columns"):
        write_shards(tmp_path / "d", [picture], split="test")


def test_card_says_what_is_there(tmp_path):
    from huggingface_hub import DatasetCard

    for split, number in (("train", 20), ("test", 7)):
        with ShardWriter(tmp_path, split, 100_000, class_names={"label": ["a", "b"]}) as writer:
            for index in range(number):
                writer.write(flux_stamp(index, label="a"))
            writer.facts["made by"] = f"a test of {split}"
    path = write_dataset_card(tmp_path, "Test galaxies", "cc-by-4.0")
    card = DatasetCard.load(path)
    assert (card.data.pretty_name, card.data.license) == ("Test galaxies", "cc-by-4.0")
    assert card.data.task_categories == ["image-feature-extraction", "image-classification"]
    assert "astronomy" in card.data.tags
    assert card.data.size_categories == ["n<1K"]
    splits = {split["name"]: split for split in card.data.dataset_info["splits"]}
    assert {name: split["num_examples"] for name, split in splits.items()} == {"train": 20, "test": 7}
    assert splits["train"]["num_bytes"] > 20 * 3 * 16 * 16 * 4
    assert card.data.dataset_info["download_size"] == sum(map(len, shard_files(tmp_path).values()))
    assert "a test of train" in card.text
    assert "| train | 20 | 1 |" in card.text
    loaded = datasets.load_dataset_builder(str(tmp_path))
    assert set(loaded.info.splits) == {"train", "test"}
    write_dataset_card(tmp_path)
    assert DatasetCard.load(path).data.license == "cc-by-4.0"  # kept from the card that is there
    with pytest.raises(ValueError, match="no complete split"):
        write_dataset_card(tmp_path / "nowhere")


def write_sources(folder):
    """A folder of pictures, one of them broken."""
    folder.mkdir()
    for index in range(30):
        random = np.random.default_rng(index).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(random).save(buffer, format="JPEG")
        (folder / f"{index:02d}.jpg").write_bytes(buffer.getvalue())
    (folder / "13.jpg").write_bytes(b"junk")


def test_sources_become_shards(tmp_path):
    write_sources(tmp_path / "in")
    summary = repack_sources([tmp_path / "in"], tmp_path / "out", shard_size=20_000)
    assert (summary.number, summary.continued, len(summary.skipped)) == (29, 0, 1)
    assert "13.jpg" in (tmp_path / "out" / "train.skipped.csv").read_text()
    table = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "out" / "*.parquet"), split="train", streaming=True
    )
    rows = list(table.cast_column("image", datasets.Image(decode=False)))
    for row in rows:
        assert row["image"]["bytes"] == (tmp_path / "in" / row["id"]).read_bytes()
    text = summary.card.read_text()
    assert "skipped: 1" in text
    assert "30 files" in text
    again = repack_sources([tmp_path / "in"], tmp_path / "out", shard_size=20_000)
    assert (again.number, again.continued) == (29, 29)


def test_a_stopped_repacking_ends_with_the_same_files(tmp_path, monkeypatch):
    write_sources(tmp_path / "in")
    repack_sources([tmp_path / "in"], tmp_path / "whole", shard_size=20_000)
    write, written = ShardWriter.write, []

    def write_some(self, stamp):
        if len(written) == 21:
            raise KeyboardInterrupt
        written.append(stamp.id)
        write(self, stamp)

    monkeypatch.setattr(ShardWriter, "write", write_some)
    with pytest.raises(KeyboardInterrupt):
        repack_sources([tmp_path / "in"], tmp_path / "stopped", shard_size=20_000)
    monkeypatch.undo()
    summary = repack_sources([tmp_path / "in"], tmp_path / "stopped", shard_size=20_000)
    assert 10 < summary.continued <= 21
    assert len(summary.skipped) == 1
    assert shard_files(tmp_path / "stopped") == shard_files(tmp_path / "whole")
    assert "13.jpg" in (tmp_path / "stopped" / "train.skipped.csv").read_text()
    (tmp_path / "in" / "00.jpg").write_bytes(encode((1, 2, 3), "JPEG"))
    with pytest.raises(ValueError, match="sources was"):
        repack_sources([tmp_path / "in"], tmp_path / "stopped", shard_size=20_000)


def test_class_labels_of_parquet_sources_stay(tmp_path):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["disc", "bulge"])})
    rows = {"image": [{"bytes": encode((index, 0, 0)), "path": None} for index in range(4)], "label": [1, 0, 0, 1]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "a.parquet")
    repack_sources([tmp_path / "a.parquet"], tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=str(path), split="train", streaming=True)
    assert loaded.features["label"].names == ["disc", "bulge"]
    assert [row["label"] for row in loaded] == [1, 0, 0, 1]
    (record,) = read_records(tmp_path / "out")
    assert record["complete"]
    assert json.dumps(record)


def test_real_pictures_are_repacked(galvm_data, tmp_path):
    source = galvm_data / "legacy-lenses"
    summary = repack_sources([source], tmp_path, shard_size=500_000)
    assert summary.number == 64
    before, after = iter_stamps([source]), iter_stamps([tmp_path])
    for old, new in zip(before, after, strict=True):
        assert (old.encoded, old.id) == (new.encoded, new.id)
