"""Score a collection piece by piece, and keep what comes first in an order.

The MLP on every galaxy is the whole cost of a round. A linear stand-in for it costs a thousandth of that, and finds the
few per cent among which the first ones are: those of highest and of lowest score, hardly ever missing one. On the
boundary galaxies lie close, and it finds others there that are as uncertain.
"""

from collections.abc import Callable
from collections.abc import Collection as Rows
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from .collection import Collection
from .learner import Learner, Scores

EXACT_UP_TO = 30_000  # galaxies that are scored without a stand-in
SHARE = 0.02  # of the galaxies, that the stand-in keeps
SMALLEST = 3000  # of these, at least
_SAMPLE = 2048  # galaxies that the stand-in is fitted to
_RIDGE = 1e-3
_BATCH = 2048  # galaxies that are scored at once


class Order(StrEnum):
    """What comes first."""

    HIGH = "high"
    LOW = "low"
    BORDERLINE = "borderline"

    def key(self, logits: Tensor) -> Tensor:
        """From logits `[B]`, numbers `[B]` of which the largest comes first."""
        return {Order.HIGH: logits, Order.LOW: -logits, Order.BORDERLINE: -logits.abs()}[self]


@dataclass(frozen=True)
class Ranked:
    """Galaxies in an order, the first one first.

    Attributes:
        rows: Where they stand in the collection, int64 `[n]`.
        probability: That each is of the kind, float32 `[n]`; NaN while there is no learner.
        spread: Standard deviation of the members' probabilities, float32 `[n]`.
    """

    rows: np.ndarray
    probability: np.ndarray
    spread: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: np.ndarray) -> "Ranked":
        """Those at some places, in the order given."""
        return Ranked(self.rows[places], self.probability[places], self.spread[places])


class _First:
    """The first of all the galaxies shown to it; of equal ones those that stand first in the collection."""

    def __init__(self, number: int):
        self._number = number
        self.keys = np.empty(0, np.float32)
        self.columns = [np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32)]

    def add(self, key: Tensor, rows: np.ndarray, scores: Scores) -> None:
        keys = np.concatenate([self.keys, key.numpy()])
        new = (rows, scores.probability.numpy(), scores.spread.numpy())
        columns = [np.concatenate(pair) for pair in zip(self.columns, new, strict=True)]
        order = np.lexsort((columns[0], -keys))[: self._number]
        self.keys, self.columns = keys[order], [column[order] for column in columns]

    def ranked(self) -> Ranked:
        return Ranked(*self.columns)


@torch.inference_mode()
def rank_collection(
    collection: Collection,
    learner: Learner,
    orders: list[tuple[Order, int]],
    excluded: Rows[int] = (),
    exact: bool | None = None,
) -> list[Ranked]:
    """The first galaxies of a collection, in several orders at once.

    Args:
        collection: What to rank.
        learner: What to rank by.
        orders: Each an order and how many to keep.
        excluded: Rows that are not to come.
        exact: Whether to score every galaxy; by default up to `EXACT_UP_TO`.
    """
    if exact is None:
        exact = len(collection) <= EXACT_UP_TO
    fast, firsts = learner.as_fast(), [_First(number) for _, number in orders]
    is_excluded = _membership(excluded)

    def score(rows: np.ndarray, features: Tensor, places: list[int]) -> None:
        if not len(rows):
            return
        logits = fast.logits(features)
        mean = logits.mean(1)
        scores = Scores(mean.sigmoid(), logits.sigmoid().std(1, correction=0))
        for place in places:
            firsts[place].add(orders[place][0].key(mean), rows, scores)

    if exact:
        for start, chunk in collection.chunks():
            for first in range(0, len(chunk), _BATCH):
                part = chunk[first : first + _BATCH]
                rows = np.arange(start + first, start + first + len(part))
                kept = ~is_excluded(rows)
                score(rows[kept], part if kept.all() else part[torch.from_numpy(kept)], list(range(len(orders))))
    else:
        standins = [_stand_in(collection, learner, order, number) for order, number in orders]
        waiting: list[list[tuple[np.ndarray, Tensor]]] = [[] for _ in orders]
        for start, chunk in collection.chunks():
            directions = torch.stack([standin[0] for standin in standins])
            for place, values in enumerate(torch.nn.functional.linear(chunk, directions).float().T):
                _, offset, threshold = standins[place]
                chosen = (orders[place][0].key(values + offset) >= threshold).nonzero()[:, 0]
                rows = start + chosen.numpy()
                kept = ~is_excluded(rows)
                waiting[place].append((rows[kept], chunk[chosen[torch.from_numpy(kept)]]))
                if sum(len(rows) for rows, _ in waiting[place]) >= _BATCH:
                    _score_waiting(score, waiting, place)
        for place in range(len(orders)):
            _score_waiting(score, waiting, place)
    return [first.ranked() for first in firsts]


@torch.inference_mode()
def score_rows(collection: Collection, learner: Learner, rows: np.ndarray) -> Ranked:
    """Scores of some galaxies, in their order."""
    fast = learner.as_fast()
    parts = [fast.score(collection.take(part)) for part in np.array_split(rows, -(-len(rows) // _BATCH) or 1)]
    return Ranked(
        np.asarray(rows, dtype=np.int64),
        torch.cat([part.probability for part in parts]).numpy(),
        torch.cat([part.spread for part in parts]).numpy(),
    )


def _score_waiting(
    score: Callable[[np.ndarray, Tensor, list[int]], None],
    waiting: list[list[tuple[np.ndarray, Tensor]]],
    place: int,
) -> None:
    if waiting[place]:
        rows, features = zip(*waiting[place], strict=True)
        waiting[place] = []
        score(np.concatenate(rows), torch.cat(features), [place])


def _stand_in(collection: Collection, learner: Learner, order: Order, number: int) -> tuple[Tensor, float, float]:
    """A direction `[D]` and an offset that give nearly the learner's logits, and from which key on a galaxy is scored.

    The fit and the threshold are of galaxies drawn over the whole collection.
    """
    rows = np.sort(np.random.default_rng(0).choice(len(collection), min(_SAMPLE, len(collection)), replace=False))
    features = collection.take(rows).float()
    logits = learner.logits(features).mean(1)
    offset = logits.mean()
    coordinates = features @ collection.basis  # all that a learner goes by
    gram = coordinates.T @ coordinates
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean())
    direction = (collection.basis @ torch.linalg.solve(gram, coordinates.T @ (logits - offset))).bfloat16()
    kept = max(SMALLEST, 10 * number, round(SHARE * len(collection)))
    keys = order.key(features @ direction.float() + offset)
    return direction, offset.item(), torch.quantile(keys, max(0.0, 1 - kept / len(collection))).item()


def _membership(rows: Rows[int]) -> Callable[[np.ndarray], np.ndarray]:
    excluded = np.sort(np.fromiter(rows, np.int64, len(rows)))

    def test(candidates: np.ndarray) -> np.ndarray:
        places = np.searchsorted(excluded, candidates)
        return (
            excluded[np.minimum(places, len(excluded) - 1)] == candidates
            if len(excluded)
            else np.zeros(len(candidates), dtype=bool)
        )

    return test
