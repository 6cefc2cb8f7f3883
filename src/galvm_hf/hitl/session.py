"""A session: people look for one kind of galaxy in a collection, and a learner finds more of what they confirm."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ..data.stamp import Stamp
from .acquisition import AlphaRule, Situation, Strategy, draw_rows
from .collection import Collection
from .learner import Learner, train_learner
from .leases import LEASE_SECONDS
from .log import EventLog, Repair, read_events
from .scoring import Order, Ranked, rank_collection
from .state import Answer, Round, SessionState, encode_features

ROUND = 10  # galaxies
FARTHEST = 5.0  # arcsec, between a position and the galaxy that is meant by it
DEFAULT = AlphaRule()
_ATTEMPTS = 20


class Session:
    """One target, one collection, any number of people and threads.

        with Session.start("spirals", collection, "face-on spirals", "ada", positives=["a", "b", "c"]) as session:
            for object_id in session.propose("ada").object_ids:
                session.answer("ada", object_id, is_spiral(object_id))

    It is nothing but its log: whoever opens it again finds what was acknowledged.

    Args:
        folder: Of a session that was started.
        collection: The one that it was started on.
        lease_seconds: After which a galaxy that was proposed and not answered comes back.
        clock: Seconds since 1970.

    Attributes:
        collection: What is searched.
        repairs: Lines that were cut short by a crash, and removed.

    Raises:
        FileNotFoundError: If no session was started there.
        ValueError: If it was started on another collection, or its log is damaged.
        BlockingIOError: If another process has it open.
    """

    def __init__(
        self,
        folder: str | Path,
        collection: Collection,
        lease_seconds: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.time,
    ):
        folder = Path(folder)
        if not (folder.is_dir() and read_events(folder)):
            raise FileNotFoundError(f"No session was started in {folder}. Start one by `Session.start`.")
        self.collection, self._clock = collection, clock
        self._log = EventLog(folder, clock)
        self._state = SessionState(lease_seconds)
        self._changing = threading.RLock()
        self._proposing = threading.Lock()  # two at once would propose the same galaxies
        self._learner: tuple[str, Learner] | None = None
        try:
            for event in self._log.events:
                self._state.apply(event)
            if self._state.token != collection.token:
                raise ValueError(
                    f"{folder} was started on another collection than {collection.folder}. Give that one, or start a "
                    "session with its confirmed galaxies as examples."
                )
        except BaseException:
            self.close()
            raise

    @classmethod
    def start(
        cls,
        folder: str | Path,
        collection: Collection,
        target: str,
        who: str,
        positives: Sequence[str] = (),
        negatives: Sequence[str] = (),
        seed: int = 0,
        **settings: Any,
    ) -> Self:
        """Begin a session.

        Three to five examples are a good beginning. More can be added at any time: by name, by position, or as images.
        Without a negative, the first rounds ask about galaxies that are drawn from the collection.

        Args:
            folder: To keep it in.
            collection: What to search.
            target: What is looked for, such as "face-on spirals".
            who: Whoever starts it.
            positives: Names of galaxies of the kind.
            negatives: Names of galaxies that are not.
            seed: Of everything drawn.
            settings: As of `Session`.

        Raises:
            FileExistsError: If there is a session.
            KeyError: If an example is not in the collection.
        """
        folder = Path(folder)
        collection.rows_of([*positives, *negatives])
        with EventLog(folder, settings.get("clock", time.time)) as log:
            if log.events:
                raise FileExistsError(f"{folder} has a session already. Open it, or give another folder.")
            log.append(who, "started", target=target, collection=collection.token, seed=seed)
        session = cls(folder, collection, **settings)
        for answer, object_ids in ((True, positives), (False, negatives)):
            for object_id in object_ids:
                session.answer(who, object_id, answer)
        return session

    @property
    def repairs(self) -> list[Repair]:
        return self._log.repairs

    @property
    def target(self) -> str:
        """What is looked for."""
        return self._state.target

    @property
    def rounds(self) -> list[Round]:
        """All rounds of all people."""
        with self._changing:
            return list(self._state.rounds)

    @property
    def answers(self) -> dict[str, dict[str, Answer]]:
        """By galaxy and person, the last answer."""
        with self._changing:
            return self._state.answers

    @property
    def labels(self) -> dict[str, bool]:
        """By galaxy, what most people said; those with as many yes as no have none."""
        with self._changing:
            return self._state.labels

    @property
    def disagreements(self) -> dict[str, dict[str, bool]]:
        """By galaxy and person, the answers where people disagree."""
        with self._changing:
            return self._state.disagreements

    @property
    def uploads(self) -> dict[str, Tensor]:
        """Features `[D]`, as an encoder gave them, of the galaxies that are not in the collection."""
        with self._changing:
            return self._state.uploads

    @property
    def model(self) -> str:
        """A name for the learner: the same for the same labels and seed."""
        with self._changing:
            return self._state.model

    def progress(self) -> list[dict[str, Any]]:
        """Of each round its `round`, `who`, `strategy`, and how many answers were `yes`, `no` and are `open`."""
        with self._changing:
            answers = self._state.answers
            rounds = [(one, one.count(answers)) for one in self._state.rounds]
        return [
            {
                "round": one.number,
                "who": one.who,
                "strategy": one.strategy,
                "yes": counts[True],
                "no": counts[False],
                "open": counts[None],
            }
            for one, counts in rounds
        ]

    def open_proposals(self, who: str) -> list[str]:
        """What a person was asked about last and has not answered, as after loading the page again."""
        with self._changing:
            last, answers = self._state.last_round(who), self._state.answers
            return [name for name in last.object_ids if who not in answers.get(name, {})] if last else []

    def propose(self, who: str, number: int = ROUND, strategy: Strategy = DEFAULT, exact: bool | None = None) -> Round:
        """Begin a round: ask a person about galaxies, which for ten minutes are theirs alone.

        What the person left open in the round before goes back. While there is no yes or no no, they are drawn.

        Args:
            who: The person.
            number: How many.
            strategy: How to choose.
            exact: As of `rank_collection`.

        Raises:
            ValueError: If there is no example of what is looked for.
            LookupError: If there is no galaxy left that has no answer.
        """
        with self._proposing:
            for _ in range(_ATTEMPTS):
                with self._changing:
                    labels, model = self._state.labels, self._state.model
                    last, now = self._state.last_round(who), self._clock()
                    answered = self._state.answers
                    counts = last.count(answered) if last else {True: 0, False: 0}
                    seed = self._state.seed + len(self._state.rounds) + 1
                    others = [name for name, (holder, _) in self._state.leases.held(now).items() if holder != who]
                    uploads = self._state.uploads
                if True not in labels.values():
                    raise ValueError(f"Show at least one example of {self.target!r} before asking for more.")
                excluded = set(self.collection.rows_of({*answered, *others} - uploads.keys()))
                if False in labels.values():
                    situation = Situation(
                        self.collection, self.learner, excluded, counts[True], counts[False], seed, exact
                    )
                    chosen, name = strategy.choose(situation, number), str(strategy)
                else:
                    rows = draw_rows(self.collection, number, excluded, seed)
                    unknown = np.full(len(rows), np.nan, np.float32)
                    chosen, name, model = Ranked(rows, unknown, unknown), "random", None
                if not len(chosen):
                    raise LookupError(f"No galaxy of {self.collection.folder} is left to ask {who} about.")
                object_ids = self.collection.names_of(chosen.rows)
                with self._changing:
                    if not self._is_free(who, object_ids):
                        continue  # somebody answered about one of them meanwhile
                    event = self._log.append(
                        who,
                        "proposed",
                        round=len(self._state.rounds) + 1,
                        objects=object_ids,
                        probabilities=[None if np.isnan(value) else float(value) for value in chosen.probability],
                        strategy=name,
                        model=model,
                    )
                    self._state.apply(event)
                    return self._state.rounds[-1]
        raise RuntimeError("Others answer faster than galaxies can be proposed. Try again.")

    def answer(self, who: str, object_id: str, answer: bool) -> Answer:
        """Say whether a galaxy is of the kind. It is on disk when this returns.

        Any galaxy of the collection may be answered, proposed or not, and an answer may be changed.

        Raises:
            KeyError: If there is no such galaxy.
            LeasedError: If somebody else has it in hand.
        """
        with self._changing:
            if object_id not in self._state.uploads:
                self.collection.row_of(object_id)
            return self._say(who, object_id, answer)

    def answer_position(self, who: str, ra: float, dec: float, answer: bool = True) -> Answer:
        """The same of the galaxy at a position, in degrees.

        Raises:
            KeyError: If there is none within `FARTHEST`, or the collection has no positions.
        """
        row, separation = self.collection.nearest(ra, dec)
        if separation > FARTHEST:
            raise KeyError(
                f"There is no galaxy within {FARTHEST:g} arcsec of RA {ra}, Dec {dec}: the nearest is at "
                f"{separation:.1f} arcsec."
            )
        return self.answer(who, self.collection.names_of([row])[0], answer)

    def answer_image(
        self, who: str, stamp: Stamp, encode: Callable[[list[Stamp]], Tensor], answer: bool = True
    ) -> Answer:
        """The same of an image that is not in the collection, such as an uploaded one.

        Args:
            who: The person.
            stamp: The image.
            encode: Gives the features `[1, D]` of it, of the same kind and checkpoint as the collection's.
            answer: Whether it is of the kind.

        Raises:
            ValueError: If the encoder's features are not those of the collection.
        """
        features = encode([stamp])
        self.collection.standardise(features)
        with self._changing:
            # counted with those that were taken back, so that no two images ever have one name
            number = 1 + sum("features" in event for event in self._log.events)
            name = f"upload {number}: {stamp.id}"
            return self._say(who, name, answer, features=encode_features(features[0]))

    def undo(self, who: str) -> Answer:
        """Take back a person's last answer; what they said before of the same galaxy holds again.

        Raises:
            LookupError: If there is nothing to take back.
        """
        with self._changing:
            last = self._state.last_answer(who)
            if last is None:
                raise LookupError(f"{who} has no answer to take back.")
            self._state.apply(self._log.append(who, "undone", answer=last.number))
            return last

    @property
    def learner(self) -> Learner:
        """Trained on all labels so far.

        Raises:
            ValueError: If there is no yes or no no.
        """
        with self._changing:
            model, labels, uploads, seed = (
                self._state.model,
                self._state.labels,
                self._state.uploads,
                self._state.seed,
            )
        if self._learner is None or self._learner[0] != model:
            names = sorted(labels)  # not in the order of the answers, which is nothing to learn from
            features = torch.empty(len(names), self.collection.width, dtype=torch.bfloat16)
            known = [name not in uploads for name in names]
            rows = self.collection.rows_of(name for name in names if name not in uploads)
            features[torch.tensor(known)] = self.collection.take(rows)
            for place, name in enumerate(names):
                if name in uploads:
                    features[place] = self.collection.standardise(uploads[name][None])[0]
            answers = torch.tensor([labels[name] for name in names], dtype=torch.bool)
            background = self.collection.background(rows)
            self._learner = model, train_learner(features, answers, background, self.collection.basis, seed)
        return self._learner[1]

    def candidates(self, number: int, exact: bool | None = None) -> tuple[Ranked, Ranked]:
        """The best galaxies without an answer, and those that the learner cannot tell."""
        excluded = set(self.collection.rows_of(self.answers.keys() - self.uploads.keys()))
        best, borderline = rank_collection(
            self.collection, self.learner, [(Order.HIGH, number), (Order.BORDERLINE, number)], excluded, exact
        )
        return best, borderline

    def snapshot(self) -> dict[str, Any]:
        """All of its state, to compare with a replay."""
        with self._changing:
            return self._state.snapshot(self._clock())

    def close(self) -> None:
        """Let go of the log, so that others can open it."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _say(self, who: str, object_id: str, answer: bool, **facts: Any) -> Answer:
        self._state.leases.require(who, object_id, self._clock())
        last = self._state.last_round(who)
        asked = last.number if last and object_id in last.object_ids else None
        model = last.model if last and asked else None
        said = {"object": object_id, "answer": bool(answer), "round": asked, "model": model}
        event = self._log.append(who, "answered", **said, **facts)
        self._state.apply(event)
        return self._state.last_answer(who)

    def _is_free(self, who: str, object_ids: list[str]) -> bool:
        held, answers = self._state.leases.held(self._clock()), self._state.answers
        return not any(name in answers or held.get(name, (who, 0))[0] != who for name in object_ids)
