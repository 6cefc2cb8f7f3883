"""Ray-tracing: Einstein rings, magnifications and image numbers as theory and caustics give them."""

import math

import caustics
import pytest
import torch

from galvm_hf.data.simulate.lenses.raytrace import count_images, trace_rays
from galvm_hf.data.simulate.lenses.sources import draw_sources, render_sources, sample_sources
from galvm_hf.data.simulate.lenses.systems import lens_sources, mass_of
from galvm_hf.data.simulate.profiles import pixel_grid
from galvm_hf.data.simulate.survey import PIXEL_SCALE

# of caustics' modules: it multiplies astropy quantities with tensors, and compiles with TorchScript
caustics_modules = pytest.mark.filterwarnings(
    "ignore:__array_wrap__ must accept context:DeprecationWarning", "ignore:.torch.jit:FutureWarning"
)


def mass(**values):
    names = ("x", "y", "position_angle", "shear_1", "shear_2")
    parameters = dict.fromkeys(names, 0.0) | {"einstein_radius": 1.5, "axis_ratio": 1.0} | values
    return {name: torch.tensor([float(value)]) for name, value in parameters.items()}


def grid(side, reach):
    axis = (torch.arange(side) + 0.5) / side * 2 * reach - reach
    return torch.meshgrid(axis, axis, indexing="xy")


@pytest.mark.parametrize("radius", [0.7, 1.5, 3.0])
def test_a_point_behind_a_round_lens_becomes_a_ring_of_the_einstein_radius(radius):
    x, y = grid(800, 4.0)
    source_x, source_y = trace_rays(mass(einstein_radius=radius), x[None], y[None])
    light = torch.exp(-(source_x**2 + source_y**2) / (2 * 0.03**2))[0]
    measured = (light * x.hypot(y)).sum() / light.sum()
    assert measured == pytest.approx(radius, rel=0.02)


@caustics_modules
def test_rays_go_where_caustics_modules_send_them():
    """The functions are the ones that caustics' own lens classes use, with the parameters in the right places."""
    cosmology = caustics.FlatLambdaCDM()
    sie = caustics.SIE(cosmology, x0=0.1, y0=-0.2, q=0.7, phi=0.4, Rein=1.3, s=1e-3)
    shear = caustics.ExternalShear(cosmology, x0=0.1, y0=-0.2, gamma_1=0.04, gamma_2=-0.03)
    lens = caustics.SinglePlane(cosmology, [sie, shear], z_l=0.5, z_s=2.0)
    x, y = grid(40, 3.0)
    ours = mass(x=0.1, y=-0.2, axis_ratio=0.7, position_angle=0.4, einstein_radius=1.3, shear_1=0.04, shear_2=-0.03)
    for mine, theirs in zip(trace_rays(ours, x[None], y[None]), lens.raytrace(x, y), strict=True):
        torch.testing.assert_close(mine[0], theirs, atol=1e-5, rtol=1e-5)


@caustics_modules
def test_flux_magnification_is_that_of_caustics():
    """The flux of a tiny source against the summed magnifications of its images, which caustics finds by itself."""
    ours = mass(axis_ratio=0.75, position_angle=0.3, shear_1=0.03)
    source_x, source_y = torch.tensor(0.35), torch.tensor(0.25)
    cosmology = caustics.FlatLambdaCDM()
    sie = caustics.SIE(cosmology, x0=0.0, y0=0.0, q=0.75, phi=0.3, Rein=1.5, s=1e-3)
    shear = caustics.ExternalShear(cosmology, x0=0.0, y0=0.0, gamma_1=0.03, gamma_2=0.0)
    lens = caustics.SinglePlane(cosmology, [sie, shear], z_l=0.5, z_s=2.0)
    image_x, image_y = lens.forward_raytrace(source_x, source_y, fov=8.0)
    # a magnification is signed in some versions, and the image in the core next to nothing
    expected = lens.magnification(image_x, image_y).abs().sum()

    x, y = (axis[None] for axis in grid(1600, 4.0))
    back_x, back_y = trace_rays(ours, x, y)
    width = 0.02
    light = torch.exp(-((back_x - source_x) ** 2 + (back_y - source_y) ** 2) / (2 * width**2))
    measured = light.sum() * (8.0 / 1600) ** 2 / (2 * math.pi * width**2)
    assert measured == pytest.approx(expected.item(), rel=0.02)


