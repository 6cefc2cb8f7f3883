"""A run that is killed at any moment ends as if it had not been: the small version of `kill_and_resume.py`."""

import pytest
import yaml
from train.kill_and_resume import differences, run_killed, run_whole, small_run, write_stamps

STEPS = 60


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_stamps(tmp_path_factory.mktemp("stamps"))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_killed_twice_ends_with_the_same_bits(data, tmp_path, processes):
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(small_run(STEPS)))
    whole, killed = tmp_path / "whole" / "run", tmp_path / "killed" / "run"
    run_whole(config, data, processes, whole)
    assert len(run_killed(config, data, processes, killed, kills=2, seed=processes)) == 2
    run_whole(config, data, processes, killed)
    assert not differences(whole, killed)
