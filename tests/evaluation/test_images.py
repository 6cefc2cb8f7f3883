"""The images that measurements are made on."""

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from galvm_hf.data.shards import ShardWriter
from galvm_hf.data.stamp import Stamp
from galvm_hf.evaluation.images import load_images
from galvm_hf.image_transforms_galvm import flux_to_display

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def write_pictures(path, pictures, labels=None):
    images = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format="PNG")
        images.append({"bytes": buffer.getvalue(), "path": None})
    struct = pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    columns = {"image": struct, "objid": list(range(len(images)))}
    pq.write_table(pa.table(columns | ({} if labels is None else {"label": labels})), path)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 320, 320, 3), dtype=np.uint8)


def test_the_central_200_px_are_averaged_to_128_as_opencv_does(pictures, tmp_path):
    write_pictures(tmp_path / "a.parquet", pictures, ["spiral", None, "other"])
    images = load_images([tmp_path / "a.parquet"])
    assert images.pixels.dtype == torch.float32
    assert (images.ids, images.labels) == (("0", "1", "2"), ("spiral", None, "other"))
    expected = cv2.resize(pictures[1][60:260, 60:260], (128, 128), interpolation=cv2.INTER_AREA)
    levels = images.pixels[1].numpy() * 255
    assert np.abs(levels - levels.round()).max() < 1e-4
    # g, r, z are blue, green, red; a mean half-way between two levels may be rounded either way
    difference = np.abs(levels - expected[..., ::-1].transpose(2, 0, 1))
    assert difference.max() < 1.01
    assert (difference > 0.5).mean() < 0.01


def test_flux_is_stretched_and_keeps_its_levels(tmp_path):
    flux = np.random.default_rng(1).normal(0.02, 0.01, (3, 64, 64)).astype(np.float32)
    with ShardWriter(tmp_path / "shards") as writer:
        writer.write(Stamp(flux, ("g", "r", "z"), 0.262, "a", "test", units="nanomaggy"))
    images = load_images([tmp_path / "shards"], crop=1.0, size=32)
    halved = flux_to_display(flux).reshape(3, 32, 2, 32, 2).mean((2, 4))
    assert torch.allclose(images.pixels[0], torch.from_numpy(halved), atol=1e-6)


def test_the_adaptive_crop_finds_the_galaxy(tmp_path):
    y, x = np.mgrid[:200, :200] - 99.5
    blob = (220 * np.exp(-(x**2 + y**2) / 18**2)).astype(np.uint8)
    write_pictures(tmp_path / "a.parquet", [np.repeat(blob[..., None], 3, axis=2)])
    adaptive, whole = (load_images([tmp_path / "a.parquet"], crop=crop, size=64).pixels for crop in ("adaptive", 1.0))
    assert adaptive.mean() > 1.5 * whole.mean()


def test_images_in_both_sets_are_refused(pictures, tmp_path):
    write_pictures(tmp_path / "a.parquet", pictures[:2])
    write_pictures(tmp_path / "b.parquet", pictures[1:])
    a, b = (load_images([tmp_path / name]) for name in ("a.parquet", "b.parquet"))
    with pytest.raises(ValueError, match="1 of the 2 images"):
        a.require_disjoint(b)
    a.take([0]).require_disjoint(b)
    assert len(load_images([tmp_path / "a.parquet"], number=1)) == 1


@pytest.mark.parametrize("crop", [0, 1.5, "tight"])
def test_an_impossible_crop_is_refused(crop, tmp_path):
    with pytest.raises(ValueError, match="crop must be"):
        load_images([tmp_path], crop=crop)
