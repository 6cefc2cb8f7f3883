"""Simulated galaxies: reproducible, in physical units, and as their truth says."""

import math

import numpy as np
import pytest
import torch

from galvm_hf.data.simulate import CLASSES, PIXEL_SCALE, draw_galaxies, render_galaxies, simulate_galaxies
from galvm_hf.data.simulate.draw import take
from galvm_hf.data.simulate.profiles import pixel_grid, rotate

WIDE = 401  # pixels: all but the farthest wings


@pytest.fixture(scope="module")
def galaxies():
    return simulate_galaxies(60, torch.Generator().manual_seed(1))


def draw(name, number, seed=0, **changed):
    """Parameters of one class, some of them set to one value."""
    parameters = draw_galaxies(number, torch.Generator().manual_seed(seed), (name,))
    for key, value in changed.items():
        parameters[key] = torch.full_like(parameters[key], value)
    return parameters


def render(parameters, size=WIDE, seed=0):
    return render_galaxies(parameters, size, torch.Generator().manual_seed(seed))


def share_inside(image, parameters):
    """Share of the true flux in r [N] that lies within the half-light ellipse."""
    u, v = rotate(*pixel_grid(image.shape[-1]), parameters["position_angle"])
    inside = (
        torch.hypot(u, v / parameters["axis_ratio"][:, None, None]) < parameters["half_light_radius"][:, None, None]
    )
    return (image[:, 1] * inside).sum(dim=(-2, -1)) / 10 ** (-0.4 * (parameters["magnitude"][:, 1] - 22.5))


def test_shapes_and_classes(galaxies):
    assert galaxies.flux.shape == (60, 3, 128, 128)
    assert galaxies.flux.dtype == torch.float32
    assert galaxies.flux.isfinite().all()
    assert torch.bincount(galaxies.labels).tolist() == [12] * len(CLASSES)
    assert all(value.shape == (60,) and value.isfinite().all() for value in galaxies.truth.values())


def test_a_seed_gives_the_same_galaxies_again(galaxies):
    again = simulate_galaxies(60, torch.Generator().manual_seed(1))
    other = simulate_galaxies(60, torch.Generator().manual_seed(2))
    assert torch.equal(again.flux, galaxies.flux)
    assert all(torch.equal(again.truth[name], value) for name, value in galaxies.truth.items())
    assert not torch.equal(other.flux, galaxies.flux)


def test_classes_can_be_chosen():
    chosen = simulate_galaxies(10, torch.Generator().manual_seed(0), size=64, classes=("merger", "spiral"))
    assert sorted(chosen.labels.unique().tolist()) == [CLASSES.index("spiral"), CLASSES.index("merger")]
    assert chosen.flux.shape == (10, 3, 64, 64)


@pytest.mark.parametrize(("number", "size"), [(0, 128), (1, 0)])
def test_nothing_to_draw_is_refused(number, size):
    with pytest.raises(ValueError, match="must be positive"):
        simulate_galaxies(number, torch.Generator(), size)


@pytest.mark.parametrize("classes", [(), ("quasar",)])
def test_an_unknown_class_is_refused(classes):
    with pytest.raises(ValueError, match="must be some of elliptical"):
        simulate_galaxies(1, torch.Generator(), classes=classes)


@pytest.mark.parametrize("name", CLASSES)
def test_light_before_noise_is_positive_and_has_the_true_magnitude(name):
    parameters = draw(name, 12)
    image = render(parameters)
    assert image.isfinite().all()
    assert (image >= 0).all()
    measured = 22.5 - 2.5 * torch.log10(image.sum(dim=(-2, -1)))
    # what lies beyond 52 arcsec is missing, and a pixel of a cusp is not its mean
    np.testing.assert_allclose(measured, parameters["magnitude"], atol=0.12)


def test_observed_stamps_have_the_magnitude_of_the_truth(galaxies):
    """Sum inside a wide aperture against the true magnitude: neighbours and wings outside leave a tenth or two."""
    x, y = pixel_grid(128)
    inside = torch.hypot(x, y) < 14
    for index, band in enumerate("grz"):
        measured = 22.5 - 2.5 * torch.log10((galaxies.flux[:, index] * inside).sum(dim=(-2, -1)))
        assert (measured - galaxies.truth[f"magnitude_{band}"]).median().abs() < 0.12


@pytest.mark.parametrize(("name", "tolerance"), [("elliptical", 0.04), ("spiral", 0.1), ("irregular", 0.12)])
def test_half_of_the_light_lies_within_the_half_light_radius(name, tolerance):
    parameters = draw(name, 20)
    share = share_inside(render(parameters), parameters)
    np.testing.assert_allclose(share.median(), 0.5, atol=tolerance / 2)
    np.testing.assert_allclose(share, 0.5, atol=3 * tolerance)


def test_axis_ratio_and_position_angle_of_ellipticals_are_those_of_the_moments():
    parameters = draw("elliptical", 20)
    image = render(parameters)[:, 1]
    u, v = rotate(*pixel_grid(WIDE), parameters["position_angle"])
    inside = (
        torch.hypot(u, v / parameters["axis_ratio"][:, None, None]) < 6 * parameters["half_light_radius"][:, None, None]
    )
    along, across, mixed = ((image * inside * moment).sum(dim=(-2, -1)) for moment in (u**2, v**2, u * v))
    np.testing.assert_allclose((across / along).sqrt(), parameters["axis_ratio"], atol=0.04)
    np.testing.assert_allclose(mixed / along, 0, atol=0.02)


