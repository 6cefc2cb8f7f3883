"""The detection task: what counts as found, and the average precision by hand."""

from types import SimpleNamespace

import pytest
import torch

from galvm_hf.train.fields import FieldSettings
from galvm_hf.train.tasks.detection import Detection, DetectionTaskSettings


@pytest.fixture
def task():
    settings = DetectionTaskSettings("detection", "fields", FieldSettings(["validation"]), 1.0)
    return Detection("lenses", settings)


def measure(task, boxes, scores, true):
    outputs = SimpleNamespace(logits=torch.tensor(scores)[None, :, None].logit(), pred_boxes=torch.tensor(boxes)[None])
    labels = [{"boxes": torch.tensor(true).view(-1, 4)}]
    return task.measure(lambda images: outputs, {"pixel_values": torch.zeros(1, 3, 8, 8), "labels": labels})


def test_a_lens_is_found_once_and_by_the_best(task):
    boxes = [[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.22], [0.1, 0.1, 0.1, 0.1], [0.8, 0.8, 0.1, 0.2]]
    values = measure(task, boxes, [0.6, 0.9, 0.8, 0.7], [[0.5, 0.5, 0.2, 0.2], [0.8, 0.8, 0.1, 0.1]])
    # the second overlaps the first lens and scores higher; the last has half of its box right
    assert values["right"].tolist() == [[False, True, False, True]]
    assert values["lenses"].tolist() == [2]


def test_a_field_without_lenses_has_false_alarms_alone(task):
    values = measure(task, [[0.5, 0.5, 0.2, 0.2]], [0.9], [])
    assert values["right"].tolist() == [[False]]
    assert values["lenses"].tolist() == [0]


def test_average_precision_by_hand(task):
    values = {
        "score": torch.tensor([[0.9, 0.3], [0.8, 0.4]]),
        "right": torch.tensor([[True, True], [False, False]]),
        "lenses": torch.tensor([2, 1]),
    }
    scores = task.score(values)
    # recall 1/3 at precision 1, 2/3 at 1/2, and one lens is never found
    assert scores["ap50"] == pytest.approx((1 + 0.5) / 3)
    assert scores["error"] == pytest.approx(1 - scores["ap50"])
    assert scores["completeness"] == pytest.approx(1 / 3)
