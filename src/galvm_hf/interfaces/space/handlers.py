"""What happens when the page is used: from values of components to others."""

import secrets
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from ...hitl import AlphaRule, Session, read_strategy
from .chart import yield_chart
from .desk import Desk, check_name
from .exports import export
from .markup import MARKS, Markup, heading, status
from .pictures import Look
from .views import (
    ANSWERED,
    CANDIDATES,
    EXAMPLES,
    ROUND,
    View,
    view_answered,
    view_candidates,
    view_examples,
    view_round,
    view_similar,
)

ALPHA = "alpha rule"
STRATEGIES = (ALPHA, "uncertainty", "diverse", "random")
USERS_ERRORS = (ValueError, LookupError, OSError, RuntimeError)


def in_sentences(handler: Callable) -> Callable:
    """What a person can mend is told to them on the page, and the server goes on."""
    import gradio as gr

    @wraps(handler)
    def handle(*values: Any) -> Any:
        try:
            return handler(*values)
        except USERS_ERRORS as error:
            raise gr.Error(sentence(error), print_exception=False) from None

    return handle


def sentence(error: Exception) -> str:
    """The message of an error; that of a `KeyError` without the quotes around it."""
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def reply_in_sentences(handle: Callable[[dict], dict], facts: dict) -> dict:
    """What the script of the page is answered, an error included."""
    try:
        return handle(facts)
    except USERS_ERRORS as error:
        return {"error": sentence(error)}


class Handlers:
    """What happens on the page. Each method takes values of components, and returns others.

    Args:
        desk: With the sessions.
        exports: Folder for files that are downloaded.
    """

    def __init__(self, desk: Desk, exports: Path):
        self.desk, self.exports, self.markup = desk, exports, Markup(desk.collection)

    def arrive(self, address: dict[str, str]) -> tuple:
        """The page was loaded: go to where its address says, else offer a start."""
        import gradio as gr

        name, who = address.get("session", ""), address.get("who", "")
        if name and who:
            return self.enter(name, who)
        # the person may have begun to type: what they typed stays
        sessions, person = gr.Dropdown(choices=self.desk.names()), who or gr.skip()
        return gr.skip(), gr.skip(), sessions, person, *[gr.skip()] * 7

    def start(self, target: str, who: str) -> tuple:
        """Begin a session."""
        return self.enter(self.desk.start(target, who), who)

    def enter(self, name: str, who: str) -> tuple:
        """Sit down at a session."""
        import gradio as gr

        session, who = self.desk.session(name or ""), check_name(who, "person")
        view = view_round(session, who)
        shown = self._shown(session, name, who, view, Look())
        panels = gr.Column(visible=False), gr.Column(visible=True)
        sessions = gr.Dropdown(choices=self.desk.names(), value=name)
        title, chart = heading(session.target, who), yield_chart(session.progress())
        return *panels, sessions, who, name, who, title, *shown, view.kind, chart

    def next_round(
        self, name: str, who: str, strategy: str, alpha: float, number: float, depth: float, bands: str
    ) -> tuple:
        """Ask about other galaxies."""
        session = self._session(name)
        chosen = AlphaRule(alpha) if strategy == ALPHA else read_strategy(strategy)
        session.propose(who, int(number), chosen)
        view = view_round(session, who)
        return *self._shown(session, name, who, view, Look(depth, bands)), ROUND, yield_chart(session.progress())

    def change_view(self, kind: str, name: str, who: str, seed: float, depth: float, bands: str) -> tuple:
        """Put something else on the table."""
        session = self._session(name)
        make = {
            ROUND: lambda: view_round(session, who),
            CANDIDATES: lambda: view_candidates(session),
            EXAMPLES: lambda: view_examples(session, int(seed)),
            ANSWERED: lambda: view_answered(session),
        }
        return self._shown(session, name, who, make[kind](), Look(depth, bands))

    def other_examples(self, name: str, who: str, seed: float, depth: float, bands: str) -> tuple:
        """Draw other galaxies to look for examples among."""
        seed = int(seed) + 1
        return seed, *self.change_view(EXAMPLES, name, who, seed, depth, bands), EXAMPLES

    def restyle(self, name: str, who: str, view: dict, looked_at: str, depth: float, bands: str) -> tuple:
        """The same with another stretch or band."""
        session, look = self._session(name), Look(depth, bands)
        table = self.markup.table(session, name, who, View.from_json(view), look)
        return table, self.markup.detail(session, looked_at, look) if looked_at else ""

    def look(self, object_id: str, name: str, depth: float, bands: str) -> tuple:
        """One galaxy large."""
        return object_id, self.markup.detail(self._session(name), object_id, Look(depth, bands))

    def show_similar(self, object_id: str, name: str, who: str, depth: float, bands: str) -> tuple:
        """Galaxies that look like one."""
        session = self._session(name)
        if object_id in session.uploads:
            raise ValueError(f"{object_id} is not in the collection. Ask for the next round instead.")
        return *self._shown(session, name, who, view_similar(session, [object_id]), Look(depth, bands)), None

    def add_image(self, name: str, who: str, path: str | None, answer: str) -> str:
        """Say of an image of one's own whether it is of the kind."""
        if not path:
            raise ValueError("Choose an image first.")
        try:
            said = self.desk.answer_upload(name, who, Path(path), Path(path).name, answer == "yes")
        finally:
            Path(path).unlink(missing_ok=True)  # nothing of it is kept but its features
        return f"{answer}: {said.object_id}"

    def add_named(self, name: str, who: str, text: str, answer: str) -> str:
        """The same of a galaxy of the collection, by its name or position."""
        session, is_member = self._session(name), answer == "yes"
        try:
            ra, dec = (float(part) for part in text.replace(",", " ").split())
        except ValueError:
            said = session.answer(check_name(who, "person"), text.strip(), is_member)
        else:
            said = session.answer_position(check_name(who, "person"), ra, dec, is_member)
        return f"{answer}: {said.object_id}"

    def export(self, name: str, kind: str) -> str:
        """A file to download."""
        folder = self.exports / secrets.token_hex(8)
        return str(export(self._session(name), name, kind, folder, self.desk.model))

    def answer(self, facts: dict[str, Any]) -> dict[str, Any]:
        """An answer by click or key: on disk when this returns."""
        session, who = self._session(facts["session"]), check_name(facts["who"], "person")
        said = session.answer(who, facts["id"], bool(facts["answer"]))
        return {"id": said.object_id, "answer": MARKS[said.answer], "status": status(session, who)}

    def undo(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Take back the last answer."""
        session, who = self._session(facts["session"]), check_name(facts["who"], "person")
        taken = session.undo(who)
        left = session.answers.get(taken.object_id, {}).get(who)
        return {
            "id": taken.object_id,
            "answer": MARKS[left.answer if left else None],
            "status": status(session, who),
            "told": f"Took back {MARKS[taken.answer]}: {taken.object_id}",
        }

    def _session(self, name: str) -> Session:
        if not name:
            raise ValueError("Open a session first.")
        return self.desk.session(name)

    def _shown(self, session: Session, name: str, who: str, view: View, look: Look) -> tuple:
        return view.to_json(), self.markup.table(session, name, who, view, look)
