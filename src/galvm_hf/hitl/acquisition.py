"""Which galaxies to ask a person about next."""

from collections.abc import Collection as Rows
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from .collection import Collection
from .learner import Learner
from .scoring import Order, Ranked, rank_collection, score_rows

_CANDIDATES = 20  # for each galaxy of a diverse choice


@dataclass(frozen=True)
class Situation:
    """What is known when a round begins.

    Attributes:
        collection: What is searched.
        learner: Trained on all answers so far.
        excluded: Rows that must not be proposed: those with an answer, and those that somebody else has in hand.
        yes: Galaxies of this person's last round that are of the kind.
        no: Galaxies of it that are not.
        seed: Of what is drawn.
        exact: As of `rank_collection`.
    """

    collection: Collection
    learner: Learner
    excluded: Rows[int] = ()
    yes: int = 0
    no: int = 0
    seed: int = 0
    exact: bool | None = None

    def first(self, order: Order, number: int) -> Ranked:
        """The first galaxies in an order."""
        return rank_collection(self.collection, self.learner, [(order, number)], self.excluded, self.exact)[0]


class Strategy(Protocol):
    """A way to choose; `str()` of it is its name, which `read_strategy` reads."""

    def choose(self, situation: Situation, number: int) -> Ranked:
        """At most `number` galaxies to ask about, the first one first."""
        ...


@dataclass(frozen=True)
class AlphaRule:
    """The paper's rule (its section 2.4): with P/N the ratio of yes to no in the last round, propose the galaxies of
    highest score while P/N is at most alpha, and those of lowest score when it is above.

    Args:
        alpha: In the paper 0.1 steers to recall, 0.5 to balance and 0.9 to precision.

    Raises:
        ValueError: If alpha is not above 0.
    """

    alpha: float = 0.5
    name: ClassVar[str] = "alpha"

    def __post_init__(self):
        if not self.alpha > 0:
            raise ValueError(f"alpha must be above 0, such as 0.1, 0.5 or 0.9, got {self.alpha}.")

    def __str__(self) -> str:
        return f"{self.name}={self.alpha:g}"

    def order(self, yes: int, no: int) -> Order:
        """What to propose after a round of so many yes and no."""
        return Order.HIGH if yes <= self.alpha * no or yes + no == 0 else Order.LOW

    def choose(self, situation: Situation, number: int) -> Ranked:
        return situation.first(self.order(situation.yes, situation.no), number)


@dataclass(frozen=True)
class Uncertainty:
    """Those that the learner cannot tell (uncertainty sampling, Lewis & Gale 1994)."""

    def __str__(self) -> str:
        return "uncertainty"

    def choose(self, situation: Situation, number: int) -> Ranked:
        return situation.first(Order.BORDERLINE, number)


@dataclass(frozen=True)
class Diverse:
    """Of the best candidates the best ones of different looks, by clusters of their features (Zhdanov 2019)."""

    def __str__(self) -> str:
        return "diverse"

    def choose(self, situation: Situation, number: int) -> Ranked:
        from sklearn.cluster import KMeans

        candidates = situation.first(Order.HIGH, _CANDIDATES * number)
        if len(candidates) <= number:
            return candidates
        features = situation.collection.take(candidates.rows).float() @ situation.collection.basis
        clusters = KMeans(number, n_init=1, random_state=situation.seed).fit_predict(features.numpy())
        _, best = np.unique(clusters, return_index=True)  # of each cluster, the one that comes first
        return candidates.take(np.sort(best))


@dataclass(frozen=True)
class Random:
    """Any."""

    def __str__(self) -> str:
        return "random"

    def choose(self, situation: Situation, number: int) -> Ranked:
        rows = draw_rows(situation.collection, number, situation.excluded, situation.seed)
        return score_rows(situation.collection, situation.learner, rows)


def draw_rows(collection: Collection, number: int, excluded: Rows[int], seed: int) -> np.ndarray:
    """Rows of at most `number` galaxies, drawn from those that are not excluded."""
    random = np.random.default_rng(seed)
    excluded = np.fromiter(excluded, np.int64, len(excluded))
    # among so many there are enough that are not excluded
    drawn = random.choice(len(collection), min(number + len(excluded), len(collection)), replace=False)
    return drawn[~np.isin(drawn, excluded)][:number]


def read_strategy(text: str) -> Strategy:
    """A strategy by its name: `alpha=0.5`, `uncertainty`, `diverse` or `random`.

    Raises:
        ValueError: If there is none of that name.
    """
    name, _, value = text.partition("=")
    if name == AlphaRule.name:
        try:
            return AlphaRule(float(value)) if value else AlphaRule()
        except ValueError as error:
            raise ValueError(f"{text!r} is no rule: {error}") from None
    for strategy in (Uncertainty(), Diverse(), Random()):
        if text == str(strategy):
            return strategy
    raise ValueError(f"There is no strategy {text!r}. There are alpha=0.5, uncertainty, diverse and random.")
