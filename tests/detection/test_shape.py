"""Einstein radius and centre from box and mask: rings and arcs of known size."""

import numpy as np
import pytest

from galvm_hf.detection.shape import box_centre, einstein_radius


def ring(radius, width, half_plane=False):
    """A ring around the middle of 61 px, or the half of it to the right."""
    y, x = np.mgrid[:61, :61] - 30
    mask = np.abs(np.hypot(x, y) - radius) <= width / 2
    return mask & (x > 0) if half_plane else mask


@pytest.mark.parametrize("radius", [6, 10, 20])
@pytest.mark.parametrize("width", [3, 5, 7])
def test_a_ring_has_its_radius_wherever_its_mask_begins(radius, width):
    mask = ring(radius, width)
    assert einstein_radius(np.array([0, 0, 61, 61]), mask, (0, 0)) == pytest.approx(radius, rel=0.1)
    moved = np.array([100, 200, 161, 261])
    assert einstein_radius(moved, mask, (100, 200)) == einstein_radius(np.array([0, 0, 61, 61]), mask, (0, 0))
    assert einstein_radius(moved, mask[5:-5, 5:-5], (105, 205)) == pytest.approx(radius, rel=0.1)


def test_two_images_at_unequal_distances_have_their_mean():
    mask = np.zeros((21, 61), dtype=bool)
    mask[8:13, 2:7] = mask[8:13, 44:49] = True  # 26 px to the left of column 30, and 16 px to the right
    assert einstein_radius(np.array([0, 0, 61, 21]), mask, (0, 0)) == pytest.approx(21, abs=0.5)


def test_an_empty_mask_has_no_radius():
    assert np.isnan(einstein_radius(np.array([0, 0, 5, 5]), np.zeros((5, 5), dtype=bool), (0, 0)))


def test_the_centre_of_a_box_counts_from_pixel_centres():
    assert box_centre(np.array([0, 0, 1, 1])) == (0, 0)
    assert box_centre(np.array([10, 20, 15, 40])) == (12, 29.5)
