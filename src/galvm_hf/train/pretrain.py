"""Self-supervised pre-training: one or several objectives on one stream of stamps."""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.dataclasses import strict

from .few_shot import ProbeSettings
from .loop import Run
from .mixing import FixedShares
from .settings import DataSettings, RunSettings
from .tasks import TASKS, TaskSettings

# all of them through the one decoder of `GalvmForPreTraining`
OBJECTIVES = ("autoencode", "denoise", "masked")


@strict
@dataclass(kw_only=True)
class PretrainSettings(RunSettings):
    """One pre-training run, as a YAML file under `configs/pretrain/` states it.

    Attributes:
        data: The stamps.
        validation: Stamps that are kept out of training.
        objectives: Weight of each of `autoencode` (the paper's), `denoise` and `masked`; each step draws one.
        validation_stamps: How many of `validation` are used.
        probe: A few-shot probe at each evaluation.
    """

    data: DataSettings
    validation: DataSettings
    objectives: dict[str, float | int]
    validation_stamps: int = 256
    probe: ProbeSettings | None = None

    def validate_pretraining(self):
        """Refuse objectives that there are not; called at construction."""
        unknown = sorted(set(self.objectives) - set(OBJECTIVES))
        if unknown or not self.objectives:
            raise ValueError(f"objectives must be some of {sorted(OBJECTIVES)}, got {sorted(self.objectives)}.")
        if any(weight <= 0 for weight in self.objectives.values()):
            raise ValueError(f"every objective needs a positive weight, got {self.objectives}.")


def pretrain(settings: PretrainSettings, data_folder: Path) -> Path:
    """Run pre-training, or go on with it, on as many processes as the launcher started.

    Args:
        settings: The run.
        data_folder: What its sources are relative to.

    Returns:
        The folder of the checkpoint, which every Auto class loads.

    Raises:
        FileNotFoundError: If a source matches nothing.
        ValueError: If a phase does not fit the number of processes, or the run's folder is of other settings.
        FloatingPointError: If a loss stops being finite.
    """
    tasks = {
        name: TASKS[name](
            name,
            TaskSettings(
                kind=name,
                data="stamps",
                validation=settings.validation,
                validation_stamps=settings.validation_stamps,
                reference=1.0,
            ),
        )
        for name in settings.objectives
    }
    shares = FixedShares(settings.objectives)
    return Run(settings, tasks, {"stamps": settings.data}, shares, data_folder, probe=settings.probe).train()
