"""Collections: what is written is what is read, and what is wrong is refused."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from galvm_hf.hitl import Collection, build_collection
from galvm_hf.hitl import collection as module

from .conftest import FACTS, draw_galaxies, pa, pq, write_table


def test_features_are_standardised_and_read_back(collection, galaxies):
    features, _ = galaxies
    expected = (features - features.mean(0)) / features.std(0)
    read = torch.cat([chunk for _, chunk in collection.chunks()]).float().numpy()
    np.testing.assert_allclose(read, expected, atol=0.02)  # bfloat16
    rows = [700, 3, 3, 899, 0]
    np.testing.assert_array_equal(collection.take(rows).float().numpy(), read[rows])
    np.testing.assert_allclose(collection.norms(5, 10).numpy(), np.linalg.norm(read[5:15], axis=1), rtol=1e-5)
    assert collection.take([]).shape == (0, 32)


def test_it_is_an_ordinary_safetensors_file(collection):
    tensors = load_file(collection.folder / "features.safetensors")
    assert tensors["features"].shape == (900, 32)
    torch.testing.assert_close(tensors["basis"].T @ tensors["basis"], torch.eye(32), atol=1e-5, rtol=0)


def test_chunks_are_joined_without_seams(galaxies, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 128)
    made = build_collection([write_table(tmp_path / "a.parquet", *galaxies)], tmp_path / "made")
    assert [start for start, _ in made.chunks()] == list(range(0, 900, 128))
    whole = torch.cat([chunk for _, chunk in made.chunks()])
    rows = np.random.default_rng(0).permutation(900)
    assert torch.equal(made.take(rows), whole[torch.from_numpy(rows)])


def test_several_tables_follow_one_another(tmp_path):
    features, members = draw_galaxies(60)
    first = write_table(tmp_path / "a.parquet", features[:40], members[:40])
    second = write_table(tmp_path / "b.parquet", features[40:], members[40:], id=[f"b-{row}" for row in range(20)])
    made = build_collection([first, second], tmp_path / "made")
    assert len(made) == 60
    assert made.row_of("b-0") == 40
    assert made.describe(40)["kind"] == ("spiral" if members[40] else "other")


def test_columns_can_be_inputs_beside_the_features(galaxies, tmp_path):
    path = write_table(tmp_path / "a.parquet", *galaxies)
    made = build_collection([path], tmp_path / "made", inputs=["magnitude"])
    assert (made.width, made.inputs) == (33, ["magnitude"])
    beside = made.take(range(900))[:, 32].float()
    assert beside[3] == 0  # the mean, as it is not known
    assert abs(beside.mean()) < 0.01
    assert 0.98 < beside.std() < 1.02
    assert made.standardise(torch.zeros(2, 32))[:, 32].tolist() == [0, 0]


def test_the_nearest_galaxy_on_the_sky(collection):
    known = collection.describe(123)
    row, separation = collection.nearest(known["ra"] + 1 / 3600, known["dec"])
    assert row == 123
    assert separation == pytest.approx(np.cos(np.radians(known["dec"])), rel=1e-3)
    with pytest.raises(ValueError, match="no position"):
        collection.nearest(10, 95)


def test_a_picture_is_made_from_the_file_it_comes_from(tmp_path):
    pixels = np.zeros((90, 90, 3), np.uint8)
    pixels[30:60, 30:60] = (250, 120, 40)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    images = pa.array(
        [{"bytes": buffer.getvalue(), "path": None}] * 3, pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    )
    pq.write_table(pa.table({"image": images, "objid": ["x", "y", "z"]}), tmp_path / "stamps.parquet", row_group_size=2)
    sources = [str(tmp_path / "a.png"), str(tmp_path / "stamps.parquet"), str(tmp_path / "gone.png")]
    features, members = draw_galaxies(3)
    table = write_table(tmp_path / "f.parquet", features, members, id=["a.png", "z", "gone"], source=sources)
    made = build_collection([table], tmp_path / "made")
    for row in (0, 1):
        picture = Image.open(io.BytesIO(made.thumbnail(row)))
        assert picture.size == (128, 128)
        red, _, blue = picture.getpixel((64, 64))
        assert red > 200 > 100 > blue
    with pytest.raises(ValueError, match="gone"):
        made.thumbnail(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ["same"] * 20}, "same comes more than once"),
        ({"features": pa.array([[float("nan")] * 4] * 20, pa.list_(pa.float32(), 4))}, "row 0 are not finite"),
        ({"features": pa.array([[0.0] * 4] * 20, pa.list_(pa.float64(), 4))}, "float32"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(change, message, tmp_path):
    path = write_table(tmp_path / "a.parquet", *draw_galaxies(20), **change)
    with pytest.raises(ValueError, match=message):
        build_collection([path], tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_features_of_two_checkpoints_are_not_mixed(tmp_path):
    first = write_table(tmp_path / "a.parquet", *draw_galaxies(20))
    second = write_table(tmp_path / "b.parquet", *draw_galaxies(20), facts=FACTS | {"weights": "4567"})
    with pytest.raises(ValueError, match="other columns, features or models"):
        build_collection([first, second], tmp_path / "made")
    unknown = write_table(tmp_path / "c.parquet", *draw_galaxies(20), facts={"model": "tiny"})
    with pytest.raises(ValueError, match="galvm embed"):
        build_collection([unknown], tmp_path / "made")


def test_what_is_no_collection_is_refused(collection, tmp_path):
    with pytest.raises(FileNotFoundError, match="galvm prepare collection"):
        Collection(tmp_path)
    with pytest.raises(FileExistsError, match="is there already"):
        build_collection([], collection.folder)
    with pytest.raises(KeyError, match="no galaxy nobody"):
        collection.row_of("nobody")
    with pytest.raises(KeyError, match="no column redshift"):
        collection.column("redshift")
    with pytest.raises(ValueError, match=r"\[B, 32\]"):
        collection.standardise(torch.zeros(1, 7))
    whole = (collection.folder / "features.safetensors").read_bytes()
    (tmp_path / "objects.parquet").write_bytes((collection.folder / "objects.parquet").read_bytes())
    (tmp_path / "features.safetensors").write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        Collection(tmp_path)
