"""Regression of physical parameters: mean absolute error and R² of each, on simulated galaxies whose truth is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from .intervals import Estimate, bootstrap_interval, estimate_mean


@dataclass(frozen=True)
class ParameterResult:
    """How well one parameter is measured.

    Attributes:
        mean_absolute_error: In the parameter's own unit.
        r2: Share of its variance that is explained: 1 is perfect, 0 is as good as always answering the mean.
    """

    mean_absolute_error: Estimate
    r2: Estimate


@torch.inference_mode()
def predict_parameters(model: nn.Module, images: Tensor, batch_size: int = 32) -> np.ndarray:
    """Parameters `[N, P]` in physical units, by a `GalvmForParameterRegression`, of display images `[N, 3, H, W]`."""
    parameter = next(model.parameters())
    model.eval()
    parts = [model(part.to(parameter.device, parameter.dtype)).parameters for part in images.split(batch_size)]
    return torch.cat(parts).float().cpu().numpy()


def simulated_galaxies(names: Sequence[str], number: int, seed: int, size: int = 128) -> tuple[Tensor, np.ndarray]:
    """Simulated display images and the truth about them.

    Args:
        names: Parameters: keys of `SimulatedGalaxies.truth`.
        number: How many galaxies.
        seed: Of the simulation. A seed that the training did not use gives galaxies it has not seen.
        size: Height and width of an image in px.

    Returns:
        Bands g, r, z in [0, 1], `[N, 3, size, size]`, and the parameters, [N, P].

    Raises:
        ValueError: If the simulator does not know a parameter.
    """
    from ..data.simulate import simulate_galaxies
    from ..image_transforms_galvm import flux_to_display

    galaxies = simulate_galaxies(number, torch.Generator().manual_seed(seed), size)
    unknown = sorted(set(names) - set(galaxies.truth))
    if unknown:
        raise ValueError(f"The simulator knows no {', '.join(unknown)}. It knows {', '.join(sorted(galaxies.truth))}.")
    truth = np.stack([galaxies.truth[name].numpy() for name in names], axis=1)
    return torch.from_numpy(flux_to_display(galaxies.flux.numpy())), truth


def measure_regression(
    predicted: ArrayLike, truth: ArrayLike, names: Sequence[str], seed: int = 0
) -> dict[str, ParameterResult]:
    """Compare predicted parameters with true ones, each where the truth is known.

    Args:
        predicted: [N, P].
        truth: [N, P], NaN where not known.
        names: Of the P parameters.
        seed: Of the intervals.

    Raises:
        ValueError: If shapes disagree, or a parameter is known of fewer than two galaxies.
    """
    predicted, truth = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if predicted.shape != truth.shape or predicted.shape[1:] != (len(names),):
        raise ValueError(
            f"Both must be [N, P] with the P = {len(names)} parameters, got {predicted.shape} and {truth.shape}."
        )
    results = {}
    for name, guess, true in zip(names, predicted.T, truth.T, strict=True):
        known = np.isfinite(true)
        if known.sum() < 2:
            raise ValueError(f"{name} is known of {known.sum()} galaxies, and two are needed: leave it out.")
        guess, true = guess[known], true[known]
        results[name] = ParameterResult(
            estimate_mean(np.abs(guess - true), seed), bootstrap_interval(_r2, guess, true, seed=seed)
        )
    return results


def _r2(predicted: np.ndarray, truth: np.ndarray) -> float:
    spread = ((truth - truth.mean()) ** 2).sum()
    return 1 - ((predicted - truth) ** 2).sum() / max(spread, np.finfo(float).tiny)
