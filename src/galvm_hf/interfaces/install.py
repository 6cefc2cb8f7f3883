"""Make a released checkpoint loadable by its bare name, or copy it somewhere.

A bare name such as "galvm" resolves to a repository in the local Hub cache before the Hub is asked, and without any
network. `install_checkpoint` writes such an entry: `models--galvm/snapshots/<commit>/` and `models--galvm/refs/main`,
which names the commit. An entry is only ever touched if the marker file in it says that it was made here.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..checkpoints import remote_code
from ..files import copy_file, whole_file

NAME = "galvm"
MARKER = ".galvm_hf"


class ForeignDirectoryError(RuntimeError):
    """A directory that this package did not make, and so does not touch."""


@dataclass(frozen=True)
class Installation:
    """What is installed under the bare name.

    Attributes:
        entry: Folder of the entry in the Hub cache.
        commit: Forty hexadecimal digits that follow from the contents of the checkpoint.
        changed: Whether this call wrote anything.
    """

    entry: Path
    commit: str
    changed: bool


def hub_cache() -> Path:
    """The Hub cache that transformers reads, from `HF_HUB_CACHE` or `HF_HOME`."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def install_checkpoint(checkpoint: Path, cache_dir: Path | None = None, name: str = NAME) -> Installation:
    """Make `from_pretrained(name)` load a checkpoint, also without a network. Doing it twice changes nothing.

    Args:
        checkpoint: Folder of the checkpoint.
        name: One of the bare names, `galvm` or `galvm-lens`.
        cache_dir: Hub cache to write to; the one in use without it.

    Raises:
        ForeignDirectoryError: If the cache has an entry of that name that was not made here.
    """
    entry = _entry(cache_dir, name)
    commit = checkpoint_commit(checkpoint)
    if entry.exists() and any(entry.iterdir()):
        _require_own(entry, "Move it away, or give another --cache-dir")
    if installed_commit(cache_dir, name) == commit:
        return Installation(entry, commit, changed=False)
    # First the marker, so that an interrupted installation is known as ours; last the ref, which makes it visible.
    # An upgrade is thereby one atomic replacement: readers see the old snapshot or the new one.
    _write_text(entry / MARKER, f"Written by `{NAME} install`; `{NAME} install --remove` removes this folder.\n")
    snapshot = entry / "snapshots" / commit
    for place, file in checkpoint_files(checkpoint).items():
        copy_file(file, snapshot / place)
    _write_text(entry / "refs" / "main", commit)
    for old in (entry / "snapshots").iterdir():
        if old != snapshot:
            shutil.rmtree(old)
    return Installation(entry, commit, changed=True)


def remove_installation(cache_dir: Path | None = None, name: str = NAME) -> Path | None:
    """Undo `install_checkpoint`.

    Returns:
        The folder that was removed, or `None` if nothing was installed.

    Raises:
        ForeignDirectoryError: If the entry was not made here.
    """
    entry = _entry(cache_dir, name)
    if not entry.exists():
        return None
    _require_own(entry, "Remove it with `hf cache rm` if you want to")
    shutil.rmtree(entry)
    return entry


def installed_commit(cache_dir: Path | None = None, name: str = NAME) -> str | None:
    """The commit that is installed whole under a bare name by this package, or `None`."""
    entry = _entry(cache_dir, name)
    ref = entry / "refs" / "main"
    if not (entry / MARKER).is_file() or not ref.is_file():
        return None
    commit = ref.read_text().strip()
    snapshot = entry / "snapshots" / commit
    whole = snapshot.is_dir() and checkpoint_commit(snapshot) == commit
    return commit if whole else None


def export_checkpoint(checkpoint: Path, directory: Path, overwrite: bool = False) -> list[Path]:
    """Copy a checkpoint to a directory, over an earlier export if there is one.

    Returns:
        The files written.

    Raises:
        ForeignDirectoryError: If the directory holds anything else, unless `overwrite`, which replaces files of
            the same names and leaves the others alone.
        NotADirectoryError: If there is a file of that name.
    """
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory} is a file. Name a directory to export to.")
    if directory.exists() and any(directory.iterdir()) and not overwrite:
        _require_own(directory, "Choose another directory, or add --overwrite to write into this one")
    _write_text(directory / MARKER, f"Written by `{NAME} export`.\n")
    targets = []
    for place, file in checkpoint_files(checkpoint).items():
        targets.append(directory / place)
        copy_file(file, targets[-1])
    return targets


def checkpoint_files(checkpoint: Path) -> dict[str, Path]:
    """The files that make up a checkpoint by their places in it, sorted, with the code of the model.

    Hidden ones and Python's caches are not part of it.
    """
    places = {file.relative_to(checkpoint): file for file in checkpoint.rglob("*") if file.is_file()}
    own = {
        place.as_posix(): file
        for place, file in places.items()
        if not any(part.startswith((".", "__")) for part in place.parts)
    }
    return dict(sorted(({file.name: file for file in remote_code()} | own).items()))


def checkpoint_commit(checkpoint: Path) -> str:
    """SHA-1 over the names and contents of the files: the same contents are the same commit."""
    digest = hashlib.sha1(usedforsecurity=False)
    for place, file in checkpoint_files(checkpoint).items():
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha1").hexdigest()
        digest.update(f"{place}\n{content}\n".encode())
    return digest.hexdigest()


def _entry(cache_dir: Path | None, name: str) -> Path:
    return (cache_dir or hub_cache()) / f"models--{name}"


def _require_own(directory: Path, remedy: str) -> None:
    if directory.is_symlink() or not (directory / MARKER).is_file():
        raise ForeignDirectoryError(f"{directory} was not made by {NAME}, so it is left alone. {remedy}.")


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text)
