"""Which galaxies are drawn: distances as in cosmology, sizes and brightnesses of a flux-limited survey."""

import numpy as np
import pytest
import torch

from galvm_hf.data.simulate.cosmology import distance_modulus, kpc_per_arcsec
from galvm_hf.data.simulate.galaxies.population import CLASSES, LARGEST_RADIUS, MAGNITUDE_LIMIT, draw_galaxies


@pytest.fixture(scope="module")
def drawn():
    return draw_galaxies(4000, torch.Generator().manual_seed(0))


def test_distances_are_those_of_astropy():
    cosmology = pytest.importorskip("astropy.cosmology")
    universe = cosmology.FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0)
    redshift = torch.tensor([0.01, 0.05, 0.1, 0.3, 0.5])
    np.testing.assert_allclose(distance_modulus(redshift), universe.distmod(redshift.numpy()).value, atol=2e-3)
    expected = universe.kpc_proper_per_arcmin(redshift.numpy()).value / 60
    np.testing.assert_allclose(kpc_per_arcsec(redshift), expected, rtol=1e-3)


def test_bright_and_resolved_galaxies_are_drawn(drawn):
    assert drawn["magnitude"][:, 1].quantile(0.95) < MAGNITUDE_LIMIT + 0.05
    assert drawn["disc_radius"].max() <= LARGEST_RADIUS * 1.001
    assert drawn["half_light_radius"].median() > 1
    assert drawn["redshift"].min() > 0.005
    assert drawn["redshift"].max() < 0.4


@pytest.mark.parametrize("name", CLASSES)
def test_farther_galaxies_are_smaller_and_redder(drawn, name):
    chosen = drawn["label"] == CLASSES.index(name)
    redshift = drawn["redshift"][chosen]
    near, far = redshift < redshift.quantile(0.25), redshift > redshift.quantile(0.75)
    radius = drawn["disc_radius"][chosen]
    colour = (drawn["magnitude"][:, 0] - drawn["magnitude"][:, 1])[chosen]
    assert radius[near].median() > radius[far].median()
    assert colour[near].median() < colour[far].median()


def test_surface_brightness_dims_with_redshift():
    """The same galaxy at twice the redshift: flux and area fall by more than the static universe's four."""
    low, high = torch.tensor(0.1), torch.tensor(0.2)
    dimming = (
        distance_modulus(high) - distance_modulus(low) + 5 * torch.log10(kpc_per_arcsec(low) / kpc_per_arcsec(high))
    )
    assert dimming.item() == pytest.approx(10 * np.log10(1.2 / 1.1), abs=1e-3)


def test_parts_add_up_to_the_whole(drawn):
    flux = sum(value for name, value in drawn.items() if name.endswith("_flux"))
    np.testing.assert_allclose(22.5 - 2.5 * torch.log10(flux), drawn["magnitude"], atol=1e-4)
    elliptical = drawn["label"] == CLASSES.index("elliptical")
    assert (drawn["young_flux"][elliptical] == 0).all()
    assert ((drawn["tail_flux"][:, 1] > 0) == (drawn["label"] == CLASSES.index("merger"))).all()