def spirals_from_above(handedness, number=9, **changed):
    plain = {"axis_ratio": 1.0, "position_angle": 0.0, "flocculence": 0.0, "lopsidedness": 0.0, "disc_radius": 8.0}
    plain |= {"arm_strength": 1.0, "ring": 0.0, "dust": 0.0, "handedness": handedness}
    return draw("spiral", number, **(plain | changed))


def fourier(image, radii, orders):
    """Azimuthal Fourier components [N, R, M] of the g band at radii in arcsec."""
    angle = torch.linspace(0, 2 * math.pi, 361)[:-1]
    radius = radii[:, None]
    place = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1) / (PIXEL_SCALE * image.shape[-1] / 2)
    place = place.expand(len(image), -1, -1, -1)
    rings = torch.nn.functional.grid_sample(image[:, :1], place, align_corners=False)[:, 0]
    waves = torch.exp(-1j * orders[:, None] * angle)
    return torch.einsum("nra,ma->nrm", rings / rings.mean(dim=-1, keepdim=True) + 0j, waves) / len(angle)


@pytest.mark.parametrize("handedness", [-1.0, 1.0])
def test_arms_have_their_number_pitch_and_handedness(handedness):
    """Fourier components in angle and logarithm of the radius (Considere & Athanassoula 1988)."""
    orders = torch.arange(1, 7)
    log_radius = torch.linspace(math.log(5.0), math.log(14.0), 60)
    for number in (2, 3, 4):
        parameters = spirals_from_above(handedness, bar_strength=0.0, arm_number=float(number))
        found = fourier(render(parameters, 201), log_radius.exp(), orders)
        assert (found.abs().mean(dim=1).argmax(dim=-1) + 1).float().median() == number
        frequency = torch.linspace(-40, 40, 801)
        spectrum = found[:, :, number - 1] @ torch.exp(-1j * frequency * log_radius[:, None])
        steepness = -frequency[spectrum.abs().argmax(dim=-1)] / number  # of the crest's angle
        expected = handedness / torch.tan(parameters["pitch"])
        assert (steepness.sign() == handedness).all()
        assert ((steepness - expected) / expected).abs().median() < 0.15


def test_a_bar_is_a_straight_oval_at_its_angle():
    drawn = spirals_from_above(1.0, number=60, bar_length=0.8, bar_angle=0.7)
    barred = take(drawn, drawn["bar_strength"] > 0.15)
    plain = take(drawn, drawn["bar_strength"] == 0)
    radii = torch.linspace(2.5, 4.5, 9)
    bar, arms = (fourier(render(part, 201), radii, torch.tensor([2]))[..., 0] for part in (barred, plain))
    assert bar.abs().median() > 0.15
    offset = torch.remainder(-bar.angle() / 2 - 0.7 + math.pi / 2, math.pi) - math.pi / 2
    assert offset.abs().median() < 0.1
    turn = [(part[:, -1] / part[:, 0]).angle().abs().median() for part in (bar, arms)]
    assert turn[0] < 0.3
    assert turn[1] > 0.6


def test_a_dust_lane_is_darker_in_g_than_in_z():
    edge_on = {"position_angle": 0.0, "axis_ratio": 0.12, "warp": 0.0, "disc_radius": 5.0, "bulge_fraction": 0.0}
    lane, clean = (render(draw("edge-on", 8, lane_depth=depth, **edge_on), 129) for depth in (2.0, 0.0))
    x, y = pixel_grid(129)
    disc = x.abs() < 5
    in_lane, beside = disc & (y.abs() < 0.15), disc & (y.abs() > 1.0) & (y.abs() < 1.5)
    contrast = [(image * in_lane).sum(dim=(-2, -1)) / (image * beside).sum(dim=(-2, -1)) for image in (lane, clean)]
    darkening = contrast[0] / contrast[1]
    assert (darkening < 0.9).all()
    assert (darkening[:, 0] < 0.9 * darkening[:, 2]).all()


def test_a_merger_has_two_nuclei_where_the_truth_says():
    parameters = draw("merger", 12, separation=5.0)
    image = render(parameters, 161)[:, 1]
    x, y = pixel_grid(161)
    weight = parameters["mass_ratio"] / (1 + parameters["mass_ratio"])
    for place in (-weight, 1 - weight):
        dx = x - (place * 5.0 * parameters["separation_angle"].cos())[:, None, None]
        dy = y - (place * 5.0 * parameters["separation_angle"].sin())[:, None, None]
        apart = torch.hypot(dx, dy)
        peak = torch.where(apart < 0.4, image, 0).amax(dim=(-2, -1))
        around = torch.where((apart > 1.0) & (apart < 1.4), image, 0).sum(dim=(-2, -1))
        around = around / ((apart > 1.0) & (apart < 1.4)).sum(dim=(-2, -1))
        assert (peak > 2 * around).all()


def test_colours_and_shapes_tell_the_classes_apart(galaxies):
    truth, labels = galaxies.truth, galaxies.labels
    colour = truth["magnitude_g"] - truth["magnitude_r"]
    by_class = dict(zip(CLASSES, (colour[labels == index].median() for index in range(len(CLASSES))), strict=True))
    assert by_class["elliptical"] > by_class["spiral"] > by_class["irregular"]
    spiral = labels == CLASSES.index("spiral")
    assert set(truth["handedness"][spiral].tolist()) == {-1, 1}
    for name in ("handedness", "arm_number", "pitch", "bar_strength"):
        assert (truth[name][~spiral & (labels != CLASSES.index("irregular"))] == 0).all()
    assert truth["axis_ratio"][labels == CLASSES.index("edge-on")].max() <= 0.4
