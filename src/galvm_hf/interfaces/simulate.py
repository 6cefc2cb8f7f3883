"""`galvm simulate`: galaxies, strong lenses and wide fields with their truth, to try everything on."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .console import plain_errors

simulate_app = typer.Typer(
    help="Simulate galaxies, strong lenses and wide fields, with the truth.", no_args_is_help=True
)

NumberOption = Annotated[int, typer.Option(min=1, help="How many.")]
SeedOption = Annotated[int, typer.Option(min=0, help="The same seed gives the same pixels.")]
OutOption = Annotated[Path, typer.Option(help="Directory to write to: empty, or that of the same command, stopped.")]
SizeOption = Annotated[int, typer.Option(min=32, help="Height and width of a stamp in pixels of 0.262 arcsec.")]


class StampFormat(StrEnum):
    """What stamps are written as."""

    parquet = "parquet"
    fits = "fits"


FormatOption = Annotated[
    StampFormat, typer.Option("--format", help="Parquet shards with a dataset card, or one FITS cube a stamp.")
]


@simulate_app.command()
def galaxies(
    number: NumberOption,
    out: OutOption,
    seed: SeedOption = 0,
    size: SizeOption = 128,
    file_format: FormatOption = StampFormat.parquet,
) -> None:
    """Stamps of galaxies of every class.

    Examples:

        galvm simulate galaxies --number 10000 --seed 1 --out simulated-galaxies
    """
    _write_stamps("galaxies", number, seed, size, out, file_format)


@simulate_app.command()
def pictures(number: NumberOption, out: OutOption, seed: SeedOption = 0) -> None:
    """The same galaxies in colour pictures of 320 px, as the Sloan Digital Sky Survey shows them.

    Examples:

        galvm simulate pictures --number 10000 --seed 1 --out simulated-pictures
    """
    from ..data.simulate.galaxies.sdss import PICTURE_SIZE

    _write_stamps("pictures", number, seed, PICTURE_SIZE, out, StampFormat.parquet)


@simulate_app.command()
def lenses(
    number: NumberOption,
    out: OutOption,
    seed: SeedOption = 0,
    size: SizeOption = 128,
    file_format: FormatOption = StampFormat.parquet,
) -> None:
    """Stamps of strong lenses, and as many of what is mistaken for them.

    Examples:

        galvm simulate lenses --number 10000 --seed 1 --out simulated-lenses

        galvm simulate lenses --number 100 --out cubes --format fits
    """
    _write_stamps("lenses", number, seed, size, out, file_format)


@simulate_app.command()
def fields(
    number: NumberOption,
    out: OutOption,
    seed: SeedOption = 0,
    size: Annotated[tuple[int, int], typer.Option(help="Height and width in pixels of 0.262 arcsec.")] = (1024, 1024),
    lenses: Annotated[tuple[int, int], typer.Option(min=0, help="Fewest and most strong lenses in a field.")] = (4, 4),
    lookalikes: Annotated[int, typer.Option(min=0, help="Look-alikes in a field.")] = 6,
) -> None:
    """Wide fields as FITS with WCS, catalogues, and boxes and masks of the lenses in the COCO format.

    Examples:

        galvm simulate fields --number 20 --seed 1 --size 2048 2048 --lenses 12 12 --out simulated-fields
    """
    with plain_errors():
        from ..data.simulate.files import write_fields

        there = write_fields(number, seed, size, out, lenses, lookalikes)
        typer.echo(f"{number} simulated fields in {out}, {there} of them from an earlier run.")


def _write_stamps(what: str, number: int, seed: int, size: int, out: Path, file_format: StampFormat) -> None:
    with plain_errors():
        from ..data.simulate.files import write_stamp_cubes, write_stamp_shards

        write = write_stamp_cubes if file_format is StampFormat.fits else write_stamp_shards
        there = write(what, number, seed, size, out)
        typer.echo(f"{number} simulated stamps in {out}, {there} of them from an earlier run.")
