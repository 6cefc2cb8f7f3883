"""Where a number comes from: what has to be known to measure it again."""

import hashlib
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("galvm_hf", "torch", "transformers", "numpy", "opencv-python-headless")


def provenance(data: Sequence[Path], checkpoint: Path | None = None, /, **settings: Any) -> dict[str, Any]:
    """Date, versions, hardware, data, weights and settings, ready for JSON.

    Args:
        data: Files that were measured on, or fitted on. Each is told by its name, size and SHA-256.
        checkpoint: Folder whose weights were measured; they are told in the same way.
        settings: Seed, crop and whatever else the numbers depend on.
    """
    weights = [] if checkpoint is None else sorted(checkpoint.glob("*.safetensors"))
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "hardware": _hardware(),
        "data": [_describe(path) for path in data],
        "weights": [_describe(path) for path in weights],
        "settings": settings,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _describe(path: Path) -> dict[str, Any]:
    """A file, or all files under a folder."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return {"name": path.name, "bytes": sum(file.stat().st_size for file in files), "sha256": digest.hexdigest()}


def _hardware() -> dict[str, Any]:
    import torch

    hardware = {"processor": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator().type
        hardware["accelerator"] = torch.cuda.get_device_name() if kind == "cuda" else kind
    return hardware


def _processor() -> str:
    """The processor's name; `platform` knows it on some systems only."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
