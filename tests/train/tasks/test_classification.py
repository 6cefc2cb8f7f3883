"""Morphology as a task: classes by name, rare ones as important as common ones."""

import pytest
import torch

from galvm_hf.train.tasks import Classification

SHARES = torch.tensor([3.0, 1.0, 2.0]) / 6  # of the classes in the samples


def test_the_configuration_names_the_classes(make_task, config):
    task = make_task(Classification)
    assert config.id2label == {0: "round", 1: "edge-on", 2: "spiral"}
    assert config.label2id == {"round": 0, "edge-on": 1, "spiral": 2}
    assert config.num_labels == 3
    assert task.columns == ("label",)


def test_labels_become_numbers(make_task, samples, generators):
    batch = make_task(Classification).make_batch(samples, 32, generators(range(6)))
    assert batch["labels"].tolist() == [0, 2, 0, 1, 0, 2]


def test_other_names_of_a_class_count_as_it(make_task, samples, generators):
    task = make_task(Classification, labels=["round", "disc"], synonyms={"edge-on": "disc", "spiral": "disc"})
    batch = task.make_batch(samples, 32, generators(range(6)))
    assert batch["labels"].tolist() == [0, 1, 0, 1, 0, 1]


def test_whole_stamps_are_averaged_down(make_task, samples, generators):
    task = make_task(Classification)
    assert task.whole_stamps
    assert torch.equal(task.make_batch(samples, 64, generators(range(6)))["pixel_values"], samples["pixel_values"])
    small = task.make_batch(samples, 32, generators(range(6)))["pixel_values"]
    expected = samples["pixel_values"].reshape(6, 3, 32, 2, 32, 2).mean((3, 5))
    torch.testing.assert_close(small, expected)


def test_the_loss_takes_the_shares_of_the_classes_into_account(make_task, config, samples, generators):
    task = make_task(Classification)
    model = task.model_class(config).eval()
    torch.nn.init.zeros_(model.classifier.fc2.weight)
    torch.nn.init.zeros_(model.classifier.fc2.bias)
    batch = task.make_batch(samples, 32, generators(range(6)))
    # a head that tells nothing pays what the shares of the classes alone would cost
    expected = -SHARES[batch["labels"]].log().mean()
    torch.testing.assert_close(task.loss(model, batch), expected)


def test_a_head_that_knows_nothing_learns_that_classes_are_equally_likely(make_task, config, samples, generators):
    task = make_task(Classification)
    bias = torch.zeros(3, requires_grad=True)
    model = torch.nn.Module()
    model.forward = lambda pixel_values: type("Output", (), {"logits": bias.expand(len(pixel_values), 3)})
    batch = task.make_batch(samples, 32, generators(range(6)))
    optimizer = torch.optim.SGD([bias], lr=1.0)
    with torch.no_grad():
        bias.copy_(torch.tensor([2.0, -1.0, 0.0]))
    for _ in range(300):
        optimizer.zero_grad()
        task.loss(model, batch).backward()
        optimizer.step()
    torch.testing.assert_close(bias.softmax(0), torch.full((3,), 1 / 3), rtol=0, atol=1e-3)


def test_scores_of_hand_made_answers(make_task):
    values = {"predicted": torch.tensor([0, 0, 0, 1, 1, 0]), "label": torch.tensor([0, 0, 0, 0, 1, 1])}
    scores = make_task(Classification).score(values)
    assert scores == pytest.approx({"error": 0.375, "balanced_accuracy": 0.625, "accuracy": 4 / 6})


def test_a_value_that_is_no_class_is_told_with_column_and_remedy(make_task, samples):
    message = (
        r"classification: the column 'label' has the value 'spiral', and the run's labels are \['round', 'edge-on'\]"
    )
    with pytest.raises(ValueError, match=message):
        make_task(Classification, labels=["round", "edge-on"])
    task = make_task(Classification)
    samples["label"][3] = None
    with pytest.raises(ValueError, match=r"has the value None, and the run's labels are .* leave those rows out"):
        task.make_batch(samples, 32, [])


def test_a_class_without_an_example_is_told(make_task):
    with pytest.raises(ValueError, match=r"the data 'stamps' have no galaxy of the classes \['merger'\]"):
        make_task(Classification, labels=["round", "edge-on", "spiral", "merger"])


@pytest.mark.parametrize("labels", [[], ["round"]])
def test_less_than_two_classes_are_refused(make_task, labels):
    with pytest.raises(ValueError, match="labels needs the names of at least two classes, got"):
        make_task(Classification, labels=labels)
