"""Add a classification head to a pre-trained checkpoint, its encoder fixed.

    python training/classify.py --checkpoint runs/pretrain-tiny/checkpoint --train train.parquet --out classified

fits the paper's two fully connected layers on the features of labelled stamps.
"""

import argparse
from pathlib import Path

from galvm_hf.train.head import add_classification_head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of the pre-trained checkpoint")
    parser.add_argument("--train", type=Path, required=True, help="Parquet file or folder of labelled stamps")
    parser.add_argument("--label", default="label", help="column with the class (default: label)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint with the head")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights and the order (default: 0)")
    arguments = parser.parse_args()
    result = add_classification_head(
        arguments.checkpoint, arguments.train, arguments.out, arguments.label, arguments.seed
    )
    print(
        f"Balanced accuracy {result.balanced_accuracy:.3f} on {result.n_validation} validation galaxies, after "
        f"{result.epochs} epochs on {result.n_train} others. Checkpoint: {arguments.out}"
    )


if __name__ == "__main__":
    main()
