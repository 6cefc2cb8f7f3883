"""GalvmImageProcessor: what people hand it, what the model gets, and the way back."""

import os
import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from galvm_hf.image_processing_galvm import GalvmImageProcessor
from galvm_hf.image_transforms_galvm import Crop, flux_to_display

BANDS = ("g", "r", "z")


@pytest.fixture
def processor():
    return GalvmImageProcessor()


@pytest.fixture
def frames():
    """Keeps the frame: what goes in can be compared with what comes out, pixel by pixel."""
    return GalvmImageProcessor(do_adaptive_crop=False)


def source(shape=(160, 160), row=80, column=80, sigma=12.0):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * sigma**2)).astype(np.float32)


def make_flux(shape=(160, 160), colour=(0.1, 0.2, 0.3), seed=0):
    """A galaxy in nanomaggies, g, r, z, with sky noise."""
    noise = np.random.default_rng(seed).normal(0, 0.002, (3, *shape))
    centre = (shape[0] / 2, shape[1] / 2)
    return (np.reshape(colour, (3, 1, 1)) * source(shape, *centre) + noise).astype(np.float32)


def make_rgb(height=160, width=160, seed=0):
    """A picture of a reddish galaxy: uint8 `[H, W, 3]`."""
    levels = (
        np.array([200, 120, 60]) * source((height, width), height / 2, width / 2, min(height, width) / 10)[..., None]
    )
    noise = np.random.default_rng(seed).integers(0, 6, (height, width, 3))
    return (levels + noise).clip(0, 255).astype(np.uint8)


# Colours


def test_a_source_bright_in_z_alone_is_red_to_people_and_the_last_channel_to_the_model(frames):
    flux = np.zeros((3, 32, 32), dtype=np.float32)
    flux[2, 10:20, 10:20] = 0.3
    display = frames(flux, bands=BANDS, return_tensors="pt").pixel_values
    assert display[0, :, 15, 15].argmax() == 2
    picture = frames.post_process_images(display)[0]
    red, green, blue = picture.getpixel((15, 15))
    assert picture.mode == "RGB" and red > 150 and green < 40 and blue < 40


@pytest.mark.parametrize("channel, index", [(0, 2), (1, 1), (2, 0)])
def test_the_channels_of_a_picture_are_reversed(frames, channel, index):
    rgb = np.zeros((24, 24, 3), dtype=np.uint8)
    rgb[5:9, 6:8, channel] = 255
    pixel_values = frames(Image.fromarray(rgb), return_tensors="np").pixel_values
    expected = np.zeros((1, 3, 24, 24), dtype=np.float32)
    expected[0, index, 5:9, 6:8] = 1
    np.testing.assert_array_equal(pixel_values, expected)


def test_a_picture_comes_back_in_its_colours(frames):
    picture = Image.fromarray(make_rgb())
    outputs = SimpleNamespace(reconstruction=frames(picture, return_tensors="pt").pixel_values)
    np.testing.assert_array_equal(np.asarray(frames.post_process_images(outputs)[0]), np.asarray(picture))
    rgb = np.asarray(picture, dtype=np.float32) / 255
    np.testing.assert_allclose(frames.post_process_images(outputs, "np")[0], rgb, atol=1e-6)
    np.testing.assert_allclose(frames.post_process_images(outputs, "pt")[0].permute(1, 2, 0), rgb, atol=1e-6)


# Kinds of input


