"""The released checkpoints, as they lie on the Hub: `galvm`, and `galvm-lens`, the detector of strong lenses."""

from pathlib import Path

RELEASED = ("galvm", "galvm-lens")


def released_checkpoint(name: str = "galvm") -> Path:
    """Folder of a released checkpoint: weights, configuration, image processor, model card and remote code.

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
