"""The same for programs: named endpoints, as `gradio_client` and any client of HTTP call them."""

from typing import Any

from ...hitl import read_strategy
from .desk import Desk, check_name
from .handlers import in_sentences
from .views import view_similar

MOST = 200  # galaxies asked for at once


def add_api(desk: Desk) -> None:
    """Add the endpoints to the `gradio.Blocks` that is being built.

    Each is a POST to `/gradio_api/run/NAME` of `{"data": [...]}`, all arguments in their order, or a call of
    `gradio_client.Client.predict`.
    """
    import gradio as gr

    def sessions() -> list:
        """Names of the sessions."""
        return desk.names()

    def start_session(target: str, who: str, positives: list, negatives: list) -> str:
        """Begin a session from examples; returns its name."""
        return desk.start(target, who, positives, negatives)

    def propose(session: str, who: str, number: int, strategy: str) -> dict:
        """Ask for galaxies to answer about, which for ten minutes are this person's alone; strategy as `alpha=0.5`."""
        one = desk.session(session).propose(check_name(who, "person"), check_number(number), read_strategy(strategy))
        return {
            "round": one.number,
            "objects": list(one.object_ids),
            "probabilities": list(one.probabilities),
            "model": one.model,
        }

    def answer(session: str, who: str, object_id: str, answer: bool) -> dict:
        """Say whether a galaxy is of the kind; it is on disk when this returns."""
        said = desk.session(session).answer(check_name(who, "person"), object_id, answer)
        return {"number": said.number, "object": said.object_id, "answer": said.answer}

    def undo(session: str, who: str) -> dict:
        """Take back a person's last answer."""
        taken = desk.session(session).undo(check_name(who, "person"))
        return {"number": taken.number, "object": taken.object_id, "answer": taken.answer}

    def similar(session: str, objects: list, number: int) -> dict:
        """Galaxies that look like some others and have no answer yet."""
        group = view_similar(desk.session(session), objects, check_number(number)).groups[0]
        return {"objects": list(group.object_ids), "similarities": [float(note) for note in group.notes]}

    def describe(object_id: str) -> dict:
        """What is known of a galaxy."""
        return desk.collection.describe(desk.collection.row_of(object_id))

    def summary(session: str) -> dict:
        """All answers by galaxy and person, the labels that they amount to, and the rounds."""
        opened = desk.session(session)
        answers: dict[str, Any] = {
            key: {who: answer.answer for who, answer in said.items()} for key, said in opened.answers.items()
        }
        return {"target": opened.target, "answers": answers, "labels": opened.labels, "rounds": opened.progress()}

    for endpoint in (sessions, start_session, propose, answer, undo, similar, describe, summary):
        gr.api(in_sentences(endpoint), api_name=endpoint.__name__, queue=False)


def check_number(number: int) -> int:
    """How many galaxies are asked for.

    Raises:
        ValueError: If they are none, or more than `MOST`.
    """
    if not 1 <= number <= MOST:
        raise ValueError(f"Ask for 1 to {MOST} galaxies at once, not {number}.")
    return number
