"""Pipelines: every kind of input, masks, outputs, and what saving leaves behind."""

import json
from copy import copy

import numpy as np
import pytest
from PIL import Image
from planted import BlobDetector, empty_field, plant
from transformers import (
    ImageClassificationPipeline,
    ImageFeatureExtractionPipeline,
    ObjectDetectionPipeline,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
    ViTModel,
    YolosConfig,
    YolosForObjectDetection,
    YolosImageProcessor,
    pipeline,
)

from galvm_hf.data.stamp import Stamp, UnreadableStampError
from galvm_hf.image_processing_galvm import GalvmImageProcessor
from galvm_hf.pipelines import (
    GalaxyClassificationPipeline,
    GalaxyFeaturePipeline,
    GalaxyObjectDetectionPipeline,
    LensDetectionPipeline,
)

SIDE = 48
BANDS = ("g", "r", "z")


@pytest.fixture(scope="module")
def restore(tiny_checkpoint):
    return pipeline("galaxy-restoration", model=str(tiny_checkpoint), device="cpu")


@pytest.fixture(scope="module")
def inpaint(tiny_checkpoint):
    return pipeline("galaxy-inpainting", model=str(tiny_checkpoint), device="cpu")


@pytest.fixture
def flux():
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    galaxy = 0.05 * np.exp(-np.hypot(x, y) / 5)
    return (galaxy + 0.002 * np.random.default_rng(0).normal(size=(3, SIDE, SIDE))).astype(np.float32)


@pytest.fixture
def cube(flux, tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    hdu = fits.PrimaryHDU(flux)
    hdu.header["BANDS"] = "grz"
    hdu.writeto(tmp_path / "stamp.fits")
    return tmp_path / "stamp.fits"


@pytest.fixture
def mask():
    hidden = np.zeros((SIDE, SIDE), dtype=bool)
    hidden[10:20, 12:30] = True
    return hidden


def test_every_kind_of_flux_gives_the_same_image(restore, flux, cube):
    stamp = Stamp(flux, BANDS, 0.262, "a", "a")
    images = [
        restore(cube),
        restore(str(cube)),
        restore(stamp),
        restore(flux, bands=BANDS),
        restore(flux[::-1].copy(), bands="zrg"),
    ]
    for image in images:
        assert image["image"].size == (SIDE, SIDE)
        np.testing.assert_array_equal(np.asarray(image["image"]), np.asarray(images[0]["image"]))


def test_pictures_and_paths(restore, tmp_path):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8))
    picture.save(tmp_path / "a.png")
    results = [
        restore(picture),
        restore(str(tmp_path / "a.png")),
        restore(tmp_path / "a.png"),
        restore(np.asarray(picture)),
    ]
    for result in results:
        assert result["image"].size == (50, 40)
        np.testing.assert_array_equal(np.asarray(result["image"]), np.asarray(results[0]["image"]))


def test_lists_and_batches_agree_with_single_calls(restore, cube, flux):
    stamp = Stamp(flux, BANDS, None, "a", "a")
    single = np.asarray(restore(cube)["image"], dtype=int)
    for results in (restore([cube, stamp]), restore([cube, stamp, cube], batch_size=2)):
        for result in results:
            assert np.abs(np.asarray(result["image"], dtype=int) - single).max() <= 1


@pytest.mark.parametrize(
    ("output_type", "shape"), [("flux", (3, SIDE, SIDE)), ("np", (SIDE, SIDE, 3)), ("pt", (3, SIDE, SIDE))]
)
def test_other_outputs_come_beside_the_image(restore, cube, output_type, shape):
    result = restore(cube, output_type=output_type)
    assert set(result) == {"image", output_type}
    assert tuple(result[output_type].shape) == shape


def test_the_adaptive_crop_can_be_asked_for(restore, cube):
    assert restore(cube, do_adaptive_crop=True)["image"].size == (128, 128)


