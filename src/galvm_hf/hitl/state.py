"""What a session is after some events: nothing else than these decide it."""

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .leases import LEASE_SECONDS, Leases
from .log import Event


@dataclass(frozen=True)
class Answer:
    """What a person said.

    Attributes:
        number: Of the event.
        who: The person.
        object_id: The galaxy.
        answer: Whether it is of the kind.
        round: Number of the round it was asked in, or `None` for one that the person brought.
        time: Seconds since 1970.
        features: As an encoder gave them, float32 `[D]`, if the galaxy is not in the collection.
    """

    number: int
    who: str
    object_id: str
    answer: bool
    round: int | None
    time: float
    features: Tensor | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Round:
    """What a person was asked about at once.

    Attributes:
        number: Counted over all people, from 1.
        who: The person.
        object_ids: The galaxies.
        probabilities: What the learner said of them; `None` while there was none.
        strategy: How they were chosen.
        model: What the learner was trained on, as `SessionState.model` names it.
        time: Seconds since 1970.
    """

    number: int
    who: str
    object_ids: tuple[str, ...]
    probabilities: tuple[float | None, ...]
    strategy: str
    model: str | None
    time: float

    def count(self, answers: dict[str, dict[str, Answer]]) -> Counter:
        """How many of its galaxies the person called `True` and `False`; `None` counts those left open."""
        return Counter(
            answers[name][self.who].answer if self.who in answers.get(name, {}) else None for name in self.object_ids
        )


class SessionState:
    """The answers, rounds and leases that a list of events amounts to.

    Args:
        lease_seconds: After which a galaxy that was not answered comes back.

    Attributes:
        target: What is looked for, in a person's words.
        token: Of the collection.
        seed: Of everything drawn.
        rounds: All of them.
        leases: Who has what in hand.
    """

    def __init__(self, lease_seconds: float = LEASE_SECONDS):
        self.target, self.token, self.seed = "", "", 0
        self.rounds: list[Round] = []
        self.leases = Leases(lease_seconds)
        self._said: list[Answer] = []  # in order, without what was undone

    def apply(self, event: Event) -> None:
        """Go on by one event.

        Raises:
            ValueError: If it is of no kind that is known.
        """
        apply = {
            "started": self._start,
            "proposed": self._propose,
            "answered": self._answer,
            "undone": self._undo,
        }.get(event["kind"])
        if apply is None:
            raise ValueError(f"Event {event['n']} is {event['kind']!r}, which this version does not know. Update it.")
        apply(event)

    @property
    def answers(self) -> dict[str, dict[str, Answer]]:
        """By galaxy and person, the last answer."""
        answers: dict[str, dict[str, Answer]] = {}
        for answer in self._said:
            answers.setdefault(answer.object_id, {})[answer.who] = answer
        return answers

    @property
    def labels(self) -> dict[str, bool]:
        """By galaxy, what most people said; those with as many yes as no have none."""
        labels = {}
        for object_id, by_person in self.answers.items():
            yes = sum(answer.answer for answer in by_person.values())
            if 2 * yes != len(by_person):
                labels[object_id] = 2 * yes > len(by_person)
        return labels

    @property
    def disagreements(self) -> dict[str, dict[str, bool]]:
        """By galaxy and person, the answers where people disagree."""
        return {
            object_id: {who: answer.answer for who, answer in by_person.items()}
            for object_id, by_person in self.answers.items()
            if len({answer.answer for answer in by_person.values()}) > 1
        }

    @property
    def uploads(self) -> dict[str, Tensor]:
        """Features `[D]` of the galaxies that are not in the collection."""
        return {answer.object_id: answer.features for answer in self._said if answer.features is not None}

    @property
    def model(self) -> str:
        """A name for the learner: it is the same for the same labels and seed."""
        facts = repr((self.seed, sorted(self.labels.items())))
        return hashlib.sha256(facts.encode()).hexdigest()[:12]

    def last_round(self, who: str) -> Round | None:
        """What a person was asked last."""
        return next((one for one in reversed(self.rounds) if one.who == who), None)

    def last_answer(self, who: str) -> Answer | None:
        """What a person said last and did not undo."""
        return next((answer for answer in reversed(self._said) if answer.who == who), None)

    def snapshot(self, now: float) -> dict[str, Any]:
        """All of it, to compare with another."""
        return {
            "target": self.target,
            "token": self.token,
            "seed": self.seed,
            "rounds": list(self.rounds),
            "answers": list(self._said),
            "uploads": {name: features.tolist() for name, features in self.uploads.items()},
            "leases": self.leases.held(now),
        }

    def _start(self, event: Event) -> None:
        self.target, self.token, self.seed = event["target"], event["collection"], event["seed"]

    def _propose(self, event: Event) -> None:
        who, object_ids = event["who"], tuple(event["objects"])
        if (last := self.last_round(who)) is not None:
            answered = self.answers
            self.leases.give_back(who, [name for name in last.object_ids if name not in answered])
        self.leases.take(who, object_ids, event["time"])
        probabilities = tuple(event["probabilities"])
        self.rounds.append(
            Round(event["round"], who, object_ids, probabilities, event["strategy"], event["model"], event["time"])
        )

    def _answer(self, event: Event) -> None:
        self.leases.take(event["who"], [event["object"]], event["time"])
        features = None if event.get("features") is None else decode_features(event["features"])
        self._said.append(
            Answer(event["n"], event["who"], event["object"], event["answer"], event["round"], event["time"], features)
        )

    def _undo(self, event: Event) -> None:
        self._said = [answer for answer in self._said if answer.number != event["answer"]]


def encode_features(features: Tensor) -> str:
    """Features `[D]` as text, every bit of them."""
    return base64.b64encode(features.float().numpy().astype("<f4").tobytes()).decode()


def decode_features(text: str) -> Tensor:
    """The other way."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32))
