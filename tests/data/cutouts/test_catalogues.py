"""Catalogues: every format, names and units of the positions, and tables that have none."""

import numpy as np
import pytest

from galvm_hf.data.cutouts import read_catalogue

Table = pytest.importorskip("astropy.table").Table

RA, DEC = [10.5, 359.9, 180.0], [-89.0, 0.25, 45.0]


def write(path, ra=RA, dec=DEC, names=("ra", "dec"), units=(None, None), **columns):
    table = Table({names[0]: ra, names[1]: dec, **columns})
    for name, unit in zip(names, units, strict=True):
        if unit is not None:
            table[name].unit = unit
    kind = {".fits": "fits", ".vot": "votable", ".ecsv": "ascii.ecsv", ".csv": "ascii.csv"}[path.suffix]
    table.write(path, format=kind)
    return path


@pytest.mark.parametrize("ending", [".fits", ".vot", ".ecsv", ".csv"])
def test_every_format(tmp_path, ending):
    path = write(tmp_path / f"cat{ending}", objid=["a", "b", "c"], label=["x", "y", "z"])
    catalogue = read_catalogue(path)
    np.testing.assert_allclose(catalogue.ra, RA)
    np.testing.assert_allclose(catalogue.dec, DEC)
    assert catalogue.ids == ["a", "b", "c"]
    assert list(catalogue.table["label"]) == ["x", "y", "z"]
    assert catalogue.faults == {}


@pytest.mark.parametrize(
    "names", [("RA", "DEC"), ("RAJ2000", "DEJ2000"), ("ALPHA_J2000", "DELTA_J2000"), ("Ra", "Dec")]
)
def test_usual_names_of_positions(tmp_path, names):
    catalogue = read_catalogue(write(tmp_path / "cat.fits", names=names))
    np.testing.assert_allclose(catalogue.ra, RA)
    assert catalogue.ids == ["0", "1", "2"]  # there is no column of names


def test_other_names_are_given(tmp_path):
    path = write(tmp_path / "cat.csv", names=("x", "y"), key=[7, 8, 9], ra=RA)
    with pytest.raises(ValueError, match=r"declination\. Name it by --dec-column; there are x, y, key"):
        read_catalogue(path, ra_column="x")
    catalogue = read_catalogue(path, "x", "y", "key")
    np.testing.assert_allclose(catalogue.dec, DEC)
    assert catalogue.ids == ["7", "8", "9"]
    with pytest.raises(ValueError, match="no column z"):
        read_catalogue(path, "z", "y")


@pytest.mark.parametrize(
    ("ending", "ra", "units"),
    [
        (".ecsv", [value / 15 for value in RA], ("hourangle", "deg")),
        (".fits", np.radians(RA), ("rad", "deg")),
        (".ecsv", ["00:42:00", "23:59:36", "12:00:00"], ("hourangle", "deg")),
        (".csv", ["00:42:00", "23:59:36", "12:00:00"], (None, None)),
        (".csv", ["0h42m0s", "23 59 36", "180d"], (None, None)),
        (".csv", ["10.5", "359.9", "12h"], (None, None)),
        (".ecsv", ["10:30:00", "359:54:00", "180:00:00"], ("deg", "deg")),
        (".csv", [10.5, -0.1, 180], (None, None)),
    ],
)
def test_units_and_sexagesimal_text(tmp_path, ending, ra, units):
    catalogue = read_catalogue(write(tmp_path / f"cat{ending}", ra=ra, units=units))
    np.testing.assert_allclose(catalogue.ra, RA, atol=1e-9)
    np.testing.assert_allclose(catalogue.dec, DEC)


def test_sexagesimal_declination_keeps_its_sign(tmp_path):
    path = write(tmp_path / "cat.csv", dec=["-00:30:00", "+00:15:00", "-45 0 36"])
    np.testing.assert_allclose(read_catalogue(path).dec, [-0.5, 0.25, -45.01])


def test_rows_without_a_position_are_faults(tmp_path):
    path = write(tmp_path / "cat.fits", ra=[1.0, np.nan, 2.0, 400.0, 5.0], dec=[2.0, 3.0, np.nan, 4.0, 91.0])
    catalogue = read_catalogue(path)
    assert sorted(catalogue.faults) == [1, 2, 3, 4]
    assert "no position (ra " in catalogue.faults[1]
    assert "outside the sky" in catalogue.faults[3]
    assert np.isnan(catalogue.ra[1:]).all()
    (tmp_path / "gaps.csv").write_text("ra,dec,id\n1.0,2.0,a\n,3.0,b\n4.0,,\n")
    catalogue = read_catalogue(tmp_path / "gaps.csv")
    assert sorted(catalogue.faults) == [1, 2]
    assert catalogue.ids == ["a", "b", "2"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cat.fits", b"junk", "not a readable catalogue"),
        ("cat.csv", b"ra,dec\n", "has no rows"),
        ("cat.csv", b"a,b\n1,2\n", "no column is known as right ascension"),
        ("cat.csv", b"ra,dec\nx,y\n", "none of the 1 objects has a position"),
        ("cat.csv", b"ra,dec\n500,100\n", "none of the 1 objects has a position"),
        ("cat.txt", b"1 2", "unknown kind"),
    ],
)
def test_what_is_no_catalogue(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_catalogue(tmp_path / name)


def test_a_missing_catalogue_and_a_unit_that_is_no_angle(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_catalogue(tmp_path / "no.fits")
    with pytest.raises(ValueError, match="is in m, which is no angle"):
        read_catalogue(write(tmp_path / "cat.ecsv", units=("m", "deg")))
