"""Pre-train a GaLVM on galaxy stamps.

    accelerate launch training/pretrain.py --config configs/pretrain/tiny.yaml --data DIR

writes the run's settings, log and checkpoint to the folder that the YAML file names.
"""

import argparse
import os
from pathlib import Path

from galvm_hf.train.pretrain import DATA_VARIABLE, PretrainSettings, pretrain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML file of the run")
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get(DATA_VARIABLE),
        help=f"folder that the run's data patterns are relative to (default: the variable {DATA_VARIABLE})",
    )
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error(f"name the folder of the stamps by --data or the environment variable {DATA_VARIABLE}")
    checkpoint = pretrain(PretrainSettings.from_yaml(arguments.config), Path(arguments.data))
    if int(os.environ.get("RANK", 0)) == 0:
        print(f"Checkpoint: {checkpoint}")


if __name__ == "__main__":
    main()
