"""JPEG and PNG: what OpenCV and Pillow decode, and what neither may."""

import io

import numpy as np
import pytest
from PIL import Image

from galvm_hf.data.readers import iter_stamps, read_stamp
from galvm_hf.data.readers.pictures import decode_picture
from galvm_hf.data.stamp import UnreadableStampError


@pytest.fixture
def colours():
    """Smooth, as galaxies are, with some noise: [H, W, 3]."""
    rows, columns = np.ogrid[:48, :56]
    blob = 200 * np.exp(-((rows - 20) ** 2 + (columns - 30) ** 2) / 150)
    noise = np.random.default_rng(0).normal(20, 5, (48, 56, 3))
    return (blob[..., None] * [1.0, 0.7, 0.4] + noise).clip(0, 255).astype(np.uint8)


def encode(picture, form, **options):
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_is_what_pillow_makes_of_it(colours, mode, subsampling):
    options = {"subsampling": subsampling} if mode == "RGB" else {}
    encoded = encode(Image.fromarray(colours).convert(mode), "JPEG", **options)
    np.testing.assert_array_equal(
        decode_picture(encoded, "a"), np.array(Image.open(io.BytesIO(encoded)).convert("RGB"))
    )


def test_a_jpeg_is_not_turned(colours):
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded = encode(Image.fromarray(colours), "JPEG", exif=exif)
    assert decode_picture(encoded, "a").shape == colours.shape


def test_png_of_every_mode(colours):
    picture = Image.fromarray(colours)
    np.testing.assert_array_equal(decode_picture(encode(picture, "PNG"), "a"), colours)
    grey = decode_picture(encode(picture.convert("L"), "PNG"), "a")
    np.testing.assert_array_equal(grey, np.array(picture.convert("L").convert("RGB")))
    palette = picture.convert("P")
    np.testing.assert_array_equal(decode_picture(encode(palette, "PNG"), "a"), np.array(palette.convert("RGB")))


def test_what_is_transparent_lies_on_black_sky(colours):
    alpha = np.zeros((48, 56), dtype=np.uint8)
    alpha[:, :28] = 255
    decoded = decode_picture(encode(Image.fromarray(np.dstack([colours, alpha])), "PNG"), "a")
    np.testing.assert_array_equal(decoded[:, :28], colours[:, :28])
    assert not decoded[:, 28:].any()


def test_a_stamp_keeps_its_file(tmp_path, colours):
    encoded = encode(Image.fromarray(colours), "PNG")
    (tmp_path / "a.png").write_bytes(encoded)
    stamp = read_stamp(tmp_path / "a.png")
    assert (stamp.bands, stamp.pixel_scale, stamp.units, stamp.encoded) == (None, None, None, encoded)
    np.testing.assert_array_equal(stamp.pixels, colours)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9])
def test_a_picture_that_is_cut_short_is_refused(colours, form, kept):
    encoded = encode(Image.fromarray(colours), form)
    with pytest.raises(UnreadableStampError, match="not a readable picture"):
        decode_picture(encoded[: int(kept * len(encoded))], "a")


def test_what_is_no_picture_of_8_bits_is_refused(colours):
    deep = Image.fromarray(colours[..., 0].astype(np.uint16) * 257)
    with pytest.raises(UnreadableStampError, match="more than 8 bits"):
        decode_picture(encode(deep, "PNG"), "a")
    with pytest.raises(UnreadableStampError, match="not a readable picture"):
        decode_picture(encode(Image.fromarray(colours), "GIF"), "a")


def test_a_decompression_bomb_is_refused_by_its_header():
    encoded = encode(Image.new("L", (5000, 5000)), "PNG")
    assert len(encoded) < 100_000
    with pytest.raises(UnreadableStampError, match="claims the shape 5000 x 5000 x 3"):
        decode_picture(encoded, "a")


def test_real_pictures_are_decoded_as_pillow_does(galvm_data):
    pq = pytest.importorskip("pyarrow.parquet")
    for name in ("galaxy-zoo-decals-examples/test-00000-of-00001", "cfhtls-space-warps/train-00000-of-00001"):
        images = pq.read_table(galvm_data / f"{name}.parquet", columns=["image"])["image"][:20].to_pylist()
        for image in images:
            expected = np.array(Image.open(io.BytesIO(image["bytes"])).convert("RGB"))
            np.testing.assert_array_equal(decode_picture(image["bytes"], name), expected)


def test_real_parquet_streams_its_first_rows(galvm_data):
    first = next(iter_stamps([galvm_data / "sdss-galaxy-zoo-1" / "train-00000-of-00001.parquet"]))
    assert first.pixels.shape == (320, 320, 3)
    assert first.columns["label"] in {"elliptical", "edge-on", "spiral", "other"}
    assert first.id == first.columns["objid"]
