"""Checkpoint folders: what every Auto class loads, with and without this package."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForImageToImage,
    AutoModelForMaskedImageModeling,
    AutoModelForPreTraining,
)

from galvm_hf import GalvmImageProcessor, modeling_galvm, modeling_galvm_detection
from galvm_hf.checkpoints import remote_code
from galvm_hf.modeling_galvm import GalvmForImageRestoration
from galvm_hf.train.release import AUTO_MAP, save_checkpoint_folder

AUTO_CLASSES = (
    AutoModel,
    AutoModelForImageClassification,
    AutoModelForImageToImage,
    AutoModelForMaskedImageModeling,
    AutoModelForPreTraining,
)


def test_the_folder_is_laid_out_as_on_the_hub(tiny_checkpoint):
    names = {"config.json", "preprocessor_config.json", "model.safetensors"}
    names |= {file.name for file in remote_code()}
    assert {path.name for path in tiny_checkpoint.iterdir()} == names
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    assert config["auto_map"] == AUTO_MAP
    assert config["dtype"] == "float32"
    assert {value.dtype for value in load_file(tiny_checkpoint / "model.safetensors").values()} == {torch.bfloat16}


def test_the_map_names_every_class_that_there_is():
    named = {entry.split(".")[1] for entry in AUTO_MAP.values()} - {"GalvmConfig", "GalvmImageProcessor"}
    # no Auto class of transformers is for parameters
    there = {*modeling_galvm.__all__, *modeling_galvm_detection.__all__}
    assert named == there - {"GalvmPreTrainedModel", "GalvmForParameterRegression"}


@pytest.mark.parametrize("auto_class", AUTO_CLASSES)
def test_every_auto_class_gets_all_its_weights(tiny_checkpoint, auto_class):
    model, info = auto_class.from_pretrained(tiny_checkpoint, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    stored = load_file(tiny_checkpoint / "model.safetensors")
    prefix = "galvm." if auto_class is AutoModel else ""
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, stored[prefix + name].float())


def test_what_is_saved_is_left_as_it_was_and_replaced_as_a_whole(small_config, tmp_path):
    config, processor = small_config.to_dict(), GalvmImageProcessor(crop_margin=0.3)
    options = processor.to_dict()
    for seed in range(2):
        torch.manual_seed(seed)
        weights = GalvmForImageRestoration(small_config).state_dict()
        save_checkpoint_folder(tmp_path / "new" / "folder", small_config, weights, processor)
    assert (small_config.to_dict(), processor.to_dict()) == (config, options)
    assert not list((tmp_path / "new" / "folder").glob(".*.part"))
    stored = load_file(tmp_path / "new" / "folder" / "model.safetensors")
    for name, value in weights.items():
        assert torch.equal(stored[name], value.bfloat16())
    assert AutoImageProcessor.from_pretrained(tmp_path / "new" / "folder").crop_margin == 0.3
    assert tuple(AutoConfig.from_pretrained(tmp_path / "new" / "folder").depths) == small_config.depths


def test_an_interrupted_save_leaves_the_old_weights(small_config, tmp_path, monkeypatch):
    weights = GalvmForImageRestoration(small_config).state_dict()
    save_checkpoint_folder(tmp_path, small_config, weights, GalvmImageProcessor())
    before = (tmp_path / "model.safetensors").read_bytes()

    def fail(weights, path, metadata):
        path.write_bytes(b"half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr("galvm_hf.train.release.save_file", fail)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint_folder(tmp_path, small_config, weights, GalvmImageProcessor())
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))


def test_it_loads_without_this_package(tiny_checkpoint, tmp_path):
    code = """
import sys
sys.modules["galvm_hf"] = None  # as if it were not installed
import torch
from transformers import AutoImageProcessor, AutoModel, AutoModelForMaskedImageModeling
for auto_class in (AutoModel, AutoModelForMaskedImageModeling):
    model, info = auto_class.from_pretrained(sys.argv[1], trust_remote_code=True, output_loading_info=True)
    if info["missing_keys"]:
        raise SystemExit(f"{auto_class.__name__} misses {info['missing_keys']}")
picture = torch.zeros(40, 40, 3, dtype=torch.uint8)
AutoImageProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)(picture, return_tensors="pt")
print(type(model).__module__)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_checkpoint)],
        env={**os.environ, "HF_MODULES_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("transformers_modules.")
