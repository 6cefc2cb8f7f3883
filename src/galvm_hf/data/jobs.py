"""What tells one job from another, so that a stopped one is continued and another one is not mixed with it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..files import whole_file


def as_job(**parts: Any) -> dict[str, Any]:
    """A job as JSON gives it back."""
    return json.loads(json.dumps(parts))


def fingerprint_files(paths: Iterable[Path]) -> dict[str, Any]:
    """What shows that files are still the same: their number, bytes, and a digest of their names, sizes and times."""
    states = [(path, path.stat()) for path in paths]
    entries = [f"{path} {state.st_size} {state.st_mtime_ns}" for path, state in states]
    return {
        "files": len(states),
        "bytes": sum(state.st_size for _, state in states),
        "sha256": hashlib.sha256("\n".join(entries).encode()).hexdigest(),
    }


def require_same_job(earlier: Mapping[str, Any], job: Mapping[str, Any], place: str) -> None:
    """Refuse to continue another job.

    Args:
        earlier: What was begun.
        job: What is asked for now.
        place: What would be continued, for the message.

    Raises:
        ValueError: If they differ.
    """
    changed = sorted(key for key in job.keys() | earlier.keys() if job.get(key) != earlier.get(key))
    if changed:
        told = "; ".join(f"{key} was {_short(earlier.get(key))}, now {_short(job.get(key))}" for key in changed)
        raise ValueError(
            f"{place} comes from another job: {told}. Repeat the command that began it, give another directory, or "
            "remove what is there (--overwrite, where the command has it)."
        )


def open_job(record: Path, job: Mapping[str, Any]) -> None:
    """Note in a directory what is being written to it, or see that it is what was being written before.

    Args:
        record: The note, a JSON file in that directory.
        job: What is being written.

    Raises:
        ValueError: If the directory holds anything else.
    """
    directory = record.parent
    if not record.exists():
        refuse_other_files(directory)
        with whole_file(record) as temporary:
            temporary.write_text(json.dumps(job, indent=1), encoding="utf-8")
    elif (earlier := json.loads(record.read_text(encoding="utf-8"))) != job:
        raise ValueError(
            f"{directory} is of another job, {earlier}, now {job}. Repeat that one, or give another --out."
        )


def refuse_other_files(directory: Path) -> None:
    """Refuse a directory that is not new or empty, with a `ValueError`."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ValueError(f"{directory} holds other files already. Give an empty or a new directory with --out.")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
