"""Look-alikes: every kind is what it is called, and none is given away by its brightness."""

import pytest
import torch

from galvm_hf.data.simulate.draw import take
from galvm_hf.data.simulate.lenses.lookalikes import LOOKALIKES, draw_lookalikes, render_lookalikes
from galvm_hf.data.simulate.lenses.red_galaxies import render_red_galaxies
from galvm_hf.data.simulate.lenses.systems import draw_lenses
from galvm_hf.data.simulate.survey import PIXEL_SCALE, PSF_FWHM, SKY_NOISE


@pytest.fixture(scope="module")
def parameters():
    return draw_lookalikes(60, torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def blue_light(parameters):
    """What each kind adds to its red galaxy, [N, 3, 127, 127]."""
    return render_lookalikes(parameters, 127) - render_red_galaxies(parameters, 127)


def of_kind(parameters, name):
    return parameters["kind"] == LOOKALIKES.index(name)


def test_kinds_come_in_equal_parts(parameters):
    assert torch.bincount(parameters["kind"]).tolist() == [10] * len(LOOKALIKES)


def test_blue_light_has_its_flux(parameters, blue_light):
    """To a sixth: the smallest and thinnest companions are little more than a pixel across."""
    measured = blue_light.sum(dim=(-2, -1))
    torch.testing.assert_close(measured, parameters["blue_flux"], rtol=0.16, atol=1e-3)


def test_a_red_galaxy_alone_has_no_blue_light(parameters, blue_light):
    assert blue_light[of_kind(parameters, "red galaxy")].abs().max() < 1e-6


def test_a_ring_is_brightest_on_a_circle(parameters, blue_light):
    """In rings the light peaks away from the middle: the ring's radius holds more than the centre, in each of them."""
    ring = of_kind(parameters, "ring")
    part, light = take(parameters, ring), blue_light[ring][:, 1]
    axis = (torch.arange(127) - 63) * PIXEL_SCALE
    for row in range(len(light)):
        distance = (axis[:, None] - part["y"][row]).hypot(axis - part["x"][row])
        size = part["size"][row]
        on_ring = light[row][(distance > 0.55 * size) & (distance < 1.3 * size)].mean()
        assert on_ring > 1.3 * light[row][distance < 0.35 * size].mean()


def test_companions_and_discs_lie_where_images_of_lenses_would(parameters, blue_light):
    for name in ("companions", "edge-on neighbour"):
        chosen = of_kind(parameters, name)
        light = blue_light[chosen][:, 0]
        axis = (torch.arange(127) - 63) * PIXEL_SCALE
        distance = (light * axis[:, None].hypot(axis)).sum(dim=(-2, -1)) / light.sum(dim=(-2, -1))
        assert (distance > 1.0).all() and (distance < 4.0).all()


def test_discs_beside_ellipticals_are_thin(parameters):
    thin = parameters["companion_axis_ratio"][of_kind(parameters, "edge-on neighbour")]
    assert thin.max() < 0.33


def test_tidal_arcs_lie_on_one_side(parameters, blue_light):
    chosen = of_kind(parameters, "tidal arc")
    light = blue_light[chosen][:, 1]
    axis = (torch.arange(127) - 63) * PIXEL_SCALE
    x, y = ((light * part).sum(dim=(-2, -1)) / light.sum(dim=(-2, -1)) for part in (axis, axis[:, None]))
    assert (x.hypot(y) > 0.4 * parameters["size"][chosen]).all()


def test_blue_light_is_as_bright_as_lensed_arcs(parameters):
    """Brightness must not tell lenses from look-alikes: the medians in g lie within a magnitude."""
    psf_fwhm, sky = (torch.tensor(value).expand(48, -1) for value in (PSF_FWHM, SKY_NOISE))
    arcs = draw_lenses(psf_fwhm, sky, 128, torch.Generator().manual_seed(6)).truth["arc_flux_g"]
    blue = parameters["blue_flux"][~of_kind(parameters, "red galaxy"), 0]
    assert (2.5 * torch.log10(arcs.median() / blue.median())).abs() < 1.0
