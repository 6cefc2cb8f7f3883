"""The configuration: presets, sizes, and the values that it refuses."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError, StrictDataclassFieldValidationError

from galvm_hf import (
    GalvmConfig,
    GalvmForImageClassification,
    GalvmForImageRestoration,
    GalvmForMaskedImageModeling,
    GalvmForParameterRegression,
    GalvmForPreTraining,
)


def millions(module: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


@pytest.mark.parametrize(("preset", "smallest", "largest"), [("small", 24, 26), ("base", 95, 105)])
def test_preset_sizes(preset, smallest, largest):
    for skips in (False, True):
        with torch.device("meta"):
            model = GalvmForPreTraining(getattr(GalvmConfig, preset)(pretraining_skips=skips))
        assert smallest <= millions(model) <= largest


def test_tiny_with_all_heads_has_at_most_9_7_million_parameters():
    config = GalvmConfig.tiny()
    with torch.device("meta"):
        total = millions(GalvmForMaskedImageModeling(config))
        total += millions(GalvmForImageRestoration(config).restoration) + millions(GalvmForPreTraining(config).decoder)
        total += millions(GalvmForImageClassification(config).classifier)
        total += millions(GalvmForParameterRegression(config).regression)
    assert total <= 9.7
    assert config.hidden_size == 256


def test_presets_take_overrides_and_survive_saving(tmp_path):
    config = GalvmConfig.tiny(use_skips=False, out_features=["stage2", "stage4"])
    config.save_pretrained(tmp_path)
    loaded = GalvmConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == config.to_dict()
    assert loaded.use_skips is False
    assert loaded.out_indices == [2, 4]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_heads": (3, 6, 12)}, "num_heads needs one entry for each stage"),
        ({"embed_dim": 50}, r"num_heads\[0\] must divide the width 50"),
        ({"depths": (4,), "num_heads": (3,)}, "at least two stages"),
        ({"window_size": 0}, "window_size must be at least 1, got 0"),
        ({"head_depth": 0}, "head_depth must be at least 1, got 0"),
        ({"detail_depths": (2, 2)}, "three numbers of blocks, got"),
        ({"parameter_names": ("axis_ratio",)}, "one entry for each of parameter_names"),
        ({"parameter_deviations": (1.0, 0.0, 1.0)}, "parameter_deviations must be above 0"),
        ({"parameter_deviations": (1.0, float("nan"), 1.0)}, "parameter_deviations must be above 0"),
    ],
)
def test_contradictions_are_refused(values, message):
    with pytest.raises(StrictDataclassClassValidationError, match=message):
        GalvmConfig(**values)


def test_wrong_types_are_refused():
    with pytest.raises(StrictDataclassFieldValidationError, match="embed_dim"):
        GalvmConfig(embed_dim="wide")