def test_every_way_to_hand_over_a_picture_gives_the_same(processor):
    rgb = make_rgb()
    expected = processor(Image.fromarray(rgb), return_tensors="pt").pixel_values
    assert expected.shape == (1, 3, 128, 128) and expected.dtype == torch.float32
    assert expected.min() >= 0 and expected.max() <= 1
    chw = np.ascontiguousarray(rgb.transpose(2, 0, 1))
    for same in (
        rgb,
        chw,
        torch.from_numpy(rgb),
        torch.from_numpy(chw),
        chw[None],
        rgb[None],
        [rgb],
        rgb.astype(np.int64),
        (rgb.astype(np.uint16) * 257),
        (rgb.astype(np.uint16) * 257).astype(">u2"),
        chw.astype(np.float32) / 255,
        rgb / 255,
        torch.from_numpy(chw).double() / 255,
        Image.fromarray(rgb).convert("RGBA"),
    ):
        torch.testing.assert_close(processor(same, return_tensors="pt").pixel_values, expected, atol=1e-6, rtol=0)
    low = torch.from_numpy(chw).div(255).bfloat16()
    torch.testing.assert_close(processor(low, return_tensors="pt").pixel_values, expected, atol=5e-3, rtol=0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "I", "F"])
def test_pil_images_of_any_mode(frames, mode):
    grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    if mode == "I;16":
        picture = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "I":
        picture = Image.fromarray(grey.astype(np.int32) * 257)
    elif mode == "F":
        picture = Image.fromarray(grey.astype(np.float32) / 255)
    else:
        picture = Image.fromarray(np.repeat(grey[..., None], 3, axis=-1)).convert(mode)
    assert picture.mode == mode
    pixel_values = frames(picture, return_tensors="np").pixel_values[0]
    # Pillow dithers when it converts to two levels or to a palette, which is not what is tested.
    rgb = np.asarray(picture.convert("RGB")) if mode in ("1", "P") else np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_allclose(pixel_values, rgb[..., ::-1].transpose(2, 0, 1) / 255, atol=0.02)


def test_transparent_pixels_are_black_sky(frames):
    rgba = np.full((8, 8, 4), 200, dtype=np.uint8)
    rgba[..., 3] = 0
    rgba[2, 3, 3] = 255
    for picture in (Image.fromarray(rgba), rgba):
        pixel_values = frames(picture, return_tensors="np").pixel_values[0]
        assert pixel_values[:, 2, 3] == pytest.approx([200 / 255] * 3)
        assert pixel_values.sum() == pytest.approx(3 * 200 / 255)


def test_grey_arrays_fill_all_channels_unless_conversion_is_off(frames):
    grey = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    for picture in (grey, grey[None], grey[..., None]):
        np.testing.assert_array_equal(frames(picture, return_tensors="np").pixel_values[0], np.stack([grey] * 3))
    with pytest.raises(ValueError, match=r"1 channels where \(3,\) are allowed: pass RGB"):
        frames(grey, do_convert_rgb=False)


def test_flux_gets_the_viewers_stretch_in_any_order_of_bands(frames):
    flux = make_flux()
    expected = flux_to_display(flux)[None]
    np.testing.assert_array_equal(frames(flux, bands=BANDS, return_tensors="np").pixel_values, expected)
    for bands, order in ((("z", "r", "g"), [2, 1, 0]), ("rgz", [1, 0, 2]), (["z", "g", "r"], [2, 0, 1])):
        np.testing.assert_array_equal(frames(flux[order], bands=bands, return_tensors="np").pixel_values, expected)
    last = np.moveaxis(flux, 0, -1)
    pixel_values = frames(last, bands=BANDS, input_data_format="channels_last", return_tensors="np").pixel_values
    np.testing.assert_array_equal(pixel_values, expected)


def test_the_zero_point_brings_flux_to_nanomaggies(frames):
    flux = make_flux()
    expected = frames(flux, bands=BANDS, return_tensors="np").pixel_values
    # A star of magnitude 22.5 is 1 nanomaggy, and 10 units at a zero point of 25.
    scaled = frames(flux * 10, bands=BANDS, zero_point=25.0, return_tensors="np").pixel_values
    np.testing.assert_allclose(scaled, expected, atol=1e-6)
    held = GalvmImageProcessor(do_adaptive_crop=False, bands=BANDS, zero_point=25)
    np.testing.assert_array_equal(held(flux * 10, return_tensors="np").pixel_values, scaled)


