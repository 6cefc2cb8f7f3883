"""No seams: a classifier does not find the border of what was pasted, and does find that of a naive paste."""

import pytest
from composite_seams import measure_seams

from galvm_hf.data.composites.objects import read_objects

NUMBER = 50


@pytest.fixture(scope="module")
def stamps(galvm_data):
    return [real for real in read_objects(galvm_data, "test") if real.source == "cfhtls-space-warps"]


@pytest.mark.parametrize("paste", ["sky", "galaxies"])
def test_borders_are_not_found(stamps, paste):
    area = measure_seams(stamps, NUMBER, paste)
    assert area.low < 0.5 or area.value < 0.6, area


def test_borders_of_a_naive_paste_are_found(stamps):
    area = measure_seams(stamps, NUMBER, "naive")
    assert area.low > 0.9, area
