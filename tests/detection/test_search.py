"""The search: every planted lens once, whole, at its place, whatever the tiles; and bounded memory."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import blob_detector, empty_field, field_header, plant, write_field

from galvm_hf.data.readers.wide_fields import open_wide_field
from galvm_hf.data.stamp import UnreadableStampError
from galvm_hf.detection import make_catalogue, search_field

pytest.importorskip("astropy")

SHAPE = (300, 420)
# of 128 px with an overlap of 48: columns 0, 73, 146, 219, 292 and rows 0, 57, 115, 172 and on
SIDE, OVERLAP = 128, 48
PLACES = {
    "in the middle of a tile": (64.0, 60.0),
    "on a seam": (128.0, 250.0),
    "at the start of a tile": (219.0, 30.0),
    "where four tiles meet": (274.0, 185.0),
    "in the field's corner": (407.0, 287.0),
    "in the first corner": (12.0, 12.0),
    "beside a strip of NaN": (350.0, 100.0),
}


def search(path, side=SIDE, overlap=OVERLAP, **options):
    with open_wide_field(path) as field:
        found = search_field(field, blob_detector(), side, overlap, **options)
        return found, make_catalogue(found.detections, field, {})


@pytest.fixture
def field(tmp_path):
    """A turned field, a lens in every awkward place."""
    flux = empty_field(SHAPE)
    for x, y in PLACES.values():
        plant(flux, x, y)
    flux[1, :, 361:367] = np.nan  # of one band, which hides it in all
    flux[:, 280:, 100:110] = np.nan
    return write_field(tmp_path / "field.fits", flux, angle=30)


def test_each_lens_is_found_once_at_its_sky_position(field):
    from astropy.wcs import WCS

    _, table = search(field)
    assert len(table) == len(PLACES)
    for place, (x, y) in PLACES.items():
        distance = np.hypot(table["x"] - x, table["y"] - y)
        row = table[np.argmin(distance)]
        wanted = WCS(field_header(SHAPE, angle=30)).pixel_to_world(x, y)
        east = (row["ra"] - wanted.ra.deg) * np.cos(np.radians(wanted.dec.deg)) * 3600
        off = np.hypot(east, (row["dec"] - wanted.dec.deg) * 3600)
        assert off < 0.5, place
    assert np.ptp(table["mask_pixels"]) < 10  # none of them is a part


@pytest.mark.parametrize(("side", "overlap", "batch_size"), [(128, 48, 1), (128, 64, 3), (90, 40, 4), (300, 100, 64)])
def test_the_tiles_do_not_show_in_what_is_found(tmp_path, side, overlap, batch_size):
    """Sixty lenses at random places, found in tiles as in one pass."""
    flux, random = empty_field(SHAPE), np.random.default_rng(1)
    cells = random.permutation([(x, y) for x in range(20, 420, 40) for y in range(20, 300, 40)])[:60]
    for cell in cells:
        plant(flux, *(cell + random.uniform(-6, 6, 2)), *random.uniform(2.0, 4.5, 2))
    path = write_field(tmp_path / "field.fits", flux)
    (whole, wanted), (tiled, table) = (
        search(path, side=512, overlap=0),
        search(path, side, overlap, batch_size=batch_size),
    )
    assert (whole.tiles, len(wanted)) == (1, 60)
    assert tiled.tiles > 1
    columns = [name for name in wanted.colnames if name != "tile"]
    np.testing.assert_array_equal(table[columns].as_array(), wanted[columns].as_array())
    for one, other in zip(tiled.detections, whole.detections, strict=True):
        assert one.corner == other.corner
        np.testing.assert_array_equal(one.mask, other.mask)


def test_a_lens_larger_than_the_overlap_is_one(tmp_path):
    flux = empty_field(SHAPE)
    plant(flux, 200.0, 150.0, sigma_x=60.0)
    path = write_field(tmp_path / "field.fits", flux)
    (_, wanted), (_, table) = search(path, side=512, overlap=0), search(path)
    assert wanted["x1"][0] - wanted["x0"][0] > SIDE
    assert len(table) == 1
    for name in ("x0", "y0", "x1", "y1", "mask_pixels"):
        assert table[name][0] == wanted[name][0]


def test_tiles_without_a_valid_pixel_are_skipped(tmp_path):
    flux = empty_field(SHAPE)
    plant(flux, 60.0, 60.0)
    flux[:, :, 140:] = np.nan
    found, table = search(write_field(tmp_path / "field.fits", flux))
    assert len(table) == 1
    assert (found.tiles, found.skipped) == (20, 12)
    with pytest.raises(UnreadableStampError, match="no pixel that is finite"):
        search(write_field(tmp_path / "nothing.fits", np.full_like(flux, np.nan)))


def test_what_is_found_where_nothing_is_seen_goes(tmp_path):
    """A detector may find something in pixels that were filled in."""
    flux = empty_field((128, 128))
    flux[:, 30:90, 30:90] = np.nan
    detector = blob_detector()
    processor = type("Fills", (type(detector.image_processor),), {})()
    stock = processor.preprocess

    def fill(images, *arguments, **options):
        images = [np.where(np.isnan(image), np.float32([0, 0, 2])[:, None, None], image) for image in images]
        return stock(images, *arguments, **options)

    processor.preprocess = fill
    with open_wide_field(write_field(tmp_path / "field.fits", flux)) as field:
        assert not search_field(field, replace(detector, image_processor=processor), 128, 0).detections


def test_a_picture_is_searched_without_a_sky(tmp_path):
    picture = np.zeros((150, 200, 3), dtype=np.uint8)
    picture[60:75, 120:140, 0] = 255  # red, which is z
    Image.fromarray(picture).save(tmp_path / "field.png")
    _, table = search(tmp_path / "field.png", 100, 40)
    assert "ra" not in table.colnames
    assert "einstein_radius" not in table.colnames
    (row,) = table
    assert [row[name] for name in ("x0", "y0", "x1", "y1", "x", "y")] == [120, 60, 140, 75, 129.5, 67]


def test_a_field_smaller_than_a_tile_is_one(tmp_path):
    flux = empty_field((50, 70))
    plant(flux, 40.0, 20.0)
    found, table = search(write_field(tmp_path / "field.fits", flux), 512, 64)
    assert (found.tiles, len(table)) == (1, 1)


def test_the_time_of_the_network_is_part_of_all(field):
    found, _ = search(field)
    assert 0 < found.network_seconds < found.seconds
    assert found.outside == pytest.approx(1 - found.network_seconds / found.seconds)
    assert found.megapixels == pytest.approx(0.126)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_field(tmp_path):
    """Between a field and one of sixteen times its pixels, less than a quarter of what the larger one has more."""
    code = """
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from planted import blob_detector, field_header
from astropy.io import fits
from galvm_hf.data.readers.wide_fields import open_wide_field
from galvm_hf.detection import search_field
peaks = []
for side in (1000, 4000):
    path = Path(sys.argv[2]) / f"{side}.fits"
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 3, "NAXIS1": side, "NAXIS2": side, "NAXIS3": 3})
    header.update(field_header((side, side)))
    path.write_bytes(header.tostring().encode())
    with path.open("r+b") as stream:
        stream.truncate(len(header.tostring()) + -(-12 * side**2 // 2880) * 2880)
    with open_wide_field(path) as field:
        search_field(field, blob_detector())
    peaks.append(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]))
print(peaks[1] - peaks[0])
"""
    command = [sys.executable, "-c", code, str(Path(__file__).parents[1]), str(tmp_path)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 12 * (4000**2 - 1000**2) / 1024 / 4
