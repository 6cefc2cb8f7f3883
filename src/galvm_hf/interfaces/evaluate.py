"""`galvm evaluate`: what a checkpoint is worth, beside what it has to beat."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import plain_errors, print_table
from .options import BatchOption, DeviceOption, ModelOption

if TYPE_CHECKING:
    from .measure import Measurement

evaluate_app = typer.Typer(help="Measure a checkpoint on galaxies that it has not seen.", no_args_is_help=True)
DataOption = Annotated[Path, typer.Option(help="Parquet file, or folder, of images to test on.")]
CropOption = Annotated[str, typer.Option(help="Share of the side that is cut out of the middle, or `adaptive`.")]
FitOption = Annotated[
    Path | None, typer.Option(help="Other images, to choose what classical methods need, on the first 256 of them.")
]
SeedOption = Annotated[int, typer.Option(help="Of degradations, masks and intervals.")]
OutOption = Annotated[Path | None, typer.Option(help="JSON file for the numbers and where they come from.")]


@evaluate_app.command()
def probe(
    train: Annotated[Path, typer.Option(help="Labelled Parquet file to fit the linear classifier on.")],
    test: Annotated[Path, typer.Option(help="Labelled Parquet file, of other galaxies, to test it on.")],
    label: Annotated[str, typer.Option(help="Column with the class.")] = "label",
    model: ModelOption = "galvm",
    batch_size: BatchOption = 32,
    device: DeviceOption = "auto",
) -> None:
    """Balanced accuracy of a linear classifier on the features, beside random weights and raw 16 x 16 pixels.

    Examples:

        galvm evaluate probe --train train.parquet --test test.parquet --label label
    """
    with plain_errors():
        from .demo import probe_row
        from .embed import load_encoder
        from .measure import probe_files

        results = probe_files(train, test, load_encoder(model, device), label, batch_size)
        first = next(iter(results.values()))
        typer.echo(f"{first.n_train} galaxies to train on, {first.n_test} to test on; balanced accuracy, 95 % interval")
        print_table([probe_row(name, result) for name, result in results.items()])


@evaluate_app.command()
def restoration(
    data: DataOption,
    fit: FitOption = None,
    model: ModelOption = "galvm",
    crop: CropOption = "0.625",
    seed: SeedOption = 0,
    batch_size: BatchOption = 32,
    device: DeviceOption = "auto",
    out: OutOption = None,
) -> None:
    """PSNR and SSIM of restored images, beside smoothing and a Wiener filter that is told the PSF.

    Each image is blurred by a Moffat PSF of 2 to 8 px and gets noise of 1 to 15 on the 0 to 255 scale.

    Examples:

        galvm evaluate restoration --data test.parquet --fit train.parquet --out restoration.json

        galvm evaluate restoration --data test.parquet --model my-checkpoint --crop adaptive
    """
    with plain_errors():
        from .measure import Setting, measure_restoration_of_files

        setting = Setting(data, model, _crop(crop), seed, batch_size, device)
        _show(measure_restoration_of_files(setting, fit), out)


@evaluate_app.command()
def inpainting(
    data: DataOption,
    fit: FitOption = None,
    model: ModelOption = "galvm",
    crop: CropOption = "0.625",
    seed: SeedOption = 0,
    batch_size: BatchOption = 32,
    device: DeviceOption = "auto",
    out: OutOption = None,
) -> None:
    """Squared error over hidden pixels, with patches of 4, 8 and 16 px, beside OpenCV's inpainting.

    Examples:

        galvm evaluate inpainting --data test.parquet --fit train.parquet --out inpainting.json
    """
    with plain_errors():
        from .measure import Setting, measure_inpainting_of_files

        setting = Setting(data, model, _crop(crop), seed, batch_size, device)
        _show(measure_inpainting_of_files(setting, fit), out)


@evaluate_app.command()
def classification(
    data: DataOption,
    label: Annotated[str, typer.Option(help="Column with the class.")] = "label",
    model: ModelOption = "galvm",
    crop: CropOption = "adaptive",
    seed: SeedOption = 0,
    batch_size: BatchOption = 32,
    device: DeviceOption = "auto",
    out: OutOption = None,
    plot: Annotated[Path | None, typer.Option(help="PNG file for the confusion matrix.")] = None,
) -> None:
    """Balanced accuracy, precision, recall, F1 and calibration of the classes on labelled galaxies.

    Examples:

        galvm evaluate classification --data test.parquet --label label --out classification.json --plot confusion.png
    """
    with plain_errors():
        from .measure import Setting, measure_classification_of_files

        setting = Setting(data, model, _crop(crop), seed, batch_size, device)
        _show(measure_classification_of_files(setting, label, plot), out)


@evaluate_app.command()
def detection(
    data: Annotated[Path, typer.Option(help="Folder of fields with annotations.json.")],
    out: Annotated[Path, typer.Option(help="Folder for detection.json and the figures.")],
    model: Annotated[list[str], typer.Option(help="Detector; may be given several times.")],
    device: DeviceOption = "auto",
) -> None:
    """Average precision (COCO) of lens detectors on the same fields, completeness and false alarms, with figures.

    Completeness and false alarms need simulated fields, whose catalogues say what each lens is.

    Examples:

        galvm evaluate detection --data simulated-test --model galvm-lens --model runs/resnet50/checkpoint --out results
    """
    with plain_errors():
        from .measure_detection import measure_detectors

        _show(measure_detectors(model, data, out, device), out / "detection.json")


@evaluate_app.command()
def hitl(
    train: Annotated[Path, typer.Option(help="Labelled Parquet file of galaxies to search in.")],
    test: Annotated[Path, typer.Option(help="Labelled Parquet file, of other galaxies, to measure on.")],
    out: Annotated[Path, typer.Option(help="Folder for hitl.json, hitl.md, hitl.png and the features.")],
    label: Annotated[str, typer.Option(help="Column with the class.")] = "label",
    target: Annotated[str, typer.Option(help="The class that is looked for.")] = "spiral",
    rare_label: Annotated[str, typer.Option(help="Column with the class of a rare kind.")] = "galaxy_zoo_1",
    rare: Annotated[str, typer.Option(help="That kind; nothing leaves it out.")] = "merger",
    seeds: Annotated[int, typer.Option(min=1, help="How often all is done, with other examples.")] = 10,
    error_rate: Annotated[float, typer.Option(help="Share of the simulated person's answers that are wrong.")] = 0.0,
    resnet: Annotated[bool, typer.Option("--resnet", help="Train ResNet18 from scratch too: slow.")] = False,
    model: ModelOption = "galvm",
    batch_size: BatchOption = 32,
    device: DeviceOption = "auto",
) -> None:
    """What a search with a simulated person gives: few answers that are chosen, against more that are not.

    The person searches in one file, and learners are measured on the other. Features are computed once and kept.

    Examples:

        galvm evaluate hitl --train train.parquet --test test.parquet --out hitl/

        galvm evaluate hitl --train train.parquet --test test.parquet --out hitl/ --target edge-on --rare "" --resnet
    """
    with plain_errors():
        from .measure_hitl import measure_hitl_of_files

        tables = measure_hitl_of_files(
            train,
            test,
            out,
            model,
            label,
            target,
            rare_label,
            rare or None,
            seeds,
            error_rate,
            resnet,
            batch_size,
            device,
        )
        for heading, rows in tables.items():
            typer.secho(heading, bold=True)
            print_table(rows)
        typer.echo(f"Wrote {out / 'hitl.json'}, {out / 'hitl.md'} and {out / 'hitl.png'}.")


def _crop(text: str) -> float | str:
    if text == "adaptive":
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--crop must be a share such as 0.625, or adaptive, got {text!r}.") from None


def _show(measurement: "Measurement", out: Path | None) -> None:
    typer.secho(measurement.heading, bold=True)
    print_table(measurement.rows)
    if out is not None:
        measurement.write(out)
        typer.echo(f"Wrote {out}.")
