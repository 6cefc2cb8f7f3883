"""Samples: what augmentation does to an image, and that it does nothing else."""

import re

import cv2
import numpy as np
import pytest

from galvm_hf.data.stream.samples import Augmentation, SampleMaker, _warp
from galvm_hf.data.stream.sources import Record
from galvm_hf.image_transforms_galvm import Crop, apply_crop

SIZE = 32


@pytest.fixture(scope="module")
def display():
    """A smooth random image with a different slope in each channel, `[48, 48, 3]`."""
    noise = np.random.default_rng(0).random((48, 48, 3), dtype=np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def view(display, crop, mirror=0.9, turn=0.0, zoom=0.5, shift=(0.5, 0.5), **options):
    augmentation = Augmentation(**{"rotation": "quarter", "zoom": (1, 1), "shift": 0.25} | options)
    return warp(display, augmentation.draw(crop, SIZE, (mirror, turn, zoom, *shift)))


def warp(display, source_of):
    result = np.full((SIZE, SIZE, 3), np.nan, dtype=np.float32)
    _warp(display, source_of, result)
    return result


# a box of the result's size: every pixel of the result is a pixel of the image
EXACT = Crop(top=5, left=9, height=SIZE, width=SIZE)
BOX = (slice(5, 5 + SIZE), slice(9, 9 + SIZE))


def test_without_flip_and_turn_it_is_the_crop(display):
    np.testing.assert_allclose(view(display, EXACT), display[BOX], atol=1e-5)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_quarter_turns_and_mirrors_move_pixels_and_change_none(display, quarters, mirrored):
    seen = view(display, EXACT, mirror=0.1 if mirrored else 0.9, turn=quarters / 4 + 0.1)
    expected = np.rot90(display[BOX], quarters)
    expected = expected[:, ::-1] if mirrored else expected
    np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_eight_views_are_all_there(display):
    augmentation = Augmentation(rotation="quarter", zoom=(1, 1), shift=0)
    views = {
        warp(display, augmentation.draw(EXACT, SIZE, np.random.default_rng(seed).random(5))).round(3).tobytes()
        for seed in range(100)
    }
    assert len(views) == 8


@pytest.mark.parametrize("crop", [Crop(4, 8, 20, 20), Crop(-3, 2, 44, 44), Crop(0, 0, 48, 48)])
def test_a_box_of_another_size_is_resized_as_the_image_processor_does(display, crop):
    channels_first = display.transpose(2, 0, 1)
    expected = apply_crop(channels_first, crop, (SIZE, SIZE)).transpose(1, 2, 0)
    inner = (slice(4, -4), slice(4, -4))  # at the rim the one mixes with the background, the other repeats the edge
    np.testing.assert_allclose(view(display, crop)[inner], expected[inner], atol=0.02)


def test_a_free_turn_turns_by_the_angle():
    y, x = np.mgrid[:64, :64] - 31.5
    bar = np.exp(-((y / 3) ** 2) - (x / 14) ** 2).astype(np.float32)
    display = np.repeat(bar[..., None], 3, axis=2)
    seen = view(display, Crop(0, 0, 64, 64), turn=30 / 360, rotation="free")[..., 0]
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    angle = 0.5 * np.arctan2(2 * (seen * x * y).sum(), (seen * (x**2 - y**2)).sum())
    assert np.degrees(angle) == pytest.approx(-30, abs=1)  # rows count downwards: the bar turns against the clock


def test_shift_moves_the_box_and_zoom_changes_its_side(display):
    moved = view(display, EXACT, shift=(0.75, 0.5))  # an eighth of the box to the right
    np.testing.assert_allclose(moved, display[5 : 5 + SIZE, 13 : 13 + SIZE], atol=1e-5)
    near = Augmentation(rotation=None, zoom=(0.5, 0.5), shift=0).draw(EXACT, SIZE, (0.9, 0, 0, 0, 0))
    corner, opposite = near @ [-0.5, -0.5, 1], near @ [SIZE - 0.5, SIZE - 0.5, 1]
    np.testing.assert_allclose(corner, [9 + 8 - 0.5, 5 + 8 - 0.5])
    np.testing.assert_allclose(opposite, [9 + 24 - 0.5, 5 + 24 - 0.5])


def test_shrinking_averages_and_does_not_pick_pixels():
    checkers = np.indices((128, 128)).sum(axis=0) % 2
    display = np.repeat(checkers[..., None], 3, axis=2).astype(np.float32)
    seen = view(display, Crop(0, 0, 128, 128), turn=0.125, rotation="free")
    np.testing.assert_allclose(seen[12:20, 12:20], 0.5, atol=0.02)


def test_outside_the_image_lies_its_background():
    display = np.full((48, 48, 3), (0.1, 0.2, 0.3), dtype=np.float32)
    display[20:28, 20:28] = 1
    seen = view(display, Crop(-40, -40, 128, 128), turn=0.125, rotation="free")
    np.testing.assert_allclose(seen[0, 0], (0.1, 0.2, 0.3), atol=1e-6)
    np.testing.assert_allclose(seen[-1, -1], (0.1, 0.2, 0.3), atol=1e-6)


@pytest.mark.parametrize("wrong", [{"rotation": "half"}, {"zoom": (0, 1)}, {"zoom": (2, 1)}, {"shift": 1}])
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Augmentation(**wrong)


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
