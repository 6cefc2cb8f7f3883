"""The page's own HTML: the table of stamps, its progress, and the larger view. Everything in it is escaped."""

import math
import time
from html import escape
from typing import Any
from urllib.parse import urlencode

from ...data.cutouts.catalogues import DEC_NAMES, RA_NAMES
from ...hitl import Collection, Session, search_similar
from ...hitl.leases import LEASE_SECONDS
from ...hitl.scoring import score_rows
from .pictures import Look, Pictures, as_data
from .views import Group, View, last_round

SKY_VIEWER = "https://www.legacysurvey.org/viewer"
NEIGHBOURS = 6
MARKS = {True: "yes", False: "no", None: ""}
MAGNIFIER = (
    "<svg viewBox='0 0 16 16' fill='none' stroke='currentColor' stroke-width='2' stroke-linecap='round'>"
    "<circle cx='6.5' cy='6.5' r='4.5'/><path d='m10 10 4.5 4.5'/></svg>"
)
UNKNOWN_PICTURE = "<span class='no-picture'>your image</span>"


class Markup:
    """Draws what is on the table.

    Args:
        collection: What all sessions search.
    """

    def __init__(self, collection: Collection):
        self._collection, self._pictures = collection, Pictures(collection)

    def table(self, session: Session, name: str, who: str, view: View, look: Look) -> str:
        """The whole table, with how far the person is."""
        marks = {key: said[who].answer for key, said in session.answers.items() if who in said}
        groups = "".join(self._group(group, marks, session, look) for group in view.groups)
        hint = f"<p class='hint'>{escape(view.hint)}</p>" if view.hint else ""
        return (
            f"<div class='light-table' data-session='{escape(name)}' data-who='{escape(who)}' "
            f"data-kind='{escape(view.kind)}'>"
            f"<div class='status' role='status'>{status(session, who)}</div>{hint}"
            f"<div class='groups groups-{len(view.groups)}'>{groups}</div></div>"
        )

    def detail(self, session: Session, object_id: str, look: Look) -> str:
        """One galaxy large: its scores, answers, neighbours, what the catalogue says, and where it is on the sky.

        Raises:
            KeyError: If there is no such galaxy.
        """
        title = f"<h3>{escape(object_id)}</h3>"
        if object_id in session.uploads:
            told = "An image of yours. Its features are kept, the image is not."
            return f"<div class='detail'>{title}<p>{told}</p></div>"
        collection, row = self._collection, self._collection.row_of(object_id)
        facts = []
        if set(session.labels.values()) == {True, False}:
            scores = score_rows(collection, session.learner, [row])
            facts.append(("probability", f"{scores.probability[0]:.2f} ± {scores.spread[0]:.2f}"))
        facts += [(who, "yes" if answer.answer else "no") for who, answer in session.answers.get(object_id, {}).items()]
        described = collection.describe(row)
        similar = search_similar(collection, collection.take([row]), NEIGHBOURS, {row})
        neighbours = "".join(
            f"<button class='neighbour' data-look='{escape(name)}' title='{escape(name)}: similarity {value:.2f}'>"
            f"{self._image(name, int(place), look)}</button>"
            for name, place, value in zip(
                collection.names_of(similar.rows), similar.rows, similar.similarity, strict=True
            )
        )
        return (
            f"<div class='detail'>{title}"
            f"<img class='large' alt='{escape(object_id)}' src='{as_data(self._pictures.large(row, look))}'>"
            f"{_definitions(facts)}{_sky_link(collection, described)}"
            f"<h4>Neighbours</h4><div class='neighbours'>{neighbours}</div>"
            f"<button class='similar' data-similar='{escape(object_id)}'>More like this (m)</button>"
            f"<details><summary>Catalogue</summary>{_definitions(_catalogue(described))}</details></div>"
        )

    def _group(self, group: Group, marks: dict[str, bool], session: Session, look: Look) -> str:
        uploads = session.uploads
        stamps = "".join(
            self._stamp(name, note, marks.get(name), None if name in uploads else self._collection.row_of(name), look)
            for name, note in zip(group.object_ids, group.notes, strict=True)
        )
        return f"<section><h3>{escape(group.heading)}</h3><div class='stamps'>{stamps or 'None.'}</div></section>"

    def _stamp(self, name: str, note: str, mark: bool | None, row: int | None, look: Look) -> str:
        picture = UNKNOWN_PICTURE if row is None else self._image(name, row, look)
        shown = escape(name)
        return (
            f"<div class='stamp' data-id='{shown}' data-answer='{MARKS[mark]}'>"
            f"<button class='answer' aria-label='{shown}' title='{shown}'>{picture}</button>"
            f"<button class='look' data-look='{shown}' aria-label='Look closer'>{MAGNIFIER}</button>"
            f"<span class='note'>{escape(note)}</span></div>"
        )

    def _image(self, name: str, row: int, look: Look) -> str:
        return f"<img alt='' draggable='false' src='{as_data(self._pictures.small(row, look))}'>"


