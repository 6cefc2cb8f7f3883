"""Pictures in the manner of SDSS: reproducible, dark sky, and statistics like the real ones."""

import numpy as np
import pytest
import torch

from galvm_hf.data.readers import iter_stamps
from galvm_hf.data.simulate import CLASSES
from galvm_hf.data.simulate.galaxies.sdss import simulate_sdss_pictures

NUMBER = 24
PROBED = ("elliptical", "edge-on", "spiral")


@pytest.fixture(scope="module")
def pictures():
    return simulate_sdss_pictures(NUMBER, torch.Generator().manual_seed(0), PROBED)


def test_pictures_are_there_with_their_labels(pictures):
    images, labels, parameters = pictures
    assert images.shape == (NUMBER, 320, 320, 3)
    assert images.dtype == np.uint8
    assert sorted(CLASSES[label] for label in labels.unique()) == sorted(PROBED)
    assert len(parameters["redshift"]) == NUMBER


def test_a_seed_gives_the_same_pictures_again(pictures):
    again, _, _ = simulate_sdss_pictures(NUMBER, torch.Generator().manual_seed(0), PROBED)
    np.testing.assert_array_equal(again, pictures[0])


def test_pictures_are_as_bright_as_real_ones(pictures, galvm_data):
    """Medians over the pictures, of 255: sky within 3, and the middle within 25, in every channel."""
    real = []
    for stamp in iter_stamps([galvm_data / "sdss-galaxy-zoo-1" / "train-00000-of-00001.parquet"]):
        if stamp.columns["label"] in PROBED:
            real.append(stamp.pixels)
        if len(real) == 150:
            break
    for area, tolerance in ((np.s_[:, :60], 3), (np.s_[:, 150:170, 150:170], 25)):
        found, expected = (
            np.median(np.median(np.asarray(images)[area].reshape(len(images), -1, 3), axis=1), axis=0)
            for images in (pictures[0], real)
        )
        np.testing.assert_allclose(found, expected, atol=tolerance)
