"""The released checkpoint: whole, small, current with the code, and better than nothing."""

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoImageProcessor, AutoModel, AutoModelForImageToImage, AutoModelForMaskedImageModeling

from galvm_hf.checkpoints import released_checkpoint
from galvm_hf.data.degrade import blur_and_noise, patch_mask
from galvm_hf.data.readers import iter_stamps
from galvm_hf.interfaces.install import export_checkpoint

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def display(galvm_data):
    """Display images of real galaxies that nothing was trained on, `[16, 3, 128, 128]`."""
    processor = AutoImageProcessor.from_pretrained(released_checkpoint())
    stamps = islice(iter_stamps([galvm_data / "sdss-galaxy-zoo-1" / "test-00000-of-00001.parquet"]), 16)
    return processor([stamp.pixels for stamp in stamps], return_tensors="pt").pixel_values


def test_weights_are_bfloat16_within_20_mb_and_load_as_float32():
    weights = released_checkpoint() / "model.safetensors"
    assert weights.stat().st_size <= 20e6
    with safe_open(weights, framework="pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118
    assert AutoModel.from_pretrained(released_checkpoint()).dtype == torch.float32


def test_card_is_current():
    assert (released_checkpoint() / "README.md").read_text() == (ROOT / "model_card.md").read_text()


def test_card_states_the_true_number_of_parameters():
    with safe_open(released_checkpoint() / "model.safetensors", framework="pt") as file:
        number = sum(torch.Size(file.get_slice(name).get_shape()).numel() for name in file.keys())  # noqa: SIM118
    assert f"{number / 1e6:.1f} million parameters" in (ROOT / "model_card.md").read_text()


def test_remote_code_loads_in_a_process_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    export_checkpoint(released_checkpoint(), tmp_path / "galvm")
    code = (
        "import sys; from transformers import AutoModelForImageClassification as A; "
        f"m = A.from_pretrained({str(tmp_path / 'galvm')!r}, trust_remote_code=True); "
        "print(type(m).__name__, 'galvm_hf' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180)
    assert result.stdout.split() == ["GalvmForImageClassification", "False"], result.stderr


@torch.no_grad()
def test_restoration_halves_the_error_of_degraded_images(display):
    model = AutoModelForImageToImage.from_pretrained(released_checkpoint()).eval()
    degraded = blur_and_noise(display, torch.Generator().manual_seed(0))
    restored = model(degraded).reconstruction
    assert (restored - display).square().mean() < 0.5 * (degraded - display).square().mean()


@torch.no_grad()
def test_inpainting_beats_the_mean_of_what_is_visible(display):
    model = AutoModelForMaskedImageModeling.from_pretrained(released_checkpoint()).eval()
    mask = patch_mask(len(display), (128, 128), torch.Generator().manual_seed(0), (0.3, 0.5))
    filled = model(display, mask).reconstruction
    hidden = mask[:, None].expand_as(display)
    mean = display.masked_fill(hidden, 0).sum((2, 3), keepdim=True) / (~hidden).sum((2, 3), keepdim=True)
    error, baseline = ((image - display).square()[hidden].mean() for image in (filled, mean.expand_as(display)))
    assert error < 0.5 * baseline


@torch.no_grad()
def test_features_differ_between_galaxies(display):
    features = AutoModel.from_pretrained(released_checkpoint()).eval()(display).pooler_output
    assert features.std(0).mean() > 0.05
