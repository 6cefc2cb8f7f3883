"""The linear probe and its split."""

import numpy as np
import pytest

from galvm_hf.evaluation.probe import linear_probe, split_indices

pytest.importorskip("sklearn")


def blobs(number, distance, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, number)
    return random.normal(size=(number, 8)) + distance * np.eye(8)[labels], np.array(["a", "b", "c"])[labels]


def test_separable_classes_are_told_apart():
    result = linear_probe(*blobs(300, 6, 0), *blobs(200, 6, 1), seed=0)
    assert result.balanced_accuracy > 0.97
    assert (result.n_train, result.n_test) == (300, 200)


def test_features_without_information_give_chance_inside_the_interval():
    result = linear_probe(*blobs(600, 0, 0), *blobs(300, 0, 1), seed=0)
    low, high = result.interval95
    assert low < 1 / 3 < high
    assert low < result.balanced_accuracy < high


def test_the_same_seed_gives_the_same_interval():
    data = (*blobs(90, 1, 0), *blobs(60, 1, 1))
    assert linear_probe(*data, seed=3) == linear_probe(*data, seed=3)


def test_rare_classes_count_as_much_as_frequent_ones():
    """Always answering the frequent class is right nine times in ten, and has a balanced accuracy of a half."""
    test_y = np.array([0] * 90 + [1] * 10)
    random = np.random.default_rng(0)
    result = linear_probe(random.normal(size=(100, 4)), test_y, random.normal(size=(100, 4)), test_y)
    assert result.balanced_accuracy < 0.75


@pytest.mark.parametrize(
    ("train_x", "train_y", "test_x", "test_y", "message"),
    [
        (np.ones((4, 2)), [0, 1, 0, 1], np.ones((2, 3)), [0, 1], "with one D"),
        (np.ones((4, 2)), [0, 1, 0], np.ones((2, 2)), [0, 1], "one class for each row"),
        (np.ones((4, 2)), [0, 0, 0, 0], np.ones((2, 2)), [0, 0], "at least two classes"),
        (np.ones((4, 2)), [0, 1, 0, 1], np.ones((2, 2)), [0, 2], "needs training examples"),
        (np.full((4, 2), np.nan), [0, 1, 0, 1], np.ones((2, 2)), [0, 1], "not finite"),
    ],
)
def test_unsound_input_is_refused(train_x, train_y, test_x, test_y, message):
    with pytest.raises(ValueError, match=message):
        linear_probe(train_x, train_y, test_x, test_y)


def test_split_is_disjoint_complete_and_stratified():
    labels = np.array(["a"] * 50 + ["b"] * 5 + ["c"] * 2)
    train, test = split_indices(labels, 0.4, seed=0)
    assert not set(train) & set(test)
    assert sorted([*train, *test]) == list(range(57))
    assert {name: int((labels[test] == name).sum()) for name in "abc"} == {"a": 20, "b": 2, "c": 1}
    again = split_indices(labels, 0.4, seed=0)
    np.testing.assert_array_equal(again[0], train)


def test_a_class_of_one_cannot_be_split():
    with pytest.raises(ValueError, match="Class b has 1 member"):
        split_indices(["a", "a", "b"], 0.5, seed=0)
