"""Lens detection through the Auto class: losses, detections, post-processing, and training by `Trainer`."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForObjectDetection, Trainer, TrainingArguments, set_seed

pytest.importorskip("torchvision")
pytest.importorskip("pycocotools")
from ring_fields import ring_field, write_ring_fields

from galvm_hf import GalvmConfig, GalvmForLensDetection, GalvmImageProcessor
from galvm_hf.data.fields import FieldDataset, collate_fields

SIZES = {
    "image_size": 64,
    "embed_dim": 16,
    "depths": (1, 1),
    "num_heads": (1, 2),
    "detection_channels": 16,
    "detection_hidden_size": 32,
    "detections_per_image": 6,
    "num_labels": 1,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small detector after a minute's training on rings by `Trainer`, and the losses on its way."""
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp("detector")
    fields = FieldDataset([write_ring_fields(folder / "fields", 24)], size=64)
    set_seed(0)
    model = AutoModelForObjectDetection.from_config(GalvmConfig(**SIZES))
    arguments = TrainingArguments(
        output_dir=str(folder / "run"),
        max_steps=150,
        per_device_train_batch_size=4,
        learning_rate=3e-3,
        lr_scheduler_type="cosine",
        logging_steps=10,
        eval_strategy="steps",
        eval_steps=75,
        prediction_loss_only=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=True,
    )
    trainer = Trainer(model, arguments, data_collator=collate_fields, train_dataset=fields, eval_dataset=fields)
    trainer.train()
    return model.eval(), trainer.state.log_history


def batch(number=2, rings=1, size=64):
    fields = [ring_field(size, rings, np.random.default_rng(seed)) for seed in range(number)]
    images = torch.stack([torch.from_numpy(picture[..., ::-1] / 255).permute(2, 0, 1).float() for picture, _ in fields])
    return images, [torch.from_numpy(np.stack(masks)) if masks else torch.zeros(0, size, size) for _, masks in fields]


def labels_of(masks):
    from galvm_hf.data.fields import Field

    return [Field(torch.zeros(3, *mask.shape[1:]), mask.bool()).labels() for mask in masks]


def test_training_makes_the_losses_fall(trained):
    _, history = trained
    losses = [entry["loss"] for entry in history if "loss" in entry]
    evaluated = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    assert losses[-1] < 0.5 * losses[0]
    assert evaluated[-1] < evaluated[0]


def test_what_a_trained_detector_is_surest_of_is_the_ring(trained):
    model, _ = trained
    images, masks = batch(number=6, rings=1)
    empty, _ = batch(number=6, rings=0)
    with torch.no_grad():
        outputs, nothing = model(images), model(empty)
    results = GalvmImageProcessor().post_process_instance_segmentation(outputs, 0.5, [(64, 64)] * 6)
    for result, truth in zip(results, masks, strict=True):
        assert result["masks"].shape == (len(result["scores"]), 64, 64)
        best = result["masks"][0]
        assert (best & truth[0]).sum() / (best | truth[0]).sum() > 0.4
    assert outputs.logits.amax((1, 2)).min() > nothing.logits.amax((1, 2)).max()


def test_outputs_have_one_shape_and_the_losses_come_with_labels(trained):
    model, _ = trained
    images, masks = batch(number=2, rings=2)
    with torch.no_grad():
        outputs = model(images)
        judged = model(images, labels=labels_of(masks))
        again = model(images, labels=labels_of(masks))
    assert outputs.loss is None
    assert outputs.logits.shape == (2, 6, 1)
    assert outputs.pred_boxes.shape == (2, 6, 4)
    assert outputs.pred_masks.shape == (2, 6, 28, 28)
    assert torch.equal(judged.logits, outputs.logits)
    assert judged.loss == again.loss == sum(judged.loss_dict.values())
    assert set(judged.loss_dict) == {
        "loss_objectness",
        "loss_rpn_box_reg",
        "loss_classifier",
        "loss_box_reg",
        "loss_mask",
    }


def test_an_evaluation_leaves_the_random_numbers_alone(trained):
    model, _ = trained
    images, masks = batch()
    torch.manual_seed(3)
    with torch.no_grad():
        model(images, labels=labels_of(masks))
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert drawn == torch.rand(1)


def test_fields_of_any_size_and_without_lenses(trained):
    model, _ = trained
    images = torch.rand(1, 3, 70, 45)
    with torch.no_grad():
        outputs = model(images, labels=labels_of([torch.zeros(0, 70, 45)]))
    assert outputs.loss.isfinite()
    boxes = GalvmImageProcessor().post_process_object_detection(outputs, 0.0, [(70, 45)])[0]["boxes"]
    assert (boxes >= -1e-4).all() and (boxes[:, [0, 2]] <= 45.001).all() and (boxes[:, [1, 3]] <= 70.001).all()


def test_saved_and_loaded_it_answers_the_same(trained, tmp_path):
    model, _ = trained
    model.save_pretrained(tmp_path)
    loaded = AutoModelForObjectDetection.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, GalvmForLensDetection)
    images, _ = batch()
    with torch.no_grad():
        assert torch.equal(loaded(images).logits, model(images).logits)


def test_a_new_detector_starts_from_an_encoder_and_says_so(tiny_checkpoint, caplog):
    from transformers.utils import logging

    logging.get_logger("galvm_hf").propagate = True
    with caplog.at_level("WARNING"):
        model = AutoModelForObjectDetection.from_pretrained(tiny_checkpoint)
    assert "has no lens detector" in caplog.text
    weight = model.detector.pyramid.layer_blocks[0][0].weight
    assert weight.std().item() == pytest.approx((2 / weight[0].numel()) ** 0.5, rel=0.1)


def test_stock_pipeline_gives_boxes(trained, tmp_path):
    from transformers import pipeline

    model, _ = trained
    model.save_pretrained(tmp_path)
    GalvmImageProcessor(do_adaptive_crop=False).save_pretrained(tmp_path)
    picture, masks = ring_field(64, 1, np.random.default_rng(1))
    found = pipeline("object-detection", model=str(tmp_path))(Image.fromarray(picture), threshold=0.5)[0]
    rows, columns = np.nonzero(masks[0])
    assert found["label"] == model.config.id2label[0]
    assert found["box"]["xmin"] == pytest.approx(columns.min(), abs=4)
    assert found["box"]["ymax"] == pytest.approx(rows.max(), abs=4)