def test_flux_comes_back_from_the_display(frames):
    flux = make_flux(colour=(0.05, 0.08, 0.1))
    pixel_values = frames(flux, bands=BANDS, return_tensors="pt").pixel_values
    recovered = frames.post_process_images(pixel_values, output_type="flux")
    assert recovered.shape == (1, 3, 160, 160) and recovered.dtype == np.float32
    kept = ((pixel_values[0] > 0) & (pixel_values[0] < 1)).all(dim=0).numpy()
    assert kept.mean() > 0.95
    np.testing.assert_allclose(recovered[0][:, kept], flux[:, kept], atol=1e-4)


def test_real_fits_cutouts_are_read_as_they_come(processor, galvm_data):
    fits = pytest.importorskip("astropy.io.fits", reason="astropy reads the FITS cutouts")
    cutouts = [fits.getdata(path) for path in sorted((galvm_data / "legacy-dr10-flux").glob("*.fits"))]
    assert len(cutouts) == 6 and all(cutout.dtype == np.dtype(">f4") for cutout in cutouts)
    batch = processor(cutouts, bands=BANDS, return_crops=True, return_tensors="pt")
    native = processor([cutout.astype("=f4") for cutout in cutouts], bands=BANDS, return_tensors="pt")
    assert torch.equal(batch.pixel_values, native.pixel_values)
    assert "bool_masked_pos" not in batch
    assert [crop.fallback for crop in batch.crops] == [None] * 6
    # Each has its galaxy in the centre of 101 x 101 px.
    for crop in batch.crops:
        assert crop.top < 50 < crop.top + crop.height and crop.left < 50 < crop.left + crop.width


# Batches


def test_images_of_different_sizes_and_kinds_make_one_batch(processor):
    rgb = make_rgb(320, 320)
    images = [Image.fromarray(rgb), make_rgb(100, 140), make_rgb(60, 60).transpose(2, 0, 1)]
    batch = processor(images, return_tensors="pt")
    assert batch.pixel_values.shape == (3, 3, 128, 128)
    alone = processor(images[1], return_tensors="pt").pixel_values
    assert torch.equal(batch.pixel_values[1:2], alone)


def test_frames_of_different_sizes_are_padded_and_cut_back(frames):
    images = [make_rgb(40, 60), make_rgb(50, 30)]
    pixel_values = frames(images, return_tensors="pt").pixel_values
    assert pixel_values.shape == (2, 3, 50, 60)
    assert pixel_values[0, :, 40:].abs().sum() == 0 and pixel_values[1, :, :, 30:].abs().sum() == 0
    sizes = [(40, 60), (50, 30)]
    for image, back in zip(images, frames.post_process_images(pixel_values, target_sizes=sizes), strict=True):
        np.testing.assert_array_equal(np.asarray(back), image)
    arrays = frames.post_process_images(pixel_values, "pt", target_sizes=torch.tensor(sizes))
    assert [tuple(array.shape) for array in arrays] == [(3, 40, 60), (3, 50, 30)]
    fluxes = frames.post_process_images(pixel_values, "flux", target_sizes=sizes)
    assert [flux.shape for flux in fluxes] == [(3, 40, 60), (3, 50, 30)]


@pytest.mark.parametrize("return_tensors, kind", [("pt", torch.Tensor), ("np", np.ndarray), (None, list)])
def test_return_tensors(processor, return_tensors, kind):
    mask = np.zeros((160, 160), dtype=bool)
    batch = processor(make_rgb(), masks=mask, return_crops=True, return_tensors=return_tensors)
    assert isinstance(batch.pixel_values, kind) and isinstance(batch.bool_masked_pos, kind)
    assert np.asarray(batch.pixel_values).dtype == np.float32
    assert np.asarray(batch.bool_masked_pos).dtype == np.bool_
    assert isinstance(batch.crops, list) and isinstance(batch.crops[0], Crop)


