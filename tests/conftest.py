"""What all tests share: the real data where it is at hand, and a small checkpoint with every head."""

import os
from pathlib import Path

import pytest
import torch
from upstream import SHARED

os.environ["HF_HUB_OFFLINE"] = "1"

# of transformers' own tests, which run on our classes
UPSTREAM_MARKERS = (
    "accelerate_tests",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "flash_attn_test",
    "is_agent_test",
    "is_expert_parallel_test",
    "is_fsdp_test",
    "is_pipeline_test",
    "is_staging_test",
    "is_tensor_parallel_test",
    "is_training_test",
    "order",
    "slow",
    "torch_compile_test",
)


def pytest_configure(config: pytest.Config) -> None:
    for marker in UPSTREAM_MARKERS:
        config.addinivalue_line("markers", f"{marker}: of transformers' own tests")


def find_data() -> Path | None:
    """The folder of real images: the variable GALVM_DATA, or shared/data beside the project."""
    folder = Path(os.environ.get("GALVM_DATA", SHARED / "data"))
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def galvm_data() -> Path:
    folder = find_data()
    if folder is None:
        pytest.skip("no real images: name their folder by the environment variable GALVM_DATA")
    return folder


@pytest.fixture(scope="session")
def small_config():
    """A model of well under a million parameters, with every feature of the large ones."""
    from galvm_hf import GalvmConfig

    return GalvmConfig(
        image_size=64,
        embed_dim=16,
        depths=(2, 2, 2, 2),
        num_heads=(1, 2, 4, 8),
        mlp_ratio=2.0,
        classifier_hidden_size=32,
        num_labels=4,
        id2label={0: "elliptical", 1: "edge-on", 2: "spiral", 3: "other"},
        label2id={"elliptical": 0, "edge-on": 1, "spiral": 2, "other": 3},
    )


@pytest.fixture(scope="session")
def tiny_checkpoint(small_config, tmp_path_factory) -> Path:
    """A saved directory with every head, of random weights."""
    from galvm_hf import modeling_galvm as modeling
    from galvm_hf.image_processing_galvm import GalvmImageProcessor
    from galvm_hf.train.release import save_checkpoint_folder

    torch.manual_seed(0)
    encoder = modeling.GalvmModel(small_config, use_mask=True)
    weights = {}
    for name in modeling.__all__:
        if name.startswith("GalvmFor"):
            model = getattr(modeling, name)(small_config)
            model.galvm = encoder
            weights |= model.state_dict()
    folder = tmp_path_factory.mktemp("checkpoints") / "every-head"
    save_checkpoint_folder(folder, small_config, weights, GalvmImageProcessor())
    return folder
