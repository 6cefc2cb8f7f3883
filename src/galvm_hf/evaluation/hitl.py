"""The human in the loop, measured with a simulated person: the paper's Fig. 10.

People search in one set of galaxies; what their learner is worth is measured on another. The person is an `Oracle`, and
the session is the one that people use, with its log on disk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ..hitl.acquisition import AlphaRule, Random, Strategy
from ..hitl.collection import Collection
from ..hitl.learner import Learner, train_learner
from ..hitl.oracle import Oracle
from ..hitl.scoring import Order, rank_collection
from ..hitl.session import ROUND, Session

FIRST = 5  # yes, and as many no, that a session starts with
RANDOM_SHOTS = (15, 50)  # of each side
RANDOM_LABELS = 1000
ROUNDS = 5
RARE_ROUNDS = 10
ALPHAS = (0.1, 0.5, 0.9)
TOP = 50
PERSON = "oracle"


@dataclass(frozen=True)
class Score:
    """What a learner is worth on galaxies that nobody looked at, N of them.

    Attributes:
        aupr: Average precision: the area under the curve of precision and recall.
        auc: Area under the ROC curve.
        precision: Of those with a probability above 0.5, the share that are of the kind; 0 if there are none.
        recall: Of those that are of the kind, the share with a probability above 0.5.
    """

    aupr: float
    auc: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Search:
    """What a simulated search found after some rounds.

    Attributes:
        found: Galaxies of the kind among those that the person was asked about.
        asked: How many these were.
        precision: Share of the kind among the `TOP` galaxies of highest score that nobody was asked about.
        precision_of_all: The same among all galaxies, also those with an answer, which the learner was trained on.
    """

    found: int
    asked: int
    precision: float
    precision_of_all: float


@dataclass(frozen=True)
class Galaxies:
    """Galaxies whose kind is known.

    Attributes:
        collection: Their features.
        members: Which are of the kind, bool `[N]`.
    """

    collection: Collection
    members: np.ndarray

    @classmethod
    def of(cls, collection: Collection, column: str, value: str) -> "Galaxies":
        """Those of a collection, by a column.

        Raises:
            ValueError: If all or none have the value.
        """
        members = np.array([str(known) == value for known in collection.column(column).to_pylist()])
        if members.all() or not members.any():
            raise ValueError(
                f"{collection.folder}: {'all' if members.all() else 'no'} galaxies have {column} = {value!r}. Name "
                "another column or value."
            )
        return cls(collection, members)

    @property
    def ids(self) -> np.ndarray:
        """Names, `[N]`."""
        return self.collection.ids.to_numpy(zero_copy_only=False)

    def draw(self, yes: int, no: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of so many galaxies that are of the kind, and that are not.

        Raises:
            ValueError: If there are fewer.
        """
        random = np.random.default_rng(seed)
        sides = np.flatnonzero(self.members), np.flatnonzero(~self.members)
        if len(sides[0]) < yes or len(sides[1]) < no:
            raise ValueError(
                f"{self.collection.folder} has {len(sides[0])} and {len(sides[1])} to draw {yes} and {no} from."
            )
        return random.permutation(sides[0])[:yes], random.permutation(sides[1])[:no]


