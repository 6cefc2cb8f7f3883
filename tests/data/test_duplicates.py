"""The same galaxy is known again at another scale, and no other is taken for it."""

import cv2
import numpy as np
import pytest

from galvm_hf.data import duplicates
from galvm_hf.data.duplicates import SIDE, ZOOMS, fingerprint, same_galaxies


def picture(seed, side=120):
    """A galaxy with knots, and stars around it."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:240, :240] - 119.5
    angle, flat = random.uniform(0, np.pi), random.uniform(0.4, 1)
    along, across = x * np.cos(angle) + y * np.sin(angle), (y * np.cos(angle) - x * np.sin(angle)) / flat
    light = 0.8 * np.exp(-np.hypot(along, across) / 25)
    for _ in range(25):
        at_y, at_x = random.normal(0, 45, 2)
        light += random.uniform(0.05, 0.3) * np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / 30)
    return (cv2.resize(np.clip(light, 0, 1), (side, side), interpolation=cv2.INTER_AREA)).astype(np.float32)


def seen(light, zoom=1.0, noise=0.02, seed=0):
    """A display image of it, cut `zoom` times as large, with noise of its own."""
    side = round(len(light) / zoom)
    edge = (len(light) - side) // 2
    cut = cv2.resize(light[edge : edge + side, edge : edge + side], (120, 120), interpolation=cv2.INTER_AREA)
    display = cut[..., None] * np.array([0.6, 0.8, 1.0])
    noisy = display + noise * np.random.default_rng(seed).normal(size=display.shape)
    return np.clip(noisy, 0, 1).astype(np.float32)


def prints(displays):
    return np.stack([fingerprint(display) for display in displays])


@pytest.mark.parametrize("zoom", [1.0, 1.1, 1.25, 1.38])
def test_copies_at_other_scales_are_found_and_nothing_else(zoom):
    lights = [picture(seed, 200) for seed in range(30)]
    first = prints(seen(light) for light in lights)
    second = prints(seen(light, zoom, seed=1) for light in lights[::-1])
    for one, other in ((first, second), (second, first)):
        pairs = [(row, column) for row, column, _ in same_galaxies(one, other)]
        assert pairs == [(row, 29 - row) for row in range(30)]


def test_pairs_within_a_set_are_given_once(monkeypatch):
    monkeypatch.setattr(duplicates, "_BLOCK", 4)
    lights = [picture(seed) for seed in range(9)]
    within = prints([*(seen(light) for light in lights), seen(lights[2], 1.1, seed=1), seen(lights[8], seed=2)])
    assert [pair[:2] for pair in same_galaxies(within, within)] == [(2, 9), (8, 10)]


def test_an_empty_picture_is_like_nothing():
    empty = prints([np.zeros((40, 60, 3), np.float32)] * 2 + [np.full((40, 60, 3), 0.5, np.float32)])
    assert empty.shape == (3, ZOOMS, SIDE * SIDE)
    assert np.abs(empty).max() < 0.01 and not list(same_galaxies(empty, empty))


def test_real_galaxies_of_another_set_are_found(galvm_data):
    """Two rows of the unlabelled set show galaxies of the test split, a little larger."""
    pq = pytest.importorskip("pyarrow.parquet")

    def rows(path, wanted):
        images = pq.read_table(galvm_data / path, columns=["image"])["image"].combine_chunks().field("bytes")
        pictures = [cv2.imdecode(np.frombuffer(images[row].as_py(), np.uint8), 1) for row in wanted]
        return prints(np.multiply(picture, np.float32(1 / 255)) for picture in pictures)

    first = rows("sdss-unlabelled/train-00000-of-00004.parquet", range(600, 660))
    second = rows("sdss-galaxy-zoo-1/test-00000-of-00001.parquet", range(400, 460))
    ((one, other, correlation),) = same_galaxies(first, second)
    assert (one, other) == (44, 31) and correlation > 0.98