@pytest.mark.parametrize(("place", "images"), [((0.02, 0.03), 4), ((0.6, 0.5), 2), ((2.5, 2.0), 1)])
def test_images_by_the_place_of_the_source(place, images):
    """Inside the astroid caustic, outside it but inside the cut, and outside both, for an axis ratio of 0.6."""
    source_x, source_y = (torch.tensor([value]) for value in place)
    assert count_images(mass(axis_ratio=0.6), source_x, source_y).tolist() == [images]


def test_a_source_inside_the_astroid_has_four_images_and_just_outside_two():
    """The cusps of the astroid of an isothermal ellipsoid lie on its axes (Kormann et al. 1994)."""
    axis_ratio, radius = 0.7, 1.5
    root = math.sqrt(1 - axis_ratio**2)
    # where the tangential caustic crosses the minor axis of the mass; the sources lie a little beside it
    cusp = radius * math.sqrt(axis_ratio) * (math.acosh(1 / axis_ratio) / root - 1)
    lens = mass(axis_ratio=axis_ratio, einstein_radius=radius)
    numbers = [count_images(lens, torch.tensor([0.003]), torch.tensor([share * cusp])).item() for share in (0.9, 1.1)]
    assert numbers == [4, 2]


def test_a_source_keeps_its_flux_on_its_raster_and_in_the_sky():
    sources = draw_sources(20, torch.Generator().manual_seed(0))
    x, y = (axis.expand(20, -1, -1) for axis in grid(600, 6.0))
    image = sample_sources(render_sources(sources), sources, x, y)
    flux = image.sum(dim=(-2, -1)) * (12 / 600) ** 2
    torch.testing.assert_close(flux, sources["flux"], rtol=0.02, atol=0)


def test_half_of_a_smooth_source_lies_inside_its_half_light_radius():
    sources = draw_sources(1, torch.Generator().manual_seed(0))
    sources |= {name: torch.zeros(1) for name in ("red_share", "knot_share", "arms", "position_angle")}
    sources |= {"radius": torch.tensor([0.5]), "axis_ratio": torch.ones(1), "sersic_index": torch.ones(1)}
    x, y = (axis[None] for axis in grid(600, 3.0))
    image = sample_sources(render_sources(sources), sources, x, y)[0, 1]
    assert image[x[0].hypot(y[0]) < 0.5].sum() / image.sum() == pytest.approx(0.5, abs=0.02)


@pytest.fixture(scope="module")
def system():
    """Eight sources behind one lens."""
    system = {f"source_{name}": value for name, value in draw_sources(8, torch.Generator().manual_seed(3)).items()}
    lens = {name: value.expand(8) for name, value in mass(axis_ratio=0.75).items()}
    system |= {f"lens_{name}": lens[name] for name in ("x", "y")}
    system |= {f"mass_{name}": lens[name] for name in ("axis_ratio", "position_angle")}
    system |= {name: lens[name] for name in ("einstein_radius", "shear_1", "shear_2")}
    return system | {"source_x": torch.full((8,), 0.2), "source_y": torch.full((8,), 0.1)}


def test_arcs_on_pixels_hold_the_flux_of_finely_traced_ones(system):
    """Three rays a pixel each way are enough: five times finer ones change the flux of arcs by less than 2 per cent."""
    x, y = (axis.expand(8, -1, -1) for axis in grid(960, 32 * PIXEL_SCALE))
    back_x, back_y = trace_rays(mass_of(system), x, y)
    source = {name.removeprefix("source_"): value for name, value in system.items() if name.startswith("source_")}
    fine = sample_sources(render_sources(source), source, back_x - 0.2, back_y - 0.1)
    expected = fine.sum(dim=(-2, -1)) * (64 * PIXEL_SCALE / 960) ** 2
    torch.testing.assert_close(lens_sources(system, 64).sum(dim=(-2, -1)), expected, rtol=0.02, atol=0)


def test_arcs_lie_at_one_place_on_even_and_odd_grids(system):
    centroids = []
    for side in (64, 65):
        x, y = pixel_grid(side)
        arcs = lens_sources(system, side)[:, 1]
        centroids.append(torch.stack([(arcs * axis).sum(dim=(-2, -1)) for axis in (x, y)]) / arcs.sum(dim=(-2, -1)))
    # half a pixel, were the middles not the same, is 0.13 arcsec
    assert (centroids[0] - centroids[1]).mean(dim=1).abs().max() < 0.03
