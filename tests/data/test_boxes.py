"""Matching of boxes."""

import pytest
import torch

pytest.importorskip("torchvision")
from galvm_hf.data.boxes import match_boxes


def test_boxes_are_matched_once_and_best_first():
    found = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60]])
    true = torch.tensor([[0.0, 0, 10, 10], [30, 30, 40, 40]])
    assert match_boxes(found, true).tolist() == [0, -1, -1]
    assert match_boxes(found[:0], true).tolist() == []
    assert match_boxes(found, true[:0]).tolist() == [-1, -1, -1]
