"""Simulated galaxies: reproducible, in physical units, and as their truth says."""

import math

import numpy as np
import pytest
import torch

from galvm_hf.data.psf import moffat_transfer
from galvm_hf.data.simulate import CLASSES, PIXEL_SCALE, simulate_galaxies
from galvm_hf.data.simulate.profiles import edge_on_disc, rotate, sersic, spiral_disc
from galvm_hf.data.simulate.survey import SKY_NOISE


@pytest.fixture(scope="module")
def galaxies():
    return simulate_galaxies(60, torch.Generator().manual_seed(1))


def grid(side, scale):
    axis = (torch.arange(side) - (side - 1) / 2) * scale
    return torch.meshgrid(axis, axis, indexing="xy")


def test_shapes_and_classes(galaxies):
    assert galaxies.flux.shape == (60, 3, 128, 128)
    assert galaxies.flux.dtype == torch.float32
    assert galaxies.flux.isfinite().all()
    assert torch.bincount(galaxies.labels).tolist() == [20] * len(CLASSES)
    assert all(value.shape == (60,) and value.isfinite().all() for value in galaxies.truth.values())


def test_a_seed_gives_the_same_galaxies_again(galaxies):
    again = simulate_galaxies(60, torch.Generator().manual_seed(1))
    other = simulate_galaxies(60, torch.Generator().manual_seed(2))
    assert torch.equal(again.flux, galaxies.flux)
    assert not torch.equal(other.flux, galaxies.flux)


@pytest.mark.parametrize(("number", "size"), [(0, 128), (1, 0)])
def test_nothing_to_draw_is_refused(number, size):
    with pytest.raises(ValueError, match="must be positive"):
        simulate_galaxies(number, torch.Generator(), size)


def test_flux_has_the_magnitude_of_the_truth(galaxies):
    """Sum inside a wide aperture against the true magnitude: neighbours and wings outside leave a tenth or two."""
    x, y = grid(128, PIXEL_SCALE)
    inside = x.hypot(y) < 15
    for index, band in enumerate("grz"):
        measured = 22.5 - 2.5 * torch.log10((galaxies.flux[:, index] * inside).sum(dim=(-2, -1)))
        offset = measured - galaxies.truth[f"magnitude_{band}"]
        assert offset.median().abs() < 0.1


def test_sky_noise_is_that_of_the_survey(galaxies):
    edge = galaxies.flux[:, :, :4].diff(dim=-1) / math.sqrt(2)
    deviation = 1.4826 * edge.abs().permute(1, 0, 2, 3).flatten(1).median(dim=1).values
    np.testing.assert_allclose(deviation, SKY_NOISE, rtol=0.35)


def test_colours_and_shapes_tell_the_classes_apart(galaxies):
    truth, labels = galaxies.truth, galaxies.labels
    colour = truth["magnitude_g"] - truth["magnitude_r"]
    by_class = [colour[labels == index].mean() for index in range(len(CLASSES))]
    assert by_class[0] > by_class[1] > by_class[2]
    assert truth["axis_ratio"][labels == CLASSES.index("edge-on")].max() < 0.2
    assert set(truth["handedness"][labels == CLASSES.index("spiral")].tolist()) == {-1, 1}
    assert truth["handedness"][labels != CLASSES.index("spiral")].abs().max() == 0


def test_sersic_profile_holds_half_its_light_inside_its_radius():
    x, y = (axis[None] for axis in grid(1200, 0.1))
    image = sersic(x, y, torch.tensor([4.0]), torch.tensor([0.7]), torch.tensor([2.0]), softening=0.01)
    assert image.sum() * 0.1**2 == pytest.approx(1, abs=0.01)
    inside = (x**2 + (y / 0.7) ** 2).sqrt() < 4
    assert image[inside].sum() * 0.1**2 == pytest.approx(0.5, abs=0.01)


def test_edge_on_disc_has_a_flux_of_one_and_its_axis_ratio():
    x, y = (axis[None] for axis in grid(1200, 0.1))
    image = edge_on_disc(x, y, torch.tensor([4.0]), torch.tensor([0.15]))[:, 0]
    assert image.sum() * 0.1**2 == pytest.approx(1, abs=0.01)
    along, across = ((image * axis**2).sum().sqrt() for axis in (x, y))
    assert across / along == pytest.approx(0.15, rel=0.02)


def test_spiral_discs_have_a_flux_of_one_in_every_band():
    x, y = (axis.expand(16, -1, -1) for axis in grid(144, PIXEL_SCALE))
    one = torch.ones(16)
    arms = {"number": 2 * one, "handedness": one, "pitch": 0.4 * one, "phase": torch.linspace(0, 6, 16)}
    image = spiral_disc(x, y, 4 * one, 0.7 * one, arms, torch.Generator().manual_seed(0))
    flux = image.sum(dim=(-2, -1)) * PIXEL_SCALE**2
    np.testing.assert_allclose(flux, 1, atol=0.06)


def test_arms_turn_the_way_the_handedness_says():
    x, y = (axis[None] for axis in grid(201, 0.1))
    one = torch.ones(1)
    crests = {}
    for handedness in (-1.0, 1.0):
        arms = {"number": 2 * one, "handedness": handedness * one, "pitch": 0.4 * one, "phase": 0 * one}
        image = spiral_disc(x, y, 4 * one, one, arms, torch.Generator().manual_seed(0))[0, 0]
        angles = []
        for radius in (3.0, 3.6):
            ring = (x[0].hypot(y[0]) - radius).abs() < 0.1
            doubled = 2 * torch.atan2(y[0], x[0])  # two arms: angles count modulo half a turn
            angles.append(math.atan2((image * doubled.sin() * ring).sum(), (image * doubled.cos() * ring).sum()) / 2)
        crests[handedness] = math.remainder(angles[1] - angles[0], math.pi)
    assert crests[1.0] > 0.1
    assert crests[-1.0] < -0.1


def test_moffat_has_its_width_and_moves_nothing():
    psf = torch.fft.fftshift(torch.fft.irfft2(moffat_transfer(torch.tensor(6.0), (64, 64)), s=(64, 64)))
    assert psf.sum() == pytest.approx(1, abs=1e-5)
    assert psf.argmax() == 32 * 64 + 32
    assert psf[32, 35] / psf[32, 32] == pytest.approx(0.5, abs=1e-3)


def test_rotation_follows_the_position_angle():
    along, across = rotate(torch.tensor([[1.0]]), torch.tensor([[1.0]]), torch.tensor([math.pi / 4]))
    assert along.item() == pytest.approx(math.sqrt(2))
    assert across.item() == pytest.approx(0, abs=1e-6)
