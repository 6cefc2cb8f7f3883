"""The released checkpoint, as it lies on the Hub."""

from pathlib import Path


def released_checkpoint() -> Path:
    """Folder of the released checkpoint: weights, configuration, image processor, model card and remote code.

    Raises:
        FileNotFoundError: If this installation of the package came without weights.
    """
    folder = Path(__file__).parent / "galvm"
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"The released checkpoint is missing: there is no model.safetensors in {folder}. Install galvm_hf from its "
            "wheel, which brings the weights, or give the directory or the Hub name of a checkpoint instead."
        )
    return folder
