"""Two ways from labels to a model with honest numbers: cross-validation for few galaxies, a held-out part for many."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...modeling_galvm import GalvmForImageClassification
from .calibration import fit_temperature
from .data import LabelledStamps
from .few import folds, held_out, strata
from .fit import Fitter
from .objective import Objective


@dataclass(frozen=True)
class Outcome:
    """A model, and what was predicted for galaxies that were kept out of its training.

    Attributes:
        model: Its outputs are probabilities' logits at their temperature, or values in their own units.
        epochs: Passes that it was trained for.
        temperature: What its logits were divided by; 1 for values.
        outputs: For the galaxies measured on, [N, K], as trained: without temperature, in the units of training.
        temperatures: What the outputs of each have to be divided by, [N].
        targets: Their labels, scaled as `Objective.scale` does, [N] or [N, P].
        how: In words, how they were kept out.
        n_train: Number of galaxies that the model was trained on.
        n_validation: Number of galaxies that chose epochs and temperature.
    """

    model: GalvmForImageClassification
    epochs: int
    temperature: float
    outputs: Tensor
    temperatures: Tensor
    targets: Tensor
    how: str
    n_train: int
    n_validation: int


def cross_validate(
    fitter: Fitter, stamps: LabelledStamps, objective: Objective, test: LabelledStamps | None, seed: int
) -> Outcome:
    """Train on all galaxies as long as cross-validation finds best, and measure each by a model that has not seen it.

    For the galaxies of one fold, epochs and temperature are chosen on the other folds, so that their labels had no say
    in anything that made their prediction.

    Args:
        fitter: Trains.
        stamps: All that have labels.
        objective: Of the fitter.
        test: Other galaxies to measure on instead.
        seed: Of the folds.
    """
    fold = folds(strata(stamps), seed)
    number, everything = int(fold.max()) + 1, torch.arange(len(stamps))
    targets = objective.scale(stamps.targets)
    curves: Tensor | None = None
    for one in range(number):
        inside = fold == one
        outputs = fitter.fit(everything[~inside], everything[inside], epochs=fitter.epochs).outputs
        if curves is None:
            curves = torch.empty(len(outputs), len(stamps), outputs.shape[-1])
        curves[:, inside] = outputs
    losses = torch.stack([objective.each(outputs, targets) for outputs in curves])
    kept, temperatures = torch.empty_like(curves[0]), torch.ones(len(stamps))
    for one in range(number):
        inside = fold == one
        epoch = losses[:, ~inside].mean(1).argmin()
        kept[inside] = curves[epoch, inside]
        temperatures[inside] = _temperature(curves[epoch, ~inside], targets[~inside], objective)
    epoch = int(losses.mean(1).argmin())
    temperature = _temperature(curves[epoch], targets, objective)
    model = fitter.fit(everything, epochs=epoch + 1).model
    how = f"cross-validation in {number} folds"
    if test is not None:
        kept, temperatures = fitter.predict(model, test.images), torch.full((len(test),), temperature)
        targets, how = objective.scale(test.targets), "a test set of its own"
    objective.unscale(model.classifier.fc2, temperature)
    return Outcome(model, epoch + 1, temperature, kept, temperatures, targets, how, len(stamps), len(stamps))


def hold_out(
    fitter: Fitter, stamps: LabelledStamps, objective: Objective, test: LabelledStamps | None, share: float, seed: int
) -> Outcome:
    """Train on a part, stop by the loss on a second one, and measure on a third one that had no say in anything.

    Args:
        fitter: Trains.
        stamps: All that have labels.
        objective: Of the fitter.
        test: Other galaxies to measure on instead of the third part.
        share: Of the second part, and of the third.
        seed: Of the parts.
    """
    training, validation, *last = held_out(strata(stamps), share, 1 if test is not None else 2, seed)
    fit = fitter.fit(training, validation)
    targets = objective.scale(stamps.targets)
    temperature = _temperature(fit.outputs[fit.best], targets[validation], objective)
    if test is not None:
        images, truth, how = test.images, objective.scale(test.targets), "a test set of its own"
    else:
        images, truth, how = stamps.images[last[0]], targets[last[0]], "a part that was held out"
    outputs = fitter.predict(fit.model, images)
    objective.unscale(fit.model.classifier.fc2, temperature)
    return Outcome(
        fit.model,
        fit.best + 1,
        temperature,
        outputs,
        torch.full((len(truth),), temperature),
        truth,
        how,
        len(training),
        len(validation),
    )


def _temperature(outputs: Tensor, targets: Tensor, objective: Objective) -> float:
    if objective.class_weights is None:
        return 1.0
    return fit_temperature(outputs, targets, objective.class_weights)
