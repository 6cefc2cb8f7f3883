"""The released checkpoints: `galvm`, and `galvm-lens`, the detector of strong lenses.

They lie here as they lie on the Hub, but for the code of the model, which is this package's own: whatever copies a
checkpoint elsewhere puts `remote_code()` beside it.
"""

from pathlib import Path

RELEASED = ("galvm", "galvm-lens")


def packaged() -> list[str]:
    """Which of the released checkpoints this installation has."""
    return [name for name in RELEASED if (Path(__file__).parent / name / "model.safetensors").is_file()]


def released_checkpoint(name: str = "galvm") -> Path:
    """Folder of a released checkpoint: weights, configuration, image processor and model card.

    Raises:
        FileNotFoundError: If this installation of the package came without weights.
    """
    folder = Path(__file__).parent / name
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"The released checkpoint {name} is missing: there is no model.safetensors in {folder}. Install galvm_hf "
            "from its wheel, which brings the weights, or give the directory or the Hub name of a checkpoint instead."
        )
    return folder


def remote_code() -> list[Path]:
    """The files that a checkpoint brings so that it loads without this package, by `trust_remote_code=True`."""
    return sorted(Path(__file__).parents[1].glob("*_galvm*.py"))
