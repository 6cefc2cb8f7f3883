"""Samples as a stream gives them, and a small model, for the tests of every task."""

import pytest
import torch

from galvm_hf import GalvmConfig
from galvm_hf.data.degrade import image_generators

CLASSES = ["round", "edge-on", "spiral"]
NUMBER = 6


@pytest.fixture
def config() -> GalvmConfig:
    return GalvmConfig(
        image_size=64,
        embed_dim=16,
        depths=(1, 1),
        num_heads=(1, 2),
        mlp_ratio=2.0,
        head_depth=1,
        detail_depths=(0, 1, 0),
        classifier_hidden_size=16,
    )


@pytest.fixture
def samples() -> dict:
    """A batch of `GalaxyStream`, with classes and with parameters that are not all known."""
    generator = torch.Generator().manual_seed(0)
    return {
        "pixel_values": torch.rand(NUMBER, 3, 64, 64, generator=generator),
        "scale": torch.tensor([1.0, 2.0, 1.0, 0.5, 1.0, 1.0]),
        "index": torch.arange(NUMBER),
        "id": [f"galaxy-{row}" for row in range(NUMBER)],
        "label": ["round", "spiral", "round", "edge-on", "round", "spiral"],
        "half_light_radius": torch.tensor([4.0, 2.0, 8.0, 1.0, 3.0, 5.0]),
        "axis_ratio": [0.9, None, 0.3, float("nan"), 0.5, 0.7],
        "pixel_scale": torch.full((NUMBER,), 0.25),
    }


@pytest.fixture
def generators():
    """Makes new generators of the samples of some rows."""

    def generators(rows) -> list[torch.Generator]:
        return image_generators((1, 5, row) for row in rows)

    return generators


@pytest.fixture
def make_task(config, samples):
    """Makes a task of a kind, configured by the samples; its settings may be named."""

    def make_task(kind: type, **options):
        from galvm_hf.train.settings import DataSettings
        from galvm_hf.train.tasks.base import TaskSettings

        settings = {"kind": "any", "data": "stamps", "validation": DataSettings(["stamps.parquet"]), "reference": 0.1}
        if kind.__name__ == "Classification":
            settings["labels"] = CLASSES
        if kind.__name__ == "Parameters":
            settings["labels"] = ["half_light_radius", "axis_ratio"]
        task = kind(kind.__name__.lower(), TaskSettings(**settings | options))
        task.configure(config, samples.__getitem__, lambda number: samples)
        return task

    return make_task
