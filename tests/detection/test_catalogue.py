"""Catalogues and regions: every format comes back with its values, units and descriptions."""

import re
import warnings

import numpy as np
import pytest
from planted import empty_field, field_header, write_field

from galvm_hf.data.readers.wide_fields import open_wide_field
from galvm_hf.detection import Detection, make_catalogue, write_catalogue, write_regions

Table = pytest.importorskip("astropy.table").Table
WCS = pytest.importorskip("astropy.wcs").WCS
getheader = pytest.importorskip("astropy.io.fits").getheader

SHAPE = (80, 100)
UNITS = {"ra": "deg", "x": "pix", "x0": "pix", "mask_area": "arcsec2", "einstein_radius": "arcsec"}
ABOUT = {"FIELD": "field.fits", "MODEL": "stub", "THRESHLD": 0.5, "TILE": 512}


@pytest.fixture
def field(tmp_path):
    with open_wide_field(write_field(tmp_path / "field.fits", empty_field(SHAPE), angle=20)) as field:
        yield field


@pytest.fixture
def detections():
    mask = np.ones((10, 20), dtype=bool)
    return [
        Detection(np.array([10.0, 20, 30, 30]), 0.9, mask, (10, 20), 3, 5.0),
        Detection(np.array([50.5, 40, 70.25, 50]), 0.6, mask, (50, 40), 4, np.inf),
    ]


@pytest.mark.parametrize("suffix", [".fits", ".vot", ".xml", ".ecsv", ".csv"])
@pytest.mark.parametrize("number", [2, 0])
def test_every_format_comes_back(field, detections, tmp_path, suffix, number):
    table = make_catalogue(detections[:number], field, ABOUT)
    path = tmp_path / f"lenses{suffix}"
    write_catalogue(table, path)
    found = Table.read(path)
    assert len(found) == number
    assert found.colnames == table.colnames
    for name in table.colnames if number else ():
        np.testing.assert_allclose(np.asarray(found[name], float), table[name], rtol=1e-12, err_msg=name)
    if suffix != ".csv":
        for name, unit in UNITS.items():
            assert found[name].unit == table[name].unit == unit
            description = found[name].description
            if suffix == ".fits":  # astropy reads none
                description = getheader(path, 1)[f"TCOMM{table.colnames.index(name) + 1}"]
            assert " ".join(description.split()) == table[name].description
    assert [entry.name for entry in tmp_path.iterdir() if entry.name != "field.fits"] == [path.name]


def test_values_are_those_of_box_mask_and_wcs(field, detections):
    table = make_catalogue(detections, field, ABOUT)
    assert table["id"].tolist() == [1, 2]
    assert table["x"].tolist() == [19.5, 59.875]
    assert table["y"].tolist() == [24.5, 44.5]
    sky = WCS(field_header(SHAPE, angle=20)).pixel_to_world(19.5, 24.5)
    assert table["ra"][0] == pytest.approx(sky.ra.deg, abs=1e-9)
    assert table["dec"][0] == pytest.approx(sky.dec.deg, abs=1e-9)
    assert table["mask_pixels"].tolist() == [200, 200]
    np.testing.assert_allclose(table["mask_area"], 200 * 0.262**2, rtol=1e-4)
    assert (table["einstein_radius_error"] > 0).all()
    assert table["tile"].tolist() == [3, 4]
    assert table.meta == ABOUT


def test_positions_are_icrs_whatever_the_frame_of_the_image(detections, tmp_path):
    header = {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": 120.0, "CRVAL2": -30.0}
    with open_wide_field(write_field(tmp_path / "galactic.fits", empty_field(SHAPE), **header)) as field:
        table = make_catalogue(detections, field, ABOUT)
        galactic = field.wcs.pixel_to_world(table["x"], table["y"])
    assert galactic.name == "galactic"
    np.testing.assert_allclose(table["ra"], galactic.icrs.ra.deg)


def test_a_suffix_without_a_format_is_refused(field, detections, tmp_path):
    with pytest.raises(ValueError, match=r"lenses.txt has no suffix of a catalogue"):
        write_catalogue(make_catalogue(detections, field, ABOUT), tmp_path / "lenses.txt")


def test_regions_on_the_sky_are_the_corners_of_the_boxes(field, detections, tmp_path):
    write_regions(make_catalogue(detections, field, ABOUT), field, tmp_path / "lenses.reg")
    header, style, system, *lines = (tmp_path / "lenses.reg").read_text().splitlines()
    assert header == "# Region file format: DS9 version 4.1"
    assert style.startswith("global color=")
    assert system == "icrs"
    for line, detection in zip(lines, detections, strict=True):
        match = re.fullmatch(r"polygon\(([-\d.,]+)\) # text=\{(\d): ([\d.]+)\}", line)
        assert float(match[3]) == detection.score
        sky = np.array(match[1].split(","), float).reshape(4, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x, y = WCS(field_header(SHAPE, angle=20)).world_to_pixel_values(*sky.T)
        x0, y0, x1, y1 = detection.box - 0.5
        np.testing.assert_allclose(x, [x0, x1, x1, x0], atol=1e-2)
        np.testing.assert_allclose(y, [y0, y0, y1, y1], atol=1e-2)


def test_regions_of_a_picture_count_pixels_from_one(detections, tmp_path):
    from PIL import Image

    Image.new("RGB", SHAPE[::-1]).save(tmp_path / "field.png")
    with open_wide_field(tmp_path / "field.png") as field:
        write_regions(make_catalogue(detections, field, ABOUT), field, tmp_path / "lenses.reg")
    lines = (tmp_path / "lenses.reg").read_text().splitlines()
    # the first pixel's centre is 1, 1 and its outer corner 0.5, 0.5
    assert lines[2:4] == [
        "image",
        "polygon(10.50,20.50,30.50,20.50,30.50,30.50,10.50,30.50) # text={1: 0.90}",
    ]
