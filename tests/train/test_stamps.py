"""Stamps in memory: all of them, in order, and none that cannot be used."""

import numpy as np
import pytest
import torch
from PIL import Image

from galvm_hf import GalvmImageProcessor
from galvm_hf.train.stamps import load_stamps

SIDE = 48


@pytest.fixture
def processor():
    return GalvmImageProcessor(size={"height": 32, "width": 32})


@pytest.fixture
def folder(tmp_path):
    """Flux and pictures by turns, two that cannot be used among them."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    for index in range(6):
        galaxy = np.exp(-np.hypot(x, y) / (3 + index)) + 0.01 * random.random((3, SIDE, SIDE))
        if index % 2:
            np.save(tmp_path / f"{index}.npy", (0.1 * galaxy).astype(np.float32))
        else:
            Image.fromarray((200 * galaxy.transpose(1, 2, 0)).clip(0, 255).astype(np.uint8)).save(
                tmp_path / f"{index}.png"
            )
    (tmp_path / "7.png").write_bytes(b"junk")
    np.save(tmp_path / "8.npy", np.full((3, SIDE, SIDE), np.nan, dtype=np.float32))
    return tmp_path


def test_stamps_keep_their_order_and_the_unusable_are_counted(folder, processor, capsys):
    stamps = load_stamps([folder], processor)
    assert stamps.shape == (6, 3, 32, 32)
    assert stamps.dtype == torch.uint8
    for index in range(6):
        alone = load_stamps([folder / f"{index}.{'npy' if index % 2 else 'png'}"], processor)
        assert torch.equal(alone[0], stamps[index])
    assert "2 stamps could not be used; the first: " in capsys.readouterr().out


def test_display_values_are_rounded_to_8_bits(folder, processor):
    picture = Image.open(folder / "0.png")
    expected = processor(picture, return_tensors="pt").pixel_values
    stamps = load_stamps([folder / "0.png"], processor).float() / 255
    assert (stamps - expected).abs().max() <= 0.5 / 255 + 1e-6


def test_other_processes_say_nothing(folder, processor, capsys):
    load_stamps([folder], processor, show_progress=False)
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_no_stamp_at_all_is_an_error(folder, processor):
    with pytest.raises(ValueError, match=r"No readable stamp in .*7\.png"):
        load_stamps([folder / "7.png"], processor)
