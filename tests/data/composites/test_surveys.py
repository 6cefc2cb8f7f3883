"""The flux behind a picture is what the survey's stretch was given."""

import numpy as np
import pytest
import torch

from galvm_hf.data.composites.surveys import CFHTLS, HUMVI_ALPHA, HUMVI_Q, HUMVI_SCALES, LEGACY, SDSS, Z_BEYOND_I
from galvm_hf.data.simulate.galaxies.sdss import PIXEL, stretch
from galvm_hf.image_transforms_galvm import flux_to_display


@pytest.fixture
def gri():
    """Flux in g, r, i above the sky, faint to bright, nanomaggies in a pixel."""
    random = np.random.default_rng(0)
    return (np.geomspace(1e-3, 3e-2, 16 * 16).reshape(1, 16, 16) * random.uniform(0.2, 1, (3, 16, 16))).astype(
        "float32"
    )


def with_z(gri):
    g, r, i = gri
    return np.stack([g, r, i + Z_BEYOND_I * (i - r)])


def test_cfhtls(gri):
    """HumVI: Lupton's stretch of the sum of the channels, flux with a zero point of 30."""
    scaled = gri * 1e3 * HUMVI_SCALES[:, None, None]
    total = scaled.sum(axis=0)
    display = scaled * np.arcsinh(HUMVI_ALPHA * HUMVI_Q * total) / (HUMVI_Q * total)
    np.testing.assert_allclose(CFHTLS.to_flux(display), with_z(gri), rtol=1e-4)


def test_sdss(gri):
    gri = 10 * gri
    native = torch.from_numpy(gri) * (PIXEL / SDSS.pixel_scale) ** 2
    display = stretch(native, torch.ones(3), torch.zeros(3)).numpy()
    np.testing.assert_allclose(SDSS.to_flux(display), with_z(gri), rtol=1e-4)


def test_legacy(gri):
    """Enlarged pixels have their share of the light of the survey's pixels."""
    flux = LEGACY.to_flux(flux_to_display(gri))
    np.testing.assert_allclose(flux, gri * (96 / 153) ** 2, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("survey", [CFHTLS, SDSS, LEGACY])
def test_black_is_finite(survey):
    assert np.isfinite(survey.to_flux(np.zeros((3, 4, 4), dtype=np.float32))).all()
