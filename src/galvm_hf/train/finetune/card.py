"""The model card of a fine-tuned model, from its numbers."""

from pathlib import Path
from typing import TYPE_CHECKING

from ...files import whole_file
from .plans import Outcome
from .settings import FinetuneSettings

if TYPE_CHECKING:
    from .run import FinetuneResult

_CARD = """---
library_name: transformers
pipeline_tag: image-classification
tags:
  - astronomy
  - galaxies
  - {task}
model-index:
  - name: {name}
    results:
      - task:
          type: image-{task}
        dataset:
          name: {data}
          type: {data}
        metrics:
{index}
---

# {name}

A GaLVM that was fine-tuned for {task} ({names}) on {n_train} labelled galaxies. {encoder}

## Use

```python
import galvm_hf  # or trust_remote_code=True without it
from transformers import pipeline

{use}
```

## Results

Measured on {n_test} galaxies by {how}; in brackets the 95 % interval over galaxies.

| what | value |
| --- | --- |
{table}

{explanation}

Settings, versions and all numbers are in `metrics.json`.
"""


def write_card(result: "FinetuneResult", outcome: Outcome, settings: FinetuneSettings) -> None:
    """Write `README.md` beside the model.

    Args:
        result: What fine-tuning came to.
        outcome: Predictions for galaxies that were kept out of training.
        settings: Of the run.
    """
    stamps, metrics = result.stamps, result.metrics
    rows = [f"| {title} | {estimate} |" for title, estimate in result.headline.items()]
    if stamps.is_classification:
        rows += [f"| of the galaxies labelled {name}, told right | {one} |" for name, one in metrics["recall"].items()]
        rows += [
            f"| accuracy of always answering the largest class | {metrics['largest_class']:.3f} |",
            f"| calibration error | {metrics['calibration_error']:.3f} |",
            f"| calibration error without temperature | {metrics['calibration_error_as_trained']:.3f} |",
        ]
    encoder = (
        "The head was trained first, then the encoder with it."
        if result.is_full
        else "The head was trained; the encoder and the other heads are those of the checkpoint that it began with."
    )
    use = f'pipeline("image-classification", model="{settings.push_to_hub or result.folder.name}")("galaxy.jpg")'
    if not stamps.is_classification:
        use = (
            f'measure = pipeline("image-classification", model="{settings.push_to_hub or result.folder.name}")\n'
            f'measure("galaxy.jpg", function_to_apply="none", top_k={len(stamps.names)})  # in the labels\' units'
        )
    card = _CARD.format(
        name=Path(settings.push_to_hub or result.folder.name).name,
        task="classification" if stamps.is_classification else "regression",
        names=", ".join(stamps.names),
        data=", ".join(Path(source).name for source in settings.test or settings.data),
        index="\n".join(
            f"          - type: {title.lower().replace(' ', '_')}\n            value: {estimate.value:.4f}\n"
            f"            name: {title}"
            for title, estimate in result.headline.items()
        ),
        n_train=outcome.n_train,
        encoder=encoder,
        use=use,
        n_test=len(outcome.targets),
        how=result.how,
        table="\n".join(rows),
        explanation=_classes_explained(settings, outcome) if stamps.is_classification else _values_explained(outcome),
    )
    with whole_file(result.folder / "README.md") as temporary:
        temporary.write_text(card)


def _classes_explained(settings: FinetuneSettings, outcome: Outcome) -> str:
    population = (
        "a population in which all classes are equally frequent (in training every class counted the same)"
        if settings.class_weights
        else "a population with the class frequencies of the training data"
    )
    return (
        f"The logits were divided by a temperature of {outcome.temperature:.2f}, found on {outcome.n_validation} "
        "galaxies that their model had not seen (Guo et al. 2017). It is folded into the weights of the last layer, so "
        f"that every loader gets the calibrated probabilities. They hold for {population}.\n\n"
        "![confusion matrix](confusion.png) ![calibration](calibration.png)"
    )


def _values_explained(outcome: Outcome) -> str:
    return (
        "Values come out in the units of the labels: the standardisation of training is folded into the weights of the "
        f"last layer. Training stopped after {outcome.epochs} epochs, as {outcome.n_validation} galaxies that their "
        "model had not seen asked for.\n\n![predicted against labelled values](predicted.png)"
    )
