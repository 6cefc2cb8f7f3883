"""Stamps in memory: survey files through the image processor to one uint8 tensor, for training at the scale of RAM."""

from pathlib import Path

import torch
from tqdm import tqdm

from ..data.readers import iter_stamps
from ..image_processing_galvm import GalvmImageProcessor


def load_stamps(
    sources: list[Path], image_processor: GalvmImageProcessor, show_progress: bool = True, batch_size: int = 64
) -> torch.Tensor:
    """Read, crop and keep every stamp of some files.

    Args:
        sources: Files and folders that `iter_stamps` reads. Unreadable stamps are skipped and counted.
        image_processor: Crops to its `size`.
        show_progress: Whether to show a progress bar.
        batch_size: How many stamps the processor gets at once.

    Returns:
        Display images, bands g, r, z, on the 0 to 255 scale, uint8 `[N, 3, H, W]`.

    Raises:
        ValueError: If there is no readable stamp.
    """
    skipped = []
    parts, batch = [], []

    def flush() -> None:
        for bands in {stamp.bands for stamp in batch}:
            images = [stamp.pixels for stamp in batch if stamp.bands == bands]
            pixel_values = image_processor(images, bands=bands, return_tensors="pt").pixel_values
            parts.append((pixel_values * 255).round().to(torch.uint8))
        batch.clear()

    stamps = iter_stamps(sources, on_error=skipped.append)
    for stamp in tqdm(stamps, desc="Reading stamps", unit=" stamps", disable=not show_progress):
        batch.append(stamp)
        if len(batch) == batch_size:
            flush()
    flush()
    if skipped:
        tqdm.write(f"{len(skipped)} stamps could not be read; the first: {skipped[0]}")
    if not parts:
        raise ValueError(f"No readable stamp in {', '.join(map(str, sources))}.")
    return torch.cat(parts)
