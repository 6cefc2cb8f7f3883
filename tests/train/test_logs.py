"""The log of a run: one line a step, also after a stop."""

import json

import pytest

from galvm_hf.train.logs import RunLog, scalars


def line(step: int, **more) -> dict:
    return {"step": step, "task": "denoise", "loss": 1 / step, "learning_rate": 1e-3, "gradient_norm": 0.5, **more}


def test_lines_are_on_disk_as_they_are_written(tmp_path):
    log = RunLog(tmp_path / "run", 0)
    for step in (1, 2, 3):
        log.write(line(step))
        assert log.read() == [line(number) for number in range(1, step + 1)]
    log.close()


def test_steps_that_are_taken_again_are_cut_off(tmp_path):
    log = RunLog(tmp_path, 0)
    for step in range(1, 8):
        log.write(line(step))
    log.close()
    log = RunLog(tmp_path, 4)
    assert [record["step"] for record in log.read()] == [1, 2, 3, 4]
    log.write(line(5, again=True))
    log.close()
    assert log.read()[-1] == line(5, again=True)
    assert not list(tmp_path.glob(".*.part"))


def test_a_run_that_begins_anew_has_a_new_log(tmp_path):
    (tmp_path / "log.jsonl").write_text(json.dumps(line(1)) + "\n")
    log = RunLog(tmp_path, 0)
    assert log.read() == []
    log.close()


def test_half_a_last_line_is_left_out(tmp_path):
    whole = "".join(json.dumps(line(step)) + "\n" for step in (1, 2))
    (tmp_path / "log.jsonl").write_text(whole + json.dumps(line(3))[:20])
    log = RunLog(tmp_path, 2)
    log.write(line(3))
    log.close()
    assert [record["step"] for record in log.read()] == [1, 2, 3]


def test_plots_are_drawn_where_a_step_has_been_evaluated(tmp_path):
    pytest.importorskip("matplotlib")
    log = RunLog(tmp_path, 0)
    log.write(line(1))
    assert not (tmp_path / "plots.png").exists()
    log.write(line(2, validation={"denoise": {"error": 0.1, "psnr": 10.0}}))
    log.close()
    assert (tmp_path / "plots.png").read_bytes().startswith(b"\x89PNG")


def test_trackers_get_numbers_under_names_with_slashes():
    assert scalars(line(2)) == {
        "train/denoise/loss": 0.5,
        "train/learning_rate": 1e-3,
        "train/gradient_norm": 0.5,
    }
    values = scalars(
        line(2, validation={"denoise": {"error": 0.1, "psnr": 10.0}, "probe": 0.7}, shares={"denoise": 1.0})
    )
    assert {name: values[name] for name in values if not name.startswith("train/")} == {
        "validation/denoise/error": 0.1,
        "validation/denoise/psnr": 10.0,
        "validation/probe": 0.7,
        "shares/denoise": 1.0,
    }
