"""Train one encoder for several tasks at once.

    accelerate launch training/multitask.py --config configs/multitask/tiny-active.yaml --data DIR

writes log, plots, resumable states and the checkpoint to the folder that the YAML file names as `output`. A run that
was stopped, in whatever way, goes on from its last state with the same command.
"""

from galvm_hf.train.launch import launch
from galvm_hf.train.multitask import MultitaskSettings, train_tasks

if __name__ == "__main__":
    launch(__doc__, MultitaskSettings, train_tasks)
