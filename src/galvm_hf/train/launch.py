"""The command line that the training scripts share."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from .data import DATA_VARIABLE
from .settings import RunSettings


def launch(description: str, settings: type[RunSettings], train: Callable[..., Path]) -> None:
    """Read the command line, run, and say where the checkpoint is.

    Args:
        description: Of the script, for `--help`.
        settings: What the YAML file states.
        train: Takes the settings and the data folder, and returns the folder of the checkpoint.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML file of the run")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get(DATA_VARIABLE),
        help=f"folder that the run's sources are relative to (default: the variable {DATA_VARIABLE})",
    )
    parser.add_argument("--output", help="folder of the run, instead of the one that the file names")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error(f"name the folder of the stamps by --data or the environment variable {DATA_VARIABLE}")
    try:
        run = settings.from_yaml(arguments.config)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if arguments.output:
        run.output = arguments.output
    checkpoint = train(run, Path(arguments.data))
    if int(os.environ.get("RANK", 0)) == 0:
        print(f"Checkpoint: {checkpoint}")
