"""What of a session is on the table: a round, candidates, examples, what is alike, what was answered."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from ...hitl import Collection, Round, Session, rank_outliers, search_similar
from ...hitl.acquisition import draw_rows
from ...hitl.scoring import Ranked

ROUND, EXAMPLES, CANDIDATES, ANSWERED, SIMILAR = "round", "examples", "candidates", "answered", "similar"
SHOWN = 12  # galaxies in a group
MOST_ANSWERED = 60


@dataclass(frozen=True)
class Group:
    """Galaxies under one heading.

    Attributes:
        heading: Over them.
        object_ids: Their names.
        notes: What stands under each, such as its score.
    """

    heading: str
    object_ids: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """What is shown at once.

    Attributes:
        kind: One of the constants above.
        groups: Side by side.
        hint: What a person can do with it.
    """

    kind: str
    groups: tuple[Group, ...]
    hint: str = ""

    @property
    def object_ids(self) -> list[str]:
        return [name for group in self.groups for name in group.object_ids]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Self:
        """What `to_json` gave, as a browser sends it back.

        Raises:
            ValueError: If it is something else.
        """
        try:
            groups = tuple(
                Group(str(group["heading"]), tuple(map(str, group["object_ids"])), tuple(map(str, group["notes"])))
                for group in facts["groups"]
            )
            return cls(str(facts["kind"]), groups, str(facts["hint"]))
        except (KeyError, TypeError):
            raise ValueError("The page is of another version. Load it again.") from None


def last_round(session: Session, who: str) -> Round | None:
    """What a person was asked last."""
    return next((one for one in reversed(session.rounds) if one.who == who), None)


def view_round(session: Session, who: str) -> View:
    """The person's last round, or examples while there is none."""
    one = last_round(session, who)
    if one is None:
        return view_examples(session, 0)
    notes = tuple("" if value is None else f"{value:.2f}" for value in one.probabilities)
    return View(ROUND, (Group(f"Round {one.number} · {one.strategy}", one.object_ids, notes),))


def view_examples(session: Session, seed: int) -> View:
    """Galaxies drawn at random beside the most unusual ones, to find the first examples among."""
    collection = session.collection
    excluded = known_rows(session)
    drawn = draw_rows(collection, SHOWN, excluded, seed)
    rows, distances = rank_outliers(collection, SHOWN * (seed + 1) + len(excluded))
    unusual = [place for place, row in enumerate(rows) if row not in excluded][SHOWN * seed :][:SHOWN]
    return View(
        EXAMPLES,
        (
            _group(collection, "Drawn at random", drawn, [""] * len(drawn)),
            _group(collection, "Most unusual", rows[unusual], [f"{distances[place]:.0f} sigma" for place in unusual]),
        ),
        "Say yes to three to five examples of what you look for, and no to a few others. Then begin the next round.",
    )


def view_candidates(session: Session) -> View:
    """The best galaxies without an answer beside those that the learner cannot tell.

    Raises:
        ValueError: While there is no yes or no no.
    """
    best, borderline = session.candidates(SHOWN)
    return View(
        CANDIDATES,
        tuple(
            _group(session.collection, heading, found.rows, _scores(found))
            for heading, found in (("Best candidates", best), ("Borderline cases", borderline))
        ),
        "Probability, and the spread between the members of the learner. Answers here count like any other.",
    )


def view_answered(session: Session) -> View:
    """The last of what was called yes, no, or both."""
    labels, disputed = session.labels, session.disagreements
    groups = []
    for heading, wanted in (("Yes", True), ("No", False)):
        names = [name for name, label in labels.items() if label is wanted][::-1]
        groups.append(
            Group(
                f"{heading} ({len(names)})",
                tuple(names[:MOST_ANSWERED]),
                tuple(_votes(disputed.get(name, {})) for name in names[:MOST_ANSWERED]),
            )
        )
    if undecided := [name for name in disputed if name not in labels]:
        notes = tuple(_votes(disputed[name]) for name in undecided)
        groups.insert(0, Group(f"You disagree ({len(undecided)})", tuple(undecided), notes))
    return View(ANSWERED, tuple(groups), "" if labels else "Nothing is answered yet.")


def view_similar(session: Session, object_ids: Sequence[str], number: int = 2 * SHOWN) -> View:
    """Galaxies that look most like some others."""
    collection = session.collection
    rows = collection.rows_of(object_ids)
    found = search_similar(collection, collection.take(rows), number, known_rows(session) | set(rows))
    heading = f"More like {object_ids[0]}" if len(object_ids) == 1 else f"More like {len(object_ids)} examples"
    return View(
        SIMILAR,
        (_group(collection, heading, found.rows, [f"{value:.2f}" for value in found.similarity]),),
        "Cosine of the angle between features; nobody has answered about these.",
    )


def known_rows(session: Session) -> set[int]:
    """Rows of the galaxies that have an answer."""
    return set(session.collection.rows_of(session.answers.keys() - session.uploads.keys()))


def _group(collection: Collection, heading: str, rows: Iterable[int] | np.ndarray, notes: Sequence[str]) -> Group:
    return Group(heading, tuple(collection.names_of(rows)), tuple(notes))


def _scores(found: Ranked) -> list[str]:
    return [f"{value:.2f} ± {spread:.2f}" for value, spread in zip(found.probability, found.spread, strict=True)]


def _votes(by_person: dict[str, bool]) -> str:
    return ", ".join(f"{who}: {'yes' if answer else 'no'}" for who, answer in by_person.items())
