"""The real objects that fields are made of, and the split that each belongs to for good."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from ..readers.pictures import decode_picture
from .surveys import CFHTLS, LEGACY, SDSS, Survey

# Share of the objects, by the hash of their names; the rest is for tests.
TRAIN, VALIDATION = 0.42, 0.13
SPLITS = ("train", "validation", "test")
CLASSES = ("lens", "negative", "galaxy")
# Grades of the experts of Space Warps (More et al. 2016): 3 is a sure lens, 0 is none.
LEAST_LENS_GRADE, MOST_NEGATIVE_GRADE = 2.0, 0.7
SAME_OBJECT = 5.0  # arcsec between two entries of one object
# What Stein et al. (2022) found in earlier catalogues; their new candidates and what nobody lists are left out.
KNOWN_LENS = "previous_lens"
SATURATED = 254  # of 255
# The pictures of Galaxy Zoo have sky all round their galaxy; those at 0.2 arcsec per pixel are filled by it.
SDSS_SOURCE = "galaxy-zoo-2"


@dataclass(frozen=True)
class RealObject:
    """A stamp of a real object.

    Attributes:
        name: Of the object, or of the file where it has none.
        kind: One of `CLASSES`.
        survey: That took it.
        source: Folder of the data set.
        encoded: The picture, PNG or JPEG.
        grade: Of the experts, 0 to 3, or `None` where none was given.
    """

    name: str
    kind: str
    survey: Survey
    source: str
    encoded: bytes
    grade: float | None = None

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Nanomaggies in a pixel of the stamp, float32 [3, H, W], bands g, r, z; and what is saturated, the same shape.

        Raises:
            UnreadableStampError: If the picture is damaged.
        """
        channels = decode_picture(self.encoded, self.name)[..., ::-1].transpose(2, 0, 1)
        return self.survey.to_flux(channels.astype(np.float32) / 255), channels >= SATURATED


def split_of(key: str) -> str:
    """Split of an object by a hash of its name: always the same, whatever else there is."""
    share = int.from_bytes(sha256(key.encode()).digest()[:8]) / 2**64
    return "train" if share < TRAIN else "validation" if share < TRAIN + VALIDATION else "test"


def read_objects(data: Path, split: str) -> list[RealObject]:
    """All objects of a split: lenses, hard negatives, galaxies.

    Args:
        data: Folder with `cfhtls-space-warps`, `sdss-unlabelled` and, for tests, `legacy-lenses`.
        split: One of `SPLITS`.

    Raises:
        FileNotFoundError: If one of the folders holds no Parquet file.
        ImportError: If pyarrow is not installed.
    """
    objects = [*_space_warps(data, split), *_sdss(data, split)]
    return [*objects, *_legacy(data)] if split == "test" else objects


def _space_warps(data: Path, split: str) -> Iterator[RealObject]:
    source = "cfhtls-space-warps"
    rows = sorted(_read_rows(data / source), key=lambda row: row["name"])
    for row, key in zip(rows, _group_names(rows), strict=True):
        grade = round(row["expert_grade"], 2)
        kind = "lens" if grade >= LEAST_LENS_GRADE else "negative" if grade <= MOST_NEGATIVE_GRADE else None
        if kind and split_of(key) == split:
            yield RealObject(row["name"], kind, CFHTLS, source, row["image"]["bytes"], grade)


def _group_names(rows: list[dict]) -> list[str]:
    """Of each row the name of the first one at its place on the sky."""
    ra, dec = (np.radians([row[name] for row in rows]) for name in ("ra", "dec"))
    names = []
    for row in range(len(rows)):
        distance = np.hypot((ra - ra[row]) * np.cos(dec[row]), dec - dec[row])
        names.append(rows[int(np.argmax(np.degrees(distance) * 3600 < SAME_OBJECT))]["name"])
    return names


def _sdss(data: Path, split: str) -> Iterator[RealObject]:
    source = "sdss-unlabelled"
    for row in _read_rows(data / source):
        name = Path(row["image"]["path"]).stem
        if row["source"] == SDSS_SOURCE and split_of(f"sdss {name}") == split:
            yield RealObject(f"SDSS {name}", "galaxy", SDSS, source, row["image"]["bytes"])


def _legacy(data: Path) -> Iterator[RealObject]:
    source = "legacy-lenses"
    for row in _read_rows(data / source):
        if row["kind"] == KNOWN_LENS:
            name = Path(row["image"]["path"]).stem
            yield RealObject(name, "lens", LEGACY, source, row["image"]["bytes"])


def _read_rows(folder: Path) -> Iterator[dict]:
    import pyarrow.parquet as pq

    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise FileNotFoundError(
            f"{folder} holds no Parquet file. Name the folder of real images with --data or GALVM_DATA."
        )
    for path in files:
        yield from pq.read_table(path).to_pylist()
