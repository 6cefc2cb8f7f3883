"""Composite fields, of made-up stamps: masks where the arcs are, objects apart, the same by seed."""

import numpy as np
import pytest

from galvm_hf.data.composites.field import LENSES, compose_field
from galvm_hf.data.composites.objects import SPLITS, read_objects
from galvm_hf.data.simulate.survey import SKY_NOISE

SIZE = (256, 256)


@pytest.fixture(scope="module")
def objects(made_up):
    return [real for split in SPLITS for real in read_objects(made_up, split)]


@pytest.fixture(scope="module")
def fields(objects):
    return [compose_field(objects, SIZE, np.random.default_rng(seed)) for seed in range(8)]


def test_two_thirds_have_lenses_and_all_have_others(fields):
    numbers = [len(field.instances) for field in fields]
    assert 0 in numbers and max(numbers) <= LENSES[1]
    for field in fields:
        kinds = [pasted.real.kind for pasted in field.objects]
        assert kinds.count("lens") == len(field.instances)
        assert kinds.count("negative") >= 1 and kinds.count("galaxy") >= 1


def test_an_object_is_in_a_field_once(fields):
    for field in fields:
        names = [pasted.real.name for pasted in field.objects]
        assert len(set(names)) == len(names)


def test_masks_fit_their_boxes_and_lie_round_their_lens(fields):
    checked = 0
    for field in fields:
        for instance in field.instances:
            x0, y0, x1, y1 = instance.box
            assert instance.mask.shape == (y1 - y0, x1 - x0)
            assert instance.mask.any(axis=0)[[0, -1]].all() and instance.mask.any(axis=1)[[0, -1]].all()
            lens = field.objects[instance.row]
            assert lens.real.kind == "lens"
            rows, columns = np.nonzero(instance.mask)
            radius = np.hypot(rows + y0 - lens.y, columns + x0 - lens.x)
            checked += 1
            # the made-up arcs have 16 px of 0.187 arcsec, 11.4 of the field's
            assert lens.real.source == "legacy-lenses" or 8 < np.median(radius) < 15
            # of the light under the mask more is blue than under the rest of the lens
            patch = field.flux[:, lens.y - 3 : lens.y + 4, lens.x - 3 : lens.x + 4].mean(axis=(1, 2))
            arc = field.flux[:, y0:y1, x0:x1][:, instance.mask].mean(axis=1)
            assert arc[0] / arc[2] > 1.5 * patch[0] / patch[2]
    assert checked >= 5


def test_the_sky_between_objects_is_that_of_the_conditions(fields):
    for field in fields:
        assert (field.conditions.sky <= np.array(SKY_NOISE)).all()
        spread = 1.4826 * np.median(np.abs(field.flux - np.median(field.flux, axis=(1, 2), keepdims=True)), axis=(1, 2))
        np.testing.assert_allclose(spread, field.conditions.sky, rtol=0.2)


def test_a_seed_gives_the_same_field_again(objects, fields):
    again = compose_field(objects, SIZE, np.random.default_rng(3))
    np.testing.assert_array_equal(again.flux, fields[3].flux)
    assert [instance.box for instance in again.instances] == [instance.box for instance in fields[3].instances]
    assert not np.array_equal(again.flux, fields[4].flux)
