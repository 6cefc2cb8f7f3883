"""Annotated fields: what is read, cut and turned, and what is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("pycocotools")
from ring_fields import write_ring_fields

from galvm_hf.data.fields import Field, FieldDataset, collate_fields
from galvm_hf.data.stamp import UnreadableStampError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_ring_fields(tmp_path_factory.mktemp("fields") / "train", 6)


def square(top, left, side, size=32):
    mask = torch.zeros(1, size, size, dtype=torch.bool)
    mask[:, top : top + side, left : left + side] = True
    return mask


def test_pictures_are_read_with_their_masks(folder):
    fields = FieldDataset([folder])
    assert [len(fields.read(index).masks) for index in range(6)] == [0, 1, 2, 0, 1, 2]
    field = fields.read(2)
    picture = np.asarray(Image.open(folder / "field-00002.png")) / 255
    assert field.pixel_values.dtype == torch.float32
    np.testing.assert_allclose(field.pixel_values[2], picture[..., 0], atol=1e-6)  # red is z
    for mask, box in zip(field.masks, field.boxes, strict=True):
        x0, y0, x1, y1 = box.int().tolist()
        assert mask[y0:y1, x0:x1].sum() == mask.sum()
        assert mask[y0].any() and mask[y1 - 1].any() and mask[:, x0].any() and mask[:, x1 - 1].any()


def test_simulated_fields_are_read_as_the_image_processor_shows_them(tmp_path):
    pytest.importorskip("caustics")
    from astropy.io import fits

    from galvm_hf import GalvmImageProcessor
    from galvm_hf.data.simulate.files import write_fields

    write_fields(1, 3, (96, 112), tmp_path / "simulated", lenses=(2, 2), lookalikes=1)
    field = FieldDataset([tmp_path / "simulated"]).read(0)
    flux = fits.getdata(tmp_path / "simulated" / "field-00000.fits").astype(np.float32)
    processor = GalvmImageProcessor(do_adaptive_crop=False)
    expected = processor(flux, bands=("g", "r", "z"), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(field.pixel_values, expected)
    instances = fits.getdata(tmp_path / "simulated" / "field-00000.fits", "INSTANCES")
    assert torch.equal(field.masks.any(0), torch.from_numpy(instances > 0))


def test_labels_are_fractions_of_the_image():
    labels = Field(torch.zeros(3, 32, 64), torch.cat([square(4, 8, 8), square(4, 8, 8)], 2)[:, :, :64]).labels()
    assert labels["class_labels"].tolist() == [0]
    assert labels["boxes"].tolist() == [[(8 + 48) / 2 / 64, 8 / 32, 40 / 64, 8 / 32]]


def test_a_crop_keeps_what_is_mostly_inside():
    field = Field(torch.rand(3, 32, 32), torch.cat([square(0, 0, 8), square(20, 20, 8)]))
    part = field.crop(4, 4, 20)
    assert torch.equal(part.pixel_values, field.pixel_values[:, 4:24, 4:24])
    assert part.boxes.tolist() == [[0, 0, 4, 4], [16, 16, 20, 20]]  # a quarter of each
    assert field.crop(5, 5, 20).boxes.tolist() == [[15, 15, 20, 20]]  # nine pixels are less than a quarter


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_masks_turn_with_the_image(quarters, mirrored):
    mask = square(3, 10, 6)
    field = Field(mask.float().expand(3, -1, -1), mask).turned(quarters, mirrored)
    assert torch.equal(field.pixel_values[0] > 0.5, field.masks[0])
    assert field.masks.sum() == 36


def test_views_follow_the_generator_and_differ(folder):
    fields = FieldDataset([folder], size=48)
    views = [fields.view(2, torch.Generator().manual_seed(seed)).pixel_values for seed in (0, 0, 1)]
    assert views[0].shape == (3, 48, 48)
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])


def test_trainer_seeds_the_views(folder):
    fields = FieldDataset([folder], size=48)
    torch.manual_seed(0)
    first = fields[2]
    torch.manual_seed(0)
    assert torch.equal(fields[2]["pixel_values"], first["pixel_values"])
    batch = collate_fields([first, fields[0]])
    assert batch["pixel_values"].shape == (2, 3, 48, 48)
    assert [len(label["boxes"]) for label in batch["labels"]] == [len(first["labels"]["boxes"]), 0]


def test_what_cannot_be_used_is_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no annotations\.json"):
        FieldDataset([tmp_path])
    with pytest.raises(ValueError, match="64 x 64 px, and parts of 65 px"):
        FieldDataset([folder], size=65)
    (tmp_path / "annotations.json").write_text('{"images": []}')
    with pytest.raises(ValueError, match="not in the COCO format: KeyError: 'annotations'"):
        FieldDataset([tmp_path])
    content = json.loads((folder / "annotations.json").read_text())
    content["images"][0] |= {"height": 32, "file_name": str(folder / "field-00000.png")}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(UnreadableStampError, match=r"is of \(64, 64\) px, and its annotations are of \(32, 64\)"):
        FieldDataset([tmp_path]).read(0)
    with pytest.raises(ValueError, match="do not make a batch"):
        collate_fields([FieldDataset([folder], size)[0] for size in (32, 48)])
