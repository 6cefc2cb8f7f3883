"""What was found as regions that DS9 and other viewers draw."""

from pathlib import Path
from typing import Any

import numpy as np

from ..data.readers.wide_fields import WideField
from ..files import whole_file

HEADER = '# Region file format: DS9 version 4.1\nglobal color=magenta width=2 font="helvetica 12 normal roman"\n'


def write_regions(table: Any, field: WideField, path: Path) -> None:
    """Write the boxes of a catalogue in DS9's text format, each labelled with its number and score.

    On the sky boxes are polygons, right for an image turned or mirrored in any way. Without a WCS they are in the
    image's own pixels, which DS9 counts from 1.

    Args:
        table: From `make_catalogue`.
        field: Where they lie.
        path: The file to create or replace.
    """
    lines = ["image" if field.wcs is None else "icrs"]
    for row in table:
        x, y = (
            np.array([row[name] for name in names]) for names in (("x0", "x1", "x1", "x0"), ("y0", "y0", "y1", "y1"))
        )
        if field.wcs is None:
            corners = [f"{value:.2f}" for value in np.stack([x + 0.5, y + 0.5], axis=1).ravel()]
        else:
            sky = field.wcs.pixel_to_world(x - 0.5, y - 0.5).icrs
            corners = [f"{value:.7f}" for value in np.stack([sky.ra.deg, sky.dec.deg], axis=1).ravel()]
        lines.append(f"polygon({','.join(corners)}) # text={{{row['id']}: {row['score']:.2f}}}")
    with whole_file(path) as temporary:
        temporary.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
