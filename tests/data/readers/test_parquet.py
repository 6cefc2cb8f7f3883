"""Parquet: pictures as `datasets` writes them, flux as our shards have it, and memory that stays bounded."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from galvm_hf.data.readers import iter_stamps, summarise_sources
from galvm_hf.data.stamp import UnreadableStampError

fits = pytest.importorskip("astropy.io.fits")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

GRID = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CD1_1": -0.262 / 3600, "CD2_2": 0.262 / 3600}


def encode_picture(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (24, 20), colour).save(buffer, format="PNG")
    return buffer.getvalue()


def shard(flux, **columns):
    """A table of flux [N, C, H, W] in the schema of our shards."""
    number = len(flux)
    own = {
        "id": [f"object {row}" for row in range(number)],
        "source": [f"{row}.fits" for row in range(number)],
        "flux": pa.array([stamp.astype("<f4").tobytes() for stamp in flux], pa.binary()),
        "shape": pa.array([flux.shape[1:]] * number, pa.list_(pa.int32())),
        "bands": ["g,r,z"] * number,
        "pixel_scale": pa.array([0.262] * number, pa.float64()),
        "units": ["nanomaggy"] * number,
        "wcs": [fits.Header(GRID).tostring()] * number,
    }
    return pa.table({**own, **columns})


@pytest.fixture
def flux():
    return np.random.default_rng(0).normal(size=(4, 3, 10, 12)).astype(np.float32)


def test_pictures_bring_names_of_classes_and_scalar_columns(tmp_path):
    features = {"image": {"_type": "Image"}, "label": {"names": ["disc", "bulge"], "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    encoded = [encode_picture((index, 0, 0)) for index in range(3)]
    images = [{"bytes": content, "path": None} for content in encoded]
    columns = {
        "image": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": pa.array([1, 0, -1]),
        "objid": pa.array(["x", "y", None]),
        "votes": pa.array([[1, 2], [3], []]),
        "source": pa.array(["survey"] * 3),
    }
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), tmp_path / "a.parquet")
    stamps = list(iter_stamps([tmp_path / "a.parquet"]))
    assert [stamp.columns["label"] for stamp in stamps] == ["bulge", "disc", None]
    assert [stamp.id for stamp in stamps] == ["x", "y", "a.parquet:2"]
    assert [int(stamp.pixels[0, 0, 0]) for stamp in stamps] == [0, 1, 2]
    assert [stamp.encoded for stamp in stamps] == encoded
    assert (stamps[0].source, stamps[0].columns["source"]) == (str(tmp_path / "a.parquet"), "survey")
    assert "votes" not in stamps[0].columns
    assert summarise_sources([tmp_path]) == (3, {"label": "string", "objid": pa.string(), "source": pa.string()})


def test_a_shard_of_flux_gives_back_what_a_stamp_is(tmp_path, flux):
    pq.write_table(shard(flux, ra=[1.0, 2.0, 3.0, None]), tmp_path / "a.parquet")
    stamps = list(iter_stamps([tmp_path]))
    np.testing.assert_array_equal([stamp.pixels for stamp in stamps], flux)
    first = stamps[0]
    assert (first.id, first.source, first.units, first.pixel_scale) == ("object 0", "0.fits", "nanomaggy", 0.262)
    assert first.wcs.pixel_to_world(-1, -1).ra.deg == pytest.approx(150.0)
    assert [dict(stamp.columns) for stamp in stamps] == [{"ra": 1.0}, {"ra": 2.0}, {"ra": 3.0}, {"ra": None}]
    assert summarise_sources([tmp_path]) == (4, {"ra": pa.float64()})


def test_what_a_shard_does_not_say_is_none(tmp_path, flux):
    nothing = [None] * 4
    table = shard(flux)
    for name in ("pixel_scale", "units", "wcs"):
        table = table.set_column(
            table.schema.get_field_index(name), name, pa.array(nothing, table.schema.field(name).type)
        )
    pq.write_table(table, tmp_path / "a.parquet")
    stamp = next(iter_stamps([tmp_path]))
    assert (stamp.pixel_scale, stamp.units, stamp.wcs) == (None, None, None)


@pytest.mark.parametrize(
    ("column", "value", "cause"),
    [
        ("shape", [3, 10, 13], "has 1440 bytes of flux, where the shape"),
        ("shape", [3, 10**5, 10**5], "claims the shape"),
        ("shape", [3, 120], "Give the shape as"),
        ("bands", "g,r", "has 3 planes and names the bands g, r"),
        ("bands", None, "names the bands"),
        ("flux", np.full((3, 10, 12), np.nan, dtype="<f4").tobytes(), "finite"),
        ("flux", None, "holds no image bytes"),
    ],
)
def test_a_bad_row_is_reported_and_the_rest_read(tmp_path, flux, column, value, cause):
    table = shard(flux)
    values = table[column].to_pylist()
    values[2] = value
    table = table.set_column(
        table.schema.get_field_index(column), column, pa.array(values, table.schema.field(column).type)
    )
    pq.write_table(table, tmp_path / "a.parquet")
    errors = []
    assert [stamp.id for stamp in iter_stamps([tmp_path], errors.append)] == ["object 0", "object 1", "object 3"]
    assert [error.path for error in errors] == [f"{tmp_path}/a.parquet:2"]
    assert cause in str(errors[0])


def test_a_row_group_with_a_flipped_byte_is_reported_and_the_others_read(tmp_path, flux):
    path = tmp_path / "a.parquet"
    options = {"row_group_size": 2, "compression": "none", "use_dictionary": False, "write_page_checksum": True}
    options["write_statistics"] = False  # they hold the same bytes a second time
    pq.write_table(shard(flux), path, **options)
    content = bytearray(path.read_bytes())
    content[content.index(flux[2].tobytes()) + 5] ^= 0xFF
    path.write_bytes(content)
    errors = []
    assert [stamp.id for stamp in iter_stamps([path], errors.append)] == ["object 0", "object 1"]
    assert [error.path for error in errors] == [f"{path}:2-3"]


def test_a_large_row_group_is_never_in_memory_whole(tmp_path):
    flux = np.random.default_rng(0).normal(size=(600, 3, 64, 64)).astype(np.float32)
    options = {"compression": "none", "use_dictionary": False, "write_batch_size": 4}
    pq.write_table(shard(flux), tmp_path / "a.parquet", row_group_size=600, **options)
    assert pq.read_metadata(tmp_path / "a.parquet").num_row_groups == 1
    size, before = flux.nbytes, pa.total_allocated_bytes()
    del flux
    peak = max(pa.total_allocated_bytes() for _ in iter_stamps([tmp_path]))
    assert peak - before < size / 2


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}'])
def test_a_broken_record_of_classes_is_damage(tmp_path, flux, metadata):
    table = shard(flux).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(UnreadableStampError, match="its metadata for `datasets` is broken"):
        list(iter_stamps([tmp_path]))


def test_a_file_without_images_is_refused(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UnreadableStampError, match="neither a column `image` nor `flux`"):
        list(iter_stamps([tmp_path]))
