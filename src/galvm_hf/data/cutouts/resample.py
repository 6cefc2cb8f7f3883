"""Resample an image to another grid of pixels so that flux is conserved."""

import math
from typing import Any

import numpy as np

# Between nodes this far apart the mapping from grid to grid is as good as linear, also with a camera's distortion.
NODE_SPACING = 16


def resample(pixels: Any, wcs: Any, target: Any, size: int, per_area: bool = False) -> tuple[np.ndarray, float]:
    """The image on the pixels of another WCS.

    Each new pixel is the mean of a bilinear interpolation over its area, times the ratio of areas: fine enough samples
    that the sum over a star is kept. The interpolation widens the PSF a little, as any does.

    Args:
        pixels: The image [h, w]: an array, or the `section` of an `astropy.io.fits` HDU, of which only what is needed
            is read.
        wcs: Of the image.
        target: WCS of the new grid.
        size: Its height and width.
        per_area: Whether pixels are a surface brightness, which is not multiplied by the ratio of areas.

    Returns:
        float32 [size, size], NaN where the image does not reach or is not finite, and the fraction that it does not
        reach.
    """
    import torch
    from torch.nn.functional import avg_pool2d, grid_sample

    x, y, area = _map_grid(target, wcs, size)
    samples = max(2, math.ceil(2 * math.sqrt(area)))
    # Centres of the parts of each pixel, along one side of the grid.
    offsets = (np.arange(size * samples) + 0.5) / samples - 0.5
    x, y = (_interpolate(nodes, offsets, size) for nodes in (x, y))
    height, width = pixels.shape
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    if outside.all():
        return np.full((size, size), np.nan, dtype=np.float32), 1.0
    left, right = (int(np.clip(edge, 0, width - 1)) for edge in (x.min() - 1, x.max() + 2))
    bottom, top = (int(np.clip(edge, 0, height - 1)) for edge in (y.min() - 1, y.max() + 2))
    image = np.array(pixels[bottom : top + 1, left : right + 1], dtype=np.float32)
    grid = np.stack([2 * (x - left) / max(1, right - left) - 1, 2 * (y - bottom) / max(1, top - bottom) - 1], axis=-1)
    values = grid_sample(
        torch.from_numpy(image)[None, None],
        torch.from_numpy(grid.astype(np.float32))[None],
        padding_mode="border",
        align_corners=True,
    )
    values.masked_fill_(torch.from_numpy(outside), math.nan)
    mean = avg_pool2d(values, samples)[0, 0].numpy()
    return mean if per_area else mean * np.float32(area), float(outside.mean())


def _map_grid(target: Any, wcs: Any, size: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Positions [n, n] in the image of nodes over the grid, and the area of a new pixel in pixels of the image."""
    from astropy.wcs.utils import pixel_to_pixel

    nodes = np.linspace(-0.5, size - 0.5, max(2, math.ceil(size / NODE_SPACING) + 1))
    x, y = pixel_to_pixel(target, wcs, *np.meshgrid(nodes, nodes))
    middle = (size - 1) / 2
    cx, cy = pixel_to_pixel(target, wcs, middle + np.array([-0.5, 0.5, 0, 0]), middle + np.array([0, 0, -0.5, 0.5]))
    area = abs((cx[1] - cx[0]) * (cy[3] - cy[2]) - (cx[3] - cx[2]) * (cy[1] - cy[0]))
    return x, y, float(area)


def _interpolate(nodes: np.ndarray, offsets: np.ndarray, size: int) -> np.ndarray:
    """Linear interpolation [m, m] between nodes [n, n] that span the grid, at m offsets along each side."""
    place = (offsets + 0.5) / size * (len(nodes) - 1)
    first = np.clip(place.astype(int), 0, len(nodes) - 2)
    share = place - first
    weights = np.zeros((len(offsets), len(nodes)))
    weights[np.arange(len(offsets)), first] = 1 - share
    weights[np.arange(len(offsets)), first + 1] = share
    return weights @ nodes @ weights.T
