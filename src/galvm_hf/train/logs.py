"""What a run writes down: a line of JSON a step, plots, and whatever Accelerate's trackers take."""

import json
from pathlib import Path
from typing import Any

from ..files import whole_file
from .plots import plot_run


class RunLog:
    """The log of a run, `log.jsonl` in its folder, one line a step.

    Args:
        folder: Of the run.
        step: How many steps the run has behind it. Lines of later steps, of a run that was stopped before it saved its
            state, are cut off: those steps are taken again.
    """

    def __init__(self, folder: Path, step: int):
        self._path = folder / "log.jsonl"
        kept = [line for line in self.read() if line["step"] <= step] if step else []
        with whole_file(self._path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        self._file = self._path.open("a")

    def read(self) -> list[dict[str, Any]]:
        """All whole lines; the last one of a run that was killed may not be."""
        if not self._path.exists():
            return []
        lines = self._path.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def write(self, record: dict[str, Any]) -> None:
        """Add a line, and draw the plots anew where the step has been evaluated."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if "validation" in record:
            plot_run(self.read(), self._path.parent)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def scalars(record: dict[str, Any]) -> dict[str, float]:
    """A line of the log as trackers take it: numbers under names with slashes."""
    values = {
        f"train/{record['task']}/loss": record["loss"],
        "train/learning_rate": record["learning_rate"],
        "train/gradient_norm": record["gradient_norm"],
    }
    for group in ("validation", "shares"):
        for name, value in record.get(group, {}).items():
            if isinstance(value, dict):
                values |= {f"{group}/{name}/{metric}": number for metric, number in value.items()}
            else:
                values[f"{group}/{name}"] = value
    return values
