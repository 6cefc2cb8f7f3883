"""`galvm finetune`: a model for somebody's own labels, in one line."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .console import list_skipped, plain_errors, print_table


class Task(StrEnum):
    """What the labels are."""

    auto = "auto"
    classification = "classification"
    regression = "regression"


class Device(StrEnum):
    """Where training runs."""

    auto = "auto"
    cpu = "cpu"


def finetune(
    data: Annotated[
        list[Path],
        typer.Argument(
            help="Parquet files with a label column, folders with one folder a class, or folders with `metadata.csv`."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the model, its card, numbers and plots.")],
    labels: Annotated[
        list[str], typer.Option(help="Column of the class; or columns of values, each with its own `--labels`.")
    ] = ["label"],  # noqa: B006 - typer copies it
    test: Annotated[
        list[Path] | None, typer.Option(help="Other labelled galaxies to measure on; may be given several times.")
    ] = None,
    task: Annotated[Task, typer.Option(help="`auto` looks at the labels.")] = Task.auto,
    freeze: Annotated[
        bool | None,
        typer.Option(
            "--freeze/--full",
            help="Train the head alone, or the encoder too. By default the head alone for up to 400 galaxies, and "
            "without an accelerator.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Most passes over the data. [default: 40, with --full 20]")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Galaxies per step. [default: 16 for up to 400 galaxies, else 64]")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="For the head; the encoder's is a fifth of it.")] = 5e-4,
    validation: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=0.49,
            help="Share held out to stop early, and, without `--test`, as much again to measure on. By default 0.15; "
            "up to 400 galaxies are cross-validated instead.",
        ),
    ] = None,
    class_weights: Annotated[bool, typer.Option(help="Count every class the same, however rare it is.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of parts, weights, order and augmentation.")] = 0,
    model: Annotated[
        str, typer.Option(help="`galvm` (the released checkpoint), a directory, or the name of a model on the Hub.")
    ] = "galvm",
    device: Annotated[Device, typer.Option(help="`auto` is the first accelerator where there is one.")] = Device.auto,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Model repository on the Hub, `owner/name`, to upload the folder to.")
    ] = None,
) -> None:
    """Fine-tune the model on labelled galaxies; ten of each class are enough to begin with.

    Prints how good it is on galaxies that were kept out of training, with a 95 % interval. The folder loads with
    `AutoModelForImageClassification`; its `README.md` is a model card.

    Examples:

        galvm finetune labelled.parquet --labels label --out my-model

        galvm finetune train/ --test test/ --out my-model --full

        galvm finetune stamps.parquet --labels half_light_radius --labels axis_ratio --out my-sizes
    """
    with plain_errors():
        from ..train.finetune import FinetuneSettings
        from ..train.finetune import finetune as run
        from .embed import resolve_checkpoint

        settings = FinetuneSettings(
            data=[str(path) for path in data],
            out=str(out),
            labels=labels,
            test=[str(path) for path in test or ()],
            task=task.value,
            encoder="auto" if freeze is None else "frozen" if freeze else "full",
            model=resolve_checkpoint(model),
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            validation=validation,
            class_weights=class_weights,
            seed=seed,
            device=device.value,
            push_to_hub=push_to_hub,
        )
        result = run(settings, show_progress=True)
        stamps = result.stamps
        list_skipped(stamps.skipped)
        kind = f"{len(stamps.names)} classes" if stamps.is_classification else f"values of {', '.join(stamps.names)}"
        trained = "encoder and head" if result.is_full else "head"
        typer.echo(
            f"{len(stamps)} labelled galaxies, {kind}; {trained} trained for {result.epochs} epochs in "
            f"{result.seconds:.0f} s."
        )
        for number, what in ((stamps.without_label, "without a label"), (stamps.repeated, "repeated")):
            if number:
                typer.echo(f"{number} stamps {what} were left out.")
        estimates = result.headline
        number = next(iter(estimates.values())).number
        typer.echo(f"Measured on {number} galaxies by {result.how}; 95 % interval:")
        print_table([(name, str(estimate)) for name, estimate in estimates.items()])
        if settings.push_to_hub:
            typer.echo(f"Uploaded to {settings.push_to_hub}.")
        typer.echo(f"Model, card, numbers and plots: {out}")
