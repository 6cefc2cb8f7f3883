"""Train the strong-lens detector on fields with boxes and masks.

    accelerate launch training/detect.py --config configs/detection/lens.yaml --data DIR

DIR has the folders of fields that the YAML file names, as `galvm simulate fields` and `galvm prepare composites` write
them. Log, plots, resumable states and the checkpoint go to the folder that the file names as `output`. A run that was
stopped, in whatever way, goes on from its last state with the same command.
"""

from galvm_hf.train.detect import DetectionSettings, train_detector
from galvm_hf.train.launch import launch

if __name__ == "__main__":
    launch(__doc__, DetectionSettings, train_detector)