def test_only_hidden_pixels_are_filled_in(inpaint, cube, flux, mask, restore):
    result = inpaint(cube, mask=mask, output_type="np")["np"]
    seen = restore.image_processor(flux, bands=BANDS, do_adaptive_crop=False, return_tensors="np")["pixel_values"][0]
    seen = seen[::-1].transpose(1, 2, 0)
    np.testing.assert_allclose(result[~mask], seen[~mask], atol=1e-6)
    assert not np.allclose(result[mask], seen[mask], atol=1e-3)


def test_masks_of_every_kind(inpaint, cube, mask, tmp_path):
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    picture.save(tmp_path / "mask.png")
    kinds = [mask, picture, str(tmp_path / "mask.png")]
    images = [np.asarray(inpaint(cube, mask=kind)["image"]) for kind in kinds]
    images += [np.asarray(result["image"]) for result in inpaint([{"image": cube, "mask": kind} for kind in kinds])]
    for image in images[1:]:
        np.testing.assert_array_equal(image, images[0])


def test_missing_flux_is_hidden_of_itself(inpaint, flux):
    flux[:, 5:9] = np.nan
    result = inpaint(flux, bands=BANDS, output_type="flux")
    assert np.isfinite(result["flux"]).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda restore, inpaint, cube, flux: inpaint(cube), ValueError, "Nothing is hidden"),
        (lambda restore, inpaint, cube, flux: inpaint(cube, mask=np.ones((3, 3), bool)), ValueError, "mask"),
        (lambda restore, inpaint, cube, flux: restore(cube, mask=1), TypeError, "no parameters"),
        (lambda restore, inpaint, cube, flux: restore(cube, colour=1), TypeError, "no parameters"),
        (lambda restore, inpaint, cube, flux: restore(flux[None], bands=BANDS), ValueError, "list of single images"),
        (lambda restore, inpaint, cube, flux: restore(cube.parent / "no.fits"), UnreadableStampError, "does not exist"),
        (lambda restore, inpaint, cube, flux: restore(cube, output_type="jpg"), ValueError, "output_type"),
    ],
)
def test_mistakes_are_refused(restore, inpaint, cube, flux, call, error, message):
    with pytest.raises(error, match=message):
        call(restore, inpaint, cube, flux)


def test_the_stock_task_classifies_every_kind_of_flux_alike(tiny_checkpoint, cube, flux):
    classify = pipeline("image-classification", model=str(tiny_checkpoint), device="cpu")
    assert type(classify) is GalaxyClassificationPipeline
    answers = classify(cube)
    assert sum(answer["score"] for answer in answers) == pytest.approx(1, abs=1e-5)
    stamp = Stamp(flux, BANDS, 0.262, "a", "a")
    for again in (classify(str(cube)), classify(stamp), classify(flux, bands=BANDS), classify(flux[::-1], bands="zrg")):
        assert again == answers
    listed = classify([cube, stamp], top_k=1)
    assert [answer[0]["label"] for answer in listed] == [answers[0]["label"]] * 2


def test_the_stock_task_gives_features_of_flux(tiny_checkpoint, cube, flux):
    features = pipeline("image-feature-extraction", model=str(tiny_checkpoint), device="cpu")
    assert type(features) is GalaxyFeaturePipeline
    pooled = features(cube, pool=True, return_tensors=True)
    assert pooled.shape == (1, features.model.config.hidden_size)
    np.testing.assert_array_equal(features(flux, bands=BANDS, pool=True), pooled)


def test_the_zero_point_of_flux_can_be_given(tiny_checkpoint, flux):
    features = pipeline("image-feature-extraction", model=str(tiny_checkpoint), device="cpu")
    nanomaggies = features(flux, bands=BANDS, pool=True)
    np.testing.assert_allclose(features(flux * 100, bands=BANDS, zero_point=27.5, pool=True), nanomaggies, atol=1e-4)
    assert not np.allclose(features(flux, bands=BANDS, zero_point=27.5, pool=True), nanomaggies, atol=1e-4)


