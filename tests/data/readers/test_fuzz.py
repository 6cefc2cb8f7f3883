"""Damaged files end in stamps or in the one error: never in another exception, a crash, a hang, or without memory."""

import os

import numpy as np
import pytest
from reader_fuzz import fuzz, mutate, read_file, write_valid_files

pytest.importorskip("astropy")
pytest.importorskip("h5py")
pytest.importorskip("pyarrow")

SHORT_RUN = 69  # each kind of file three times
LONG_RUN = int(os.environ.get("GALVM_FUZZ_FILES", "0"))


@pytest.mark.filterwarnings("default")
def test_the_files_are_valid_before_they_are_damaged(tmp_path):
    for path in write_valid_files(tmp_path):
        answer = read_file(path)
        assert answer.get("stamps") and not answer.get("errors"), (path.name, answer)


def test_damage_is_decided_by_its_seed_alone():
    content, others = bytes(range(256)) * 40, [b"other" * 100]
    mutants = [mutate(content, others, np.random.default_rng(seed)) for seed in (0, 0, 1, 2, 3)]
    assert mutants[0] == mutants[1]
    assert len(set(mutants)) == 4


def test_some_damaged_files_are_survived(tmp_path):
    ends, failures = fuzz(tmp_path, SHORT_RUN, seed=0)
    assert failures == []
    assert sum(ends.values()) == SHORT_RUN
    assert min(ends.values()) > SHORT_RUN // 10  # the damage is neither harmless nor always fatal


@pytest.mark.slow
@pytest.mark.skipif(not LONG_RUN, reason="set GALVM_FUZZ_FILES to a number of files, 1000")
@pytest.mark.parametrize("seed", range(1, 6))
def test_many_damaged_files_are_survived(tmp_path, seed):
    ends, failures = fuzz(tmp_path, LONG_RUN, seed)
    assert failures == []
    assert sum(ends.values()) == LONG_RUN
