"""What the shared encoder is trained for: one class a task, all with the interface of `base.Task`.

A new task is a new class, named in `TASKS`; the loop is not touched.
"""

from .base import Task, TaskSettings
from .classification import Classification
from .parameters import Parameters
from .reconstruction import Autoencoding, Denoising, Inpainting, Masking, Restoration

TASKS: dict[str, type[Task]] = {
    "autoencode": Autoencoding,
    "classification": Classification,
    "denoise": Denoising,
    "inpainting": Inpainting,
    "masked": Masking,
    "parameters": Parameters,
    "restoration": Restoration,
}

__all__ = [
    "TASKS",
    "Autoencoding",
    "Classification",
    "Denoising",
    "Inpainting",
    "Masking",
    "Parameters",
    "Restoration",
    "Task",
    "TaskSettings",
]
