"""Average precision: pycocotools' numbers, by hand where they are plain, with intervals."""

import numpy as np
import pytest

pytest.importorskip("pycocotools")
from pycocotools import mask
from ring_fields import write_ring_fields

from galvm_hf.data.fields import FieldDataset
from galvm_hf.evaluation.detection import FieldDetections, measure_completeness, measure_precision
from galvm_hf.evaluation.detection.precision import _evaluate


@pytest.fixture(scope="module")
def fields(tmp_path_factory):
    return FieldDataset([write_ring_fields(tmp_path_factory.mktemp("fields") / "test", 30)])


def answers(fields, shift=0, wrong=0, random=None):
    """The truth, moved by some pixels, each with a score, and some false alarms with random ones."""
    random = random or np.random.default_rng(0)
    found = []
    for index in range(len(fields)):
        field = fields.read(index)
        planes = [np.roll(plane.numpy(), shift, axis=1) for plane in field.masks]
        planes += [np.roll(np.eye(64, dtype=bool), random.integers(64), axis=1) for _ in range(wrong)]
        scores = np.concatenate([random.uniform(0.4, 1, len(field.masks)), random.uniform(0, 0.9, wrong)])
        order = np.argsort(-scores)
        masks = [mask.encode(np.asfortranarray(planes[row].astype(np.uint8))) for row in order]
        boxes = np.array([mask.toBbox(one) for one in masks]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        found.append(FieldDetections(scores[order], boxes, masks))
    return found


def test_the_truth_has_precision_one(fields):
    for kind in ("boxes", "masks"):
        precision = measure_precision(fields, answers(fields), kind)
        assert precision.ap.value == precision.ap50.value == precision.ap75.value == pytest.approx(1)
        assert precision.curve == pytest.approx(1)


def test_a_small_shift_spoils_masks_before_boxes(fields):
    moved = answers(fields, shift=3)
    boxes, masks = (measure_precision(fields, moved, kind) for kind in ("boxes", "masks"))
    assert boxes.ap50.value == pytest.approx(1)
    assert masks.ap50.value < 0.9
    assert boxes.ap75.value < boxes.ap50.value


def test_values_are_those_of_pycocotools_and_lie_in_their_intervals(fields):
    mixed = answers(fields, shift=1, wrong=2)
    for kind, name in (("boxes", "bbox"), ("masks", "segm")):
        measured = measure_precision(fields, mixed, kind)
        evaluation = _evaluate(fields, mixed, name)
        precision = evaluation.eval["precision"][:, :, 0, 0, 0]
        assert measured.ap.value == pytest.approx(precision.mean(), abs=1e-6)
        assert measured.ap50.value == pytest.approx(precision[0].mean(), abs=1e-6)
        assert measured.ap75.value == pytest.approx(precision[5].mean(), abs=1e-6)
        assert measured.ap50.low < measured.ap50.value < measured.ap50.high


def test_nothing_found_is_zero(fields):
    nothing = [FieldDetections(np.zeros(0), np.zeros((0, 4)), []) for _ in range(len(fields))]
    precision = measure_precision(fields, nothing, "boxes")
    assert precision.ap50.value == precision.ap.value == 0


def test_fields_without_lenses_have_no_precision(tmp_path):
    empty = FieldDataset([write_ring_fields(tmp_path / "empty", 3, rings=0)])
    with pytest.raises(ValueError, match="no lens"):
        measure_precision(empty, answers(empty, wrong=1), "boxes")


def test_completeness_needs_catalogues(fields):
    with pytest.raises(FileNotFoundError, match="needs its catalogue"):
        measure_completeness(fields, answers(fields))


def test_completeness_of_simulated_fields(tmp_path):
    pytest.importorskip("caustics")
    from astropy.table import Table

    from galvm_hf.data.simulate.files import write_fields

    write_fields(2, 4, (128, 128), tmp_path / "simulated", lenses=(2, 2), lookalikes=0)
    simulated = FieldDataset([tmp_path / "simulated"])
    lenses = sum(len(image["annotations"]) for image in simulated.images)
    truth = []
    for index in range(2):
        field = simulated.read(index)
        masks = [mask.encode(np.asfortranarray(plane.numpy().astype(np.uint8))) for plane in field.masks]
        # the first lens is found, and there is one false alarm in a corner
        corner = np.zeros((128, 128), dtype=np.uint8)
        corner[:6, :6] = 1
        boxes = np.array([field.boxes[0].numpy(), [0, 0, 6, 6]])
        truth.append(FieldDetections(np.array([0.9, 0.7]), boxes, [masks[0], mask.encode(np.asfortranarray(corner))]))
    result = measure_completeness(simulated, truth)
    assert len(result.radius) == lenses
    assert (result.score > 0).sum() == 2
    assert result.false_score.tolist() == [0.7, 0.7]
    assert result.area == pytest.approx(2 * (128 * 0.262 / 3600) ** 2)
    catalogue = Table.read(tmp_path / "simulated" / "field-00000.ecsv")
    known = catalogue[catalogue["class"] == "lens"]["einstein_radius"]
    shown = simulated.images[0]["annotations"]
    assert result.radius[: len(shown)] == pytest.approx(known[: len(shown)])
