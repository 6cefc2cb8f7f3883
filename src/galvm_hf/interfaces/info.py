"""What is installed here: versions, devices, sizes, and the released checkpoint."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..checkpoints import RELEASED
from .install import hub_cache, installed_commit

PACKAGES = ("galvm_hf", "torch", "transformers", "huggingface_hub", "datasets", "astropy", "pyarrow", "scikit-learn")


def describe_installation() -> dict[str, dict[str, str]]:
    """Facts by heading and name, ready to be printed."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "devices": _devices(),
        "model sizes": _sizes(),
        **{f"released checkpoint {name}": _checkpoint(name) for name in RELEASED},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> dict[str, str]:
    import torch

    devices = {"cpu": f"{torch.get_num_threads()} threads"}
    if torch.cuda.is_available():
        devices |= {f"cuda:{index}": torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())}
    if torch.backends.mps.is_available():
        devices["mps"] = platform.processor()
    return devices


def _sizes() -> dict[str, str]:
    import torch

    from galvm_hf import GalvmConfig, GalvmForPreTraining

    sizes = {}
    for name in ("tiny", "small", "base"):
        config = getattr(GalvmConfig, name)()
        with torch.device("meta"):
            parameters = GalvmForPreTraining(config).num_parameters()
        sizes[name] = f"{parameters / 1e6:.1f} million parameters with decoder, {config.hidden_size} features"
    return sizes


def _checkpoint(name: str) -> dict[str, str]:
    from safetensors import safe_open

    from ..checkpoints import released_checkpoint

    try:
        folder = released_checkpoint(name)
    except FileNotFoundError as error:
        return {"missing": str(error)}
    weights = folder / "model.safetensors"
    with safe_open(weights, framework="pt") as tensors, weights.open("rb") as stream:
        names = list(tensors.keys())
        parameters = sum(_volume(tensors.get_slice(name).get_shape()) for name in names)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    commit = installed_commit(name=name)
    return {
        "folder": str(folder),
        "parameters": f"{parameters / 1e6:.1f} million, in {', '.join(sorted({name.split('.')[0] for name in names}))}",
        "file": f"{weights.stat().st_size / 1e6:.1f} MB",
        "sha256": digest,
        "bare name": f"installed in {Path(hub_cache())} as {commit}"
        if commit
        else "not installed: run `galvm install`",
    }


def _volume(shape: list[int]) -> int:
    volume = 1
    for length in shape:
        volume *= length
    return volume
