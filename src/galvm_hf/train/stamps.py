"""Stamps in memory: survey files through the image processor to one uint8 tensor, for training at the scale of RAM."""

from pathlib import Path

import torch
from tqdm import tqdm

from ..data.readers import iter_stamps
from ..data.stamp import UnreadableStampError
from ..image_processing_galvm import GalvmImageProcessor


def load_stamps(sources: list[Path], image_processor: GalvmImageProcessor, show_progress: bool = True) -> torch.Tensor:
    """Read, crop and keep every stamp of some files, in the order of `iter_stamps`.

    Args:
        sources: Files and folders that `iter_stamps` reads. Stamps that cannot be read, and those that the image
            processor refuses, are skipped and counted.
        image_processor: Crops to its `size`.
        show_progress: Whether to show a progress bar, and what was skipped.

    Returns:
        Display images, bands g, r, z, on the 0 to 255 scale, uint8 `[N, 3, H, W]`.

    Raises:
        ValueError: If there is no readable stamp.
    """
    skipped, images = [], []
    stamps = iter_stamps(sources, on_error=skipped.append)
    for stamp in tqdm(stamps, desc="Reading stamps", unit=" stamps", disable=not show_progress):
        try:
            stamp = stamp.select()
            pixel_values = image_processor(stamp.pixels, bands=stamp.bands, return_tensors="pt").pixel_values[0]
        except UnreadableStampError as error:
            skipped.append(error)
            continue
        except ValueError as error:
            skipped.append(ValueError(f"{stamp.source} ({stamp.id}): {error}"))
            continue
        images.append((pixel_values * 255).round().to(torch.uint8))
    if skipped and show_progress:
        tqdm.write(f"{len(skipped)} stamps could not be used; the first: {skipped[0]}")
    if not images:
        raise ValueError(f"No readable stamp in {', '.join(map(str, sources))}.")
    return torch.stack(images)
