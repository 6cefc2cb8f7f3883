"""The log of a session: what was done, by whom and when, one line of JSON an event, one file for each person.

An event is on disk before it is acknowledged. Files are only ever appended to, and an event that was cut short by a
crash, and so was never acknowledged, is taken away when the log is opened again. Events are numbered over all files.
"""

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from filelock import FileLock, Timeout

from ..files import sync

LONGEST_NAME = 64
Event = dict[str, Any]


@dataclass(frozen=True)
class Repair:
    """A last line that was cut short and taken away.

    Attributes:
        path: The file.
        removed: The bytes that stood there.
    """

    path: Path
    removed: bytes

    def __str__(self) -> str:
        return f"{self.path}: the last line was cut short, and its {len(self.removed)} bytes were removed"


class EventLog:
    """The events of one session, for any number of threads of one process.

    A context manager; `close` lets other processes open it.

    Args:
        folder: Of the session; made if it is not there.
        clock: Seconds since 1970.

    Attributes:
        events: All of them, in order: each has `n`, `time`, `who`, `kind`, and what belongs to its kind.
        repairs: What was mended when the log was opened.

    Raises:
        BlockingIOError: If another process has it open.
        ValueError: If a file is damaged elsewhere than at its end.
    """

    def __init__(self, folder: str | Path, clock: Callable[[], float] = time.time):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clock, self._lock = clock, threading.Lock()
        self._files: dict[str, int] = {}
        self._guard = FileLock(self.folder / ".lock", timeout=0)
        try:
            self._guard.acquire()
        except Timeout:
            raise BlockingIOError(f"{self.folder}: another process has this session open. Close it there.") from None
        try:
            self.repairs = [
                repair for path in sorted(self.folder.glob("*.jsonl")) if (repair := _repair(path)) is not None
            ]
            self.events = read_events(self.folder)
        except BaseException:
            self._guard.release()
            raise

    def append(self, who: str, kind: str, **facts: Any) -> Event:
        """Add an event; when this returns it is on disk.

        Raises:
            ValueError: If `who` is no name.
            OSError: If it cannot be written, and then nothing of it is.
        """
        if not (0 < len(who) <= LONGEST_NAME and who.isprintable()):
            raise ValueError(f"A name has 1 to {LONGEST_NAME} printable characters, got {who[:80]!r}.")
        with self._lock:
            number = self.events[-1]["n"] + 1 if self.events else 0
            event = {"n": number, "time": self._clock(), "who": who, "kind": kind, **facts}
            self._write(who, (json.dumps(event, allow_nan=False) + "\n").encode())
            self.events.append(event)
            return event

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            for descriptor in self._files.values():
                os.close(descriptor)
            self._files.clear()
            self._guard.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _write(self, who: str, line: bytes) -> None:
        if who not in self._files:
            path = self.folder / f"{quote(who, safe=' ')}.jsonl"
            self._files[who] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            sync(self.folder)
        descriptor = self._files[who]
        end = os.fstat(descriptor).st_size
        try:
            written = os.write(descriptor, line)
            if written < len(line):
                raise OSError(f"{self.folder}: only {written} of {len(line)} bytes of an event could be written.")
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, end)  # else the next event would be behind half of this one
            raise


def read_events(folder: Path) -> list[Event]:
    """The events of a session in order, also while it is open; a last line that is being written is left out.

    Raises:
        ValueError: If a file is damaged elsewhere than at its end, or two events have one number.
    """
    events = []
    for path in sorted(folder.glob("*.jsonl")):
        content = path.read_bytes()
        for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
            try:
                event = json.loads(line)
                events.append((event["n"], path, event))
            except (ValueError, KeyError, TypeError):
                raise ValueError(
                    f"{path}, line {number} is no event: {line[:80]!r}. Restore the file from a copy."
                ) from None
    events.sort(key=lambda entry: entry[0])
    for (number, path, _), (again, other, _) in pairwise(events):
        if number == again:
            raise ValueError(f"{path} and {other} both have an event {number}. They are of different sessions.")
    return [event for _, _, event in events]


def _repair(path: Path) -> Repair | None:
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end == len(content):
        return None
    with path.open("r+b") as stream:
        stream.truncate(end)
    sync(path)
    return Repair(path, content[end:])
