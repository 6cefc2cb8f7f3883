"""Noise of the field's sky, and what of it a stamp brings along: only the rest is added where the stamp is pasted.

The noise of a stamp that was blurred and resampled is taken for white noise behind a Gaussian filter, so that its
standard deviation and its correlation between neighbouring pixels say all about it.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ..simulate.sky import noise_transfer

LEAST_CORRELATION, MOST_CORRELATION = 0.01, 0.98  # between neighbours, for the Gaussian filter
CLIP, ROUNDS = 3.0, 3
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class StampNoise:
    """Noise of a stamp's sky.

    Attributes:
        sigma: Standard deviation of a pixel, each band, [3].
        correlation: Between neighbouring pixels, each band, [3].
    """

    sigma: np.ndarray
    correlation: np.ndarray

    def power(self, size: tuple[int, int]) -> np.ndarray:
        """Power by frequency, whose mean is the variance of a pixel, [3, H, W // 2 + 1]."""
        correlation = self.correlation.clip(LEAST_CORRELATION, MOST_CORRELATION)
        # white noise behind a Gaussian of standard deviation s is correlated by exp(-d^2 / 4 s^2) at a distance d
        filter_variance = -0.25 / np.log(correlation)
        y, x = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])
        shape = np.exp(-4 * np.pi**2 * filter_variance[:, None, None] * (y**2 + x**2))
        norm = 4 * np.pi * filter_variance * self.sigma**2
        return norm[:, None, None] * shape

    def scaled(self, gain: float) -> "StampNoise":
        """The noise of the stamp's light times `gain`."""
        return StampNoise(self.sigma * gain, self.correlation)


def field_power(sky: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Power by frequency of the field's own noise of standard deviation `sky` [3], [3, H, W // 2 + 1]."""
    return sky[:, None, None] ** 2 * noise_transfer(size).numpy() ** 2


def draw_noise(power: np.ndarray, size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Gaussian noise of that power [3, H, W // 2 + 1] by frequency, periodic, float32 [3, H, W]."""
    white = torch.from_numpy(random.standard_normal((len(power), *size), dtype=np.float32))
    shaped = torch.fft.rfft2(white) * torch.from_numpy(np.sqrt(power).astype(np.float32))
    return torch.fft.irfft2(shaped, s=size).numpy()


def measure_noise(flux: np.ndarray, blank: np.ndarray) -> tuple[np.ndarray, StampNoise]:
    """Level and noise of the sky where nothing shines.

    Args:
        flux: [3, H, W].
        blank: Pixels without an object, bool [H, W].

    Returns:
        The level of each band, [3], a median clipped at three standard deviations, and the noise about it.
    """
    levels, sigmas, correlations = [], [], []
    for plane in flux.astype(np.float64):
        good = blank
        for _ in range(ROUNDS):
            level = np.median(plane[good])
            sigma = MAD_TO_SIGMA * np.median(np.abs(plane[good] - level))
            good = blank & (np.abs(plane - level) <= CLIP * max(sigma, 1e-12))
        rest = plane - level
        products = [
            (rest[:, 1:] * rest[:, :-1])[good[:, 1:] & good[:, :-1]],
            (rest[1:] * rest[:-1])[good[1:] & good[:-1]],
        ]
        levels.append(level)
        sigmas.append(rest[good].std())
        correlations.append(np.concatenate(products).mean() / max(sigmas[-1] ** 2, 1e-24))
    return np.array(levels), StampNoise(np.array(sigmas), np.array(correlations))
