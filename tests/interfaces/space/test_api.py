"""The endpoints for programs, over HTTP: their answers, their refusals, uploads, and five clients with a kill."""

import httpx
import pytest
from hitl_load import Refused, call, run_load

gradio_client = pytest.importorskip("gradio_client")


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.address, timeout=60) as client:
        yield client


def test_a_round_over_the_api(client, server, spirals, survey):
    other = next(name for name in survey.ids.to_pylist() if name not in spirals)
    session = call(client, "start_session", "spirals of the API", "ada", spirals[:3], [other])
    assert session in call(client, "sessions")
    proposed = call(client, "propose", session, "ada", 4, "diverse")
    assert len(proposed["objects"]) == 4
    said = call(client, "answer", session, "ada", proposed["objects"][0], True)
    assert said["object"] == proposed["objects"][0]
    with pytest.raises(Refused, match=f"{proposed['objects'][1]} is with ada for another"):
        call(client, "answer", session, "bob", proposed["objects"][1], True)
    assert call(client, "undo", session, "ada") == said
    assert len(call(client, "similar", session, spirals[:1], 5)["objects"]) == 5
    assert call(client, "describe", spirals[0])["label"] == "spiral"
    summary = call(client, "summary", session)
    assert summary["labels"] == dict.fromkeys(spirals[:3], True) | {other: False}
    assert summary["rounds"][0]["open"] == 4


@pytest.mark.parametrize(
    ("endpoint", "values", "message"),
    [
        ("propose", ("nowhere", "ada", 10, "random"), "There is no session nowhere"),
        ("propose", ("../../etc", "ada", 10, "random"), "The name of a session begins with"),
        ("describe", ("../x",), "has no galaxy ../x"),
        ("start_session", ("", "ada", [], []), "Say what you look for"),
        ("start_session", ("x", "ada/..", [], []), "The name of a person begins with"),
        ("start_session", ("x", "ada", ["none"], []), "has no galaxy none"),
    ],
)
def test_what_is_refused_is_refused_in_a_sentence(client, server, endpoint, values, message):
    before = sorted(server.sessions.rglob("*"))
    with pytest.raises(Refused, match=message):
        call(client, endpoint, *values)
    assert sorted(server.sessions.rglob("*")) == before


def test_uploads_over_the_api(client, server, spirals, galaxy_png, tmp_path):
    session = call(client, "start_session", "uploads", "ada", spirals[:3], [])
    uploader = gradio_client.Client(server.address, verbose=False)
    try:
        for name, content, message in (
            ("mine.png", galaxy_png, None),
            ("bad.npz", b"PK", "bad.npz: is of no kind that is taken here"),
            ("bad.fits", b"SIMPLE  = T", "bad.fits: is not a readable FITS file"),
        ):
            (tmp_path / name).write_bytes(content)
            upload = gradio_client.handle_file(tmp_path / name)
            if message is None:
                assert (
                    uploader.predict(session, "ada", upload, "yes", api_name="/add_image") == "yes: upload 1: mine.png"
                )
            else:
                with pytest.raises(gradio_client.exceptions.AppError, match=message):
                    uploader.predict(session, "ada", upload, "yes", api_name="/add_image")
    finally:
        uploader.close()
    assert "upload 1: mine.png" in call(client, "summary", session)["answers"]


def test_names_of_uploads_lead_nowhere(client, server, galaxy_png):
    reply = client.post("/gradio_api/upload", files={"files": ("../../../outside.png", galaxy_png)})
    assert reply.is_success
    assert ".." not in reply.json()[0]
    stolen = client.post(
        "/gradio_api/call/add_image",
        json={"data": ["uploads", "ada", {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, "yes"]},
    )
    event = client.get(f"/gradio_api/call/add_image/{stolen.json()['event_id']}").text
    assert "event: error" in event
    assert "/etc/passwd" not in call(client, "sessions")
    with open("/etc/passwd") as still_there:
        assert still_there.read()


def test_the_browser_is_told_to_load_nothing_from_elsewhere(client):
    assert client.get("/").headers["content-security-policy"].startswith("default-src 'self'")


def test_a_small_load_with_a_kill(tmp_path):
    result = run_load(clients=5, seconds=3, kills=1, galaxies=2000, folder=tmp_path)
    assert result["violations"] == []
    assert result["refused"] == 0, result["first_refused"]
    assert result["acknowledged"] >= 10