def test_the_batch_goes_to_the_device_that_is_asked_for(processor):
    batch = processor(make_rgb(), device="meta", return_crops=True, return_tensors="pt")
    assert batch.pixel_values.device.type == "meta"


# Hidden pixels


def test_nan_pixels_are_filled_and_told(frames):
    flux = make_flux().astype(">f4")
    flux[1, 3, 4] = np.nan
    flux[0, 7, 8] = np.inf
    batch = frames([flux, make_flux(seed=1)], bands=BANDS, return_tensors="pt")
    assert torch.isfinite(batch.pixel_values).all()
    assert batch.bool_masked_pos.dtype == torch.bool
    assert batch.bool_masked_pos.nonzero().tolist() == [[0, 3, 4], [0, 7, 8]]
    sky = flux_to_display(np.zeros((3, 1, 1)))[:, 0, 0]
    assert batch.pixel_values[0, :, 3, 4].tolist() == pytest.approx(sky.tolist(), abs=0.02)


def test_a_picture_with_nan_and_a_masked_array_are_told_too(frames):
    picture = make_rgb() / np.float32(255)
    picture[5, 6, 0] = np.nan
    assert frames(picture, return_tensors="pt").bool_masked_pos.nonzero().tolist() == [[0, 5, 6]]
    flux = np.ma.array(make_flux(), mask=False)
    flux[0, 9, 10] = np.ma.masked
    flux.data[0, 9, 10] = 1e6
    batch = frames(flux, bands=BANDS, return_tensors="pt")
    assert batch.bool_masked_pos.nonzero().tolist() == [[0, 9, 10]]
    assert batch.pixel_values[0, :, 9, 10].max() < 0.2


def test_values_beyond_float32_count_as_hidden(frames):
    flux = make_flux().astype(np.float64)
    flux[:, 0, 0] = -1.7e308
    assert frames(flux, bands=BANDS, return_tensors="pt").bool_masked_pos.nonzero().tolist() == [[0, 0, 0]]


def test_masks_are_returned_even_when_they_hide_nothing_and_not_otherwise(processor):
    assert "bool_masked_pos" not in processor(make_rgb(), return_tensors="pt")
    batch = processor(make_rgb(), masks=torch.zeros(1, 160, 160, dtype=torch.bool), return_tensors="pt")
    assert batch.bool_masked_pos.shape == (1, 128, 128) and not batch.bool_masked_pos.any()


@pytest.mark.parametrize("form", ["list", "array", "tensor", "uint8"])
def test_masks_go_with_their_images(frames, form):
    masks = np.zeros((2, 160, 160), dtype=bool)
    masks[0, 10:20, 30:40] = True
    masks[1, 100, 5] = True
    given = {
        "list": list(masks),
        "array": masks,
        "tensor": torch.from_numpy(masks),
        "uint8": masks.astype(np.uint8),
    }[form]
    batch = frames([make_rgb(), make_rgb(seed=1)], masks=given, return_tensors="np")
    np.testing.assert_array_equal(batch.bool_masked_pos, masks)


