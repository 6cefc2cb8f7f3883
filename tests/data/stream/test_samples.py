"""Samples: what is decoded, where it is cut, and what says why it is not."""

import re

import cv2
import numpy as np
import pytest

from galvm_hf.data.stream import Augmentation
from galvm_hf.data.stream.samples import SampleMaker
from galvm_hf.data.stream.sources import Record
from galvm_hf.image_transforms_galvm import find_crop

SIZE = 32


def test_colours_are_in_the_order_of_wavelength():
    picture = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    picture[..., 2] = 255  # red, to OpenCV
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    batch = SampleMaker(SIZE, None, 0).__getitems__([(0, 7, Record("a", encoded, {"label": 1}))])
    assert (batch["index"].tolist(), batch["id"], batch["label"].tolist()) == ([7], ["a"], [1])
    assert batch["pixel_values"][0, 2].min() == 1 and batch["pixel_values"][0, :2].max() == 0


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        (Record("a", None, {}), "holds no image bytes"),
        (Record("a", b"<html>", {}), "is a web page"),
        (Record("a", b"abc", {}), "is not a readable picture"),
        (Record("a", b"0" * 12, {}, (3, 2, 2), "g,r,z"), "cannot reshape"),
        (Record("a", b"\0" * 24, {}, (3, 1, 2), "g,r,i"), r"bands .*'i'"),
        (Record("a", np.full(12, np.nan, "<f4").tobytes(), {}, (3, 2, 2), "g,r,z"), "no pixel that is finite"),
    ],
)
def test_what_cannot_be_decoded_says_why(record, cause):
    batch = SampleMaker(SIZE, None, 0).__getitems__([(0, 0, record)])
    (row,) = batch["skipped"]
    assert (row.id, batch["rows"], batch["id"]) == ("a", 1, []) and re.search(cause, row.cause)


def noisy_record(height, width):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    display = np.multiply(picture, np.float32(1 / 255), dtype=np.float32)  # OpenCV's order is that of the wavelengths
    return Record("a", cv2.imencode(".png", picture)[1].tobytes(), {}), display


def symmetries(image):
    turned = [np.rot90(image, quarters) for quarters in range(4)]
    return {np.ascontiguousarray(view).tobytes() for view in (*turned, *(view[:, ::-1] for view in turned))}


def test_a_share_of_the_middle_is_averaged_bit_for_bit():
    record, display = noisy_record(320, 320)
    expected = cv2.resize(display[60:260, 60:260], (128, 128), interpolation=cv2.INTER_AREA)
    quarter = Augmentation(rotation="quarter", zoom=(1, 1), shift=0)
    seen = set()
    for augmentation in (None, quarter):
        batch = SampleMaker(128, augmentation, 0, 0.625).__getitems__([(0, index, record) for index in range(60)])
        assert batch["scale"].tolist() == [200 / 128] * 60
        samples = batch["pixel_values"].permute(0, 2, 3, 1).contiguous().numpy()
        if augmentation is None:
            assert all(np.array_equal(sample, expected) for sample in samples)
        else:
            seen = {sample.tobytes() for sample in samples}
    assert seen == symmetries(expected) and len(seen) == 8


@pytest.mark.parametrize(
    ("size", "share", "box"),
    [
        ((50, 80), 1.0, (0, 15, 50)),
        ((81, 50), 0.5, (28, 12, 25)),
        ((120, 120), 0.7, (18, 18, 84)),
    ],
)
def test_a_share_is_one_of_the_shorter_side(size, share, box):
    record, display = noisy_record(*size)
    batch = SampleMaker(16, None, 0, share).__getitems__([(0, 0, record)])
    top, left, side = box
    cut = np.ascontiguousarray(display[top : top + side, left : left + side])
    expected = cv2.resize(cut, (16, 16), interpolation=cv2.INTER_AREA)
    assert np.array_equal(batch["pixel_values"][0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("rotation", ["free", "quarter", None])
def test_scale_turns_pixels_of_the_file_into_pixels_of_the_sample(pictures, rotation):
    records = [(3, index, Record(str(index), picture, {})) for index, picture in enumerate(pictures[:30])]
    decoded = [cv2.imdecode(np.frombuffer(picture, np.uint8), 1) for picture in pictures[:30]]
    displays = [np.multiply(picture, np.float32(1 / 255)).transpose(2, 0, 1) for picture in decoded]
    boxes = [find_crop(display, (16, 16)) for display in displays]
    sides = np.array([box.width for box in boxes])
    plain = SampleMaker(16, None, 0).__getitems__(records)
    np.testing.assert_allclose(plain["scale"], sides / 16)
    assert plain["epoch"].tolist() == [3] * 30
    zoomed = SampleMaker(16, Augmentation(rotation=rotation, zoom=(2, 2)), 0).__getitems__(records)
    np.testing.assert_allclose(zoomed["scale"], 2 * sides / 16)
    ranged = SampleMaker(16, Augmentation(rotation=rotation, zoom=(0.5, 1)), 0).__getitems__(records)
    sides_drawn = 16 * ranged["scale"].numpy()
    assert ((sides_drawn >= 0.5 * sides - 0.5) & (sides_drawn <= sides)).all() and len(set(sides_drawn / sides)) > 5
