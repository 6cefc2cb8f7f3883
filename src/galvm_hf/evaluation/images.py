"""The images that measurements are made on: every method gets the same pixels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..data.readers import iter_stamps
from ..data.stamp import Stamp, UnreadableStampError
from ..image_transforms_galvm import Crop, apply_crop, fill_hidden, find_crop, flux_to_display

CENTRAL_SHARE = 0.625  # 200 of the 320 px of the SDSS pictures


@dataclass(frozen=True)
class EvaluationImages:
    """Display images to measure on.

    Attributes:
        pixels: Bands g, r, z in [0, 1], float32 `[N, 3, H, W]`.
        ids: Name of each galaxy.
        labels: Its class, or `None` where the file has none.
    """

    pixels: Tensor
    ids: tuple[str, ...]
    labels: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: Sequence[int]) -> "EvaluationImages":
        """Some of the galaxies, in the order given."""
        rows = list(rows)
        return EvaluationImages(
            self.pixels[rows], tuple(self.ids[row] for row in rows), tuple(self.labels[row] for row in rows)
        )

    def require_disjoint(self, other: "EvaluationImages") -> None:
        """Raise `ValueError` if an image is in both sets: what is fitted on an image cannot be tested on it."""
        seen = _digests(self) & _digests(other)
        if seen:
            raise ValueError(
                f"{len(seen)} of the {len(self)} images to test on are among those to fit on. Give splits that are "
                "disjoint."
            )


def load_images(
    sources: Sequence[str | Path],
    crop: float | Literal["adaptive"] = CENTRAL_SHARE,
    size: int = 128,
    label: str = "label",
    number: int | None = None,
) -> EvaluationImages:
    """Read all stamps of some files and average them to one size.

    Args:
        sources: Files and folders that `iter_stamps` reads.
        crop: Share of the shorter side that is cut out of the middle, in (0, 1]; or "adaptive" for the box around the
            galaxy, as the image processor cuts it.
        size: Height and width of the result, px.
        label: Column with the class, where there is one.
        number: Read only so many, the first ones.

    Raises:
        ValueError: If the crop is not one of these, or there is no image.
        UnreadableStampError: If a stamp cannot be read: a measurement is of all of the data or of none.
    """
    if crop != "adaptive" and not (isinstance(crop, int | float) and 0 < crop <= 1):
        raise ValueError(f"crop must be a share above 0 and up to 1, or 'adaptive', got {crop!r}.")

    def refuse(error: UnreadableStampError) -> None:
        raise error

    pixels, ids, labels = [], [], []
    for stamp in islice(iter_stamps(list(sources), refuse), number):
        pixels.append(torch.from_numpy(_prepare(stamp.select(), crop, size)))
        ids.append(stamp.id)
        value = stamp.columns.get(label)
        labels.append(None if value is None else str(value))
    if not pixels:
        raise ValueError(f"There is no image in {', '.join(map(str, sources))}.")
    return EvaluationImages(torch.stack(pixels), tuple(ids), tuple(labels))


def _prepare(stamp: Stamp, crop: float | str, size: int) -> np.ndarray:
    """Display image [3, size, size] of one stamp."""
    is_picture = stamp.bands is None
    if is_picture:
        display = np.ascontiguousarray(stamp.pixels[..., ::-1].transpose(2, 0, 1), dtype=np.float32) / 255
    else:
        display = flux_to_display(fill_hidden(stamp.pixels)[0])
    box = find_crop(display, (size, size)) if crop == "adaptive" else _central_box(display.shape[-2:], float(crop))
    image = apply_crop(display, box, (size, size))
    # A picture stays one of 256 levels: what OpenCV makes of its bytes, and all that OpenCV's own inpainting can read.
    return np.round(image * 255) / np.float32(255) if is_picture else image


def _central_box(size: tuple[int, int], share: float) -> Crop:
    side = max(1, round(share * min(size)))
    return Crop(top=(size[0] - side) // 2, left=(size[1] - side) // 2, height=side, width=side)


def _digests(images: EvaluationImages) -> set[bytes]:
    return {hashlib.sha1(image.numpy().tobytes(), usedforsecurity=False).digest() for image in images.pixels}
