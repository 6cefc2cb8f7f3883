"""Regression of physical parameters, on galaxies whose truth is known: simulated ones."""

from collections.abc import Callable
from typing import Any

import torch

from ...configuration_galvm import GalvmConfig
from ...head_galvm import GalvmFeatureHead
from ...modeling_galvm import GalvmForParameterRegression, GalvmPreTrainedModel
from ..data import Samples
from .base import Batch, TaskSettings, Values
from .galaxy import GalaxyTask

RADIUS = "half_light_radius"
PIXEL_SCALE = "pixel_scale"
SAMPLES = 1024


class Parameters(GalaxyTask):
    """Columns of numbers, by mean squared error of the standardised values.

    A radius is learnt as a share of the side of the image, which is what pixels show: the file's `pixel_scale` and the
    crop of each sample give it.
    """

    model_class = GalvmForParameterRegression

    def __init__(self, name: str, settings: TaskSettings):
        super().__init__(name, settings)
        if not settings.labels:
            raise ValueError(f"{name}: labels needs the columns of the parameters, got none.")
        self.columns = (*settings.labels, *([PIXEL_SCALE] if RADIUS in settings.labels else []))
        self._deviations = torch.ones(len(settings.labels))

    def configure(self, config: GalvmConfig, read: Callable[[str], list[Any]], draw: Callable[[int], Samples]) -> None:
        """Name the parameters, and standardise them by some samples of the training set."""
        known = self.labels(draw(SAMPLES)).double()
        mean = known.nanmean(0)
        deviation = (known - mean).square().nanmean(0).sqrt()
        if not (deviation > 0).all():
            raise ValueError(
                f"{self.name}: of the columns {self.settings.labels} some have no variety in the data "
                f"{self.settings.data!r}."
            )
        config.parameter_names = list(self.settings.labels)
        config.parameter_means, config.parameter_deviations = mean.tolist(), deviation.tolist()
        self._deviations = deviation.float()

    def head(self, model: GalvmPreTrainedModel) -> GalvmFeatureHead:
        return model.regression

    def labels(self, samples: Samples) -> torch.Tensor:
        """True values `[B, P]`; a radius in arcseconds becomes a share of the image's side."""
        columns = []
        for label in self.settings.labels:
            values = torch.as_tensor([float("nan") if value is None else value for value in samples[label]]).float()
            if label == RADIUS:
                side = samples["pixel_values"].shape[-1] * torch.as_tensor(samples["scale"]).cpu()
                values = values / (torch.as_tensor(samples[PIXEL_SCALE]).float() * side)
            columns.append(values)
        return torch.stack(columns, dim=1)

    def terms(self, batch: Batch) -> torch.Tensor:
        """The number of known values, which the loss is a mean over."""
        return batch["labels"].isfinite().sum().float()

    def measure(self, model: GalvmPreTrainedModel, batch: Batch) -> Values:
        """Values predicted and true, in their units, `[B, P]`."""
        return {"predicted": model(batch["pixel_values"]).parameters.float(), "true": batch["labels"]}

    def score(self, values: Values) -> dict[str, float]:
        """R² of each parameter, and the mean squared error of the standardised values, which is the `error`."""
        predicted, true = values["predicted"].double(), values["true"].double()
        squared = (predicted - true).square().nanmean(0)
        variance = (true - true.nanmean(0)).square().nanmean(0)
        r2 = 1 - squared / variance
        error = (squared / self._deviations.to(squared).square()).mean().item()
        return {"error": error} | {
            f"r2_{label}": value for label, value in zip(self.settings.labels, r2.tolist(), strict=True)
        }
