"""A collection: the features of many galaxies on disk, with their names, catalogue columns and pictures.

A folder of two files. `features.safetensors` has the standardised features in bfloat16, mapped into memory piece by
piece, so that a survey needs no more memory than a hundred galaxies. `objects.parquet` has the rest, a row a galaxy.
"""

import io
import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.cutouts.catalogues import DEC_NAMES, RA_NAMES
from ..data.readers import Stamp, read_stamp
from ..data.readers.parquet import read_parquet_stamp
from ..image_transforms_galvm import apply_crop, fill_hidden, find_crop, flux_to_display

FEATURES, OBJECTS = "features.safetensors", "objects.parquet"
THUMBNAIL = "thumbnail"
THUMBNAIL_SIDE = 128  # px
JPEG_QUALITY = 92
BACKGROUND = 1024  # galaxies
CHUNK = 4096  # galaxies that are in memory at once

_DTYPES = {"BF16": (np.uint16, torch.bfloat16), "F32": (np.float32, torch.float32)}


class Collection:
    """Galaxies to search in, N of them with D features each.

    Args:
        folder: As `build_collection` wrote it.

    Attributes:
        folder: The same.
        width: D.
        kind: What the features are: "stage_statistics" or "pooler_output".
        model: Name of the checkpoint that they are of.
        weights: Digest of its weights, as `digest_encoder` gives it.
        inputs: Catalogue columns that stand behind the features, as further numbers.
        mean: What was taken from each number, `[D]`.
        deviation: What it was then divided by, `[D]`.
        basis: Directions of length one in which the galaxies differ most, `[D, R]`.

    Raises:
        FileNotFoundError: If there is no collection.
        ValueError: If its files do not belong together.
    """

    def __init__(self, folder: str | Path):
        import pyarrow.parquet as pq

        self.folder = Path(folder)
        if missing := [name for name in (FEATURES, OBJECTS) if not (self.folder / name).is_file()]:
            raise FileNotFoundError(
                f"{self.folder} is no collection, as it has no {missing[0]}. Make one by `galvm prepare collection`."
            )
        self._tensors, described = _read_header(self.folder / FEATURES)
        self._length, self.width = self._tensors["features"][1]
        self.kind, self.model, self.weights, self.token = (
            described[key] for key in ("kind", "model", "weights", "token")
        )
        self.inputs: list[str] = json.loads(described["inputs"])
        self.mean, self.deviation, self.basis = (self._map(name).clone() for name in ("mean", "deviation", "basis"))
        self._objects = pq.ParquetFile(self.folder / OBJECTS, memory_map=True)
        self._rows: dict[str, int] = {}
        self._lock = threading.Lock()  # a Parquet file has one place where it reads
        if self._objects.schema_arrow.metadata.get(b"token") != self.token.encode():
            raise ValueError(f"{self.folder}: its two files are of different collections. Make it again.")

    def __len__(self) -> int:
        return self._length

    @property
    def columns(self) -> list[str]:
        """Names of what is known of each galaxy, `id` first."""
        return [name for name in self._objects.schema_arrow.names if name != THUMBNAIL]

    @cached_property
    def ids(self) -> Any:
        """Names of the galaxies, a pyarrow string array `[N]`."""
        return self.column("id").combine_chunks()

    def column(self, name: str) -> Any:
        """A column as a pyarrow array `[N]`.

        Raises:
            KeyError: If there is none of that name.
        """
        if name not in self.columns:
            raise KeyError(f"{self.folder} has no column {name}. It has {', '.join(self.columns)}.")
        with self._lock:
            return self._objects.read([name], use_threads=False).column(0)

    def row_of(self, object_id: str) -> int:
        """Where a galaxy stands.

        Raises:
            KeyError: If it is not here.
        """
        return self.rows_of([object_id])[0]

    def rows_of(self, object_ids: Iterable[str]) -> list[int]:
        """Where galaxies stand, in the order given; those that were asked for before are remembered.

        Raises:
            KeyError: If one is not here.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        object_ids = list(object_ids)
        new = [name for name in object_ids if name not in self._rows]
        if len(new) == 1:  # one pass over the names is sooner done than a table of them all
            found = [pc.index(self.ids, new[0]).as_py()]
        else:
            found = pc.index_in(pa.array(new, pa.string()), self.ids).to_pylist() if new else []
        for name, row in zip(new, found, strict=True):
            if row is None or row < 0:
                raise KeyError(f"{self.folder} has no galaxy {name}. Check its name.")
            self._rows[name] = row
        return [self._rows[name] for name in object_ids]

    def names_of(self, rows: Iterable[int]) -> list[str]:
        """Names of the galaxies at some rows."""
        names = {int(row): self.ids[int(row)].as_py() for row in rows}
        self._rows |= {name: row for row, name in names.items()}
        return list(names.values())

    def chunks(self) -> Iterator[tuple[int, Tensor]]:
        """Features in the order of the rows: the first row and `[B, D]`, bfloat16, which go when nobody holds them."""
        for start in range(0, len(self), CHUNK):
            yield start, self._map("features", start, min(start + CHUNK, len(self)))

    def norms(self, start: int, number: int) -> Tensor:
        """Lengths of the features, `[number]`, from a row on."""
        return self._map("norms", start, start + number)

    def take(self, rows: Sequence[int] | np.ndarray) -> Tensor:
        """Features of some galaxies, `[n, D]` bfloat16, in their order."""
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"{self.folder} has {len(self)} galaxies; asked for {rows.min()} to {rows.max()}.")
        taken = torch.empty(len(rows), self.width, dtype=torch.bfloat16)
        order = np.argsort(rows, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(rows[order] // CHUNK)) + 1) if len(rows) else []:
            first = int(rows[part[0]])
            # only as far as there are rows to take
            mapped = self._map("features", first, int(rows[part[-1]]) + 1)
            taken[torch.from_numpy(part)] = mapped[torch.from_numpy(rows[part] - first)]
        return taken

    def background(self, excluded: Sequence[int] = ()) -> Tensor:
        """Galaxies drawn from all of them, the same every time but for some rows that are left out, `[m, D]`."""
        drawn = np.random.default_rng(0).choice(len(self), min(BACKGROUND, len(self)), replace=False)
        return self.take(np.sort(drawn[~np.isin(drawn, np.asarray(excluded, dtype=np.int64))]))

    def standardise(self, features: Tensor) -> Tensor:
        """Features `[B, D]` as an encoder gives them to how they are kept here, of other galaxies.

        What the catalogue would add of them is not known, and taken for the mean.

        Raises:
            ValueError: If they are of another width, or not finite.
        """
        width = self.width - len(self.inputs)
        if features.ndim != 2 or features.shape[1] != width:
            raise ValueError(
                f"Features must be [B, {width}], the {self.kind} of {self.model}, got {tuple(features.shape)}."
            )
        if not features.isfinite().all():
            raise ValueError("Some features are not finite: the image cannot be used.")
        standardised = (features.float() - self.mean[:width]) / self.deviation[:width]
        return torch.nn.functional.pad(standardised, (0, len(self.inputs))).to(torch.bfloat16)

    def nearest(self, ra: float, dec: float) -> tuple[int, float]:
        """The galaxy closest to a position, both in degrees: its row, and how far it is, arcsec.

        Raises:
            KeyError: If the collection has no positions.
            ValueError: If there is no such position.
        """
        from astropy import units as u
        from astropy.coordinates import SkyCoord

        try:
            place = SkyCoord(ra * u.deg, dec * u.deg)
        except ValueError as error:
            raise ValueError(f"There is no position RA {ra}, Dec {dec} degrees: {error}") from None
        separations = place.separation(SkyCoord(*self._positions)).arcsec
        if np.isnan(separations).all():
            raise KeyError(f"No galaxy of {self.folder} has a position.")
        row = int(np.nanargmin(separations))
        return row, float(separations[row])

    @cached_property
    def _positions(self) -> tuple[Any, Any]:
        from astropy import units as u

        columns = [self.position_column(names) for names in (RA_NAMES, DEC_NAMES)]
        if None in columns:
            raise KeyError(f"{self.folder} has no columns of positions, such as `ra` and `dec`, in degrees.")
        ra, dec = (self.column(name).to_numpy().astype(np.float64) * u.deg for name in columns)
        return ra, dec

    def position_column(self, names: Sequence[str]) -> str | None:
        """The column that has one of the usual names of a coordinate."""
        return next((column for column in self.columns if column.lower() in names), None)

    def describe(self, row: int) -> dict[str, Any]:
        """What is known of a galaxy, by column."""
        return self._read(row, self.columns)

    def thumbnail(self, row: int) -> bytes:
        """A JPEG picture of a galaxy: as it was kept, else made from the file that it comes from.

        Raises:
            UnreadableStampError: If it was not kept, and that file cannot be read.
        """
        if THUMBNAIL in self._objects.schema_arrow.names and (kept := self._read(row, [THUMBNAIL])[THUMBNAIL]):
            return kept
        stamp = self.stamp(row).select()
        if stamp.bands is None:
            display = np.ascontiguousarray(stamp.pixels[..., ::-1].transpose(2, 0, 1), dtype=np.float32) / 255
        else:
            display = flux_to_display(fill_hidden(stamp.pixels)[0])
        size = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        return encode_thumbnail(apply_crop(display, find_crop(display, size), size))

    def stamp(self, row: int) -> Stamp:
        """A galaxy's whole stamp, from the file that it comes from.

        Raises:
            UnreadableStampError: If that file is gone, or not one from which a single stamp can be read.
        """
        known = self._read(row, ["id", "source"])
        path = Path(known["source"])
        if path.suffix.lower() == ".parquet":
            return read_parquet_stamp(path, known["id"])
        return read_stamp(path, known["id"])

    def _read(self, row: int, columns: list[str]) -> dict[str, Any]:
        starts = self._row_groups
        group = int(np.searchsorted(starts, row, side="right")) - 1
        with self._lock:
            table = self._objects.read_row_group(group, columns, use_threads=False)
        return table.slice(row - int(starts[group]), 1).to_pylist()[0]

    @cached_property
    def _row_groups(self) -> np.ndarray:
        metadata = self._objects.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        return np.cumsum([0, *sizes[:-1]])

    def _map(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Rows of a tensor of the file, in pages that are given back with the tensor."""
        dtype, shape, offset = self._tensors[name]
        stored, kind = _DTYPES[dtype]
        stop = shape[0] if stop is None else stop
        row_values = int(np.prod(shape[1:], dtype=np.int64))
        # a private copy-on-write map, as torch wants what it may write to
        values = np.memmap(
            self.folder / FEATURES,
            stored,
            "c",
            offset + start * row_values * np.dtype(stored).itemsize,
            ((stop - start) * row_values,),
        )
        return torch.from_numpy(np.asarray(values)).view(kind).view(stop - start, *shape[1:])


def encode_thumbnail(display: np.ndarray) -> bytes:
    """A display image [3, H, W] in [0, 1], bands g, r, z, as a JPEG."""
    import PIL.Image

    pixels = (display[::-1].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _read_header(path: Path) -> tuple[dict[str, tuple[str, list[int], int]], dict[str, str]]:
    """Type, shape and offset of each tensor in a safetensors file, and its metadata.

    The library reads tensors whole or keeps the whole file mapped, either of which would count as memory.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as checked:  # refuses what is cut short
            described = checked.metadata()
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error}). Make the collection again.") from error
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
    header.pop("__metadata__")
    tensors = {
        name: (tensor["dtype"], tensor["shape"], 8 + length + tensor["data_offsets"][0])
        for name, tensor in header.items()
    }
    return tensors, described
