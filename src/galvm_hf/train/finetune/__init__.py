"""Fine-tuning on somebody's own labels by `transformers.Trainer`: classes or values, from a handful of galaxies up."""

from .data import LabelledStamps, StampDataset, load_labelled
from .run import FinetuneResult, finetune
from .settings import FinetuneSettings

__all__ = [
    "FinetuneResult",
    "FinetuneSettings",
    "LabelledStamps",
    "StampDataset",
    "finetune",
    "load_labelled",
]
