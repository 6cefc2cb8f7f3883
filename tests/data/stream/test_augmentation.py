"""What augmentation does to an image, and that it does nothing else."""

import cv2
import numpy as np
import pytest

from galvm_hf.data.stream import Augmentation
from galvm_hf.image_transforms_galvm import Crop, apply_crop

SIZE = 32


@pytest.fixture(scope="module")
def display():
    """A smooth random image with a different slope in each channel, `[48, 48, 3]`."""
    noise = np.random.default_rng(0).random((48, 48, 3), dtype=np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def view(display, crop, mirror=0.9, turn=0.0, zoom=0.5, shift=(0.5, 0.5), **options):
    augmentation = Augmentation(**{"rotation": "quarter", "zoom": (1, 1), "shift": 0.25} | options)
    return draw(augmentation, display, crop, (mirror, turn, zoom, *shift))[0]


def draw(augmentation, display, crop, uniform):
    result = np.full((SIZE, SIZE, 3), np.nan, dtype=np.float32)
    scale = augmentation.view(display, crop, uniform, result)
    return result, scale


# a box of the result's size: every pixel of the result is a pixel of the image
EXACT = Crop(top=5, left=9, height=SIZE, width=SIZE)
BOX = (slice(5, 5 + SIZE), slice(9, 9 + SIZE))


@pytest.mark.parametrize("rotation", ["free", "quarter", None])
def test_without_flip_and_turn_it_is_the_crop(display, rotation):
    np.testing.assert_allclose(view(display, EXACT, rotation=rotation), display[BOX], atol=1e-5)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_quarter_turns_and_mirrors_move_pixels_and_change_none(display, quarters, mirrored):
    mirror, turned = 0.1 if mirrored else 0.9, np.rot90(display[BOX], quarters)
    expected = turned[:, ::-1] if mirrored else turned
    assert np.array_equal(view(display, EXACT, mirror, turn=quarters / 4 + 0.1), expected)
    # a free turn by just as much goes the same way
    np.testing.assert_allclose(view(display, EXACT, mirror, quarters / 4, rotation="free"), expected, atol=1e-5)


def test_eight_views_are_all_there(display):
    augmentation = Augmentation(rotation="quarter", zoom=(1, 1), shift=0)
    uniforms = (np.random.default_rng(seed).random(5) for seed in range(100))
    assert len({draw(augmentation, display, EXACT, uniform)[0].tobytes() for uniform in uniforms}) == 8


@pytest.mark.parametrize("crop", [Crop(4, 8, 20, 20), Crop(-3, 2, 44, 44), Crop(0, 0, 48, 48)])
def test_a_box_of_another_size_is_resized_as_the_image_processor_does(display, crop):
    expected = apply_crop(display.transpose(2, 0, 1), crop, (SIZE, SIZE)).transpose(1, 2, 0)
    assert np.array_equal(view(display, crop), expected)
    inner = (slice(4, -4), slice(4, -4))  # at the rim the one mixes with the background, the other repeats the edge
    np.testing.assert_allclose(view(display, crop, rotation="free")[inner], expected[inner], atol=0.02)


@pytest.mark.parametrize("uniform", np.random.default_rng(1).random((20, 5)).tolist())
def test_a_box_that_is_not_turned_freely_has_whole_pixels(display, uniform):
    """Whatever its zoom and shift: a noisy image keeps the noise that averaging whole pixels leaves."""
    augmentation = Augmentation(flip=False, rotation=None, zoom=(0.5, 1.5), shift=0.3)
    seen, scale = draw(augmentation, display, EXACT, uniform)
    side = round(scale * SIZE)
    assert side == round(SIZE * (0.5 + uniform[2]))
    near = [EXACT.top + SIZE / 2 - side / 2 + SIZE * 0.3 * (2 * uniform[4] - 1)]
    near += [EXACT.left + SIZE / 2 - side / 2 + SIZE * 0.3 * (2 * uniform[3] - 1)]
    box = Crop(*(round(place) for place in near), side, side)
    expected = apply_crop(display.transpose(2, 0, 1), box, (SIZE, SIZE)).transpose(1, 2, 0)
    assert np.array_equal(seen, expected)


def test_a_free_turn_turns_by_the_angle():
    y, x = np.mgrid[:64, :64] - 31.5
    bar = np.exp(-((y / 3) ** 2) - (x / 14) ** 2).astype(np.float32)
    display = np.repeat(bar[..., None], 3, axis=2)
    seen = view(display, Crop(0, 0, 64, 64), turn=30 / 360, rotation="free")[..., 0]
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    angle = 0.5 * np.arctan2(2 * (seen * x * y).sum(), (seen * (x**2 - y**2)).sum())
    assert np.degrees(angle) == pytest.approx(-30, abs=1)  # rows count downwards: the bar turns against the clock


def test_shift_moves_the_box_and_zoom_changes_its_side(display):
    for rotation in ("free", "quarter"):
        moved = view(display, EXACT, shift=(0.75, 0.5), rotation=rotation)  # an eighth of the box to the right
        np.testing.assert_allclose(moved, display[5 : 5 + SIZE, 13 : 13 + SIZE], atol=1e-5)
        augmentation = Augmentation(flip=False, rotation=rotation, zoom=(0.5, 0.5), shift=0)
        near, scale = draw(augmentation, display, EXACT, (0.9, 0, 0, 0, 0))
        assert scale == 0.5
        middle = np.ascontiguousarray(display[5 + 8 : 5 + 24, 9 + 8 : 9 + 24])
        expected = cv2.resize(middle, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(near[1:-1, 1:-1], expected[1:-1, 1:-1], atol=0.01)


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
