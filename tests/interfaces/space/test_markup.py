"""What is drawn: views, stretches, charts, exports, and nothing unescaped."""

import io
import re
import zipfile
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest

from galvm_hf.hitl import Session
from galvm_hf.interfaces.space.chart import yield_chart
from galvm_hf.interfaces.space.exports import HEAD, KINDS, export
from galvm_hf.interfaces.space.markup import Markup, header, heading
from galvm_hf.interfaces.space.pictures import LOOKS, Look, Pictures
from galvm_hf.interfaces.space.views import (
    SHOWN,
    View,
    view_answered,
    view_candidates,
    view_examples,
    view_round,
    view_similar,
)


@pytest.fixture
def session(survey, spirals, tmp_path):
    others = [name for name in survey.ids.to_pylist() if name not in spirals]
    with Session.start(
        tmp_path / "session", survey, "spirals", "ada", spirals[:4], others[:4], lease_seconds=0
    ) as session:
        yield session


def test_views(session, spirals):
    assert view_round(session, "ada").kind == "examples"
    drawn, unusual = view_examples(session, 0).groups
    assert len(drawn.object_ids) == len(unusual.object_ids) == SHOWN
    assert not set(drawn.object_ids + unusual.object_ids) & session.answers.keys()
    assert not set(view_examples(session, 1).groups[1].object_ids) & set(unusual.object_ids)
    asked = session.propose("ada").object_ids
    view = view_round(session, "ada")
    assert tuple(view.object_ids) == asked
    assert View.from_json(view.to_json()) == view
    best, borderline = view_candidates(session).groups
    assert float(best.notes[0].split()[0]) >= float(best.notes[-1].split()[0])
    distances = [abs(float(note.split()[0]) - 0.5) for note in borderline.notes]
    assert distances == sorted(distances)
    alike = view_similar(session, spirals[:1])
    assert spirals[0] not in alike.object_ids
    assert len(alike.object_ids) == 2 * SHOWN
    session.answer("bob", spirals[0], False)
    disputed, yes, no = view_answered(session).groups
    assert disputed.object_ids == (spirals[0],)
    assert disputed.notes == ("ada: yes, bob: no",)
    assert (yes.heading, no.heading) == ("Yes (3)", "No (4)")


@pytest.mark.parametrize("facts", [{}, {"kind": "round", "groups": [3], "hint": ""}, {"groups": None}])
def test_a_view_from_elsewhere_is_refused(facts):
    with pytest.raises(ValueError, match="Load it again"):
        View.from_json(facts)


def test_every_look_is_another_picture(survey):
    pictures = Pictures(survey)
    seen = {pictures.small(0, Look(depth, bands)) for bands in LOOKS for depth in (0.0, 1.5)}
    assert len(seen) == 2 * len(LOOKS)

    def mean(look):
        return np.asarray(PIL.Image.open(io.BytesIO(pictures.large(0, look)))).mean()

    assert mean(Look(-1.0)) < mean(Look()) < mean(Look(1.0))
    assert mean(Look(bands="negative")) > 128 > mean(Look(bands="r"))
    grey = np.asarray(PIL.Image.open(io.BytesIO(pictures.large(0, Look(bands="g")))))
    assert np.ptp(grey.astype(int), axis=2).max() <= 2
    with pytest.raises(ValueError, match="There are colour, g, r, z"):
        Look(bands="i")
    with pytest.raises(ValueError, match="up to 3 mag"):
        Look(depth=float("nan"))


def test_one_galaxy_large(session, survey, spirals):
    page = Markup(survey).detail(session, spirals[0], Look())
    assert re.search(r"<dt>probability</dt><dd>0\.\d\d ± 0\.\d\d</dd>", page)
    assert "<dt>ada</dt><dd>yes</dd>" in page
    known = survey.describe(survey.row_of(spirals[0]))
    assert f"href='https://www.legacysurvey.org/viewer?ra={known['ra']:.6f}&amp;dec={known['dec']:.6f}&amp;" in page
    assert f"<dt>label</dt><dd>{known['label']}</dd>" in page
    assert page.count("class='neighbour'") == 6
    assert set(re.findall(r"src='(\w+:)", page)) == {"data:"}


def test_an_upload_large_says_its_name_and_what_is_kept(survey):
    page = Markup(survey).detail(SimpleNamespace(uploads={"mine <1>": None}), "mine <1>", Look())
    assert "<h3>mine &lt;1&gt;</h3>" in page
    assert "the image is not" in page


def test_everything_is_escaped(session, survey):
    evil = "<img src=x onerror=alert(1)>'\""
    for page in (
        heading(evil, evil),
        Markup(survey).table(session, evil, evil, View("round", (), evil), Look()),
        header(survey, True),
    ):
        assert "<img" not in page
        assert "='<" not in page
    assert "simulated</b>" in header(survey, True)


def test_the_chart_counts_what_was_confirmed():
    assert "<svg" not in yield_chart([])
    rounds = [{"yes": 3, "no": 7}, {"yes": 6, "no": 3}]
    chart = yield_chart(rounds)
    assert "9 of 19 galaxies confirmed in 2 rounds" in chart
    assert "9 confirmed" in chart
    assert "19 answered" in chart
    assert yield_chart([{"yes": 0, "no": 0}]).count("<circle") == 2


@pytest.mark.parametrize("kind", KINDS)
def test_exports(session, kind, tmp_path, tiny_checkpoint):
    path = export(session, "spirals", kind, tmp_path / "out", str(tiny_checkpoint))
    assert path.name == ("spirals-head.zip" if kind == HEAD else f"spirals{KINDS[kind]}")
    if kind == HEAD:
        assert "spirals/model.safetensors" in zipfile.ZipFile(path).namelist()
        assert not (tmp_path / "out" / "spirals").exists()
    else:
        assert path.stat().st_size > 1000
