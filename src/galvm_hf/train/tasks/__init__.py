"""What the shared encoder is trained for: one class a task, all with the interface of `base.Task`.

A new task is a new class, named in `TASKS`; the loop is not touched.
"""

from .base import Task, TaskSettings
from .classification import Classification
from .parameters import Parameters
from .reconstruction import Autoencoding, Inpainting, Restoration

TASKS: dict[str, type[Task]] = {
    "autoencode": Autoencoding,
    "classification": Classification,
    "inpainting": Inpainting,
    "parameters": Parameters,
    "restoration": Restoration,
}

__all__ = ["TASKS", "Autoencoding", "Classification", "Inpainting", "Parameters", "Restoration", "Task", "TaskSettings"]
