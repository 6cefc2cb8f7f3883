"""Wide fields: catalogues, boxes and masks that agree with the pixels, and the numbers of objects of the sky."""

import numpy as np
import pytest
import torch

from galvm_hf.data.boxes import box_of_mask, run_lengths
from galvm_hf.data.simulate.fields.counts import galaxies_expected
from galvm_hf.data.simulate.fields.field import simulate_field
from galvm_hf.data.simulate.survey import PIXEL_SCALE


@pytest.fixture(scope="module")
def field():
    return simulate_field((700, 800), torch.Generator().manual_seed(1), lenses=12, lookalikes=8)


def test_shapes(field):
    assert field.flux.shape == (3, 700, 800)
    assert field.flux.dtype == torch.float32
    assert field.flux.isfinite().all()
    assert len({len(column) for column in field.catalogue.values()}) == 1


def test_a_seed_gives_the_same_field_again():
    first, again, other = (
        simulate_field((96, 128), torch.Generator().manual_seed(seed), lenses=1, lookalikes=1) for seed in (3, 3, 4)
    )
    assert torch.equal(first.flux, again.flux)
    np.testing.assert_array_equal(first.catalogue["ra"], again.catalogue["ra"])
    assert first.instances[0].box == again.instances[0].box
    assert not torch.equal(first.flux, other.flux)


@pytest.mark.parametrize(("size", "lenses"), [((63, 200), 1), ((100, 100), -1)])
def test_nonsense_is_refused(size, lenses):
    with pytest.raises(ValueError, match="at least 64 x 64 pixels and no negative numbers"):
        simulate_field(size, torch.Generator(), lenses=lenses)


def test_places_on_the_sky_are_those_on_the_pixels(field):
    from astropy.coordinates import SkyCoord
    from astropy.wcs import WCS

    wcs = WCS(field.wcs.to_header())  # as it comes back from a file
    places = SkyCoord(field.catalogue["ra"], field.catalogue["dec"], unit="deg")
    x, y = wcs.world_to_pixel(places)
    np.testing.assert_allclose(x, field.catalogue["x"], atol=0.01)
    np.testing.assert_allclose(y, field.catalogue["y"], atol=0.01)
    centre = SkyCoord(*field.wcs.wcs.crval, unit="deg")
    assert centre.separation(places).max().arcsec < np.hypot(700, 800) / 2 * PIXEL_SCALE


def test_stars_have_their_flux_and_place():
    """Bright stars that nothing touches: aperture flux and centroid against the catalogue."""
    side = 1400
    field = simulate_field((side, side), torch.Generator().manual_seed(5), lenses=0, lookalikes=0, density=0.5)
    catalogue, flux = field.catalogue, field.flux[1].numpy()
    rows, columns = np.mgrid[:side, :side]
    checked = 0
    for index in np.flatnonzero((catalogue["class"] == "star") & (catalogue["magnitude_r"] < 20)):
        x, y = catalogue["x"][index], catalogue["y"][index]
        other = np.hypot(catalogue["x"] - x, catalogue["y"] - y)
        bright = catalogue["magnitude_r"] < catalogue["magnitude_r"][index] + 4
        if min(x, y, side - 1 - x, side - 1 - y) < 15 or (bright & (other > 0) & (other < 40)).any():
            continue
        inside = np.hypot(columns - x, rows - y) < 12
        total = flux[inside].sum()
        assert 22.5 - 2.5 * np.log10(total) == pytest.approx(catalogue["magnitude_r"][index], abs=0.08)
        assert (flux[inside] * columns[inside]).sum() / total == pytest.approx(x, abs=0.3)
        assert (flux[inside] * rows[inside]).sum() / total == pytest.approx(y, abs=0.3)
        checked += 1
    assert checked >= 3


