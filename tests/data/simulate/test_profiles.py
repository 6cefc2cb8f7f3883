"""Light profiles and random fields: normalised, aligned, periodic."""

import math

import numpy as np
import pytest
import torch

from galvm_hf.data.simulate.light import attenuate, combine
from galvm_hf.data.simulate.profiles import edge_on_disc, exponential, pixel_grid, rotate, sersic, to_flux
from galvm_hf.data.simulate.survey import PIXEL_SCALE
from galvm_hf.data.simulate.texture import polar_field, smooth_field


def grid(side, scale):
    axis = (torch.arange(side) - (side - 1) / 2) * scale
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    return x[None], y[None]


def test_sersic_profile_holds_half_its_light_inside_its_radius():
    x, y = grid(1200, 0.1)
    image = sersic(x, y, torch.tensor([4.0]), torch.tensor([0.7]), torch.tensor([2.0]), softening=0.01)
    assert image.sum() * 0.1**2 == pytest.approx(1, abs=0.01)
    inside = (x**2 + (y / 0.7) ** 2).sqrt() < 4
    assert image[inside].sum() * 0.1**2 == pytest.approx(0.5, abs=0.01)


def test_exponential_is_the_sersic_profile_of_index_one():
    x, y = grid(200, 0.2)
    one = torch.ones(1)
    disc = exponential(torch.hypot(x, y / 0.6) / 4, 4 * one, 0.6 * one)
    np.testing.assert_allclose(disc, sersic(x, y, 4 * one, 0.6 * one, one, softening=0.0), rtol=0.02)


def test_edge_on_disc_has_a_flux_of_one_and_its_axis_ratio():
    x, y = grid(1200, 0.1)
    image = edge_on_disc(x, y, torch.tensor([4.0]), torch.tensor([0.15]))
    assert image.sum() * 0.1**2 == pytest.approx(1, abs=0.01)
    along, across = ((image * axis**2).sum().sqrt() for axis in (x, y))
    assert across / along == pytest.approx(0.15, rel=0.02)


def test_rotation_follows_the_position_angle():
    along, across = rotate(torch.tensor([[1.0]]), torch.tensor([[1.0]]), torch.tensor([math.pi / 4]))
    assert along.item() == pytest.approx(math.sqrt(2))
    assert across.item() == pytest.approx(0, abs=1e-6)


def test_the_grid_is_centred_and_in_arcsec():
    x, y = pixel_grid(5)
    assert x[2, 2] == y[2, 2] == 0
    assert x[0, 3] == pytest.approx(PIXEL_SCALE)
    assert y[3, 0] == pytest.approx(PIXEL_SCALE)


def test_magnitude_22_5_is_one_nanomaggy():
    assert to_flux(torch.tensor([22.5, 20.0])).tolist() == pytest.approx([1, 10])


def test_polar_field_closes_round_the_circle():
    angle = torch.tensor([[[0.3, 0.3 + 2 * math.pi, 0.3 - 4 * math.pi]]])
    field = polar_field(angle, torch.zeros_like(angle), 9, 12, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(field[..., 1:], field[..., :1].expand(-1, -1, 2), atol=1e-4)


def test_smooth_field_has_cells_of_its_size():
    field = smooth_field(200, 60, 6, torch.Generator().manual_seed(0))
    near, far = ((field[:, 30, 20] * field[:, 30, 20 + lag]).mean() for lag in (2, 25))
    assert near > 0.3
    assert abs(far) < 0.2


def test_dust_reddens_and_leaves_the_total():
    one = torch.ones(1, 8, 8)
    depth = torch.zeros(1, 8, 8)
    depth[0, :4] = 1.0
    image = combine([(one, torch.tensor([[1.0, 2.0, 3.0]]))], attenuate(depth))
    np.testing.assert_allclose(image.sum(dim=(-2, -1)), [[64, 128, 192]], rtol=1e-5)
    ratio = (image[0, :, 0, 0] / image[0, :, -1, 0]).tolist()
    assert ratio[0] == pytest.approx(math.exp(-1), rel=1e-4)
    assert ratio[0] < ratio[1] < ratio[2] < 1
