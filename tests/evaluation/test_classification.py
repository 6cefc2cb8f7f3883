"""Classification measured: what scikit-learn says, with intervals, and calibration."""

import numpy as np
import pytest
import torch

from galvm_hf import GalvmForImageClassification
from galvm_hf.evaluation.classification import (
    class_numbers,
    class_probabilities,
    expected_calibration_error,
    measure_classification,
    plot_confusion,
)

metrics = pytest.importorskip("sklearn.metrics")

NAMES = ("elliptical", "edge-on", "spiral")


@pytest.fixture(scope="module")
def stated():
    """Probabilities and labels drawn by them: calibrated, and right more often than not."""
    random = np.random.default_rng(0)
    probabilities = random.dirichlet([0.5, 0.5, 0.5], 400)
    return probabilities, np.array([random.choice(3, p=row) for row in probabilities])


def test_numbers_are_those_of_scikit_learn(stated):
    probabilities, labels = stated
    result = measure_classification(probabilities, labels, NAMES)
    answers = probabilities.argmax(1)
    assert result.accuracy.value == pytest.approx(metrics.accuracy_score(labels, answers))
    assert result.balanced_accuracy.value == pytest.approx(metrics.balanced_accuracy_score(labels, answers))
    expected = metrics.precision_recall_fscore_support(labels, answers)
    for found, values in zip((result.precision, result.recall, result.f1), expected[:3], strict=True):
        assert [found[name].value for name in NAMES] == pytest.approx(values)
        assert all(found[name].low < found[name].value < found[name].high for name in NAMES)
    assert (result.confusion == metrics.confusion_matrix(labels, answers)).all()


def test_a_class_that_is_never_the_answer_has_no_precision():
    result = measure_classification(np.eye(3)[[0, 0, 1, 1]], [0, 2, 1, 1], NAMES)
    assert result.precision["spiral"].value == result.recall["spiral"].value == result.f1["spiral"].value == 0


def test_calibration_error_is_the_gap_between_stated_and_true():
    right = np.arange(1000) % 10 < 7
    assert expected_calibration_error(np.full(1000, 0.7), right) == pytest.approx(0, abs=1e-9)
    assert expected_calibration_error(np.full(1000, 0.95), right) == pytest.approx(0.25)
    assert expected_calibration_error(np.ones(10), np.ones(10, dtype=bool)) == 0


def test_overconfidence_shows(stated):
    probabilities, labels = stated
    honest = measure_classification(probabilities, labels, NAMES).calibration_error
    boasting = measure_classification(np.eye(3)[probabilities.argmax(1)], labels, NAMES).calibration_error
    assert boasting.low > honest.high


def test_the_confusion_matrix_is_drawn(stated, tmp_path):
    pytest.importorskip("matplotlib")
    plot_confusion(measure_classification(*stated, NAMES), tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["confusion.png"]


def test_a_models_probabilities_sum_to_one_in_any_batch(small_config):
    torch.manual_seed(0)
    model = GalvmForImageClassification(small_config)
    images = torch.rand(5, 3, 64, 64)
    probabilities = class_probabilities(model, images, batch_size=2)
    assert probabilities.sum(1) == pytest.approx([1] * 5, abs=1e-5)
    assert np.allclose(probabilities, class_probabilities(model, images), atol=1e-5)


def test_labels_must_be_the_models():
    assert class_numbers(["spiral", "elliptical"], NAMES).tolist() == [2, 0]
    with pytest.raises(ValueError, match="None, ring are none of the model's classes"):
        class_numbers(["ring", "spiral", None], NAMES)
    with pytest.raises(ValueError, match="must be"):
        measure_classification(np.ones((2, 2)) / 2, [0, 1], NAMES)
    with pytest.raises(ValueError, match="from 0 to 2"):
        measure_classification(np.ones((2, 3)) / 3, [0, 3], NAMES)