def test_galaxies_are_as_many_as_on_the_sky():
    """Counts in three magnitude bins within four standard deviations of the power law of the counts of galaxies."""
    field = simulate_field((1500, 1500), torch.Generator().manual_seed(2), lenses=0, lookalikes=0)
    magnitude = field.catalogue["magnitude_r"][field.catalogue["class"] == "galaxy"]
    area = (1500 * PIXEL_SCALE / 3600) ** 2
    assert galaxies_expected(1.0, 23.5, 24.5) == pytest.approx(10**4.65, rel=0.03)
    for bright, faint in ((20, 22), (22, 23), (23, 24.5)):
        expected = galaxies_expected(area, bright, faint)
        measured = ((magnitude > bright) & (magnitude < faint)).sum()
        assert abs(measured - expected) < 4 * np.sqrt(expected)


def test_density_scales_the_counts():
    fields = [
        simulate_field((400, 400), torch.Generator().manual_seed(2), lenses=0, lookalikes=0, density=density)
        for density in (0.0, 1.0)
    ]
    assert len(fields[0].catalogue["x"]) == 0
    assert len(fields[1].catalogue["x"]) > 50
    noise = fields[0].flux[1]
    assert noise.std().item() == pytest.approx(fields[0].sky[1], rel=0.02)


def test_boxes_are_inside_the_field_and_tight(field):
    assert len(field.instances) == 12
    for instance in field.instances:
        x0, y0, x1, y1 = instance.box
        assert 0 <= x0 < x1 <= 800 and 0 <= y0 < y1 <= 700
        assert instance.mask.shape == (y1 - y0, x1 - x0)
        assert box_of_mask(torch.from_numpy(instance.mask)).tolist() == [0, 0, x1 - x0, y1 - y0]
        assert field.catalogue["class"][instance.row] == "lens"


def test_boxes_lie_round_their_lenses(field):
    for number, instance in enumerate(field.instances, 1):
        x0, y0, x1, y1 = instance.box
        x, y, radius = (field.catalogue[name][instance.row] for name in ("x", "y", "einstein_radius"))
        assert field.catalogue["instance"][instance.row] == number
        reach = 2 * radius / PIXEL_SCALE + 12
        assert x - reach < x0 and x1 < x + reach and y - reach < y0 and y1 < y + reach


def test_lenses_have_their_place():
    """The red galaxies and their arcs, in z alone on the sky: the brightest pixel is that of the catalogue."""
    field = simulate_field((300, 300), torch.Generator().manual_seed(9), lenses=5, lookalikes=0, density=0.0)
    for x, y in zip(field.catalogue["x"], field.catalogue["y"], strict=True):
        column, row = round(x), round(y)
        if 8 < column < 291 and 8 < row < 291:
            around = field.flux[2, row - 2 : row + 3, column - 2 : column + 3]
            assert around.argmax() in (6, 7, 8, 11, 12, 13, 16, 17, 18)


def test_boxes_at_the_edge_are_cut():
    """Many lenses in a small field: some stand at its edges, and their boxes end there."""
    field = simulate_field((64, 64), torch.Generator().manual_seed(7), lenses=30, lookalikes=0, density=0.0)
    boxes = np.array([instance.box for instance in field.instances])
    assert boxes.min() == 0 and boxes.max() == 64
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_masked_pixels_are_brighter_than_the_sky(field):
    for instance in field.instances:
        x0, y0, x1, y1 = instance.box
        inside = field.flux[0, y0:y1, x0:x1].numpy()[instance.mask]
        assert inside.mean() > 2 * field.sky[0]


def test_run_lengths_are_the_mask():
    generator = np.random.default_rng(0)
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:9, 11:18] = generator.random((4, 7)) < 0.6
    lengths = run_lengths(mask[5:9, 11:18], 11, 5, (20, 30))
    assert lengths["size"] == [20, 30]
    again, value = [], 0
    for count in lengths["counts"]:
        again += [value] * count
        value = 1 - value
    np.testing.assert_array_equal(np.array(again).reshape(30, 20).T, mask)


def test_a_mask_that_begins_in_the_corner_has_no_leading_zeros():
    assert run_lengths(np.ones((1, 1), dtype=bool), 0, 0, (2, 2))["counts"] == [0, 1, 3]


def test_an_empty_mask_has_no_box():
    assert box_of_mask(torch.zeros(4, 4, dtype=torch.bool)).tolist() == [0, 0, 0, 0]