def test_what_a_mask_hides_does_not_reach_the_model(processor):
    rgb = make_rgb(200, 200)
    mask = np.zeros((200, 200), dtype=bool)
    mask[60:75, 110:140] = True
    spoilt = rgb.copy()
    spoilt[mask] = 255
    first, second = (processor(image, masks=mask, return_crops=True, return_tensors="pt") for image in (rgb, spoilt))
    assert torch.equal(first.pixel_values, second.pixel_values)
    assert first.crops == second.crops
    crop, hidden = first.crops[0], first.bool_masked_pos[0].numpy()
    # The mask lies in the stamp where its pixels do, each hidden pixel whole, and no more than a pixel wider.
    scale = 128 / crop.height
    rows, columns = np.nonzero(hidden)
    assert rows.min() == pytest.approx((60 - crop.top) * scale, abs=1.5)
    assert rows.max() + 1 == pytest.approx((75 - crop.top) * scale, abs=1.5)
    assert columns.min() == pytest.approx((110 - crop.left) * scale, abs=1.5)
    assert columns.max() + 1 == pytest.approx((140 - crop.left) * scale, abs=1.5)
    assert hidden[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()


def test_masks_of_padded_frames_end_with_the_frame(frames):
    masks = [np.ones((20, 30), dtype=bool), np.zeros((30, 20), dtype=bool)]
    masks[0][0, 0] = False
    hidden = frames([make_rgb(20, 30), make_rgb(30, 20)], masks=masks, return_tensors="pt").bool_masked_pos
    assert hidden.shape == (2, 30, 30)
    assert hidden.sum() == 20 * 30 - 1 and not hidden[0, 20:].any()


# The crop


def test_the_crop_is_the_box_that_was_cut(processor):
    rgb = make_rgb(300, 300)
    batch = processor(rgb, size={"height": 64, "width": 64}, return_crops=True, return_tensors="np")
    assert batch.pixel_values.shape == (1, 3, 64, 64)
    crop = batch.crops[0]
    assert crop.fallback is None and crop.height < 300
    box = rgb[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width] / 255
    np.testing.assert_allclose(batch.pixel_values[0].mean(axis=(1, 2)), box.mean(axis=(0, 1))[::-1], atol=2e-3)


def test_margin_and_upscaling_are_options(processor):
    rgb = make_rgb(320, 320)
    boxes = [processor(rgb, crop_margin=margin, return_crops=True).crops[0].width for margin in (0, 0.2, 0.5)]
    assert boxes[0] < boxes[1] < boxes[2]
    small = (255 * source((320, 320), 160, 160, 2)).astype(np.uint8)
    widths = [processor(small, max_upscale=factor, return_crops=True).crops[0].width for factor in (1, 2.0, 4.0)]
    assert widths == [128, 64, 32]


def test_a_fallback_is_in_the_crop_and_in_the_log(processor, caplog):
    black = np.zeros((3, 152, 152), dtype=np.float32)
    with caplog.at_level("WARNING", logger="galvm_hf.image_processing_galvm"):
        crops = processor([black, make_rgb(), black + 1], return_crops=True).crops
    assert crops[0].fallback.startswith("empty") and crops[2].fallback.startswith("saturated")
    assert crops[1].fallback is None
    assert all((crop.top, crop.left, crop.height, crop.width) == (0, 0, 152, 152) for crop in (crops[0], crops[2]))
    assert "took the centre of an image" in caplog.text


def test_frames_have_the_whole_frame_as_their_crop(frames):
    assert frames(make_rgb(40, 50), return_crops=True).crops == [Crop(top=0, left=0, height=40, width=50)]


# Errors: what came, what was allowed, the remedy


@pytest.mark.parametrize(
    "image, options, message",
    [
        (np.zeros((4, 64, 64), np.float32), {}, r"\(4, 64, 64\).*4 channels.*\(1, 3\) are allowed.*`bands="),
        (np.zeros((5, 64, 64), np.uint8), {}, r"\(5, 64, 64\).*5 channels.*\(1, 3, 4\) are allowed.*pass RGB"),
        (np.zeros((64, 64, 2), np.uint8), {}, r"\(64, 64, 2\).*channels.*\(1, 3, 4\) are allowed"),
        (make_flux(), {}, r"values from -.*only 0 to 1 is allowed: pass `bands="),
        (np.full((3, 8, 8), 300), {}, r"from 300 to 300, but only 0 to 255.*uint16"),
        (np.zeros((3, 8, 8), bool), {}, r"dtype bool: pass 8-bit or 16-bit integers, or floats"),
        (np.zeros((3, 8, 8), complex), {}, r"dtype complex128"),
        (make_flux()[:2], {"bands": BANDS}, r"shape \(2, 160, 160\).*\[3, H, W\].*one plane for each band"),
        (np.moveaxis(make_flux(), 0, -1), {"bands": BANDS}, r"\(160, 160, 3\).*bands first"),
        (make_flux()[0], {"bands": BANDS}, r"\(160, 160\).*one plane for each band"),
        (make_rgb(), {"bands": BANDS}, r"dtype is uint8: pass flux as floats, or leave `bands` out"),
        (Image.fromarray(make_rgb()), {"bands": BANDS}, r"a PIL image came \(mode RGB\): pass flux as a float array"),
        (make_flux(), {"bands": ("g", "r", "i")}, r"unknown: \['i'\], missing: \['z'\].*\('g', 'r', 'z'\)"),
        (make_flux(), {"bands": ("g", "r")}, r"unknown: none, missing: \['z'\]"),
        (make_flux(), {"bands": ("g", "r", "z", "z")}, r"bands is .*each of .* once"),
        (np.zeros((3, 0, 5), np.float32), {}, r"shape \(3, 0, 5\).*must have pixels.*leave empty images out"),
        (np.zeros((0, 3, 8, 8), np.float32), {}, r"No image came.*pass a list or a batch that is not empty"),
        ([], {}, r"No image came"),
        (np.zeros(7, np.float32), {}, r"shape \(7,\)"),
        (np.full((3, 8, 8), np.nan), {}, r"no pixel that is finite.*leave this image out"),
        (np.full((3, 8, 8), np.nan, np.float32), {"bands": BANDS}, r"no pixel that is finite in every band"),
        (make_rgb(), {"masks": np.zeros((8, 8), bool)}, r"mask of shape \(8, 8\).*\(160, 160\).*one mask"),
        (make_rgb(), {"masks": np.zeros((2, 160, 160), bool)}, r"2 masks .* 1 images: pass one mask"),
        (make_rgb(), {"size": {"shortest_edge": 64}}, r"size is .*must be like \{.height.: 128"),
        (make_rgb(), {"crop_margin": -0.1}, r"crop_margin is -0.1.*0 or more"),
        (make_rgb(), {"max_upscale": 0}, r"max_upscale is 0.*above 0"),
        (make_rgb(), {"zero_point": float("nan")}, r"zero_point is nan.*finite"),
        (make_rgb(), {"data_format": "channels_last"}, r"data_format is 'channels_last'.*leave it out"),
        (make_rgb(), {"do_normalize": True}, r"do_normalize is True.*leave it out"),
        (make_rgb(), {"do_resize": False}, r"do_resize is False.*`do_adaptive_crop` says"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_remedy(processor, image, options, message):
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        processor(image, **options)


def test_unknown_options_and_types_are_refused(processor):
    with pytest.raises(TypeError, match="colour_space"):
        processor(make_rgb(), colour_space="sRGB")
    with pytest.raises(TypeError, match="type=<class 'int'>"):
        processor(3)


# The way back


def test_reconstructions_beyond_the_display_range_are_clipped(processor):
    display = torch.full((2, 3, 4, 4), 1.7)
    display[1] = -0.3
    pictures = processor.post_process_images(display.requires_grad_())
    assert [picture.getpixel((0, 0)) for picture in pictures] == [(255, 255, 255), (0, 0, 0)]
    array = processor.post_process_images(display.bfloat16(), "np")
    assert array.shape == (2, 4, 4, 3) and array.dtype == np.float32 and array.min() == 0 and array.max() == 1


def test_bad_reconstructions_are_refused(processor):
    display = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"output_type is 'jpeg', but it must be one of .*flux.*np.*pil.*pt"):
        processor.post_process_images(display, output_type="jpeg")
    with pytest.raises(ValueError, match=r"shape \(3, 4, 4\), but they must be \[B, 3, H, W\]"):
        processor.post_process_images(display[0])
    with pytest.raises(ValueError, match=r"1 target sizes came with 2 images"):
        processor.post_process_images(display, target_sizes=[(4, 4)])
    with pytest.raises(ValueError, match=r"target size is \(5, 4\), but the images are \(4, 4\)"):
        processor.post_process_images(display, target_sizes=[(4, 4), (5, 4)])


def test_detections_become_boxes_in_pixels(processor):
    probability = torch.tensor([[[0.2, 0.1], [0.6, 0.3], [0.1, 0.9]], [[0.1, 0.4], [0.5, 0.1], [0.0, 0.0]]])
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.25, 0.5, 0.5, 1.0], [0.75, 0.25, 0.1, 0.1]]).expand(2, 3, 4)
    outputs = SimpleNamespace(logits=torch.logit(probability), pred_boxes=boxes)
    first, second = processor.post_process_object_detection(outputs, threshold=0.5, target_sizes=[(100, 200), (10, 10)])
    torch.testing.assert_close(first["scores"], torch.tensor([0.9, 0.6]))
    assert first["labels"].tolist() == [1, 0]
    torch.testing.assert_close(first["boxes"], torch.tensor([[140.0, 20, 160, 30], [0, 0, 100, 100]]))
    assert second["scores"].shape == (0,) and second["boxes"].shape == (0, 4)
    fractions = processor.post_process_object_detection(outputs, threshold=0.7)[0]["boxes"]
    torch.testing.assert_close(fractions, torch.tensor([[0.7, 0.2, 0.8, 0.3]]))
    with pytest.raises(ValueError, match="1 target sizes came with 2 images"):
        processor.post_process_object_detection(outputs, target_sizes=[(100, 200)])


