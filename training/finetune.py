"""Fine-tune a checkpoint on labelled galaxies, on one process or many.

    accelerate launch training/finetune.py --config configs/finetune/few-labels.yaml --data labelled.parquet --out DIR

The YAML file has the fields of `FinetuneSettings`. `galvm finetune` does the same on one process, by options.
"""

import argparse
import os
from pathlib import Path

from galvm_hf.train.finetune import FinetuneSettings, finetune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML file of the run")
    parser.add_argument("--data", nargs="+", help="labelled files and folders, instead of those the file names")
    parser.add_argument("--test", nargs="+", help="other labelled galaxies to measure on")
    parser.add_argument("--out", help="folder for the model, instead of the one that the file names")
    arguments = vars(parser.parse_args())
    config = arguments.pop("config")
    try:
        settings = FinetuneSettings.from_yaml(config, **{name: value for name, value in arguments.items() if value})
    except (OSError, ValueError) as error:
        parser.error(str(error))
    result = finetune(settings, show_progress=True)
    if int(os.environ.get("RANK", 0)) == 0:
        for name, estimate in result.headline.items():
            print(f"{name} {estimate} on {estimate.number} galaxies, by {result.how}")
        print(f"Model: {result.folder}")


if __name__ == "__main__":
    main()
