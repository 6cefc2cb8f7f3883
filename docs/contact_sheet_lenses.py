"""Pictures of simulated lenses and look-alikes beside real ones, and of a simulated field with its boxes.

    python docs/contact_sheet_lenses.py --data DIR

Writes docs/images/simulated-lenses.jpg and docs/images/simulated-field.jpg. The simulated ones are the first of their
seed, not chosen.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageDraw, ImageFont

from galvm_hf.data.simulate.fields.field import simulate_field
from galvm_hf.data.simulate.lenses.stamps import simulate_lenses
from galvm_hf.image_transforms_galvm import flux_to_display

IMAGES = Path(__file__).parent / "images"
COLUMNS, TILE, CAPTION = 8, 160, 26
SHOWN_ARCSEC = 24.0
LEGACY_SCALE, CFHTLS_SCALE = 0.262 * 96 / 153, 0.187  # arcsec per pixel of the real pictures


def as_picture(flux: np.ndarray) -> Image.Image:
    """Flux [3, H, W] in the stretch of the Legacy Surveys, red first."""
    return Image.fromarray((flux_to_display(flux)[::-1].transpose(1, 2, 0) * 255).round().astype(np.uint8))


def simulated(lens_fraction: float, seed: int, number: int) -> list[Image.Image]:
    """The first stamps of a seed; of look-alikes, those that are not ordinary galaxies."""
    stamps = simulate_lenses(2 * number, torch.Generator().manual_seed(seed), lens_fraction=lens_fraction)
    kept = (stamps.truth["kind"] < stamps.truth["kind"].max() if not lens_fraction else stamps.labels == 1).nonzero()
    return [as_picture(stamps.flux[row].numpy()) for row in kept.flatten()[:number]]


def real(path: Path, number: int, low: float = -np.inf, high: float = np.inf) -> list[Image.Image]:
    """The first pictures of a Parquet file, where it has grades those between the two."""
    rows = pq.read_table(path).to_pylist()
    rows = [row for row in rows if low <= row.get("expert_grade", 0) <= high]
    return [Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB") for row in rows[:number]]


def as_tile(picture: Image.Image, scale: float) -> Image.Image:
    """The middle of a picture, the same angle on the sky for all."""
    half = SHOWN_ARCSEC / scale / 2
    x, y = picture.width / 2, picture.height / 2
    return picture.resize((TILE, TILE), Image.Resampling.BICUBIC, (x - half, y - half, x + half, y + half))


def draw_sheet(blocks: list[tuple[str, list[Image.Image], float]]) -> Image.Image:
    """Rows of pictures under captions."""
    heights = [CAPTION + TILE * -(-len(pictures) // COLUMNS) for _, pictures, _ in blocks]
    sheet = Image.new("RGB", (COLUMNS * TILE, sum(heights)), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for (caption, pictures, scale), height in zip(blocks, heights, strict=True):
        draw.text((6, top + 4), caption, fill="black", font=ImageFont.load_default(16))
        for index, picture in enumerate(pictures):
            row, column = divmod(index, COLUMNS)
            sheet.paste(as_tile(picture, scale), (column * TILE, top + CAPTION + row * TILE))
        top += height
    return sheet


def draw_field(size: int, seed: int) -> Image.Image:
    """A simulated field: lenses in yellow boxes, look-alikes in blue ones, large galaxies named."""
    field = simulate_field((size, size), torch.Generator().manual_seed(seed), lenses=9, lookalikes=9)
    picture = as_picture(field.flux.numpy())
    draw, catalogue = ImageDraw.Draw(picture), field.catalogue
    for instance in field.instances:
        x0, y0, x1, y1 = instance.box
        draw.rectangle((x0 - 2, y0 - 2, x1 + 1, y1 + 1), outline="yellow")
        draw.text((x0, y1 + 2), f"lens {catalogue['einstein_radius'][instance.row]:.1f}''", fill="yellow")
    for row in np.flatnonzero(~np.isin(catalogue["class"], ["star", "galaxy", "lens"])):
        x, y, kind = catalogue["x"][row], catalogue["y"][row], str(catalogue["class"][row])
        draw.rectangle((x - 18, y - 18, x + 18, y + 18), outline="#6cb4ff")
        draw.text((x - 18, y + 20), kind, fill="#6cb4ff")
    draw.text(
        (8, 6), "Simulated field, g r z: nothing in it is an observation", fill="white", font=ImageFont.load_default(16)
    )
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real images")
    data = parser.parse_args().data
    space_warps = next((data / "cfhtls-space-warps").glob("*.parquet"))
    legacy = next((data / "legacy-lenses").glob("*.parquet"))
    blocks = [
        ("SIMULATED strong lenses, grz", simulated(1.0, 20, 24), 0.262),
        ("REAL lenses and candidates, Legacy Surveys grz (Stein et al. 2022)", real(legacy, 16), LEGACY_SCALE),
        (
            "REAL lenses, CFHTLS gri, Space Warps grade 2 and up (More et al. 2016)",
            real(space_warps, 8, 2.0),
            CFHTLS_SCALE,
        ),
        ("SIMULATED look-alikes, grz", simulated(0.0, 20, 16), 0.262),
        ("REAL look-alikes, CFHTLS gri, Space Warps grade 0.7 and less", real(space_warps, 16, high=0.7), CFHTLS_SCALE),
    ]
    IMAGES.mkdir(exist_ok=True)
    draw_sheet(blocks).save(IMAGES / "simulated-lenses.jpg", quality=85)
    draw_field(1000, 4).save(IMAGES / "simulated-field.jpg", quality=88)


if __name__ == "__main__":
    main()
