"""The command line, `galvm`. Each command says what it does; what it does stands in the modules beside this one."""

from pathlib import Path
from typing import Annotated

import typer

from .console import list_skipped, plain_errors, print_table
from .detect import detect
from .evaluate import evaluate_app
from .finetune import finetune
from .label import label
from .options import BatchOption, DeviceOption, ModelOption
from .prepare import prepare_app
from .simulate import simulate_app

app = typer.Typer(
    help="GaLVM: features, restoration and inpainting of galaxy images, and strong lenses in wide fields.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(prepare_app, name="prepare")
app.add_typer(simulate_app, name="simulate")
app.command()(finetune)
app.command()(detect)
app.command()(label)


@app.command()
def info() -> None:
    """Show versions, devices, model sizes and the released checkpoint."""
    with plain_errors():
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
    with plain_errors():
        from .embed import embed_files, load_encoder

        encoder = load_encoder(model, device, crop)
        summary = embed_files(images, out, encoder, model, batch_size)
        list_skipped(summary.skipped)
        if not summary.number:
            raise ValueError(f"Nothing was embedded, so {out} was not written.")
        typer.echo(f"{summary.number} galaxies embedded in {out}, {len(summary.skipped)} skipped.")


@app.command()
def install(
    remove: Annotated[bool, typer.Option("--remove", help="Undo an earlier installation.")] = False,
    cache_dir: Annotated[Path | None, typer.Option(help="Hub cache to use instead of the one in use.")] = None,
) -> None:
    """Make `from_pretrained("galvm")` and `"galvm-lens"` work everywhere on this machine, also without a network.

    Writes entries for these names to the local Hub cache (`HF_HOME`, `HF_HUB_CACHE`).

    Examples:

        galvm install

        galvm install --remove
    """
    with plain_errors():
        from ..checkpoints import RELEASED, packaged, released_checkpoint
        from .install import install_checkpoint, remove_installation

        if remove:
            removed = [folder for name in RELEASED if (folder := remove_installation(cache_dir, name))]
            typer.echo(f"Removed {', '.join(map(str, removed))}." if removed else "There was nothing to remove.")
            return
        for name in packaged() or RELEASED:  # without any, the first says what is missing
            done = install_checkpoint(released_checkpoint(name), cache_dir, name)
            typer.echo(f"{'Wrote' if done.changed else 'Already there:'} {done.entry} (commit {done.commit}).")
        typer.echo("`from_pretrained` now loads them by their names; `galvm install --remove` undoes this.")


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(help="Directory to copy the released checkpoint to.")],
    model: Annotated[str, typer.Option(help="galvm, or galvm-lens, the lens detector.")] = "galvm",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a directory that holds other files.")
    ] = False,
) -> None:
    """Copy the released checkpoint to a directory, to fine-tune it, look at it, or push it to the Hub.

    Examples:

        galvm export galvm

        galvm export lens --model galvm-lens
    """
    with plain_errors():
        from ..checkpoints import RELEASED, released_checkpoint
        from .install import export_checkpoint

        if model not in RELEASED:
            raise ValueError(f"--model must be one of {', '.join(RELEASED)}, got {model!r}.")
        files = export_checkpoint(released_checkpoint(model), directory, overwrite)
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
    with plain_errors():
        from .demo import probe_row, run_demo

        summary = run_demo(out, model, data or (), number, device)
        list_skipped(summary.skipped)
        kind = "real images" if data else "simulated galaxies"
        typer.secho(f"{summary.number} {kind}", bold=True)
        print_table([probe_row(name, result) for name, result in summary.probes.items()])
        for note in summary.notes:
            typer.echo(note)
        typer.echo(f"Open {summary.report.resolve()}")
