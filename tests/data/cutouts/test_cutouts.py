"""Cutouts: position and flux of stars of known place and brightness, edges, bricks, files, and stopped jobs."""

import csv
import warnings

import numpy as np
import pytest

from galvm_hf.data.cutouts import iter_cutouts, plan_cutouts, read_catalogue, write_fits_cutouts, write_parquet_cutouts
from galvm_hf.data.cutouts.bricks import find_bricks
from galvm_hf.data.cutouts.files import file_names
from galvm_hf.data.readers import iter_stamps, read_stamp
from galvm_hf.data.stamp import UnreadableStampError

fits = pytest.importorskip("astropy.io.fits")
Table = pytest.importorskip("astropy.table").Table
WCS = pytest.importorskip("astropy.wcs").WCS
centroid_com = pytest.importorskip("photutils.centroids").centroid_com

SIGMA = 0.5  # arcseconds
FLUX = {"g": 5.0, "r": 10.0, "z": 20.0}
CENTRE = (150.0, 30.0)
# Offsets of the stars from CENTRE in arcseconds, east and north.
STARS = {"middle": (0.3, -0.2), "off": (-18.0, 13.1), "corner": (37.5, 36.5), "overlap": (-36.0, 0.0)}


def sky(east, north):
    return CENTRE[0] + east / 3600 / np.cos(np.radians(CENTRE[1])), CENTRE[1] + north / 3600


