"""Labelled stamps in memory, and what a `Trainer` draws from them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from ...data.readers import iter_stamps, summarise_sources
from ...data.stamp import UnreadableStampError
from ...image_processing_galvm import GalvmImageProcessor
from .augment import augment
from .labels import label_finder, looks_like_values

# Of the free memory; the rest is for the model and the library's own buffers.
MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class LabelledStamps:
    """Stamps as the model reads them, with their labels.

    Attributes:
        images: Display images, bands g, r, z, on the 0 to 255 scale, uint8 [N, 3, H, W].
        targets: Number of the class, int64 [N]; or values in their own units, float32 [N, P].
        names: Of the classes, or of the P columns.
        is_classification: Which of the two it is.
        without_label: Number of stamps that were left out because they have no label.
        repeated: Number of stamps that were left out because their pixels are those of an earlier one: on two sides of
            a split they would make the measurement too good.
        skipped: Why others could not be used.
    """

    images: Tensor
    targets: Tensor
    names: tuple[str, ...]
    is_classification: bool
    without_label: int = 0
    repeated: int = 0
    skipped: tuple[UnreadableStampError | ValueError, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def digests(self) -> set[bytes]:
        """One short number for the pixels of each stamp."""
        return {_digest(image) for image in self.images}


def load_labelled(
    sources: Sequence[str | Path],
    image_processor: GalvmImageProcessor,
    labels: Sequence[str] = ("label",),
    task: str = "auto",
    names: Sequence[str] | None = None,
    show_progress: bool = False,
) -> LabelledStamps:
    """Read and crop every labelled stamp of some files.

    Args:
        sources: Files and folders that `iter_stamps` reads; `label_finder` says where their labels may stand.
        image_processor: Crops to its `size`.
        labels: Column of the class, or columns of values.
        task: `classification`, `regression`, or `auto` to tell by the labels.
        names: The classes that there may be, in their order; all that are found, sorted, without it.
        show_progress: Whether to show a progress bar.

    Raises:
        ValueError: If no stamp has a label, there is one class only, a class is unknown, a value is not a number, or
            the stamps do not fit in memory.
    """
    number = summarise_sources(sources)[0]
    shape = (3, image_processor.size["height"], image_processor.size["width"])
    if number * np.prod(shape) > MEMORY_SHARE * psutil.virtual_memory().available:
        raise ValueError(
            f"{number} stamps need {number * np.prod(shape) / 2**30:.1f} GiB, more than {MEMORY_SHARE:.0%} of the "
            "free memory: fine-tune on a part of them, or by training/multitask.py, which streams."
        )
    images = torch.empty((number, *shape), dtype=torch.uint8)
    found: list[tuple[Any, ...]] = []
    skipped: list[UnreadableStampError | ValueError] = []
    digests: set[bytes] = set()
    unlabelled = repeated = 0
    progress = tqdm(total=number, desc="Reading stamps", unit=" stamps", disable=None if show_progress else True)
    for source in map(Path, sources):
        find = label_finder(source, labels)
        for stamp in iter_stamps([source], on_error=skipped.append):
            progress.update()
            label = find(stamp)
            if label is None:
                unlabelled += 1
                continue
            try:
                stamp = stamp.select()
                image = image_processor(stamp.pixels, bands=stamp.bands, return_tensors="pt").pixel_values[0]
            except UnreadableStampError as error:
                skipped.append(error)
                continue
            except ValueError as error:
                skipped.append(ValueError(f"{stamp.source} ({stamp.id}): {error}"))
                continue
            image = (image * 255).round().to(torch.uint8)
            digest = _digest(image)
            if digest in digests:
                repeated += 1
                continue
            digests.add(digest)
            images[len(found)] = image
            found.append(label)
    progress.close()
    if not found:
        raise ValueError(
            f"No stamp of {', '.join(map(str, sources))} has a value for {', '.join(labels)}: name the column by "
            "--labels, or put the images of each class in a folder of its own."
        )
    is_classification = not looks_like_values(found) if task == "auto" else task == "classification"
    targets, target_names = _classes(found, names) if is_classification else (_values(found), tuple(labels))
    return LabelledStamps(
        images[: len(found)], targets, target_names, is_classification, unlabelled, repeated, tuple(skipped)
    )


class StampDataset(Dataset):
    """Stamps for a `Trainer`: `pixel_values` [3, H, W] in [0, 1] and `labels`.

    Args:
        images: uint8 [N, 3, H, W].
        targets: One or more numbers for each, [N] or [N, P].
        augmented: Whether each is drawn in another orientation, size and place every time.
    """

    def __init__(self, images: Tensor, targets: Tensor, augmented: bool = False):
        self.images, self.targets, self.augmented = images, targets, augmented

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Tensor]]:
        """A batch at once; a `DataLoader` asks for it by this name."""
        pixel_values = self.images[indices].float() / 255
        if self.augmented:
            pixel_values = augment(pixel_values)
        return [
            {"pixel_values": image, "labels": target}
            for image, target in zip(pixel_values, self.targets[indices], strict=True)
        ]


class FeatureDataset(Dataset):
    """Features that were computed once, several views of each stamp, for training a head alone.

    Args:
        views: Features [N, V, D]; the first view is the stamp as it is.
        targets: One or more numbers for each, [N] or [N, P].
        augmented: Whether each is drawn as one of its views, rather than as the first.
    """

    def __init__(self, views: Tensor, targets: Tensor, augmented: bool = False):
        self.views, self.targets, self.augmented = views, targets, augmented

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        view = int(torch.randint(self.views.shape[1], ())) if self.augmented else 0
        return {"features": self.views[index, view], "labels": self.targets[index]}


def _digest(image: Tensor) -> bytes:
    return hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()


def _classes(found: list[tuple[Any, ...]], names: Sequence[str] | None) -> tuple[Tensor, tuple[str, ...]]:
    given = [str(value) for (value,) in found]
    known = tuple(names) if names is not None else tuple(sorted(set(given)))
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"Classes {unknown} are not among those trained on, {list(known)}: leave them out.")
    if len(known) < 2:
        raise ValueError(f"There is one class only, {known[0]!r}: a classifier needs two or more to tell apart.")
    return torch.tensor([known.index(name) for name in given]), known


def _values(found: list[tuple[Any, ...]]) -> Tensor:
    try:
        return torch.tensor([[float(value) for value in row] for row in found])
    except (TypeError, ValueError) as error:
        raise ValueError(f"Regression needs labels that are numbers: {error}.") from error
