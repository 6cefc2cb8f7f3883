"""`galvm prepare`: stamps from the sky; stamps into shards, splits, collections, and fields."""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .console import list_skipped, plain_errors
from .options import BatchOption, DeviceOption, ModelOption

prepare_app = typer.Typer(
    help="Make data ready: cut stamps, pack and split them, make collections, compose fields.", no_args_is_help=True
)

OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Start anew where the files of another job, or of this one, are.")
]


class CutoutFormat(StrEnum):
    """What `galvm prepare cutouts` writes."""

    FITS = "fits"
    PARQUET = "parquet"


class CompositeSplit(StrEnum):
    """Whose objects `galvm prepare composites` takes."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@prepare_app.command()
def cutouts(
    images: Annotated[
        str, typer.Option(help="Survey images, one a band: `brick-{band}.fits`, with `*` where bricks differ.")
    ],
    catalog: Annotated[Path, typer.Option(help="FITS table, VOTable, ECSV or CSV with the objects' positions.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    size: Annotated[int, typer.Option(min=2, help="Height and width of a stamp in pixels.")] = 192,
    bands: Annotated[str, typer.Option(help="What stands in the place of `{band}`, separated by commas.")] = "g,r,z",
    pixel_scale: Annotated[
        float, typer.Option(help="Arcseconds per pixel; images of another scale are resampled to it.")
    ] = 0.262,
    ra_column: Annotated[str | None, typer.Option(help="Right ascension, if not `ra`, `RAJ2000`, ...")] = None,
    dec_column: Annotated[str | None, typer.Option(help="Declination, if not `dec`, `DEJ2000`, ...")] = None,
    id_column: Annotated[str | None, typer.Option(help="Names, if not `id`, `objid`, `source_id`, ...")] = None,
    format: Annotated[CutoutFormat, typer.Option(help="FITS files, one an object, or Parquet shards.")] = "fits",
    overwrite: OverwriteOption = False,
) -> None:
    """Cut a stamp of each catalogued object from survey images.

    Each object is taken from the image in which it lies farthest from the edges. What an image does not reach is NaN;
    `padded` says how much of the stamp that is. Positions are in degrees unless the catalogue states another unit.
    Objects without a stamp are listed in `skipped.csv`. A job that was stopped goes on when it is started again.

    Examples:

        galvm prepare cutouts --images 'brick-{band}.fits' --catalog cat.fits --size 192 --out stamps/

        galvm prepare cutouts --images 'bricks/*/legacysurvey-*-image-{band}.fits.fz' --catalog cat.csv --out shards/
        --format parquet
    """
    with plain_errors():
        from ..data.cutouts import plan_cutouts, read_catalogue, write_fits_cutouts, write_parquet_cutouts

        catalogue = read_catalogue(catalog, ra_column, dec_column, id_column)
        names = [band.strip() for band in bands.split(",") if band.strip()]
        plan = plan_cutouts(images, catalogue, size, names, pixel_scale)
        if format == CutoutFormat.FITS:
            summary = write_fits_cutouts(plan, out, overwrite)
        else:
            summary = write_parquet_cutouts(plan, out, _command(), overwrite=overwrite)
        list_skipped(summary.skipped)
        typer.echo(
            f"{summary.number} stamps in {out}, {summary.continued} of them from an earlier run, {summary.at_edge} at "
            f"an edge; {len(summary.skipped)} objects without a stamp."
        )


@prepare_app.command()
def shards(
    sources: Annotated[list[Path], typer.Argument(help="Stamps: files of any kind that is read, and folders of them.")],
    out: Annotated[Path, typer.Option(help="Directory of the dataset.")],
    shard_size: Annotated[str, typer.Option(help="Size of a shard: `256MB`, `1GB`, `64MiB`.")] = "256MB",
    name: Annotated[str | None, typer.Option(help="Name of the dataset, for its card.")] = None,
    license: Annotated[str | None, typer.Option(help="License as the Hub spells it: `cc-by-4.0`.")] = None,
    split: Annotated[str, typer.Option(help="Name of the split; each split is a run of its own.")] = "train",
    overwrite: OverwriteOption = False,
) -> None:
    """Pack stamps into Parquet shards with a dataset card, as the Hub and `load_dataset` read them.

    Pictures keep their bytes. What cannot be read is listed in `<split>.skipped.csv`. A job that was stopped goes on
    when it is started again, and ends with the same files.

    Examples:

        galvm prepare shards stamps/ --out dataset/ --shard-size 256MB

        galvm prepare shards test.h5 --out dataset/ --split test --name "My galaxies" --license cc-by-4.0
    """
    with plain_errors():
        from datasets.utils.py_utils import convert_file_size_to_int

        from ..data.shards import repack_sources

        size = convert_file_size_to_int(shard_size)
        summary = repack_sources(sources, out, split, size, name, license, _command(), overwrite)
        list_skipped(summary.skipped)
        typer.echo(
            f"{summary.number} stamps in {out}, {summary.continued} of them from an earlier run, "
            f"{len(summary.skipped)} skipped. The card is {summary.card}."
        )


@prepare_app.command()
def splits(
    sources: Annotated[list[str], typer.Argument(help="Parquet files, all of the same columns, and folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    validation: Annotated[float, typer.Option(help="Share of the rows to hold out.")],
    test: Annotated[float, typer.Option(help="Share of the rows to hold out once more.")] = 0.0,
    label: Annotated[str | None, typer.Option(help="Column whose classes get the same shares everywhere.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Parquet file whose galaxies may be in no split; may be repeated.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Take only rows with `column=value`; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order, and of who is held out.")] = 0,
    overwrite: OverwriteOption = False,
) -> None:
    """Split Parquet files of pictures or flux into training, validation and test files, no galaxy in two of them.

    Pictures of the same galaxy are found by their looks, also at another scale, and kept in one split. Those that show
    a galaxy of an excluded file are dropped. `splits.json` says what was done, and which rows it concerns.

    Examples:

        galvm prepare splits train.parquet --out splits/ --validation 0.05 --label label --exclude test.parquet

        galvm prepare splits shards/ --out splits/ --validation 0.05 --test 0.1 --where source=galaxy-zoo-2
    """
    with plain_errors():
        from ..data.splits import write_splits

        pairs = [condition.partition("=") for condition in where or ()]
        if wrong := [name for name, equals, _ in pairs if not (name and equals)]:
            raise ValueError(f"`--where` needs column=value, got {wrong[0]!r}.")
        conditions = {name: value for name, _, value in pairs}
        summary = write_splits(
            sources,
            out,
            validation=validation,
            test=test,
            label=label,
            exclude=exclude or (),
            where=conditions,
            seed=seed,
            overwrite=overwrite,
        )
        list_skipped([ValueError(f"{name}: {cause}") for name, cause in summary.skipped])
        counts = ", ".join(f"{number} {name}" for name, number in summary.rows.items())
        dropped = len(summary.excluded) + len(summary.followers)
        typer.echo(
            f"{counts} rows in {out}; {dropped} dropped that show a galaxy of an excluded file, {len(summary.grouped)} "
            f"pairs of the same galaxy kept together, {len(summary.skipped)} skipped."
        )


@prepare_app.command()
def composites(
    data: Annotated[
        Path,
        typer.Option(
            envvar="GALVM_DATA", help="Folder of real images: cfhtls-space-warps, sdss-unlabelled, legacy-lenses."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write to: empty, or that of the same command, stopped.")],
    split: Annotated[CompositeSplit, typer.Option(help="Which objects: no object is in two splits.")],
    number: Annotated[int, typer.Option(min=1, help="How many fields.")] = 1000,
    size: Annotated[int, typer.Option(min=256, max=1024, help="Height and width in pixels of 0.262 arcsec.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pixels.")] = 0,
) -> None:
    """Compose fields of real galaxies and real strong lenses, with boxes and masks of the lenses in the COCO format.

    Stamps are brought to one pixel scale, seeing, stretch and noise, and blended into the noise of the field. Two
    thirds of the fields have one to three lenses; all have what experts took for no lens, and galaxies. The masks are
    computed, not drawn. Lenses of the Legacy Surveys are in the test split only. A job that was stopped goes on.

    Examples:

        galvm prepare composites --data DIR --split train --number 1000 --out composites/train

        galvm prepare composites --data DIR --split test --number 100 --size 1024 --seed 1 --out wide
    """
    with plain_errors():
        from ..data.composites import write_composites

        there = write_composites(data, split.value, number, seed, size, out)
        typer.echo(f"{number} composite fields in {out}, {there} of them from an earlier run.")


@prepare_app.command()
def collection(
    sources: Annotated[
        list[Path], typer.Argument(help="Stamps: files and folders of them; or files that `galvm embed` wrote.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    input: Annotated[
        list[str] | None, typer.Option(help="Numeric column to learn from beside the features; may be repeated.")
    ] = None,
    model: ModelOption = "galvm",
    batch_size: BatchOption = 32,
    device: DeviceOption = "auto",
    crop: Annotated[bool, typer.Option(help="Crop each image to its galaxy first.")] = True,
) -> None:
    """Make a collection to search in with `galvm label`: features, pictures and columns of many galaxies.

    Of stamps the features are computed (`stage_statistics`), and a job that was stopped goes on when it is started
    again. Files with a column `features` are taken as they are. What cannot be read is listed in `<out>.skipped.csv`.

    Examples:

        galvm prepare collection stamps/ --out survey

        galvm prepare collection survey.parquet --out survey --input mag_r --input z_phot --device cuda
    """
    with plain_errors():
        from ..hitl import build_collection
        from .collect import collect_stamps, has_features
        from .embed import load_encoder

        if all(has_features(source) for source in sources):
            made = build_collection(sources, out, input or ())
            typer.echo(f"{len(made)} galaxies with {made.width} numbers each in {out}.")
            return
        encoder = load_encoder(model, device, crop, "stage_statistics")
        summary = collect_stamps(sources, out, encoder, model, input or (), batch_size)
        list_skipped(summary.skipped)
        if not summary.number:
            raise ValueError(f"Nothing could be embedded, so {out} was not made.")
        typer.echo(f"{summary.number} galaxies in {out}, {len(summary.skipped)} skipped.")


def _command() -> str:
    return shlex.join(["galvm", *sys.argv[1:]])
