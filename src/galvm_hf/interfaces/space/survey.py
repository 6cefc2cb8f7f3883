"""The embedded survey: a few hundred simulated galaxies to try everything on, made once."""

import shutil
from pathlib import Path

from ...hitl import Collection
from ..collect import collect_stamps
from ..embed import load_encoder

NAME, STAMPS = "simulated-survey", "simulated-stamps"
NUMBER, SEED, SIZE = 400, 20240516, 128


def simulated_survey(folder: Path, model: str = "galvm", device: str = "auto", number: int = NUMBER) -> Collection:
    """The collection of simulated galaxies in a folder; a job that was stopped goes on.

    Args:
        folder: To keep it in.
        model: Checkpoint that encodes them, the first time.
        device: As torch names it, or "auto".
        number: Of galaxies, the first time.
    """
    from ...data.simulate.files import write_stamp_shards

    if not (folder / NAME).is_dir():
        write_stamp_shards("galaxies", number, SEED, SIZE, folder / STAMPS)
        encoder = load_encoder(model, device, features="stage_statistics")
        collect_stamps([folder / STAMPS], folder / NAME, encoder, model)
        shutil.rmtree(folder / STAMPS)  # the collection has a picture of each
    return Collection(folder / NAME)
