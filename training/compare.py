"""Train variants of one run, and table what each comes to on validation data.

    python training/compare.py --config configs/compare/objectives.yaml --data DIR

The file names a script, the run that all variants share, and what is different in each. The runs go to folders of
their own under `output`; one that was stopped goes on, one that is done is not repeated. The table, `results.md` in the
same folder, has the metrics of each variant's last evaluation, its images and the minutes it trained.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from galvm_hf.files import whole_file


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with some of them changed, also within dictionaries; null takes one out."""
    result = dict(base)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            value = merged(base[name], value)
        result[name] = value
    return {name: value for name, value in result.items() if value is not None}


def describe(folder: Path) -> dict[str, float]:
    """Metrics of a run's last evaluation."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    last = next(line for line in reversed(log) if "validation" in line)
    row = {"images": sum(line["batch_size"] for line in log), "minutes": round(last["seconds"] / 60, 1)}
    for task, scores in last["validation"].items():
        if isinstance(scores, dict):
            row |= {f"{task} {metric}": value for metric, value in scores.items() if metric != "error"}
        else:
            row[task] = scores
    return row


def table(rows: dict[str, dict[str, float]]) -> str:
    """Rows as Markdown; what a variant does not measure is left empty."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = ["| variant | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [f"{row[column]:.4g}" if column in row else "" for column in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML file of the comparison")
    parser.add_argument("--data", type=Path, required=True, help="folder that the runs' sources are relative to")
    parser.add_argument("--only", nargs="*", help="variants to run here; another process may run the others")
    arguments = parser.parse_args()
    comparison = yaml.safe_load(arguments.config.read_text())
    output = Path(comparison["output"])
    variants = comparison["variants"]
    if unknown := sorted(set(arguments.only or ()) - set(variants)):
        parser.error(f"{arguments.config} has no variants {unknown}; it has {sorted(variants)}")
    script = Path(__file__).with_name(comparison["script"])
    for name in arguments.only or variants:
        folder = output / name
        config = folder / "run.yaml"
        with whole_file(config) as temporary:
            run = merged(comparison["run"], variants[name] or {}) | {"output": str(folder)}
            temporary.write_text(yaml.safe_dump(run, sort_keys=False))
        subprocess.run([sys.executable, script, "--config", config, "--data", arguments.data], check=True)
    done = {name: describe(output / name) for name in variants if (output / name / "checkpoint").exists()}
    with whole_file(output / "results.md") as temporary:
        temporary.write_text(table(done))
    print(table(done), end="")


if __name__ == "__main__":
    main()
