"""The lensed light of lenses whose arcs are known, and of real ones."""

import numpy as np
import pytest
import torch
from made_up_stamps import lens_picture

from galvm_hf.data.composites.arcs import find_arcs
from galvm_hf.data.composites.objects import SPLITS, read_objects
from galvm_hf.data.composites.surveys import CFHTLS
from galvm_hf.data.simulate.lenses.stamps import simulate_lenses
from galvm_hf.data.simulate.survey import PIXEL_SCALE, PSF_FWHM


def find_in_picture(picture):
    channels = picture[..., ::-1].transpose(2, 0, 1)
    flux = CFHTLS.to_flux(channels.astype(np.float32) / 255)
    return find_arcs(flux, channels >= 254, CFHTLS.pixel_scale, CFHTLS.psf_fwhm) > 0


def test_a_blue_arc_is_found_and_the_red_galaxy_is_not():
    found = find_in_picture(lens_picture(161, np.random.default_rng(0)))
    rows, columns = np.indices(found.shape) - 80
    radius, angle = np.hypot(rows, columns), np.abs(np.arctan2(rows, columns))
    arc = (np.abs(radius - 16) < 4) & (angle < np.radians(45))
    assert found[arc].mean() > 0.9
    assert not found[(radius < 6) | (radius > 26) | (angle > np.radians(75))].any()


def test_a_red_galaxy_alone_has_no_arcs():
    assert not find_in_picture(lens_picture(161, np.random.default_rng(0), arc=False)).any()


def test_simulated_arcs_are_where_their_masks_are():
    """The computed mask against the true one, of simulated lenses: intersection over union."""
    lenses = simulate_lenses(24, torch.Generator().manual_seed(3), size=127, lens_fraction=1.0)
    overlaps = []
    for flux, mask in zip(lenses.flux.numpy(), lenses.masks.numpy(), strict=True):
        found = find_arcs(flux, np.zeros(flux.shape, dtype=bool), PIXEL_SCALE, PSF_FWHM) > 0
        overlaps.append((found & mask).sum() / (found | mask).sum())
    assert np.median(overlaps) > 0.4, overlaps


def test_nearly_all_real_lenses_have_arcs(galvm_data):
    lenses = [real for split in SPLITS for real in read_objects(galvm_data, split) if real.kind == "lens"]
    areas = []
    for real in lenses:
        flux, clipped = real.read()
        survey = real.survey
        areas.append((find_arcs(flux, clipped, survey.pixel_scale, survey.psf_fwhm) > 0).sum() * survey.pixel_scale**2)
    assert np.mean(np.array(areas) > 0) > 0.95
    assert 5 < np.median(areas) < 40  # square arcsec


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_nothing_in_an_empty_stamp(value):
    flux = np.full((3, 61, 61), value, dtype=np.float32)
    assert not find_arcs(flux, np.zeros(flux.shape, dtype=bool), 0.2, (1.0, 1.0, 1.0)).any()
