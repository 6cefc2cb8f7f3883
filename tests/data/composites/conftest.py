"""What the tests of composites share."""

import numpy as np
import pytest
from made_up_stamps import write_made_up_stamps

from galvm_hf.data.composites.matching import Conditions
from galvm_hf.data.simulate.survey import PSF_FWHM, SKY_NOISE


@pytest.fixture
def conditions():
    return Conditions(np.array(PSF_FWHM), np.array(SKY_NOISE))


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    return write_made_up_stamps(tmp_path_factory.mktemp("real") / "data")
