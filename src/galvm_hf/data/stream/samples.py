"""From a row as it lies in a file to what the model reads: decode, crop, augmentation.

A sample depends on its row, the seed and the number of the pass, and on nothing else: not on the worker that makes it,
nor on the ranks, nor on what came before.
"""

from dataclasses import dataclass
from hashlib import blake2b
from struct import unpack
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch

from ...image_transforms_galvm import BANDS, Crop, fill_hidden, find_crop, flux_to_display
from ..readers.pictures import decode_picture
from .augmentation import Augmentation, cut_out
from .sources import Record


class Skipped(NamedTuple):
    """A row that could not be decoded, and why."""

    id: str
    cause: str


@dataclass(frozen=True)
class SampleMaker:
    """Makes batches of records; it keeps no state, so any worker makes the same of the same records.

    Attributes:
        size: Height and width of a sample, px.
        augmentation: None for the crop alone; the adaptive one is then as `GalvmImageProcessor` makes it.
        seed: Of the run.
        crop: "adaptive" for a box round the galaxy, or the share of the shorter side that is cut out of the middle.
    """

    size: int
    augmentation: Augmentation | None
    seed: int
    crop: Literal["adaptive"] | float = "adaptive"

    def __getitems__(self, rows: list[tuple[int, int, Record | Skipped]]) -> dict[str, Any]:
        """A batch of (epoch, index, record). The name is how a `DataLoader` asks for a batch at once.

        Returns:
            `pixel_values` `[B, 3, H, W]`, channels g, r, z, in [0, 1], `scale`, `epoch`, `index`, `id` and the columns
            of what could be decoded; `skipped`, the rest; `rows`, the number of all.
        """
        images = np.empty((len(rows), self.size, self.size, 3), dtype=np.float32)
        made, skipped = [], []
        for epoch, index, record in rows:
            try:
                if isinstance(record, Skipped):
                    skipped.append(record)
                    continue
                scale = self._make(epoch, index, record, images[len(made)])
            except (ValueError, cv2.error) as error:
                skipped.append(Skipped(record.id, " ".join(str(error).split())))
            else:
                made.append((scale, epoch, index, record))
        batch = {
            "pixel_values": torch.from_numpy(images[: len(made)]).permute(0, 3, 1, 2),
            "scale": torch.tensor([scale for scale, *_ in made], dtype=torch.float32),
            "epoch": torch.tensor([epoch for _, epoch, *_ in made], dtype=torch.int64),
            "index": torch.tensor([index for *_, index, _ in made], dtype=torch.int64),
            "id": [record.id for *_, record in made],
        }
        for name in made[0][-1].columns if made else ():
            values = [record.columns[name] for *_, record in made]
            numeric = all(isinstance(value, int | float) for value in values)
            batch[name] = torch.tensor(values) if numeric else values
        return batch | {"skipped": skipped, "rows": len(rows)}

    def _make(self, epoch: int, index: int, record: Record, out: np.ndarray) -> float:
        """Write a sample to `out`, `[size, size, 3]`: its place in the batch, which spares a copy.

        Returns:
            Pixels of the row's image per pixel of the sample.
        """
        display = decode_record(record)
        crop = self._crop(display)
        if self.augmentation is None:
            out[...] = cut_out(display, crop, self.size)
            return crop.width / self.size
        return self.augmentation.view(display, crop, _uniform(5, self.seed, epoch, index), out)

    def _crop(self, display: np.ndarray) -> Crop:
        if self.crop == "adaptive":
            return find_crop(display.transpose(2, 0, 1), (self.size, self.size))
        height, width = display.shape[:2]
        side = max(1, round(self.crop * min(height, width)))
        return Crop((height - side) // 2, (width - side) // 2, side, side)


def _uniform(number: int, *key: int) -> list[float]:
    """Random numbers in [0, 1) that depend on the key alone: a digest of it, in a tenth of the time of a generator."""
    digest = blake2b(repr(key).encode(), digest_size=8 * number).digest()
    return [(word >> 11) / 2**53 for word in unpack(f"<{number}Q", digest)]


def decode_record(record: Record) -> np.ndarray:
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
