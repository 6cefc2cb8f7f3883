"""Pre-train a GaLVM on galaxy stamps.

    accelerate launch training/pretrain.py --config configs/pretrain/tiny.yaml --data DIR

writes log, plots, resumable states and the checkpoint to the folder that the YAML file names as `output`. A run that
was stopped, in whatever way, goes on from its last state with the same command.
"""

from galvm_hf.train.launch import launch
from galvm_hf.train.pretrain import PretrainSettings, pretrain

if __name__ == "__main__":
    launch(__doc__, PretrainSettings, pretrain)
