"""`galvm detect`, as it is typed, with a detector of planted lenses."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from planted import blob_detector, empty_field, plant, write_field
from typer.testing import CliRunner

from galvm_hf.interfaces import detect
from galvm_hf.interfaces.cli import app

Table = pytest.importorskip("astropy.table").Table

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    """The command with `BlobModel` in place of a checkpoint."""
    monkeypatch.setattr(detect, "load_detector", lambda name, device, threshold: blob_detector(threshold))


@pytest.fixture
def field(tmp_path):
    flux = empty_field((200, 300))
    for x, y, sigma in ((60.0, 50.0, 4.0), (128.0, 120.0, 3.0), (289.0, 189.0, 3.0)):
        plant(flux, x, y, sigma, sigma)
    return write_field(tmp_path / "<b>field&.fits", flux, SIMULATD=True)


def search(field, out, *options):
    return run(app, ["detect", str(field), "--out", str(out), "--tile", "128", "--overlap", "48", *options])


class Page(HTMLParser):
    """Tags with their attributes, the text, and a refusal of unbalanced tags."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_catalogue_regions_and_gallery(field, tmp_path):
    out = tmp_path / "new" / "lenses.fits"
    done = search(field, out)
    assert done.exit_code == 0, done.stderr
    assert "3 lens candidates in" in done.stdout
    assert "0.06 Mpx" in done.stdout
    assert sorted(path.name for path in out.parent.iterdir()) == ["lenses.fits", "lenses.html", "lenses.reg"]
    table = Table.read(out)
    assert (np.diff(table["score"]) <= 0).all()
    assert (table.meta["FIELD"], table.meta["MODEL"], table.meta["SIMULATD"]) == (field.name, "galvm-lens", True)
    np.testing.assert_allclose(sorted(table["x"]), [60, 128, 289], atol=1)
    assert len((out.parent / "lenses.reg").read_text().splitlines()) == 3 + len(table)


def test_the_gallery_is_whole_escaped_and_loads_nothing(field, tmp_path):
    assert search(field, tmp_path / "lenses.csv").exit_code == 0
    text = (tmp_path / "lenses.html").read_text(encoding="utf-8")
    page, table = Page(text), Table.read(tmp_path / "lenses.csv")
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert len(pictures) == len(links) == len(table) == 3
    for source in pictures:
        assert source.startswith("data:image/jpeg;base64,")
        assert Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).size == (256, 256)
    # nothing is fetched: no address outside links
    assert text.count("http") == len(links)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "b"})
    assert "<b>field&.fits" in page.text
    assert "simulated, not observed" in page.text
    scores = [float(score) for score in re.findall(r"score (0\.\d+)", page.text)]
    np.testing.assert_allclose(scores[-3:], table["score"], atol=1e-3)
    assert [f"ra={row['ra']:.6f}&dec={row['dec']:.6f}" in link for row, link in zip(table, links, strict=True)] == [
        True
    ] * 3


def test_pictures_show_the_lens_and_the_outline_of_its_mask(field, tmp_path):
    assert search(field, tmp_path / "lenses.csv").exit_code == 0
    source = re.search(r"base64,([^\"]+)", (tmp_path / "lenses.html").read_text(encoding="utf-8"))[1]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(source))).convert("RGB")).astype(int)
    red, green, blue = np.moveaxis(picture, -1, 0)
    assert red[118:138, 118:138].min() > 200  # the lens in the middle: z is red
    assert green[118:138, 118:138].max() < 90
    outline = (red > 150) & (blue > 110) & (green < 150)
    y, x = np.nonzero(outline)
    assert len(x) > 100
    radius = np.hypot(x - 127.5, y - 127.5)
    assert np.ptp(radius) < 25  # a circle around the middle
    assert picture[:20].mean() < 60  # and sky outside


def test_a_picture_without_a_sky(tmp_path):
    picture = np.zeros((150, 200, 3), dtype=np.uint8)
    picture[60:75, 120:140, 0] = 255
    Image.fromarray(picture).save(tmp_path / "field.png")
    done = search(tmp_path / "field.png", tmp_path / "lenses.ecsv")
    assert done.exit_code == 0, done.stderr
    assert len(Table.read(tmp_path / "lenses.ecsv")) == 1
    page = Page((tmp_path / "lenses.html").read_text(encoding="utf-8"))
    assert "a" not in [tag for tag, _ in page.tags]
    assert "x 129.5, y 67.0 px" in page.text


def test_nothing_found_is_said_and_written(field, tmp_path):
    done = search(field, tmp_path / "lenses.vot", "--threshold", "0.99")
    assert done.exit_code == 0, done.stderr
    assert "0 lens candidates" in done.stdout
    assert len(Table.read(tmp_path / "lenses.vot")) == 0
    assert "None was found." in (tmp_path / "lenses.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("field_name", "out", "options", "message"),
    [
        (None, "lenses.txt", (), "no suffix of a catalogue"),
        (None, "lenses.fits", ("--overlap", "70"), "it must be 0 to 64"),
        ("missing.fits", "lenses.fits", (), "does not exist"),
        ("missing-{band}.fits", "lenses.fits", (), "stands for no file"),
    ],
)
def test_mistakes_are_said_in_one_line_and_nothing_is_written(field, tmp_path, field_name, out, options, message):
    done = search(field if field_name is None else tmp_path / field_name, tmp_path / out, *options)
    assert done.exit_code == 1
    assert message in done.stderr
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [field.name]
