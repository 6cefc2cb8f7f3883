"""The list of what a job left out, and why."""

import csv
from collections.abc import Sequence
from pathlib import Path

from ..files import whole_file
from .stamp import UnreadableStampError


def write_skipped(path: Path, skipped: Sequence[UnreadableStampError]) -> None:
    """List what was skipped in a CSV file of `path`, `cause` and `remedy`; an earlier list does not stay behind."""
    if not skipped:
        path.unlink(missing_ok=True)
        return
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["path", "cause", "remedy"])
        rows.writerows((error.path, error.cause, error.remedy) for error in skipped)
