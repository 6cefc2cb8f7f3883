"""Pictures of composite fields as they are and with the outlines of their lenses.

    python docs/contact_sheet_composites.py --data DIR

Writes docs/images/real-composites.jpg. The fields are the first of the training split's seed 0 that hold a lens, not
chosen otherwise; `--number` and `--out` make larger sheets.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from galvm_hf.data.composites.field import CompositeField, compose_field
from galvm_hf.data.composites.files import as_picture
from galvm_hf.data.composites.objects import SPLITS, read_objects

SIZE, ZOOM, RADIUS = 256, 2, 14


def draw_field(field: CompositeField) -> Image.Image:
    """A field beside itself with the masks of its lenses in yellow and circles round hard negatives in blue."""
    plain = Image.fromarray(as_picture(field.flux)).resize((SIZE * ZOOM, SIZE * ZOOM), Image.Resampling.BICUBIC)
    marked = np.array(plain)
    for instance in field.instances:
        x0, y0, x1, y1 = instance.box
        mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
        mask[y0:y1, x0:x1] = instance.mask
        larger = cv2.resize(mask, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(larger, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(marked, outlines, -1, (255, 255, 0), 1)
    both = Image.new("RGB", (2 * SIZE * ZOOM, SIZE * ZOOM))
    both.paste(plain, (0, 0))
    both.paste(Image.fromarray(marked), (SIZE * ZOOM, 0))
    draw = ImageDraw.Draw(both)
    for pasted in field.objects:
        if pasted.real.kind == "negative":
            x, y = SIZE * ZOOM + pasted.x * ZOOM, pasted.y * ZOOM
            draw.ellipse((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), outline="#6cb4ff")
    return both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of real images")
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--number", type=int, default=2, help="how many fields")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images" / "real-composites.jpg")
    arguments = parser.parse_args()
    objects = read_objects(arguments.data, arguments.split)
    pictures, index = [], 0
    while len(pictures) < arguments.number:
        random = np.random.default_rng([0, SPLITS.index(arguments.split), index])
        field = compose_field(objects, (SIZE, SIZE), random)
        index += 1
        if field.instances:
            pictures.append(draw_field(field))
    sheet = Image.new("RGB", (pictures[0].width, len(pictures) * pictures[0].height))
    for row, picture in enumerate(pictures):
        sheet.paste(picture, (0, row * picture.height))
    sheet.save(arguments.out, quality=75)


if __name__ == "__main__":
    main()