def test_the_units_of_a_file_decide_whether_it_takes_a_zero_point(restore, flux, tmp_path):
    fits = pytest.importorskip("astropy.io.fits")

    def write(name, **header):
        fits.PrimaryHDU(flux * 100, fits.Header({"BANDS": "grz", **header})).writeto(tmp_path / name)
        return tmp_path / name

    wanted = np.asarray(restore(flux, bands=BANDS)["image"], dtype=int)
    counts = write("counts.fits", BUNIT="adu")
    for image in (restore(counts, zero_point=27.5), restore(write("known.fits", BUNIT="adu", MAGZERO=27.5))):
        assert np.abs(np.asarray(image["image"], dtype=int) - wanted).max() <= 1
    with pytest.raises(UnreadableStampError, match="is in adu"):
        restore(counts)
    with pytest.raises(ValueError, match="leave `zero_point` out"):
        restore(tmp_path / "known.fits", zero_point=27.5)


def test_stock_tasks_read_pictures(tiny_checkpoint):
    picture = Image.new("RGB", (40, 40), (30, 30, 30))
    for task in ("image-classification", "image-feature-extraction"):
        assert pipeline(task, model=str(tiny_checkpoint), device="cpu")(picture)


def test_a_copy_of_a_stock_task_is_ours_again(tiny_checkpoint, cube):
    classify = pipeline("image-classification", model=str(tiny_checkpoint), device="cpu")
    assert copy(classify)(cube) == classify(cube)


@pytest.mark.parametrize(
    ("task", "stock", "ours", "model_class"),
    [
        ("image-classification", ImageClassificationPipeline, GalaxyClassificationPipeline, ViTForImageClassification),
        ("image-feature-extraction", ImageFeatureExtractionPipeline, GalaxyFeaturePipeline, ViTModel),
    ],
)
def test_other_models_get_exactly_the_stock_pipeline(task, stock, ours, model_class):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = model_class(ViTConfig(image_size=32, patch_size=16, **sizes)).eval()
    image_processor = ViTImageProcessor(size={"height": 32, "width": 32})
    picture = Image.new("RGB", (40, 40), (30, 60, 90))
    made = pipeline(task, model=model, image_processor=image_processor, device="cpu")
    assert type(made) is stock
    assert made(picture) == stock(model=model, image_processor=image_processor, device="cpu", task=task)(picture)
    # transformers decides by these, before there is a model, what to load
    for name in ("_load_processor", "_load_image_processor", "_load_feature_extractor", "_load_tokenizer"):
        assert getattr(ours, name) == getattr(stock, name)


def test_a_saved_pipeline_loads_without_remote_code(restore, tmp_path):
    restore.save_pretrained(tmp_path)
    assert "custom_pipelines" not in json.loads((tmp_path / "config.json").read_text())
    again = pipeline("galaxy-restoration", model=str(tmp_path), device="cpu")
    picture = Image.new("RGB", (40, 40), (30, 30, 30))
    np.testing.assert_array_equal(np.asarray(again(picture)["image"]), np.asarray(restore(picture)["image"]))


@pytest.fixture(scope="module")
def blob_detector(small_config):
    config = copy(small_config)
    config.num_labels, config.id2label = 1, {0: "lens"}
    return BlobDetector(config).eval()


@pytest.fixture
def planted():
    """Flux [3, 90, 120] of two blobs, and their boxes."""
    flux = empty_field((90, 120))
    plant(flux, 30.0, 20.0)
    plant(flux, 90.0, 60.0, 3.0, 2.0)
    return flux


def find(task, model, **options):
    return pipeline(task, model=model, image_processor=GalvmImageProcessor(), device="cpu", **options)


