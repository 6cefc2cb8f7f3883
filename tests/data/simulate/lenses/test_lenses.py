"""Simulated lenses: reproducible, with masks, boxes and truth that belong to what is in the pixels."""

import math

import numpy as np
import pytest
import torch

from galvm_hf.data.psf import moffat_transfer
from galvm_hf.data.simulate.lenses.red_galaxies import comoving_distance, draw_red_galaxies, einstein_radius
from galvm_hf.data.simulate.lenses.stamps import KINDS, TRUTH, simulate_lenses
from galvm_hf.data.simulate.lenses.systems import (
    EINSTEIN_RADII,
    LEAST_ARC_SNR,
    LEAST_MAGNIFICATION,
    MASK_SIGMA,
    RESOLVED,
    arc_significance,
    draw_lenses,
)
from galvm_hf.data.simulate.survey import PIXEL_SCALE, PSF_FWHM, SKY_NOISE


@pytest.fixture(scope="module")
def stamps():
    return simulate_lenses(40, torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def systems():
    psf_fwhm, sky = (torch.tensor(value).expand(12, -1) for value in (PSF_FWHM, SKY_NOISE))
    return draw_lenses(psf_fwhm, sky, 128, torch.Generator().manual_seed(2))


def test_shapes_and_labels(stamps):
    assert stamps.flux.shape == (40, 3, 128, 128)
    assert stamps.flux.dtype == torch.float32
    assert stamps.flux.isfinite().all()
    assert stamps.masks.shape == (40, 128, 128)
    assert stamps.labels.sum() == 20
    assert torch.equal(stamps.labels == 1, stamps.truth["kind"] == KINDS.index("lens"))
    assert tuple(stamps.truth) == TRUTH
    # every kind is there, and the order gives nothing away
    assert sorted(set(stamps.truth["kind"].tolist())) == list(range(len(KINDS)))
    assert 0 < stamps.labels[:20].sum() < 20


def test_a_seed_gives_the_same_stamps_again():
    first, again, other = (simulate_lenses(6, torch.Generator().manual_seed(seed), size=64) for seed in (1, 1, 2))
    assert torch.equal(first.flux, again.flux)
    assert torch.equal(first.boxes, again.boxes)
    assert not torch.equal(first.flux, other.flux)


@pytest.mark.parametrize("lens_fraction", [0.0, 1.0])
def test_only_lenses_or_none(lens_fraction):
    stamps = simulate_lenses(3, torch.Generator().manual_seed(0), size=63, lens_fraction=lens_fraction)
    assert stamps.flux.shape == (3, 3, 63, 63)
    assert stamps.labels.tolist() == [int(lens_fraction)] * 3
    assert stamps.masks.any(dim=(-2, -1)).tolist() == [bool(lens_fraction)] * 3


@pytest.mark.parametrize(
    ("number", "size", "fraction", "message"),
    [(0, 128, 0.5, "positive"), (1, 16, 0.5, "at least 32"), (1, 128, 1.5, "share from 0 to 1, got 1.5")],
)
def test_nonsense_is_refused(number, size, fraction, message):
    with pytest.raises(ValueError, match=message):
        simulate_lenses(number, torch.Generator(), size, fraction)


def test_truth_of_lenses_is_in_range_and_of_others_absent(stamps):
    lens, truth = stamps.labels == 1, stamps.truth
    assert truth["einstein_radius"][lens].min() > EINSTEIN_RADII[0]
    assert truth["einstein_radius"][lens].max() < EINSTEIN_RADII[1]
    assert (truth["einstein_radius"][lens] > RESOLVED * truth["psf_fwhm"][lens]).all()
    assert truth["arc_snr"][lens].min() > LEAST_ARC_SNR
    assert truth["magnification"][lens].min() > LEAST_MAGNIFICATION
    assert (truth["source_redshift"] > truth["lens_redshift"])[lens].all()
    assert truth["images"][lens].min() >= 2
    assert truth["einstein_radius"][~lens].isnan().all()


def test_boxes_are_tight_round_the_masks(stamps):
    for mask, (x0, y0, x1, y1), label in zip(stamps.masks, stamps.boxes.tolist(), stamps.labels, strict=True):
        if not label:
            assert (x0, y0, x1, y1) == (0, 0, 0, 0)
            assert not mask.any()
            continue
        inside = mask[y0:y1, x0:x1]
        assert inside.sum() == mask.sum() > 0
        assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()


def test_masks_lie_where_images_of_the_source_do(stamps):
    """Images lie within two Einstein radii of the lens; the seeing and the source's own size add to that."""
    axis = (torch.arange(128) - 63.5) * PIXEL_SCALE
    distance = axis[:, None].hypot(axis)
    for index in (stamps.labels == 1).nonzero().flatten().tolist():
        radius, masked = stamps.truth["einstein_radius"][index], distance[stamps.masks[index]]
        assert masked.max() > radius
        assert (masked < 2 * radius + 2.0).float().mean() > 0.9


def test_masks_hold_the_arcs_and_end_at_their_isophote(systems):
    """The signal to noise is worked out again band by band: what is masked is above the threshold."""
    transfer = moffat_transfer(torch.tensor(PSF_FWHM), (96, 96), PIXEL_SCALE)
    padded = torch.nn.functional.pad(systems.arcs, (16, 16, 16, 16))
    blurred = torch.fft.irfft2(torch.fft.rfft2(padded) * transfer, s=(96, 96))[..., 16:80, 16:80]
    significance = sum((blurred[:, band] / SKY_NOISE[band]) ** 2 for band in range(3)).sqrt()
    psf_fwhm, sky = (torch.tensor(value).expand(12, -1) for value in (PSF_FWHM, SKY_NOISE))
    mask = arc_significance(systems.arcs, psf_fwhm, sky) > MASK_SIGMA
    certain = (significance - MASK_SIGMA).abs() > 0.05
    assert torch.equal(mask[certain], (significance > MASK_SIGMA)[certain])
    share = (blurred[:, 0] * mask).sum(dim=(-2, -1)) / blurred[:, 0].sum(dim=(-2, -1))
    assert share.median() > 0.8
    assert share.min() > 0.4
    expected = significance.square().sum(dim=(-2, -1)).sqrt()
    torch.testing.assert_close(systems.truth["arc_snr"], expected, rtol=0.02, atol=0)


def test_arcs_are_in_the_pixels():
    """In the masks of lenses there is at least the light of most of the arc; the rest lies in the wings outside."""
    stamps = simulate_lenses(12, torch.Generator().manual_seed(5), lens_fraction=1.0)
    for band, name in enumerate("gr"):
        inside = (stamps.flux[:, band] * stamps.masks).sum(dim=(-2, -1))
        share = inside / stamps.truth[f"arc_flux_{name}"]
        assert share.median() > 0.8
        assert share.min() > 0.4


def test_arcs_are_bluer_than_their_lenses(systems):
    arc_colour = -2.5 * torch.log10(systems.truth["arc_flux_g"] / systems.truth["arc_flux_r"])
    lens_colour = -2.5 * torch.log10(systems.lens["flux"][:, 0] / systems.lens["flux"][:, 1])
    assert (lens_colour - arc_colour).median() > 0.7


def test_flux_of_the_arcs_is_the_magnified_flux_of_the_source(systems):
    """Gravity bends all colours alike, so the magnification in r is about that in g, up to gradients in the source."""
    assert (systems.truth["arc_flux_r"] / systems.truth["magnification"] < 10 ** (0.4 * (22.5 - 21.4))).all()
    assert (systems.truth["arc_flux_r"] / systems.truth["magnification"] > 10 ** (0.4 * (22.5 - 24.9))).all()


def test_einstein_radius_of_an_isothermal_sphere():
    """200 km/s at redshift 0.5 before a source at 2, the distances integrated here."""
    redshift = np.linspace(0, 2, 20001)
    inverse = 1 / np.sqrt(0.3 * (1 + redshift) ** 3 + 0.7)
    distance = np.concatenate([[0], np.cumsum((inverse[1:] + inverse[:-1]) / 2)]) * 1e-4 * 299792.458 / 70
    assert comoving_distance(torch.tensor([2.0])).item() == pytest.approx(distance[-1], rel=1e-3)
    ratio = (distance[-1] - distance[5000]) / distance[-1]
    expected = math.degrees(4 * math.pi * (200 / 299792.458) ** 2 * ratio) * 3600
    measured = einstein_radius(*(torch.tensor([value]) for value in (200.0, 0.5, 2.0)))
    assert measured.item() == pytest.approx(expected, rel=1e-3)


def test_red_galaxies_have_the_magnitudes_and_sizes_of_lens_galaxies():
    galaxies = draw_red_galaxies(2000, torch.Generator().manual_seed(0))
    magnitude = 22.5 - 2.5 * torch.log10(galaxies["flux"])
    assert 19 < magnitude[:, 1].median() < 20.5
    assert 1.4 < (magnitude[:, 0] - magnitude[:, 1]).median() < 1.8
    assert 0.7 < galaxies["radius"].median() < 1.6
