"""From a row as it lies in a file to what the model reads: decode, adaptive crop, augmentation.

A sample depends on its row, the seed and the number of the pass, and on nothing else: not on the worker that makes it,
nor on the ranks, nor on what came before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import unpack
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch

from ...image_transforms_galvm import BANDS, Crop, apply_crop, fill_hidden, find_crop, flux_to_display, rim_median
from ..readers.pictures import decode_picture
from .sources import Record


@dataclass(frozen=True)
class Augmentation:
    """Random views of a galaxy, each drawn for itself (Fu et al. 2024, section 2: flips, rotations, crops).

    All of them are one affine map, so that a pixel is interpolated once.

    Attributes:
        flip: Whether half of the samples are mirrored.
        rotation: "free" for any angle, "quarter" for multiples of 90 degrees, None for none.
        zoom: Range of the side of the box that is cut out, relative to that of the adaptive crop.
        shift: How far its centre moves at most, along either axis, relative to its side.
    """

    flip: bool = True
    rotation: Literal["free", "quarter"] | None = "free"
    zoom: tuple[float, float] = (0.9, 1.1)
    shift: float = 0.05

    def __post_init__(self):
        if self.rotation not in ("free", "quarter", None):
            raise ValueError(f"`rotation` must be 'free', 'quarter' or None, got {self.rotation!r}.")
        if not 0 < self.zoom[0] <= self.zoom[1] or not 0 <= self.shift < 1:
            raise ValueError(f"`zoom` must be two rising positive numbers and `shift` in [0, 1), got {self}.")

    def draw(self, crop: Crop, size: int, uniform: Sequence[float]) -> np.ndarray:
        """A map from the columns and rows of the result to those of the image, float64 `[2, 3]`, pixel centres whole.

        Args:
            crop: The box round the galaxy.
            size: Height and width of the result, px.
            uniform: Five random numbers in [0, 1).
        """
        mirror, turn, zoom, right, down = uniform
        angle = {"free": 2 * math.pi * turn, "quarter": math.pi / 2 * int(4 * turn), None: 0.0}[self.rotation]
        side = (self.zoom[0] + (self.zoom[1] - self.zoom[0]) * zoom) / size
        flip = -1 if self.flip and mirror < 0.5 else 1
        x = side * crop.width * flip * math.cos(angle), -side * crop.width * math.sin(angle)
        y = side * crop.height * flip * math.sin(angle), side * crop.height * math.cos(angle)
        centre_x = crop.left + crop.width * (0.5 + self.shift * (2 * right - 1))
        centre_y = crop.top + crop.height * (0.5 + self.shift * (2 * down - 1))
        # a pixel's centre lies half a pixel behind its corner, from which boxes are measured
        middle = (size - 1) / 2
        return np.array([(*x, centre_x - 0.5 - middle * sum(x)), (*y, centre_y - 0.5 - middle * sum(y))])


class Skipped(NamedTuple):
    """A row that could not be decoded, and why."""

    id: str
    cause: str


@dataclass(frozen=True)
class SampleMaker:
    """Makes batches of records; it keeps no state, so any worker makes the same of the same records.

    Attributes:
        size: Height and width of a sample, px.
        augmentation: None for the adaptive crop alone, as `GalvmImageProcessor` makes it.
        seed: Of the run.
    """

    size: int
    augmentation: Augmentation | None
    seed: int

    def __getitems__(self, rows: list[tuple[int, int, Record | Skipped]]) -> dict[str, Any]:
        """A batch of (epoch, index, record). The name is how a `DataLoader` asks for a batch at once.

        Returns:
            `pixel_values` `[B, 3, H, W]`, channels g, r, z, in [0, 1], `index`, `id` and the columns of what could be
            decoded; `skipped`, the rest; `rows`, the number of all.
        """
        images = np.empty((len(rows), self.size, self.size, 3), dtype=np.float32)
        made, skipped = [], []
        for epoch, index, record in rows:
            try:
                if isinstance(record, Skipped):
                    skipped.append(record)
                    continue
                self._make(epoch, index, record, images[len(made)])
            except (ValueError, cv2.error) as error:
                skipped.append(Skipped(record.id, " ".join(str(error).split())))
            else:
                made.append((index, record))
        batch = {
            "pixel_values": torch.from_numpy(images[: len(made)]).permute(0, 3, 1, 2),
            "index": torch.tensor([index for index, _ in made], dtype=torch.int64),
            "id": [record.id for _, record in made],
        }
        for name in made[0][1].columns if made else ():
            values = [record.columns[name] for _, record in made]
            numeric = all(isinstance(value, int | float) for value in values)
            batch[name] = torch.tensor(values) if numeric else values
        return batch | {"skipped": skipped, "rows": len(rows)}

    def _make(self, epoch: int, index: int, record: Record, out: np.ndarray) -> None:
        """Write a sample to `out`, `[size, size, 3]`: its place in the batch, which spares a copy."""
        display = _decode(record)
        crop = find_crop(display.transpose(2, 0, 1), (self.size, self.size))
        if self.augmentation is None:
            out[...] = apply_crop(display.transpose(2, 0, 1), crop, (self.size, self.size)).transpose(1, 2, 0)
        else:
            uniform = _uniform(5, self.seed, epoch, index)
            _warp(display, self.augmentation.draw(crop, self.size, uniform), out)


def _uniform(number: int, *key: int) -> list[float]:
    """Random numbers in [0, 1) that depend on the key alone: a digest of it, in a tenth of the time of a generator."""
    digest = blake2b(repr(key).encode(), digest_size=8 * number).digest()
    return [(word >> 11) / 2**53 for word in unpack(f"<{number}Q", digest)]


def _decode(record: Record) -> np.ndarray:
    """Display image in [0, 1], float32 `[H, W, 3]`, channels g, r, z.

    Raises:
        ValueError: If the bytes are no picture, or no flux of the shape and the bands that the row states.
    """
    if not record.image:
        raise ValueError("holds no image bytes")
    if record.shape is None:
        picture = cv2.cvtColor(decode_picture(record.image, record.id), cv2.COLOR_RGB2BGR)  # red stands for z
        return np.multiply(picture, np.float32(1 / 255), dtype=np.float32)
    bands = tuple(record.bands.split(",")) if record.bands else BANDS
    flux = np.frombuffer(record.image, dtype="<f4").reshape(record.shape)
    if flux.ndim != 3 or len(flux) != len(bands) or not set(BANDS) <= set(bands):
        raise ValueError(
            f"holds flux of shape {flux.shape} and bands {bands}, where [C, H, W] with g, r, z is expected"
        )
    flux = flux[[bands.index(band) for band in BANDS]]
    return np.ascontiguousarray(flux_to_display(fill_hidden(flux)[0]).transpose(1, 2, 0))


def _warp(display: np.ndarray, source_of: np.ndarray, out: np.ndarray) -> None:
    """Resample an image along an affine map; outside it lies its background, the median of its rim.

    Args:
        display: `[H, W, 3]` float32.
        source_of: From columns and rows of the result to those of the image, `[2, 3]`.
        out: Where the result goes, float32 `[size, size, 3]`: area averages where the image shrinks, bilinear in
            between.
    """
    size = len(out)
    height, width = display.shape[:2]
    (xx, xy, left), (yx, yy, top) = source_of.tolist()
    columns = [left + size * step for step in (0, xx, xy, xx + xy)]
    rows = [top + size * step for step in (0, yx, yy, yx + yy)]
    inside = min(columns) >= 0 and max(columns) <= width - 1 and min(rows) >= 0 and max(rows) <= height - 1
    background = 0 if inside else [rim_median(plane) for plane in display.transpose(2, 0, 1)]
    shrink = math.sqrt(abs(xx * yy - xy * yx))
    if shrink > 1:
        small = (max(1, round(width / shrink)), max(1, round(height / shrink)))
        display = cv2.resize(display, small, interpolation=cv2.INTER_AREA)
        factor = np.array(small) / (width, height)
        source_of = source_of * factor[:, None]
        source_of[:, 2] += (factor - 1) / 2
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cv2.warpAffine(display, source_of, (size, size), dst=out, flags=flags, borderValue=background)
