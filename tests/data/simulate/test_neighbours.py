"""Galaxies and stars beside the one in the middle: where and as bright as drawn."""

import numpy as np
import pytest
import torch

from galvm_hf.data.simulate.neighbours import SPIKES_FROM, draw_neighbours, render_neighbours
from galvm_hf.data.simulate.profiles import pixel_grid


def lone_star(magnitude, x, y):
    none = torch.zeros(1, 1)
    galaxies = {"flux": torch.zeros(1, 1, 3), "radius": none + 1, "axis_ratio": none + 1, "position_angle": none}
    flux = torch.full((1, 1, 3), 10 ** (-0.4 * (magnitude - 22.5)))
    return galaxies | {"x": none, "y": none, "star_flux": flux, "star_x": none + x, "star_y": none + y}


def test_a_star_is_where_it_is_drawn_and_keeps_its_flux():
    image = render_neighbours(lone_star(20.0, 3.21, -1.7), 64)
    assert image.sum(dim=(-2, -1)).tolist() == [pytest.approx([10, 10, 10], rel=1e-5)]
    x, y = pixel_grid(64)
    assert (image[0, 1] * x).sum() / 10 == pytest.approx(3.21, abs=1e-3)
    assert (image[0, 1] * y).sum() / 10 == pytest.approx(-1.7, abs=1e-3)


def test_a_star_outside_leaves_no_light_in_the_stamp():
    assert render_neighbours(lone_star(20.0, 30.0, 0.0), 64).sum() == 0


def test_only_bright_stars_have_wings():
    bright, faint = (render_neighbours(lone_star(SPIKES_FROM + step, 0.0, 0.0), 65)[0, 1] for step in (-1, 1))
    assert (faint > 0).sum() <= 4
    assert bright[52, 52] > bright[52, 32] > 0  # spikes stand diagonally


def test_a_galaxy_has_its_flux_and_place():
    parameters = lone_star(40.0, 0.0, 0.0)
    parameters |= {"flux": torch.full((1, 1, 3), 5.0), "radius": torch.full((1, 1), 1.5), "x": torch.full((1, 1), 2.0)}
    image = render_neighbours(parameters, 129)[0, 1]
    assert image.sum() == pytest.approx(5, rel=0.02)
    assert (image * pixel_grid(129)[0]).sum() / image.sum() == pytest.approx(2.0, abs=0.02)


def test_more_area_holds_more_neighbours():
    small, large = (draw_neighbours(50, torch.Generator().manual_seed(0), size) for size in (128, 256))
    counts = [(part["flux"][..., 1] > 0).sum() + (part["star_flux"][..., 1] > 0).sum() for part in (small, large)]
    assert counts[1] / counts[0] == pytest.approx(4, rel=0.2)


def test_there_are_more_faint_ones():
    flux = draw_neighbours(400, torch.Generator().manual_seed(0), 128)["flux"][..., 1]
    magnitude = 22.5 - 2.5 * torch.log10(flux[flux > 0])
    counts = np.histogram(magnitude, [18, 19, 20, 21, 22, 23])[0]
    assert (np.diff(counts) > 0).all()
