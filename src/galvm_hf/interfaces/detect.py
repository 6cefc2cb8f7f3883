"""`galvm detect`: from a field to a catalogue of strong lenses, regions and a gallery."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .console import plain_errors
from .options import DeviceOption

GALLERY_CARDS = 500
PICTURE_SIDE = 256  # px
SMALLEST_CUTOUT = 48  # px of the field
CONTOUR = (255, 92, 214)
VIEWER = "https://www.legacysurvey.org/viewer?ra={ra:.6f}&dec={dec:.6f}&layer=ls-dr10&zoom=16&mark={ra:.6f},{dec:.6f}"


def detect(
    field: Annotated[
        Path,
        typer.Argument(help="FITS of any size: a cube, an extension a band, or name-{band}.fits; or a picture."),
    ],
    out: Annotated[Path, typer.Option(help="Catalogue to write: .fits, .vot, .xml, .ecsv or .csv.")] = Path(
        "lenses.fits"
    ),
    model: Annotated[
        str, typer.Option(help="`galvm-lens` (the released detector), a directory, or the name of a model on the Hub.")
    ] = "galvm-lens",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Least score of a detection.")] = 0.5,
    tile: Annotated[int, typer.Option(min=64, help="Height and width of a tile in pixels.")] = 512,
    overlap: Annotated[
        int, typer.Option(min=0, help="Pixels that neighbouring tiles share: no less than the largest lens.")
    ] = 64,
    batch_size: Annotated[int, typer.Option(min=1, help="Tiles per step; fewer need less memory.")] = 4,
    device: DeviceOption = "auto",
) -> None:
    """Find strong lenses in a wide image.

    The image is searched in overlapping tiles, read one after another, so that it may be larger than memory. Beside the
    catalogue come `<out>.reg`, regions for DS9, and `<out>.html`, a gallery sorted by score. Flux is calibrated, in
    the bands g, r and z. Pixels that are not finite are hidden. Compressed files are decompressed to TMPDIR first.

    Examples:

        galvm detect field.fits --out lenses.fits

        galvm detect "brick-{band}.fits.fz" --out lenses.ecsv --threshold 0.8 --device cuda
    """
    with plain_errors():
        from ..detection.catalogue import catalogue_format

        catalogue_format(out)
        detector = load_detector(model, device, threshold)
        search, written = detect_lenses(field, out, detector, Path(model).name, tile, overlap, batch_size)
        skipped = f", {search.skipped} of {search.tiles} tiles without a valid pixel" if search.skipped else ""
        typer.echo(f"{len(search.detections)} lens candidates in {', '.join(map(str, written))}.")
        typer.echo(
            f"{search.megapixels:.2f} Mpx in {search.seconds:.0f} s, {search.seconds / search.megapixels:.2f} s/Mpx, "
            f"{search.outside:.0%} of it outside the network{skipped}."
        )


def load_detector(name: str, device: str = "auto", threshold: float = 0.5) -> Any:
    """Load the detector of a checkpoint.

    Args:
        name: "galvm-lens" for the released one, a directory, or a name on the Hub.
        device: As torch names it, or "auto".
        threshold: Least score of a detection.
    """
    from ..detection import Detector

    model, image_processor = load_model(name, device)
    return Detector(model, image_processor, model.device, threshold)


def load_model(name: str, device: str = "auto") -> tuple[Any, Any]:
    """A detector in evaluation mode and its image processor.

    Args:
        name: "galvm-lens" for the packaged checkpoint, a folder, or a name on the Hub.
        device: As torch names it, or "auto".

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If the checkpoint has no detector.
    """
    from safetensors import safe_open
    from transformers import AutoImageProcessor, AutoModelForObjectDetection

    from ..train.resnet import ResNetForLensDetection
    from .embed import pick_device, resolve_checkpoint

    path = resolve_checkpoint(name)
    weights = Path(path) / "model.safetensors"
    is_peer = False
    if weights.is_file():
        with safe_open(weights, framework="pt") as tensors:
            is_peer = any(name.startswith("resnet.") for name in tensors.keys())  # noqa: SIM118
    loader = ResNetForLensDetection if is_peer else AutoModelForObjectDetection
    model, info = loader.from_pretrained(path, output_loading_info=True)
    if any(key.startswith("detector.") for key in info["missing_keys"]):
        raise ValueError(f"{name} has no lens detector: give galvm-lens, or a checkpoint that training/detect.py made.")
    return model.eval().to(pick_device(device)), AutoImageProcessor.from_pretrained(path)


def detect_lenses(
    path: Path, out: Path, detector: Any, model_name: str, side: int = 512, overlap: int = 64, batch_size: int = 4
) -> tuple[Any, list[Path]]:
    """Search a field and write its catalogue, regions and gallery.

    Args:
        path: Of the field, as `open_wide_field` takes it.
        out: The catalogue; regions and gallery get its name.
        detector: From `load_detector`.
        model_name: Recorded in the catalogue.
        side: Height and width of a tile in pixels.
        overlap: Pixels that neighbouring tiles share at least.
        batch_size: Tiles per forward pass.

    Returns:
        The `Search`, and the files that were written.

    Raises:
        UnreadableStampError: If the field cannot be read.
        ValueError: If the suffix of `out` stands for no format, or the overlap does not fit the tiles.
    """
    from .. import __version__
    from ..data.readers.wide_fields import open_wide_field
    from ..detection import make_catalogue, search_field, write_catalogue, write_regions

    with open_wide_field(path) as field:
        search = search_field(field, detector, side, overlap, batch_size)
        about = {"FIELD": path.name, "MODEL": model_name, "THRESHLD": detector.threshold, "TILE": side}
        about |= {"OVERLAP": overlap, "GALVM": __version__}
        if field.simulated:
            about["SIMULATD"] = True
        table = make_catalogue(search.detections, field, about)
        regions, page = out.with_suffix(".reg"), out.with_suffix(".html")
        write_catalogue(table, out)
        write_regions(table, field, regions)
        write_gallery(search.detections, table, field, detector, page)
    return search, [out, regions, page]


def write_gallery(detections: Sequence[Any], table: Any, field: Any, detector: Any, path: Path) -> None:
    """Write a page of what was found, best score first, with the outline of each mask.

    Args:
        detections: In the order of the table.
        table: From `make_catalogue`.
        field: Open, to cut the pictures from.
        detector: Whose image processor makes pictures of flux.
        path: The page to create or replace.
    """
    from .report import Report, gallery

    number = len(detections)
    tags = [f"{number} candidates", f"model {table.meta['MODEL']}", f"score from {table.meta['THRESHLD']:g}"]
    if field.simulated:
        tags.insert(0, "simulated, not observed")
    height, width = field.shape
    lead = f"Candidates for strong lenses in a field of {width} x {height} px, sorted by score, with outlined masks."
    report = Report(f"Lenses in {table.meta['FIELD']}", tags, lead, wide=True)
    shown = list(zip(detections, table, strict=True))[:GALLERY_CARDS]
    text = f"The best {len(shown)}; the catalogue has all {number}." if number > len(shown) else ""
    if not shown:
        text = "None was found."
    cards = gallery(
        [_picture(detection, field, detector) for detection, _ in shown],
        [_caption(row) for _, row in shown],
        [_link(row) for _, row in shown],
    )
    report.section("Candidates", text, cards)
    report.write(path)


def _picture(detection: Any, field: Any, detector: Any) -> Any:
    """A square cutout around a detection, a PIL image, with its mask's outline."""
    import cv2
    from PIL import Image

    x0, y0, x1, y1 = detection.box
    side = max(SMALLEST_CUTOUT, math.ceil(2 * max(x1 - x0, y1 - y0)))
    left, top = (round((low + high - side) / 2) for low, high in ((x0, x1), (y0, y1)))
    height, width = field.shape
    rows, columns = slice(max(top, 0), min(top + side, height)), slice(max(left, 0), min(left + side, width))
    display = detector.prepare([field.read(rows, columns)], field.bands)
    seen = np.asarray(detector.image_processor.post_process_images(display, output_type="pil")[0])
    picture, mask = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.uint8)
    picture[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = seen
    across, down = detection.corner[0] - left, detection.corner[1] - top
    mask[down : down + detection.mask.shape[0], across : across + detection.mask.shape[1]] = detection.mask
    picture = cv2.resize(picture, (PICTURE_SIDE, PICTURE_SIDE), interpolation=cv2.INTER_CUBIC)
    mask = cv2.resize(mask * 255, (PICTURE_SIDE, PICTURE_SIDE), interpolation=cv2.INTER_LINEAR)
    outlines, _ = cv2.findContours((mask > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outlines, -1, CONTOUR, 1, cv2.LINE_AA)
    # the rows of FITS go up, as north mostly does; those of a picture go down
    return Image.fromarray(picture if field.bands is None else picture[::-1])


def _caption(row: Any) -> list[str]:
    lines = [f"{row['id']}. score {row['score']:.3f}"]
    if "ra" in row.colnames:
        lines.append(f"{row['ra']:.5f}, {row['dec']:+.5f}")
    else:
        lines.append(f"x {row['x']:.1f}, y {row['y']:.1f} px")
    if "einstein_radius" in row.colnames:
        lines.append(f"Einstein radius about {row['einstein_radius']:.1f}″")
    return lines


def _link(row: Any) -> tuple[str, str] | None:
    """To the Legacy Survey Sky Viewer, where the place is known."""
    if "ra" not in row.colnames:
        return None
    return "Legacy Survey Sky Viewer", VIEWER.format(ra=row["ra"], dec=row["dec"])
