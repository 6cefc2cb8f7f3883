"""Parts of a data set: folds where galaxies are few, and parts that are held out where they are not."""

import torch
from torch import Tensor

from .data import LabelledStamps

# Up to so many, every label is needed for training: cross-validation measures on all of them.
FEW = 400
FOLDS = 5
HELD_OUT = 0.15
# Values are spread over the parts by the first column.
STRATA = 10


def strata(stamps: LabelledStamps) -> Tensor:
    """The class of each galaxy, or which tenth of the values its first value is in, [N]."""
    if stamps.is_classification:
        return stamps.targets
    rank = stamps.targets[:, 0].argsort().argsort()
    return rank * min(STRATA, len(stamps) // FOLDS or 1) // len(stamps)


def folds(groups: Tensor, seed: int, number: int = FOLDS) -> Tensor:
    """The fold of each galaxy, [N], every group spread over the folds as evenly as its size allows.

    Args:
        groups: From `strata`, [N].
        seed: Of the draw.
        number: Of the folds, if the smallest group has as many members.

    Raises:
        ValueError: If a group has one member only.
    """
    counts = groups.bincount()
    smallest = int(counts[counts > 0].min())
    if smallest < 2:
        raise ValueError(
            f"Class number {int(counts.eq(1).nonzero()[0])} has one galaxy only: two are needed to learn from one and "
            "to measure on the other. Label more of them, or leave the class out."
        )
    generator = torch.Generator().manual_seed(seed)
    fold, start = torch.empty_like(groups), 0
    for group in counts.nonzero().flatten():
        members = (groups == group).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        # each group starts where the last one ended, so that the folds are of one size
        fold[members] = (torch.arange(len(members)) + start) % min(number, smallest)
        start += len(members)
    return fold


def held_out(groups: Tensor, share: float, parts: int, seed: int) -> list[Tensor]:
    """Galaxies to train on, and `parts` other parts of which each has the same share of every group.

    Raises:
        ValueError: If a group is too small to be in every part.
    """
    counts = groups.bincount()
    smallest = int(counts[counts > 0].min())
    if smallest < parts + 1:
        raise ValueError(
            f"A class has {smallest} galaxies, which cannot be in {parts + 1} parts. Label more of them, leave the "
            "class out, or give galaxies to measure on by --test."
        )
    generator = torch.Generator().manual_seed(seed)
    chosen: list[list[Tensor]] = [[] for _ in range(parts + 1)]
    for group in counts.nonzero().flatten():
        members = (groups == group).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        size = min(max(1, round(share * len(members))), (len(members) - 1) // parts)
        sizes = [len(members) - parts * size] + [size] * parts
        for part, some in zip(chosen, members.split(sizes), strict=True):
            part.append(some)
    return [torch.cat(part).sort().values for part in chosen]