def test_lenses_are_found_with_boxes_and_masks(blob_detector, planted):
    find_lenses = find("lens-detection", blob_detector)
    assert type(find_lenses) is LensDetectionPipeline
    found = find_lenses(planted, bands=BANDS)
    assert [set(lens) for lens in found] == [{"score", "label", "box", "mask"}] * 2
    assert [lens["label"] for lens in found] == ["lens", "lens"]
    assert found[0]["score"] > found[1]["score"] > 0.5
    for lens, (x, y) in zip(found, [(90, 60), (30, 20)], strict=True):
        box, mask = lens["box"], lens["mask"]
        assert (box["xmin"] + box["xmax"] - 1) / 2 == pytest.approx(x, abs=1)
        assert (box["ymin"] + box["ymax"] - 1) / 2 == pytest.approx(y, abs=1)
        assert (mask.shape, mask.dtype) == ((90, 120), bool)
        rows, columns = np.nonzero(mask)
        assert (columns.min(), columns.max() + 1) == pytest.approx((box["xmin"], box["xmax"]), abs=1)
        assert (rows.min(), rows.max() + 1) == pytest.approx((box["ymin"], box["ymax"]), abs=1)
        assert mask[y, x]


@pytest.mark.parametrize("task", ["lens-detection", "object-detection"])
def test_detection_reads_every_kind_of_input(blob_detector, planted, tmp_path, task):
    fits = pytest.importorskip("astropy.io.fits")
    fits.PrimaryHDU(planted, fits.Header({"BANDS": "grz"})).writeto(tmp_path / "field.fits")
    stamp = Stamp(planted, BANDS, 0.262, "a", "a")
    detect = find(task, blob_detector)

    def told(found):
        return [(lens["label"], lens["box"], round(lens["score"], 4)) for lens in found]

    wanted = told(detect(planted, bands=BANDS))
    assert len(wanted) == 2
    for image in (tmp_path / "field.fits", str(tmp_path / "field.fits"), stamp):
        assert told(detect(image)) == wanted
    for found in detect([stamp, stamp], batch_size=2):
        assert told(found) == wanted
    assert len(detect(stamp, threshold=0.8)) == 1
    picture = np.zeros((60, 80, 3), dtype=np.uint8)
    picture[20:31, 40:60, 0] = 255
    ((_, box, _),) = told(detect(Image.fromarray(picture)))
    assert box == {"xmin": 40, "ymin": 20, "xmax": 60, "ymax": 31}


def test_the_stock_task_gives_the_boxes_of_ours(blob_detector, planted):
    detect = find("object-detection", blob_detector)
    assert type(detect) is GalaxyObjectDetectionPipeline
    found, ours = (find(task, blob_detector)(planted, bands=BANDS) for task in ("object-detection", "lens-detection"))
    assert [lens["score"] for lens in found] == [lens["score"] for lens in ours]
    for one, other in zip(found, ours, strict=True):
        assert max(abs(one["box"][name] - other["box"][name]) for name in one["box"]) <= 1  # the stock one rounds down


def test_other_detectors_get_exactly_the_stock_pipeline():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = YolosForObjectDetection(YolosConfig(image_size=[32, 32], patch_size=16, **sizes)).eval()
    processor = YolosImageProcessor(size={"height": 32, "width": 32})
    options = {"model": model, "image_processor": processor, "device": "cpu", "task": "object-detection"}
    made, picture = pipeline(**options), Image.new("RGB", (40, 40), (30, 60, 90))
    assert type(made) is ObjectDetectionPipeline
    assert made(picture, threshold=0.0) == ObjectDetectionPipeline(**options)(picture, threshold=0.0)
    for name in ("_load_processor", "_load_image_processor", "_load_feature_extractor", "_load_tokenizer"):
        assert getattr(GalaxyObjectDetectionPipeline, name) == getattr(ObjectDetectionPipeline, name)


def test_unknown_parameters_of_lens_detection_are_refused(blob_detector, planted):
    with pytest.raises(TypeError, match="no parameters"):
        find("lens-detection", blob_detector)(planted, bands=BANDS, colour=1)
