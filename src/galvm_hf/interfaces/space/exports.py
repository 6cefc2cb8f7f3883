"""What a person takes home from a session: a table, or the trained head."""

import shutil
from pathlib import Path

from ...hitl import Session
from ...hitl.export import export_model, export_table
from ..embed import resolve_checkpoint

HEAD = "trained head (zip)"
KINDS = {"Parquet": ".parquet", "CSV": ".csv", "FITS": ".fits", "VOTable": ".vot", HEAD: ".zip"}


def export(session: Session, name: str, kind: str, folder: Path, model: str) -> Path:
    """Write a session's labels and scores, or its learner as a checkpoint.

    Args:
        session: With at least one yes and one no.
        name: Of the session, and of the file.
        kind: One of `KINDS`.
        folder: To write to.
        model: Checkpoint that the collection's features are of.

    Returns:
        The file.

    Raises:
        ValueError: If there is nothing to learn from, or no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"There are {', '.join(KINDS)}; got {kind!r}.")
    folder.mkdir(parents=True, exist_ok=True)
    if kind != HEAD:
        path = folder / f"{name}{KINDS[kind]}"
        export_table(session, path)
        return path
    checkpoint = folder / name
    export_model(session, resolve_checkpoint(model), checkpoint)
    archive = shutil.make_archive(str(folder / f"{name}-head"), "zip", folder, name)
    shutil.rmtree(checkpoint)
    return Path(archive)
