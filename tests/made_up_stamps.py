"""A folder like that of the real stamps, of pictures that are made up, for tests where there are no real ones."""

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NUMBER = 12  # of lenses and of look-alikes: enough for every split


def write_made_up_stamps(folder: Path) -> Path:
    """Space Warps lenses and look-alikes, galaxies of Galaxy Zoo, and lenses of the Legacy Surveys."""
    random = np.random.default_rng(0)
    rows = []
    for index in range(2 * NUMBER):
        grade = 2.7 if index < NUMBER else 0.3
        picture = lens_picture(161, random, arc=index < NUMBER)
        place = {"ra": 30.0 + index, "dec": -5.0, "expert_grade": grade}
        rows.append({"name": f"CFHTLS-{index:02d}", "image": _encode(picture, ".png", f"{index}.png")} | place)
    _write(rows, folder / "cfhtls-space-warps")
    galaxies = [
        {"image": _encode(galaxy_picture(random), ".jpg", f"{index}.jpg"), "source": "galaxy-zoo-2"}
        for index in range(2 * NUMBER)
    ]
    _write(galaxies, folder / "sdss-unlabelled")
    lenses = [{"image": _encode(lens_picture(153, random, sky=35), ".png", f"ssl_{kind}.png"), "kind": kind}
              for kind in ("previous_lens", "new_lens")]  # fmt: skip
    _write(lenses, folder / "legacy-lenses")
    return folder


def lens_picture(side: int, random: np.random.Generator, arc: bool = True, sky: int = 0) -> np.ndarray:
    """A red galaxy and perhaps a blue arc of 100 degrees round it, uint8 [H, W, 3], red first."""
    rows, columns = np.indices((side, side)) - side // 2
    radius, angle = np.hypot(rows, columns), np.arctan2(rows, columns)
    red = 150 * np.exp(-((radius / 7) ** 2) / 2)
    blue = 90 * np.exp(-(((radius - 16) / 3) ** 2) / 2) * (np.abs(angle) < np.radians(50)) * arc
    colours = np.stack([red + 0.3 * blue, 0.6 * red + 0.5 * blue, 0.25 * red + 1.2 * blue], axis=-1)
    noise = random.normal(0, [6, 6, 9], colours.shape)
    return (colours + noise + sky).clip(0, 255).astype(np.uint8)


def galaxy_picture(random: np.random.Generator) -> np.ndarray:
    """A disc in the middle of a dark sky, uint8 [320, 320, 3]."""
    rows, columns = np.indices((320, 320)) - 160
    light = 160 * np.exp(-np.hypot(rows, columns / random.uniform(0.4, 1)) / 14)
    return (light[..., None] * [1.0, 0.9, 0.7] + random.normal(4, 2, (320, 320, 3))).clip(0, 255).astype(np.uint8)


def _encode(picture: np.ndarray, suffix: str, name: str) -> dict:
    return {"bytes": cv2.imencode(suffix, picture[..., ::-1])[1].tobytes(), "path": name}


def _write(rows: list[dict], folder: Path) -> None:
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000-of-00001.parquet")
