"""Checkpoint folders laid out as on the Hub: one file of weights for every Auto class, with the code to load it."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from ..checkpoints import remote_code
from ..configuration_galvm import GalvmConfig
from ..files import copy_file, whole_file
from ..image_processing_galvm import GalvmImageProcessor

AUTO_MAP = {
    "AutoConfig": "configuration_galvm.GalvmConfig",
    "AutoModel": "modeling_galvm.GalvmModel",
    "AutoModelForPreTraining": "modeling_galvm.GalvmForPreTraining",
    "AutoModelForImageClassification": "modeling_galvm.GalvmForImageClassification",
    "AutoModelForImageToImage": "modeling_galvm.GalvmForImageRestoration",
    "AutoModelForMaskedImageModeling": "modeling_galvm.GalvmForMaskedImageModeling",
    "AutoModelForObjectDetection": "modeling_galvm_detection.GalvmForLensDetection",
    "AutoBackbone": "modeling_galvm.GalvmBackbone",
    "AutoImageProcessor": "image_processing_galvm.GalvmImageProcessor",
}


def save_checkpoint_folder(
    directory: Path,
    config: GalvmConfig,
    weights: Mapping[str, torch.Tensor],
    image_processor: GalvmImageProcessor,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write a folder that every Auto class loads, with and without this package.

    However weights are stored, the configuration asks for float32, so that they are float32 once loaded.

    Args:
        directory: The folder; files of the same names are replaced, each whole or not at all.
        config: The sizes and labels.
        weights: Of the encoder and of any number of heads, `GalvmPreTrainedModel.state_dict()` merged.
        image_processor: Saved beside the weights.
        dtype: What the weights are stored in.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = GalvmConfig.from_dict(config.to_dict())
    config.architectures = ["GalvmModel"]
    config.auto_map = dict(AUTO_MAP)
    config.dtype = torch.float32
    config.save_pretrained(directory)
    settings = image_processor.to_dict()
    # The class is named by the configuration alone: where this file names it too, pipelines take it for the name of a
    # video processor and ask for leave to run its code.
    del settings["image_processor_type"]
    with whole_file(directory / "preprocessor_config.json") as temporary:
        temporary.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    for file in remote_code():
        copy_file(file, directory / file.name)
    stored = {key: value.detach().to("cpu", dtype).contiguous() for key, value in weights.items()}
    with whole_file(directory / "model.safetensors") as temporary:
        save_file(stored, temporary, metadata={"format": "pt"})
