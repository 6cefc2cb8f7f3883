"""Simulated galaxies beside real ones, on one labelled sheet.

    python docs/contact_sheet.py --data DIR --out docs/images/simulated-galaxies.jpg

All stamps are shown as the model sees them, after the adaptive crop. Real pictures: Sloan Digital Sky Survey with the
classes of Galaxy Zoo 1, DESI Legacy Imaging Surveys (flux cutouts, and examples of Galaxy Zoo DECaLS).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from galvm_hf import GalvmImageProcessor
from galvm_hf.data.readers import iter_stamps
from galvm_hf.data.simulate import BANDS, CLASSES, simulate_galaxies
from galvm_hf.data.simulate.galaxies.sdss import simulate_sdss_pictures
from galvm_hf.files import whole_file

COLUMNS, TILE, GAP, HEADING = 10, 100, 2, 24
# what Galaxy Zoo 1 calls them
REAL = {
    "elliptical": ("elliptical",),
    "edge-on": ("edge_on",),
    "spiral": ("spiral_cw", "spiral_acw"),
    "merger": ("merger",),
}
PROCESSOR = GalvmImageProcessor()


def show(images: list[np.ndarray], bands: tuple[str, ...] | None = None) -> list[np.ndarray]:
    """Tiles, uint8 [TILE, TILE, 3], of pictures or flux."""
    pixel_values = PROCESSOR(images, bands=bands, size={"height": TILE, "width": TILE}, return_tensors="pt")[
        "pixel_values"
    ]
    return [np.asarray(picture) for picture in PROCESSOR.post_process_images(pixel_values, output_type="pil")]


def rows(data: Path, seed: int) -> list[tuple[str, list[np.ndarray]]]:
    """Headings and their tiles."""
    random, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    by_class: dict[str, list[np.ndarray]] = {}
    for stamp in iter_stamps([data / "sdss-galaxy-zoo-1" / "train-00000-of-00001.parquet"]):
        by_class.setdefault(stamp.columns["galaxy_zoo_1"], []).append(stamp.pixels)
    found = []
    for name in CLASSES:
        simulated, _, _ = simulate_sdss_pictures(COLUMNS, generator, (name,))
        found.append((f"SIMULATED {name}, in the manner of SDSS", show(list(simulated))))
        if name in REAL:
            pool = [image for kind in REAL[name] for image in by_class[kind]]
            chosen = [pool[index] for index in random.choice(len(pool), COLUMNS, replace=False)]
            found.append((f"REAL {name} (SDSS, Galaxy Zoo 1)", show(chosen)))
    for name in CLASSES:
        simulated = simulate_galaxies(COLUMNS, generator, classes=(name,))
        found.append((f"SIMULATED {name}, Legacy Surveys flux", show(list(simulated.flux.numpy()), BANDS)))
    flux = [stamp.pixels for stamp in iter_stamps(sorted((data / "legacy-dr10-flux").glob("*.fits")))]
    examples = [stamp.pixels for stamp in iter_stamps([data / "galaxy-zoo-decals-examples"])]
    chosen = [examples[index] for index in random.choice(len(examples), 2 * COLUMNS - len(flux), replace=False)]
    tiles = show(flux, BANDS) + show(chosen)
    found.append(
        ("REAL: six Legacy Surveys DR10 flux cutouts (faint red galaxies), then DECaLS examples of", tiles[:COLUMNS])
    )
    found.append(("Galaxy Zoo, whose pictures were stretched otherwise (less colour)", tiles[COLUMNS:]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the real images")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    found = rows(arguments.data, arguments.seed)
    step = HEADING + TILE + GAP
    sheet = Image.new("RGB", (COLUMNS * (TILE + GAP), len(found) * step), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for row, (heading, tiles) in enumerate(found):
        colour = "#a03000" if heading.startswith("SIMULATED") else "#003080"
        pen.text((4, row * step + 3), heading, fill=colour, font=font)
        for column, tile in enumerate(tiles):
            sheet.paste(Image.fromarray(tile), (column * (TILE + GAP), row * step + HEADING))
    with whole_file(arguments.out) as temporary:
        sheet.save(temporary, format="JPEG", quality=88)


if __name__ == "__main__":
    main()
