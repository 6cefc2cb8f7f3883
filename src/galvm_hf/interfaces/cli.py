"""The command line, `galvm`. Each command says what it does; what it does stands in the modules beside this one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="GaLVM: features, restoration and inpainting of galaxy images.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
evaluate_app = typer.Typer(help="Measure a checkpoint on labelled galaxies.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")

SKIPPED_SHOWN = 10

ModelOption = Annotated[
    str, typer.Option(help="`galvm` (the released checkpoint), a directory, or the name of a model on the Hub.")
]
DeviceOption = Annotated[str, typer.Option(help="`auto`, `cpu`, `cuda`, `cuda:1`, `mps`.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Galaxies per step; fewer need less memory.")]


@app.command()
def info() -> None:
    """Show versions, devices, model sizes and the released checkpoint."""
    with _plain_errors():
        from .info import describe_installation

        for heading, facts in describe_installation().items():
            typer.secho(heading, bold=True)
            width = max(len(name) for name in facts)
            for name, fact in facts.items():
                typer.echo(f"  {name:<{width}}  {fact}")


@app.command()
def embed(
    images: Annotated[
        list[Path], typer.Argument(help="Pictures, FITS cubes, .npy, Parquet files, and folders of them.")
    ],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")] = Path("features.parquet"),
    model: ModelOption = "galvm",
    batch_size: BatchOption = 32,
    device: DeviceOption = "auto",
    crop: Annotated[bool, typer.Option(help="Crop each image to its galaxy first.")] = True,
) -> None:
    """Write the features of galaxy images to a Parquet file.

    Columns: `id`, `source`, `features`, and whatever scalar columns Parquet inputs have, such as `label`. Images that
    cannot be read are skipped, listed at the end, and written to `<out>.skipped.csv`.

    Examples:

        galvm embed stamps/ --out features.parquet

        galvm embed survey.parquet a.fits b.jpg --batch-size 64 --device cuda
    """
    with _plain_errors():
        from .embed import embed_files, load_encoder

        encoder = load_encoder(model, device, crop)
        summary = embed_files(images, out, encoder, model, batch_size)
        _list_skipped(summary.skipped)
        if not summary.number:
            raise ValueError(f"Nothing was embedded, so {out} was not written.")
        typer.echo(f"{summary.number} galaxies embedded in {out}, {len(summary.skipped)} skipped.")


@app.command()
def install(
    remove: Annotated[bool, typer.Option("--remove", help="Undo an earlier installation.")] = False,
    cache_dir: Annotated[Path | None, typer.Option(help="Hub cache to use instead of the one in use.")] = None,
) -> None:
    """Make `from_pretrained("galvm")` work everywhere on this machine, also without a network.

    Writes an entry for the name "galvm" to the local Hub cache (`HF_HOME`, `HF_HUB_CACHE`).

    Examples:

        galvm install

        galvm install --remove
    """
    with _plain_errors():
        from ..checkpoints import released_checkpoint
        from .install import install_checkpoint, remove_installation

        if remove:
            removed = remove_installation(cache_dir)
            typer.echo(f"Removed {removed}." if removed else "There was nothing to remove.")
            return
        done = install_checkpoint(released_checkpoint(), cache_dir)
        typer.echo(f"{'Wrote' if done.changed else 'Already there:'} {done.entry} (commit {done.commit}).")
        typer.echo('AutoModel.from_pretrained("galvm") now loads it; `galvm install --remove` undoes this.')


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(help="Directory to copy the released checkpoint to.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a directory that holds other files.")
    ] = False,
) -> None:
    """Copy the released checkpoint to a directory, to fine-tune it, look at it, or push it to the Hub.

    Examples:

        galvm export galvm
    """
    with _plain_errors():
        from ..checkpoints import released_checkpoint
        from .install import export_checkpoint

        files = export_checkpoint(released_checkpoint(), directory, overwrite)
        typer.echo(f"Wrote {len(files)} files to {directory}. Remove the directory to undo this.")


@app.command()
def demo(
    data: Annotated[
        list[Path] | None, typer.Option(help="Images to use instead of simulated ones; may be given several times.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("galvm-demo"),
    number: Annotated[int, typer.Option(min=10, help="How many galaxies.")] = 300,
    model: ModelOption = "galvm",
    device: DeviceOption = "auto",
) -> None:
    """Show what the model does, in one HTML page: features, neighbours, a probe, restoration, inpainting.

    Without `--data` the galaxies are simulated, and the page says so.

    Examples:

        galvm demo

        galvm demo --data labelled.parquet --number 1000 --out my-demo
    """
    with _plain_errors():
        from .demo import probe_row, run_demo

        summary = run_demo(out, model, data or (), number, device)
        _list_skipped(summary.skipped)
        kind = "real images" if data else "simulated galaxies"
        typer.secho(f"{summary.number} {kind}", bold=True)
        _print_table([probe_row(name, result) for name, result in summary.probes.items()])
        for note in summary.notes:
            typer.echo(note)
        typer.echo(f"Open {summary.report.resolve()}")


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
    with _plain_errors():
        from .demo import probe_row
        from .embed import load_encoder
        from .evaluate import probe_files

        results = probe_files(train, test, load_encoder(model, device), label, batch_size)
        first = next(iter(results.values()))
        typer.echo(f"{first.n_train} galaxies to train on, {first.n_test} to test on; balanced accuracy, 95 % interval")
        _print_table([probe_row(name, result) for name, result in results.items()])


@contextmanager
def _plain_errors() -> Iterator[None]:
    """What went wrong in one line and exit code 1, for everything that a user can mend."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # that of loading weights, which takes no time
    try:
        yield
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        typer.secho(f"Error: {' '.join(str(error).split()) or type(error).__name__}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from None


def _list_skipped(skipped: list) -> None:
    for error in skipped[:SKIPPED_SHOWN]:
        typer.echo(f"skipped {error}", err=True)
    if len(skipped) > SKIPPED_SHOWN:
        typer.echo(f"... and {len(skipped) - SKIPPED_SHOWN} more", err=True)


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
