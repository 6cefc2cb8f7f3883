"""The log: what was acknowledged is there, whatever happened then."""

import os
import signal
import subprocess
import sys
import time

import pytest

from galvm_hf.hitl.log import EventLog, read_events

WRITER = """
import sys
from galvm_hf.hitl.log import EventLog
log = EventLog(sys.argv[1])
for number in range(100_000):
    who = f"person {number % 3}"
    event = log.append(who, "answered", object=f"galaxy-{number}", answer=number % 2 == 0)
    print(event["n"], flush=True)
"""


def test_events_come_back_in_order(tmp_path):
    with EventLog(tmp_path / "log", clock=lambda: 12.5) as log:
        for who in ("ada", "grace", "ada"):
            log.append(who, "answered", object="é", answer=True)
    with EventLog(tmp_path / "log") as again:
        assert again.events == log.events
        assert again.events[1] == {
            "n": 1,
            "time": 12.5,
            "who": "grace",
            "kind": "answered",
            "object": "é",
            "answer": True,
        }
        assert not again.repairs
        assert again.append("ada", "undone", answer=2)["n"] == 3
    assert sorted(path.name for path in (tmp_path / "log").glob("*.jsonl")) == ["ada.jsonl", "grace.jsonl"]


def test_a_line_that_was_cut_short_is_taken_away_and_reported(tmp_path):
    with EventLog(tmp_path) as log:
        log.append("ada", "started")
        log.append("ada", "answered", object="a", answer=True)
    path = tmp_path / "ada.jsonl"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        assert len(read_events(tmp_path)) == 1  # also while it is open
        with EventLog(tmp_path) as log:
            assert [event["kind"] for event in log.events] == ["started"]
            assert [repair.removed for repair in log.repairs] == ([whole[first:end]] if end > first else [])
            log.append("ada", "answered", object="b", answer=False)
        assert [event["n"] for event in read_events(tmp_path)] == [0, 1]


def test_damage_elsewhere_is_not_repaired(tmp_path):
    with EventLog(tmp_path) as log:
        log.append("ada", "started")
    path = tmp_path / "ada.jsonl"
    whole = path.read_bytes()
    path.write_bytes(b"\0\0\0\n" + whole)
    with pytest.raises(ValueError, match=r"ada.jsonl, line 1 is no event"):
        EventLog(tmp_path)
    (tmp_path / "copy.jsonl").write_bytes(whole)
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="both have an event 0"):
        EventLog(tmp_path)


@pytest.mark.parametrize("who", ["", "x" * 65, "a\nb"])
def test_what_is_no_name_is_refused(who, tmp_path):
    with EventLog(tmp_path) as log, pytest.raises(ValueError, match="printable characters"):
        log.append(who, "started")


def test_a_name_leads_nowhere_else(tmp_path):
    with EventLog(tmp_path / "log") as log:
        log.append("../../ada", "started")
        log.append("..", "answered")
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert len(read_events(tmp_path / "log")) == 2


def test_one_process_at_a_time(tmp_path):
    code = f"from galvm_hf.hitl.log import EventLog; EventLog({str(tmp_path)!r})"
    with EventLog(tmp_path):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
        assert "BlockingIOError" in other.stderr
        assert "another process has this session open" in other.stderr
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, env=os.environ).returncode == 0


def test_what_cannot_be_written_leaves_no_trace(tmp_path, monkeypatch):
    with EventLog(tmp_path) as log:
        log.append("ada", "started")
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:10]))
        with pytest.raises(OSError, match="only 10 of"):
            log.append("ada", "answered", object="a", answer=True)
        monkeypatch.undo()
        assert log.append("ada", "answered", object="b", answer=True)["n"] == 1
    assert [event.get("object") for event in read_events(tmp_path)] == [None, "b"]


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
@pytest.mark.parametrize("pause", [0.0, 0.013, 0.05, 0.11, 0.23])
def test_after_a_kill_everything_acknowledged_is_there(pause, tmp_path):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    acknowledged = [int(writer.stdout.readline())]
    time.sleep(pause)
    os.kill(writer.pid, signal.SIGKILL)
    rest, _ = writer.communicate()
    acknowledged += map(int, rest.split("\n")[:-1])
    with EventLog(tmp_path) as log:
        numbers = [event["n"] for event in log.events]
        assert numbers == list(range(len(numbers)))
        assert acknowledged == numbers[: len(acknowledged)]
        # at most the one that was being acknowledged
        assert len(numbers) - len(acknowledged) <= 1
        assert all(event["object"] == f"galaxy-{event['n']}" for event in log.events)
