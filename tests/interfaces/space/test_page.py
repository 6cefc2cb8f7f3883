"""The page in a real browser: rounds by mouse and keyboard, undo, loading it again, and a server that was killed."""

import json
import shutil
import signal

import pytest

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
TIMEOUT = 60_000  # ms, for a busy machine
IDLE = "() => !document.querySelector('.stamp.waiting')"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    """A page that notes every request to another machine, and every error of a script."""
    context = browser.new_context(viewport=WIDE)
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    elsewhere, errors = [], []
    local = (server.address, "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(local) else elsewhere.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert not elsewhere
    assert not errors


def begin(page, server, target, who="Ada"):
    page.goto(server.address)
    page.locator("#person input, #person textarea").fill(who)
    page.locator("#target input, #target textarea").fill(target)
    page.get_by_role("button", name="Start a session").click()
    page.wait_for_selector("[data-kind=examples] .stamp")


def marks(page):
    """By galaxy in the order on the table, `yes`, `no` or nothing."""
    page.wait_for_function(IDLE)
    stamps = page.locator(".stamp")
    return {stamp.get_attribute("data-id"): stamp.get_attribute("data-answer") for stamp in stamps.all()}


def next_round(page, number):
    page.keyboard.press("Enter")
    page.wait_for_selector(f".status span:text-is('Round {number}')")
    return list(marks(page))


def logged(server, session, who="Ada"):
    """Events of a person, as they lie on disk."""
    lines = (server.sessions / session / f"{who}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_two_rounds_by_mouse_and_keyboard_and_a_killed_server(page, server):
    begin(page, server, "blue ones")
    examples = list(marks(page))
    page.locator(".stamp .answer").nth(0).click()
    page.wait_for_selector(".stamp[data-answer=yes]")
    assert logged(server, "blue-ones")[-1]["object"] == examples[0]
    assert logged(server, "blue-ones")[-1]["answer"] is True
    page.locator(".stamp .answer").nth(1).click(click_count=2, delay=20)  # yes, and then no
    for key in ("ArrowRight", "y", "n", "n"):
        page.keyboard.press(key)
    assert list(marks(page).values())[:5] == ["yes", "no", "yes", "no", "no"]

    first = next_round(page, 1)
    assert len(first) == 10
    for key in "yynyn":
        page.keyboard.press(key)
    page.locator(".stamp .answer").nth(5).click()
    assert list(marks(page).values()) == ["yes", "yes", "no", "yes", "no", "yes", "", "", "", ""]
    page.keyboard.press("u")
    page.wait_for_selector(f".told:has-text('Took back yes: {first[5]}')")
    assert list(marks(page).values())[5] == ""
    assert "5 of 10 answered" in page.inner_text(".status")

    second = next_round(page, 2)
    assert not set(second) & {*first[:5], *examples[:5]}
    page.keyboard.press("n")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("y")
    before = marks(page)
    assert sorted(before.values())[-2:] == ["no", "yes"]

    page.reload()
    page.wait_for_selector("[data-kind=round] .stamp")
    assert marks(page) == before

    server.stop(signal.SIGKILL)
    page.keyboard.press("y")
    page.wait_for_selector(".told.error:has-text('nothing was kept')")
    assert marks(page) == before
    server.start()
    page.goto(f"{server.address}/?session=blue-ones&who=Ada")
    page.wait_for_selector("[data-kind=round] .stamp")
    assert marks(page) == before
    assert "6 yes and 6 no in all" in page.inner_text(".status")
    page.keyboard.press("u")
    page.wait_for_selector(".told:has-text('Took back yes')")
    kinds = [event["kind"] for event in logged(server, "blue-ones")]
    assert kinds.count("undone") == 2
    assert kinds.count("proposed") == 2


def test_views_pictures_neighbours_and_what_is_added(page, server, galaxy_png, tmp_path):
    begin(page, server, "round ones", "Grace")
    for key in "yyynnn":
        page.keyboard.press(key)
    page.wait_for_selector(".status:has-text('3 yes and 3 no')")
    page.get_by_text("Best and borderline").click()
    page.wait_for_selector("[data-kind=candidates] .stamp")
    assert page.locator("section h3").all_inner_texts() == ["Best candidates", "Borderline cases"]
    boxes = [section.bounding_box() for section in page.locator("#table section").all()]
    assert boxes[0]["y"] == boxes[1]["y"]
    shown = list(marks(page))

    page.locator(".stamp .look").nth(3).click()
    page.wait_for_selector(f".detail h3:text-is('{shown[3]}')")
    link = page.get_by_role("link", name="Legacy Surveys sky viewer")
    assert link.get_attribute("href").startswith("https://www.legacysurvey.org/viewer?ra=1")
    before = page.locator(".detail .large").get_attribute("src")
    page.get_by_role("button", name="Picture").click()
    page.get_by_label("negative").click()
    page.wait_for_function("before => document.querySelector('.detail .large').src !== before", arg=before)
    assert list(marks(page)) == shown
    page.locator(".neighbour").first.click()
    page.wait_for_function(f"document.querySelector('.detail h3').textContent !== {json.dumps(shown[3])}")
    page.get_by_role("button", name="More like this").click()
    page.wait_for_selector("[data-kind=similar] .stamp")

    (tmp_path / "mine.png").write_bytes(galaxy_png)
    page.get_by_role("button", name="Add your own").click()
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "mine.png")
    page.wait_for_function("document.querySelector('#added input, #added textarea').value.startsWith('yes: upload 1')")
    page.locator("#views").get_by_text("Answered").click()
    page.wait_for_selector("section h3:text-is('Yes (4)')")
    page.get_by_role("button", name="Export").first.click()
    page.get_by_role("button", name="Export", exact=True).last.click()
    with page.expect_download() as download:
        page.locator("#exported a[download]").first.click()
    assert download.value.suggested_filename == "round-ones.parquet"


def test_a_telephone_shows_three_stamps_a_row_and_nothing_beside_the_page(page, server):
    page.set_viewport_size(NARROW)
    begin(page, server, "any ones", "Eve")
    boxes = [stamp.bounding_box() for stamp in page.locator(".stamp").all()[:4]]
    assert boxes[0]["y"] == boxes[1]["y"] == boxes[2]["y"] < boxes[3]["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    page.locator(".stamp .answer").first.click()
    page.wait_for_selector(".stamp[data-answer=yes]")


def test_what_is_wrong_is_said_on_the_page(page, server):
    page.goto(server.address)
    page.locator("#person input, #person textarea").fill("../x")
    page.locator("#target input, #target textarea").fill("spirals")
    page.get_by_role("button", name="Start a session").click()
    page.get_by_text("The name of a person begins with a letter or digit").first.wait_for()
    begin(page, server, "no ones", "Mallory")
    page.keyboard.press("Enter")
    page.get_by_text("Show at least one example of 'no ones'").first.wait_for()
