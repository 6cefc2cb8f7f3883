"""Multitask training: any number of tasks on one encoder, mixed by a strategy (Fu et al. 2024, section 2.3)."""

from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub.dataclasses import strict

from .few_shot import ProbeSettings
from .loop import Run
from .mixing import STRATEGIES, ActiveShares, FixedShares
from .settings import DataSettings, RunSettings
from .tasks import TASKS, TaskSettings


@strict
@dataclass
class MixingSettings:
    """Of the strategy `active`.

    Attributes:
        momentum: How much of the present shares stays when they move.
        floor: Smallest share of a task.
    """

    momentum: float | int = 0.5
    floor: float | int = 0.1


@strict
@dataclass(kw_only=True)
class MultitaskSettings(RunSettings):
    """One multitask run, as a YAML file under `configs/multitask/` states it.

    Attributes:
        data: Streams of training stamps, by name.
        tasks: What is trained, by name.
        strategy: `frozen`, `uniform` or `active`; see `train.mixing`.
        mixing: Of `active`.
        probe: A few-shot probe at each evaluation.
    """

    data: dict[str, DataSettings]
    tasks: dict[str, TaskSettings]
    strategy: str = "active"
    mixing: MixingSettings = field(default_factory=MixingSettings)
    probe: ProbeSettings | None = None

    def validate_multitask(self):
        """Refuse tasks and streams that do not belong together; called at construction."""
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy must be one of {STRATEGIES}, got {self.strategy!r}.")
        if not self.tasks:
            raise ValueError("tasks needs at least one task, got none.")
        for name, task in self.tasks.items():
            if task.kind not in TASKS:
                raise ValueError(f"kind of {name} must be one of {sorted(TASKS)}, got {task.kind!r}.")
            if task.data not in self.data:
                raise ValueError(f"data of {name} must be one of {sorted(self.data)}, got {task.data!r}.")
        kinds = [task.kind for task in self.tasks.values()]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"a checkpoint has one head of each kind, but the tasks are of the kinds {kinds}.")


def train_tasks(settings: MultitaskSettings, data_folder: Path) -> Path:
    """Run multitask training, or go on with it, on as many processes as the launcher started.

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
    tasks = {name: TASKS[task.kind](name, task) for name, task in settings.tasks.items()}
    if settings.strategy == "active":
        shares = ActiveShares(list(tasks), settings.mixing.momentum, settings.mixing.floor)
    else:
        shares = FixedShares(dict.fromkeys(tasks, 1.0))
    frozen = settings.strategy == "frozen"
    return Run(settings, tasks, settings.data, shares, data_folder, frozen, settings.probe).train()