def status(session: Session, who: str) -> str:
    """How far a person is in their round, and how much time there is."""
    labels = list(session.labels.values())
    total = f"{labels.count(True)} yes and {labels.count(False)} no in all"
    one = last_round(session, who)
    if one is None:
        return f"<span>No round yet</span><span>{total}</span>"
    counts = one.count(session.answers)
    asked, left, now = len(one.object_ids), counts[None], time.time()
    done = asked - left
    parts = [f"Round {one.number}", f"{done} of {asked} answered", f"{counts[True]} yes, {counts[False]} no", total]
    if left and done:
        parts.append(f"about {_duration((now - one.time) / done * left)} left at your pace")
    until = one.time + LEASE_SECONDS
    spans = "".join(f"<span>{part}</span>" for part in parts)
    if left and until > now:
        spans += f"<span class='lease' data-until='{until:.0f}'>yours for {_duration(until - now)}</span>"
    elif left:
        spans += "<span class='lease'>others may have been asked about these by now</span>"
    else:
        spans += "<span><b>Done: enter for the next round</b></span>"
    return f"<progress max='{asked}' value='{done}' aria-label='answers'></progress>{spans}"


def header(collection: Collection, is_simulated: bool) -> str:
    """What is searched."""
    kind = "<b>simulated</b> galaxies" if is_simulated else "galaxies"
    return (
        f"<h1>Find galaxies</h1><p>{len(collection):,} {kind} in <i>{escape(collection.folder.name)}</i>, features of "
        f"<i>{escape(collection.model)}</i></p>"
    )


def heading(target: str, who: str) -> str:
    """What is looked for, and by whom."""
    start = escape(f"?{urlencode({'who': who})}")
    return f"<h2>{escape(target)}</h2><p>You are {escape(who)} · <a href='{start}'>other sessions</a></p>"


def _sky_link(collection: Collection, described: dict[str, Any]) -> str:
    """A link, which nothing is loaded from until a person follows it."""
    position = []
    for names in (RA_NAMES, DEC_NAMES):
        column = collection.position_column(names)
        value = described.get(column) if column else None
        if not isinstance(value, int | float) or not math.isfinite(value):
            return ""
        position.append(float(value))
    ra, dec = position
    address = (
        f"{SKY_VIEWER}?{urlencode({'ra': f'{ra:.6f}', 'dec': f'{dec:.6f}', 'zoom': 15, 'mark': f'{ra:.6f},{dec:.6f}'})}"
    )
    return (
        f"<p>RA {ra:.5f}°, Dec {dec:+.5f}° · <a href='{escape(address)}' target='_blank' rel='noopener noreferrer'>"
        "Legacy Surveys sky viewer</a></p>"
    )


def _catalogue(described: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, _shown(value)) for name, value in described.items() if value is not None]


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _definitions(facts: list[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return f"<dl>{rows}</dl>" if rows else ""


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