def make_wcs(shape, scale, angle=0.0, mirrored=False, east=0.0):
    """A TAN WCS whose image has CENTRE, moved to the east, in its middle."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = sky(east, 0.0)
    wcs.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs.wcs.cd = rotation @ np.diag([scale if mirrored else -scale, scale]) / 3600
    return wcs


def write_image(path, band, wcs, shape, scale, header=None):
    """An image of the stars, Gaussians of known flux, in nanomaggies."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape)
    sigma = SIGMA / scale
    for east, north in STARS.values():
        cx, cy = wcs.world_to_pixel_values(*sky(east, north))
        image += np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 2 / sigma**2) * FLUX[band] / (2 * np.pi * sigma**2)
    cards = wcs.to_header()
    cards["BUNIT"] = "nanomaggy"
    cards.update(header or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".fz":
        # The step of the quantisation is far below the stars.
        tiles = {"tile_shape": (100, 100), "quantize_level": -1e-4}
        hdu = fits.CompImageHDU(image.astype("f4"), cards, compression_type="RICE_1", **tiles)
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    else:
        fits.PrimaryHDU(image.astype("f4"), cards).writeto(path)


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """Simulated bricks.

    `two/`: two bricks of the survey's scale that overlap, the second one's z at another scale and rotated.
    `turned/`, `mirrored/`, `coarse/`: one brick each.
    """
    root = tmp_path_factory.mktemp("survey")
    shape = (300, 320)
    for band in FLUX:
        write_image(root / "two" / "a" / f"brick-{band}.fits", band, make_wcs(shape, 0.262), shape, 0.262)
        odd = (0.187, (400, 420), 30.0) if band == "z" else (0.262, shape, 0.0)
        wcs = make_wcs(odd[1], odd[0], odd[2], east=-60.0)
        write_image(root / "two" / "b" / f"brick-{band}.fits", band, wcs, odd[1], odd[0])
        for name, scale, angle, mirrored in (
            ("turned", 0.187, 37.0, False),
            ("mirrored", 0.262, 0.0, True),
            ("coarse", 0.4, -100.0, True),
        ):
            wide = (int(100 / scale), int(104 / scale))
            path = root / name / f"brick-{band}.fits.fz"
            write_image(path, band, make_wcs(wide, scale, angle, mirrored), wide, scale)
    positions = [sky(*offset) for offset in STARS.values()]
    table = Table(
        {
            "objid": list(STARS),
            "RA": [ra for ra, _ in positions],
            "DEC": [dec for _, dec in positions],
            "label": ["star"] * len(STARS),
            "z_phot": [0.1, 0.2, 0.3, 0.4],
        }
    )
    table.write(root / "stars.fits")
    return root


def make_plan(survey, where, size=41, catalogue="stars.fits", **options):
    ending = ".fits" if where == "two/*" else ".fits.fz"
    return plan_cutouts(f"{survey}/{where}/brick-{{band}}{ending}", read_catalogue(survey / catalogue), size, **options)


def cut_all(plan):
    return {stamp.id: stamp for _, stamp in iter_cutouts(plan, plan.order)}


def place_of(stamp):
    return stamp.wcs.world_to_pixel_values(stamp.columns["ra"], stamp.columns["dec"])


@pytest.mark.parametrize("where", ["two/*", "turned", "mirrored", "coarse"])
def test_flux_and_position_are_kept(survey, where):
    """To 1 % and 0.1 px, also where an image is rotated, mirrored, or of another scale."""
    plan = make_plan(survey, where)
    for name, stamp in cut_all(plan).items():
        if stamp.columns["at_edge"]:
            assert name == "corner"
            continue
        assert stamp.pixels.shape == (3, 41, 41)
        assert stamp.units == "nanomaggy"
        assert stamp.pixel_scale == 0.262
        x, y = place_of(stamp)
        assert max(abs(x - 20), abs(y - 20)) <= 0.51  # the object is in the middle
        for band, plane in zip(stamp.bands, stamp.pixels, strict=True):
            assert plane.sum() == pytest.approx(FLUX[band], rel=0.01)
            np.testing.assert_allclose(centroid_com(plane), (x, y), atol=0.1)


def test_stamps_have_east_to_the_left_of_north(survey):
    """A mirrored stamp would turn the arms of a spiral round."""
    for where in ("two/*", "turned", "mirrored", "coarse"):
        stamp = cut_all(make_plan(survey, where))["off"]
        ra, dec = stamp.wcs.pixel_to_world_values([0, 40, 0], [0, 0, 40])
        steps = np.array([[ra[1] - ra[0], dec[1] - dec[0]], [ra[2] - ra[0], dec[2] - dec[0]]])
        assert np.linalg.det(steps) < 0


def test_pixels_of_the_right_scale_are_not_touched(survey):
    with fits.open(survey / "two" / "a" / "brick-g.fits") as hdus:
        whole = hdus[0].data
        stamp = cut_all(make_plan(survey, "two/*"))["middle"]
        assert (stamp.pixels[0] == whole[129:170, 138:179]).all() or any(
            (stamp.pixels[0] == whole[y : y + 41, x : x + 41]).all() for y in range(125, 135) for x in range(135, 145)
        )


def test_each_object_comes_from_the_brick_that_holds_it_best(survey):
    stamps = cut_all(make_plan(survey, "two/*"))
    bricks = {name: stamp.source.split("/")[-2] for name, stamp in stamps.items()}
    # In `a` the star is 5.9 arcseconds from the edge, in `b` 15.
    assert bricks == {"middle": "a", "off": "a", "corner": "a", "overlap": "b"}
    assert not stamps["overlap"].columns["at_edge"]


def test_what_an_image_does_not_reach_is_nan_and_flagged(survey):
    stamps = cut_all(make_plan(survey, "two/*"))
    corner = stamps["corner"]
    hidden = np.isnan(corner.pixels).mean()
    assert 0.1 < hidden < 0.6
    assert corner.columns["padded"] == pytest.approx(hidden)
    assert corner.columns["at_edge"] is True
    assert np.isfinite(stamps["middle"].pixels).all()
    assert (stamps["middle"].columns["padded"], stamps["middle"].columns["at_edge"]) == (0, False)
    resampled = cut_all(make_plan(survey, "turned", size=400))["middle"]
    assert 0.1 < resampled.columns["padded"] < 0.6
    assert resampled.columns["padded"] == pytest.approx(np.isnan(resampled.pixels).mean(), abs=0.01)


def test_surface_brightness_is_not_scaled_by_the_area(tmp_path):
    shape = (200, 200)
    for band in FLUX:
        path = tmp_path / f"brick-{band}.fits"
        write_image(path, band, make_wcs(shape, 0.2), shape, 0.2, {"BUNIT": "MJy / sr"})
        with fits.open(path, mode="update") as hdus:
            hdus[0].data[:] = 3.0
    Table({"ra": [CENTRE[0]], "dec": [CENTRE[1]]}).write(tmp_path / "cat.csv")
    plan = plan_cutouts(f"{tmp_path}/brick-{{band}}.fits", read_catalogue(tmp_path / "cat.csv"), 31)
    (stamp,) = cut_all(plan).values()
    np.testing.assert_allclose(stamp.pixels, 3.0, rtol=1e-5)
    assert stamp.units == "MJy / sr"


def test_counts_with_a_zero_point_become_nanomaggies(tmp_path):
    shape = (80, 80)
    for band in FLUX:
        path = tmp_path / f"brick-{band}.fits"
        write_image(path, band, make_wcs(shape, 0.262), shape, 0.262, {"BUNIT": "adu", "MAGZERO": 25.0})
    Table({"ra": [sky(*STARS["middle"])[0]], "dec": [sky(*STARS["middle"])[1]]}).write(tmp_path / "cat.ecsv")
    plan = plan_cutouts(f"{tmp_path}/brick-{{band}}.fits", read_catalogue(tmp_path / "cat.ecsv"), 41)
    (stamp,) = cut_all(plan).values()
    assert stamp.units == "nanomaggy"
    assert stamp.pixels[1].sum() == pytest.approx(FLUX["r"] * 0.1, rel=0.01)


def test_fits_files_read_back_with_labels_beside_them(survey, tmp_path):
    plan = make_plan(survey, "two/*")
    summary = write_fits_cutouts(plan, tmp_path / "stamps")
    assert (summary.number, summary.continued, summary.at_edge, summary.skipped) == (4, 0, 1, [])
    cut = cut_all(plan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = list(iter_stamps([tmp_path / "stamps"]))
    assert [stamp.id for stamp in read] == ["corner.fits", "middle.fits", "off.fits", "overlap.fits"]
    for stamp in read:
        same = cut[stamp.id.removesuffix(".fits")]
        np.testing.assert_array_equal(stamp.pixels, same.pixels)
        assert (stamp.bands, stamp.units) == (("g", "r", "z"), "nanomaggy")
        assert stamp.pixel_scale == pytest.approx(0.262, rel=1e-4)
        np.testing.assert_allclose(stamp.wcs.pixel_to_world_values(3, 5), same.wcs.pixel_to_world_values(3, 5))
    header = fits.getheader(tmp_path / "stamps" / "corner.fits")
    assert "CHECKSUM" in header
    assert header["PADDED"] > 0
    table = Table.read(tmp_path / "stamps" / "catalogue.ecsv")
    assert table["file"].tolist() == ["middle.fits", "off.fits", "corner.fits", "overlap.fits"]
    assert table["label"].tolist() == ["star"] * 4
    assert table["z_phot"].tolist() == [0.1, 0.2, 0.3, 0.4]
    assert table["at_edge"].tolist() == [False, False, True, False]
    assert str(table["ra"].unit) == "deg"


def test_a_stopped_job_keeps_whole_files_and_cuts_the_rest(survey, tmp_path):
    plan, out = make_plan(survey, "two/*"), tmp_path / "stamps"
    write_fits_cutouts(plan, out)
    content = {path.name: path.read_bytes() for path in out.iterdir()}
    kept = out / "corner.fits"
    state = kept.stat().st_mtime_ns
    for name in ("middle.fits", "off.fits", "catalogue.ecsv"):
        (out / name).unlink()
    (out / ".off.fits.123.part").write_bytes(b"half")
    summary = write_fits_cutouts(plan, out)
    assert (summary.number, summary.continued, summary.at_edge) == (4, 2, 1)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == content
    assert kept.stat().st_mtime_ns == state
    with pytest.raises(ValueError, match="size was 41, now 31"):
        write_fits_cutouts(make_plan(survey, "two/*", size=31), out)
    write_fits_cutouts(make_plan(survey, "two/*", size=31), out, overwrite=True)
    assert read_stamp(out / "off.fits").pixels.shape == (3, 31, 31)


def test_files_of_others_are_left_alone(survey, tmp_path):
    (tmp_path / "mine.fits").write_bytes(b"precious")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="not made here"):
            write_fits_cutouts(make_plan(survey, "two/*"), tmp_path, overwrite)
    assert (tmp_path / "mine.fits").read_bytes() == b"precious"


def test_parquet_carries_the_columns_and_goes_on_where_it_was(survey, tmp_path, monkeypatch):
    plan, whole, stopped = make_plan(survey, "two/*"), tmp_path / "whole", tmp_path / "stopped"
    size = 3 * 41 * 41 * 4 + 8000  # one stamp a shard
    summary = write_parquet_cutouts(plan, whole, shard_size=size)
    assert (summary.number, summary.continued, summary.at_edge) == (4, 0, 1)
    cut = cut_all(plan)
    for stamp in iter_stamps([whole]):
        np.testing.assert_array_equal(stamp.pixels, cut[stamp.id].pixels)
        assert dict(stamp.columns) == {"objid": stamp.id, **cut[stamp.id].columns}
        assert stamp.wcs is not None
    monkeypatch.setattr("galvm_hf.data.cutouts.files.iter_cutouts", fail_after(2))
    with pytest.raises(KeyboardInterrupt):
        write_parquet_cutouts(plan, stopped, shard_size=size)
    monkeypatch.undo()
    summary = write_parquet_cutouts(plan, stopped, shard_size=size)
    assert (summary.number, summary.continued, summary.at_edge) == (4, 1, 1)
    for path in whole.glob("*.parquet"):
        assert (stopped / path.name).read_bytes() == path.read_bytes()
    assert write_parquet_cutouts(plan, stopped, shard_size=size).continued == 4


def fail_after(number):
    def iter_some(plan, order):
        for index, entry in enumerate(iter_cutouts(plan, order)):
            if index == number:
                raise KeyboardInterrupt
            yield entry

    return iter_some


def test_objects_without_a_stamp_are_listed(survey, tmp_path):
    ra, dec = sky(0, 0)
    table = Table(
        {
            "name": ["in", "far", "other side", "no position"],
            "ra": [ra, ra + 2, ra + 180, np.nan],
            "dec": [dec, dec, -dec, dec],
        }
    )
    table.write(tmp_path / "cat.fits")
    plan = plan_cutouts(f"{survey}/two/*/brick-{{band}}.fits", read_catalogue(tmp_path / "cat.fits"), 41)
    summary = write_fits_cutouts(plan, tmp_path / "out")
    assert summary.number == 1
    with (tmp_path / "out" / "skipped.csv").open() as stream:
        listed = list(csv.DictReader(stream))
    assert [row["path"].split(":")[-1] for row in listed] == ["1 (far)", "2 (other side)", "3 (no position)"]
    assert "in no image" in listed[0]["cause"]
    assert "no position" in listed[2]["cause"]


def test_no_object_in_any_image_is_an_error(survey, tmp_path):
    Table({"ra": [10.0], "dec": [-10.0]}).write(tmp_path / "cat.csv")
    with pytest.raises(ValueError, match="none of its 1 objects is in an image"):
        make_plan(survey, "turned", catalogue=tmp_path / "cat.csv")


def test_bricks_are_found_band_by_band(tmp_path):
    for name in ("x/a-1-g.fits", "x/a-1-r.fits", "y/a-2-g.fits", "y/a-2-r.fits", "y/a-2-w.fits"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    pattern = f"{tmp_path}/*/a-?-{{band}}.fits"
    found = find_bricks(pattern, ["g", "r"])
    assert [[path.name for path in brick.values()] for brick in found] == [
        ["a-1-g.fits", "a-1-r.fits"],
        ["a-2-g.fits", "a-2-r.fits"],
    ]
    assert len(find_bricks(f"{tmp_path}/**/a-*-{{band}}.fits", ["g", "r"])) == 2
    (tmp_path / "x" / "a-1-r.fits").unlink()
    with pytest.raises(ValueError, match=r"a-1-g\.fits has no counterpart in the band r"):
        find_bricks(pattern, ["g", "r"])
    with pytest.raises(ValueError, match=r"without \{band\}"):
        find_bricks(f"{tmp_path}/*.fits", ["g"])
    with pytest.raises(ValueError, match="No file matches"):
        find_bricks(f"{tmp_path}/{{band}}.fits", ["g"])


@pytest.mark.parametrize("fault", ["no wcs", "html", "cube", "half", "integers", "units"])
def test_images_that_cannot_be_used(survey, tmp_path, fault):
    shape = (60, 60)
    for band in FLUX:
        write_image(tmp_path / f"brick-{band}.fits", band, make_wcs(shape, 0.262), shape, 0.262)
    path = tmp_path / "brick-r.fits"
    wcs = make_wcs(shape, 0.262).to_header()
    if fault == "no wcs":
        fits.PrimaryHDU(np.zeros(shape, "f4")).writeto(path, overwrite=True)
    elif fault == "html":
        path.write_text("<html>404</html>")
    elif fault == "cube":
        fits.PrimaryHDU(np.zeros((3, *shape), "f4"), wcs).writeto(path, overwrite=True)
    elif fault == "half":
        path.write_bytes(path.read_bytes()[:6000])
    elif fault == "integers":
        fits.PrimaryHDU(np.zeros(shape, "i2"), wcs).writeto(path, overwrite=True)
    else:
        fits.setval(path, "BUNIT", value="adu")
    with pytest.raises(UnreadableStampError, match="brick-") as caught:
        plan_cutouts(f"{tmp_path}/brick-{{band}}.fits", read_catalogue(survey / "stars.fits"), 41)
    assert caught.value.remedy


def test_file_names_are_safe_and_each_comes_once():
    ids = ["NGC 1", "a/b", "a:b", "../../etc", "A_B", "", "x", "x", "x-6", "cluster-g", "1" * 300, "ä"]
    names = file_names(ids)
    assert len({name.lower() for name in names}) == len(ids)
    assert all(set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-") for name in names)
    assert not any(name.startswith(".") or "/" in name for name in names)
    assert names[0] == "NGC_1.fits"
    assert names[9] == "cluster-g-9.fits"
    assert len(names[10]) < 130
