"""How often each task is trained: its share of the steps.

`frozen` is the paper's `Pre_train`: heads on an encoder that stays as pre-training left it, all equally often.
`uniform` trains the encoder too. `active` moves the shares, after each evaluation on validation data, towards the
tasks that fall short of their references (Fu et al. 2024, section 2.3).
"""

import random
from collections.abc import Mapping
from typing import Any

STRATEGIES = ("frozen", "uniform", "active")


class FixedShares:
    """Shares that stay what they are.

    Args:
        weights: Of each task, positive; the shares are proportional to them.
    """

    def __init__(self, weights: Mapping[str, float]):
        total = sum(weights.values())
        self.shares = {name: weight / total for name, weight in weights.items()}

    def draw(self, seed: int, step: int) -> str:
        """The task of a step: on every process the same, and the same again after a stop."""
        return random.Random(f"{seed} {step}").choices(list(self.shares), list(self.shares.values()))[0]

    def update(self, shortfalls: Mapping[str, float]) -> None:
        """Take in how each task does; these shares do not mind."""

    def state_dict(self) -> dict[str, Any]:
        """The shares, to be saved."""
        return {"shares": dict(self.shares)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the shares that were saved."""
        self.shares = dict(state["shares"])


class ActiveShares(FixedShares):
    """Shares that follow the shortfall: how many times as large as its reference a task's error is.

    After an evaluation the shares aim at proportions of the shortfalls, move a part of the way there, and keep a floor.

    Args:
        tasks: Their names; all begin with the same share.
        momentum: How much of the present shares stays at an update, in [0, 1).
        floor: Smallest share of a task, below one over their number.

    Raises:
        ValueError: If `momentum` or `floor` is out of range.
    """

    def __init__(self, tasks: list[str], momentum: float = 0.5, floor: float = 0.1):
        super().__init__(dict.fromkeys(tasks, 1.0))
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}.")
        if not 0 <= floor * len(tasks) < 1:
            raise ValueError(f"floor must leave something to share among {len(tasks)} tasks, got {floor}.")
        self.momentum, self.floor = momentum, floor

    def update(self, shortfalls: Mapping[str, float]) -> None:
        """Move the shares towards the tasks that fall short.

        Args:
            shortfalls: Of each task, error over reference, at least 0.
        """
        total = sum(shortfalls.values())
        if not total:
            return
        free = 1 - self.floor * len(self.shares)
        aims = {name: self.floor + free * shortfalls[name] / total for name in self.shares}
        self.shares = {
            name: self.momentum * share + (1 - self.momentum) * aims[name] for name, share in self.shares.items()
        }
