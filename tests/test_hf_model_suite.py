"""transformers' own tests of models and backbones (`ModelTesterMixin`, `BackboneTesterMixin`), on our classes."""

import torch
from upstream import require_suite

from galvm_hf import (
    GalvmBackbone,
    GalvmConfig,
    GalvmForImageClassification,
    GalvmForImageRestoration,
    GalvmForLensDetection,
    GalvmForMaskedImageModeling,
    GalvmForParameterRegression,
    GalvmForPreTraining,
    GalvmModel,
)

require_suite()

from hf_model_suite import make_backbone_suite, make_model_suite  # noqa: E402

SMALL = {
    "image_size": 64,
    "embed_dim": 16,
    "depths": [2, 2],
    "num_heads": [1, 2],
    "mlp_ratio": 2.0,
    "classifier_hidden_size": 32,
    "detection_channels": 16,
    "detection_hidden_size": 32,
    "detections_per_image": 4,
}


def restoration_labels(inputs: dict, tester) -> dict:
    return {"labels": inputs["pixel_values"]}


def pretraining_labels(inputs: dict, tester) -> dict:
    """Some of the image is hidden, so that every weight has a part in the loss."""
    hidden = torch.zeros_like(inputs["pixel_values"][:, 0], dtype=torch.bool)
    hidden[:, :32, :32] = True
    return restoration_labels(inputs, tester) | {"bool_masked_pos": hidden}


def parameter_labels(inputs: dict, tester) -> dict:
    return {"labels": inputs["pixel_values"].mean((2, 3))}


def lens_labels(inputs: dict, tester) -> dict:
    """A lens in the first image alone."""
    size = inputs["pixel_values"].shape[-1]
    masks = torch.zeros(1, size, size, dtype=torch.uint8)
    masks[:, 16:32, 16:40] = 1
    lens = {"class_labels": torch.tensor([0]), "boxes": torch.tensor([[28.0, 24, 24, 16]]) / size, "masks": masks}
    nothing = {name: value[:0] for name, value in lens.items()}
    return {"labels": [lens] + [nothing] * (len(inputs["pixel_values"]) - 1)}


TestGalvmModels = make_model_suite(
    GalvmConfig,
    {
        "AutoModel": GalvmModel,
        "AutoModelForImageClassification": GalvmForImageClassification,
        "AutoModelForImageToImage": GalvmForImageRestoration,
        "AutoModelForMaskedImageModeling": GalvmForMaskedImageModeling,
        "AutoModelForPreTraining": GalvmForPreTraining,
        "AutoModelForObjectDetection": GalvmForLensDetection,
        "AutoBackbone": GalvmBackbone,
        "parameters": GalvmForParameterRegression,
    },
    SMALL,
    extra_labels={
        GalvmForImageRestoration: restoration_labels,
        GalvmForPreTraining: pretraining_labels,
        GalvmForLensDetection: lens_labels,
        GalvmForParameterRegression: parameter_labels,
    },
)

TestGalvmBackbone = make_backbone_suite(GalvmConfig, GalvmBackbone, SMALL)
