"""The same run on one process and on two: the same losses, and between them the same samples."""

import json

import pytest
import yaml
from train.kill_and_resume import run_whole, samples, small_run, write_stamps

STEPS = 50


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One YAML file, run by one process with batches of 2b and by two with b each."""
    folder = tmp_path_factory.mktemp("processes")
    data = write_stamps(folder / "data")
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump(small_run(STEPS)))
    outputs = {processes: folder / str(processes) / "run" for processes in (1, 2)}
    for processes, output in outputs.items():
        run_whole(config, data, processes, output)
    return outputs


def read(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def test_the_loss_curves_agree_to_a_ten_thousandth(runs):
    one, two = (read(output) for output in runs.values())
    assert len(one) == len(two) == STEPS
    assert [line["task"] for line in one] == [line["task"] for line in two]
    for first, second in zip(one, two, strict=True):
        assert second["loss"] == pytest.approx(first["loss"], rel=1e-4)
        assert second["gradient_norm"] == pytest.approx(first["gradient_norm"], rel=1e-3)
    assert one[-1]["loss"] < 0.8 * one[0]["loss"]


def test_validation_agrees(runs):
    one, two = (read(output)[-1]["validation"] for output in runs.values())
    for task, scores in one.items():
        assert two[task] == pytest.approx(scores, rel=1e-4)


def test_the_two_processes_share_every_batch_of_the_one(runs):
    one, two = (samples(output) for output in runs.values())
    for step in range(STEPS):
        task, whole = one["rank-0.jsonl", step]
        parts = [two[f"rank-{rank}.jsonl", step] for rank in (0, 1)]
        assert [part[0] for part in parts] == [task, task]
        assert [identity for pair in zip(*(part[1] for part in parts), strict=True) for identity in pair] == whole