def score_probabilities(probabilities: np.ndarray, members: np.ndarray) -> Score:
    """Measure probabilities `[N]` against the truth `[N]`."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    said = probabilities > 0.5
    right = (said & members).sum()
    return Score(
        aupr=float(average_precision_score(members, probabilities)),
        auc=float(roc_auc_score(members, probabilities)),
        precision=float(right / max(said.sum(), 1)),
        recall=float(right / members.sum()),
    )


class Trial:
    """Learners of one person with one seed, and what they are worth.

    Args:
        pool: What is searched.
        test: What is measured on: other galaxies, with features of the same checkpoint.
        error_rate: Share of the person's answers that are wrong.
        seed: Of examples, answers and learners.

    Raises:
        ValueError: If the features are of different checkpoints, or galaxies of the test set are in the pool.
    """

    def __init__(self, pool: Galaxies, test: Galaxies, error_rate: float = 0.0, seed: int = 0):
        ours, theirs = pool.collection, test.collection
        if (ours.weights, ours.kind, ours.inputs) != (theirs.weights, theirs.kind, theirs.inputs) or ours.inputs:
            raise ValueError(f"{ours.folder} and {theirs.folder} have features of different kinds. Make both anew.")
        if shared := set(ours.ids.to_pylist()) & set(theirs.ids.to_pylist()):
            raise ValueError(f"{len(shared)} galaxies are both searched and tested on, such as {min(shared)}.")
        self._pool, self._test, self._seed = pool, test, seed
        self._oracle = Oracle(pool.ids[pool.members].tolist(), error_rate, seed)
        # to the scale on which the pool's learners work
        features = theirs.take(range(len(theirs))).float() * theirs.deviation + theirs.mean
        self._features = ours.standardise(features)

    def score(self, learner: Learner) -> Score:
        """What a learner is worth on the test galaxies."""
        with torch.inference_mode():
            return score_probabilities(learner.score(self._features).probability.numpy(), self._test.members)

    def learn(self, rows: np.ndarray) -> Learner:
        """From the person's answers about some galaxies of the pool."""
        answers = [self._oracle.answer(name) for name in self._pool.ids[rows]]
        collection = self._pool.collection
        background = collection.background(rows)
        return train_learner(collection.take(rows), torch.tensor(answers), background, collection.basis, self._seed)

    def random(self) -> dict[str, Score]:
        """Learners from answers about random galaxies, the same number of each side but for the last."""
        scores = {}
        for shots in (FIRST, *RANDOM_SHOTS):
            scores[f"{shots} + {shots} random"] = self.score(
                self.learn(np.concatenate(self._pool.draw(shots, shots, self._seed)))
            )
        rows = np.random.default_rng(self._seed).permutation(len(self._pool.collection))[:RANDOM_LABELS]
        return scores | {f"{len(rows):,} random": self.score(self.learn(rows))}

    def chosen(self, strategy: Strategy, rounds: int) -> list[Score]:
        """Learners after each round of a session, the first one before any."""
        with self._session() as session:
            return [self.score(session.learner) for _ in self._rounds(session, strategy, rounds)]

    def search(self, strategy: Strategy, rounds: int) -> Search:
        """What is found in the pool itself, of a rare kind."""
        members = self._pool.members
        with self._session() as session:
            for _ in self._rounds(session, strategy, rounds):
                pass
            asked = set(session.collection.rows_of(session.labels))
            (new,) = rank_collection(session.collection, session.learner, [(Order.HIGH, TOP)], asked, exact=True)
            (of_all,) = rank_collection(session.collection, session.learner, [(Order.HIGH, TOP)], exact=True)
            return Search(
                found=int(members[list(asked)].sum()),
                asked=len(asked),
                precision=float(members[new.rows].mean()),
                precision_of_all=float(members[of_all.rows].mean()),
            )

    def _session(self) -> "_Temporary":
        yes, no = self._pool.draw(FIRST, FIRST, self._seed)
        return _Temporary(self._pool.collection, self._pool.ids[yes].tolist(), self._pool.ids[no].tolist(), self._seed)

    def _rounds(self, session: Session, strategy: Strategy, rounds: int) -> Iterator[int]:
        yield 0
        for number in range(1, rounds + 1):
            for name in session.propose(PERSON, ROUND, strategy, exact=True).object_ids:
                session.answer(PERSON, name, self._oracle.answer(name))
            yield number


class _Temporary:
    """A session in a folder that goes when it is closed."""

    def __init__(self, collection: Collection, positives: list[str], negatives: list[str], seed: int):
        self._folder = TemporaryDirectory(prefix="galvm-hitl-")
        self._session = Session.start(
            Path(self._folder.name) / "session", collection, "oracle's kind", PERSON, positives, negatives, seed
        )

    def __enter__(self) -> Session:
        return self._session

    def __exit__(self, *_: Any) -> None:
        self._session.close()
        self._folder.cleanup()


def measure_learning(
    pool: Galaxies,
    test: Galaxies,
    seeds: int,
    error_rate: float = 0.0,
    strategy: Strategy | None = None,
    done: Callable[[], None] = lambda: None,
) -> dict[str, list[Score]]:
    """By way of choosing what to ask about, what the learner is worth, once for each seed.

    Args:
        pool: What is searched.
        test: What is measured on.
        seeds: How often all of it is done, with other examples.
        error_rate: Of the person.
        strategy: What chooses, in the rows named after rounds; by default that of a session.
        done: Called after each seed.
    """
    strategy = strategy or AlphaRule()
    rows: dict[str, list[Score]] = {}
    for seed in range(seeds):
        trial = Trial(pool, test, error_rate, seed)
        found = trial.random()
        curves = {alpha: trial.chosen(AlphaRule(alpha), ROUNDS) for alpha in ALPHAS}
        chosen = curves[strategy.alpha] if strategy in map(AlphaRule, ALPHAS) else trial.chosen(strategy, ROUNDS)
        start = f"{FIRST} + {FIRST}"
        found |= {f"{start}, {number} x {ROUND} chosen": score for number, score in enumerate(chosen) if number}
        found[f"{start}, {ROUNDS} x {ROUND} random"] = trial.chosen(Random(), ROUNDS)[-1]
        found |= {f"{start}, {ROUNDS} x {ROUND}, alpha {alpha:g}": curve[-1] for alpha, curve in curves.items()}
        for name, score in found.items():
            rows.setdefault(name, []).append(score)
        done()
    return rows


def measure_search(
    pool: Galaxies,
    test: Galaxies,
    seeds: int,
    strategies: Sequence[Strategy],
    error_rate: float = 0.0,
    done: Callable[[], None] = lambda: None,
) -> dict[str, list[Search]]:
    """By strategy, what ten rounds of searching for a rare kind find, once for each seed."""
    found: dict[str, list[Search]] = {}
    for seed in range(seeds):
        trial = Trial(pool, test, error_rate, seed)
        for strategy in strategies:
            found.setdefault(str(strategy), []).append(trial.search(strategy, RARE_ROUNDS))
        done()
    return found
