"""Look for lenses in a field, tile by tile."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ..data.readers.wide_fields import WideField
from ..data.stamp import UnreadableStampError
from .merge import Detection, merge_detections
from .tiles import Tile, plan_tiles

# A mask may reach beyond its box by this share of the box's sides: one that is stretched over it does, by a little.
MASK_REACH = 0.1
Item, Result = TypeVar("Item"), TypeVar("Result")


@dataclass(frozen=True)
class Detector:
    """A model that finds objects, with its image processor.

    Attributes:
        model: An `AutoModelForObjectDetection` with masks, in evaluation mode, on `device`.
        image_processor: The checkpoint's `GalvmImageProcessor`.
        device: Where the model is.
        threshold: Scores from which on a detection counts.
    """

    model: Any
    image_processor: Any
    device: Any
    threshold: float = 0.5

    def prepare(self, windows: Sequence[np.ndarray], bands: tuple[str, ...] | None) -> Any:
        """Display images [B, 3, H, W] in [0, 1] of windows of one size, flux [3, H, W] or pictures [H, W, 3]."""
        options = {"do_adaptive_crop": False, "do_resize": False, "return_tensors": "pt"}
        return self.image_processor(list(windows), bands=bands, **options)["pixel_values"]

    def run(self, pixel_values: Any) -> Any:
        """The model's output for display images, once it is there."""
        import torch

        with torch.inference_mode():
            outputs = self.model(pixel_values.to(self.device, self.model.dtype))
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        return outputs

    def read(self, outputs: Any, size: tuple[int, int], number: int) -> list[dict[str, Any]]:
        """`scores` [n], `labels` [n], `boxes` [n, 4] and `masks` [n, H, W] of each of `number` images of a size."""
        return self.image_processor.post_process_instance_segmentation(
            outputs, threshold=self.threshold, target_sizes=[size] * number
        )


@dataclass(frozen=True)
class Search:
    """What a search found, and what it took.

    Attributes:
        detections: Best score first.
        tiles: How many tiles the field has.
        skipped: How many of them have no pixel that is finite in every band.
        megapixels: Of the field.
        seconds: From the first window to the last detection.
        network_seconds: How much of that the network took.
        reading_seconds: How long a thread read and stretched windows, most of it while the network ran.
    """

    detections: list[Detection]
    tiles: int
    skipped: int
    megapixels: float
    seconds: float
    network_seconds: float
    reading_seconds: float

    @property
    def outside(self) -> float:
        """Share of the time that the network did not take."""
        return 1 - self.network_seconds / self.seconds


def search_field(
    field: WideField, detector: Detector, side: int = 512, overlap: int = 64, batch_size: int = 4
) -> Search:
    """Find the lenses of a field.

    While the network looks at some tiles, a thread reads the next ones. What is kept of a tile are the boxes and masks
    of its detections, so that memory is a matter of the tiles' size and number at a time.

    Args:
        field: From `open_wide_field`.
        detector: What to find them with.
        side: Height and width of a tile in pixels.
        overlap: Pixels that neighbouring tiles share at least: no less than the largest lens.
        batch_size: Tiles per forward pass.

    Raises:
        UnreadableStampError: If the field has no pixel that is finite in every band.
        ValueError: If the overlap does not fit the tiles.
    """
    from tqdm import tqdm

    tiles = plan_tiles(field.shape, side, overlap)
    batches = [tiles[first : first + batch_size] for first in range(0, len(tiles), batch_size)]
    megapixels, started = math.prod(field.shape) / 1e6, time.perf_counter()
    found, seen, network_seconds, reading_seconds = [], 0, 0.0, 0.0
    with tqdm(total=len(tiles), unit="tile", disable=None) as progress:
        for batch, looks in zip(batches, _one_ahead(partial(_look, field, detector), batches), strict=True):
            if looks.tiles:
                began = time.perf_counter()
                outputs = detector.run(looks.pixel_values)
                network_seconds += time.perf_counter() - began
                results = detector.read(outputs, (batch[0].height, batch[0].width), len(looks.tiles))
                for tile, visible, result in zip(looks.tiles, looks.visible, results, strict=True):
                    found += _place(result, tile, visible, field.shape)
            seen += len(looks.tiles)
            reading_seconds += looks.seconds
            progress.update(len(batch))
            speed = megapixels * progress.n / len(tiles) / (time.perf_counter() - started)
            progress.set_postfix_str(f"{speed:.2f} Mpx/s, {len(found)} found", refresh=False)
    if not seen:
        raise UnreadableStampError(field.source, "has no pixel that is finite in every band", "Leave it out")
    detections = merge_detections(found, tiles)
    seconds = time.perf_counter() - started
    return Search(detections, len(tiles), len(tiles) - seen, megapixels, seconds, network_seconds, reading_seconds)


@dataclass(frozen=True)
class _Looks:
    """Some tiles as the network sees them.

    Attributes:
        tiles: Those that show anything.
        visible: Where they do, bool [H, W] each.
        pixel_values: Their display images [B, 3, H, W], `None` without any.
        seconds: What making them took.
    """

    tiles: list[Tile]
    visible: list[np.ndarray]
    pixel_values: Any
    seconds: float


def _look(field: WideField, detector: Detector, tiles: Sequence[Tile]) -> _Looks:
    started, shown, visible, windows = time.perf_counter(), [], [], []
    for tile in tiles:
        window = field.read(tile.rows, tile.columns)
        finite = np.ones(window.shape[:2], bool) if field.bands is None else np.isfinite(window).all(axis=0)
        if finite.any():
            shown.append(tile)
            visible.append(finite)
            windows.append(window)
    pixel_values = detector.prepare(windows, field.bands) if windows else None
    return _Looks(shown, visible, pixel_values, time.perf_counter() - started)


def _place(
    result: dict[str, Any], tile: Tile, visible: np.ndarray, field_shape: tuple[int, int]
) -> Iterator[Detection]:
    """The detections of a tile in the field's pixels, but for those that lie where nothing is seen."""
    boxes, scores = (result[name].double().cpu().numpy() for name in ("boxes", "scores"))
    height, width = field_shape
    # an edge of the tile that is the field's cuts nothing
    open_edges = tile.left == 0, tile.top == 0, tile.columns.stop == width, tile.rows.stop == height
    for box, score, mask in zip(boxes, scores, result["masks"], strict=True):
        x0, y0, x1, y1 = _round_out(box, tile)
        if not visible[y0:y1, x0:x1].any():
            continue
        to_edges = box[0], box[1], tile.width - box[2], tile.height - box[3]
        margin = min(np.where(open_edges, np.inf, to_edges))
        reach = 1 + MASK_REACH * np.tile(box[2:] - box[:2], 2)
        x0, y0, x1, y1 = _round_out(box + reach * (-1, -1, 1, 1), tile)
        corner = tile.left + x0, tile.top + y0
        pixels = mask[y0:y1, x0:x1].cpu().numpy().copy()
        yield Detection(box + tile.box[[0, 1, 0, 1]], float(score), pixels, corner, tile.number, float(margin))


def _round_out(box: np.ndarray, tile: Tile) -> list[int]:
    """The pixels of a tile that a box touches: x0, y0, x1, y1."""
    start, end = np.floor(box[:2]).clip(0), np.ceil(box[2:]).clip(max=(tile.width, tile.height))
    return np.concatenate([start, end]).astype(int).tolist()


def _one_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What a function makes of each item, while a thread works on the next one."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = None
        for item in items:
            following = pool.submit(function, item)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