# Saving, loading, dependencies


def test_saved_and_loaded_it_is_the_same(tmp_path):
    processor = GalvmImageProcessor(
        size={"height": 96, "width": 64}, bands=["z", "r", "g"], zero_point=25.0, crop_margin=0.5, max_upscale=1.5
    )
    processor.save_pretrained(tmp_path)
    for loaded in (GalvmImageProcessor.from_pretrained(tmp_path), AutoImageProcessor.from_pretrained(tmp_path)):
        assert type(loaded) is GalvmImageProcessor
        assert loaded.to_dict() == processor.to_dict()
        flux = make_flux()
        assert torch.equal(
            loaded(flux, return_tensors="pt").pixel_values, processor(flux, return_tensors="pt").pixel_values
        )
    assert GalvmImageProcessor.from_pretrained(tmp_path, do_adaptive_crop=False).do_adaptive_crop is False


def test_it_needs_neither_torchvision_nor_survey_packages():
    script = textwrap.dedent(
        """
        import sys
        for name in ("torchvision", "astropy", "datasets", "sklearn"):
            sys.modules[name] = None
        import numpy as np
        from galvm_hf.image_processing_galvm import GalvmImageProcessor
        picture = np.zeros((40, 40, 3), dtype=np.uint8)
        picture[15:25, 15:25] = 200
        print(GalvmImageProcessor()(picture, return_tensors="pt").pixel_values.shape)
        """
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.strip() == "torch.Size([1, 3, 128, 128])", result.stderr


def test_it_loads_as_remote_code_where_the_package_is_unknown(tmp_path):
    save = (
        "from galvm_hf import GalvmImageProcessor as P; P.register_for_auto_class(); P(max_upscale=3.0).save_pretrained"
    )
    load = textwrap.dedent(
        """
        import sys
        sys.modules["galvm_hf"] = None
        import numpy as np
        from transformers import AutoImageProcessor
        processor = AutoImageProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
        shape = processor(np.zeros((40, 40, 3), dtype=np.uint8), return_tensors="pt").pixel_values.shape
        print(type(processor).__name__, processor.max_upscale, list(shape))
        """
    )
    folder = tmp_path / "model"
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", f"{save}({str(folder)!r})"], check=True, env=environment)
    assert {path.name for path in folder.glob("*.py")} == {"image_processing_galvm.py", "image_transforms_galvm.py"}
    result = subprocess.run([sys.executable, "-c", load, folder], capture_output=True, text=True, env=environment)
    assert result.stdout.strip() == "GalvmImageProcessor 3.0 [1, 3, 128, 128]", result.stderr
