"""The columns of a Parquet shard, and a stamp as one row of it.

Every row has `id` and `source`; then either `image` (the bytes of a JPEG or PNG picture) or `flux` (float32
little-endian pixels in C order) with `shape` [C, H, W]; then `bands` ("g,r,z"), `pixel_scale` (arcseconds per pixel),
`units` and `wcs` (a FITS header as text), each null where it is not known. The columns that a stamp carries follow:
`label`, `ra`, ...
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..stamp import Stamp

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features

OWN_COLUMNS = ("id", "source", "image", "flux", "shape", "bands", "pixel_scale", "units", "wcs")
PIXEL_COLUMNS = ("image", "flux")
# Values that hardly ever come twice, and are never searched for: no dictionary, no statistics.
OPAQUE_COLUMNS = (*PIXEL_COLUMNS, "wcs")


def output_name(column: str) -> str:
    """The column's name in a shard: one that has the name of an own column is prefixed with `input_`."""
    return f"input_{column}" if column in OWN_COLUMNS else column


def shard_features(
    stamp: Stamp, columns: Mapping[str, Any] | None = None, class_names: Mapping[str, Sequence[str]] | None = None
) -> "Features":
    """The `datasets` features of shards whose first row is `stamp`.

    Args:
        stamp: Says whether the shards hold pictures or flux.
        columns: Arrow types of the carried columns, by name; without them, those of the values in `stamp`.
        class_names: Names of the classes of those carried columns that are a `ClassLabel`.
    """
    import pyarrow as pa
    from datasets import ClassLabel, Features, Image

    kinds = {name: pa.string() for name in ("id", "source", "bands", "units", "wcs")}
    kinds |= {"flux": pa.binary(), "shape": pa.list_(pa.int32()), "pixel_scale": pa.float64(), "image": pa.binary()}
    absent = ("image",) if stamp.bands else ("flux", "shape")
    if columns is None:
        columns = {name: pa.scalar(value).type for name, value in stamp.columns.items()}
    fields = [(name, kinds[name]) for name in OWN_COLUMNS if name not in absent]
    # A column `id` is the stamp's own id already.
    fields += [(output_name(name), _plain_type(kind)) for name, kind in columns.items() if name != "id"]
    features = Features.from_arrow_schema(pa.schema(fields))
    if not stamp.bands:
        features["image"] = Image()
    for name, names in (class_names or {}).items():
        features[output_name(name)] = ClassLabel(names=list(names))
    return features


def shard_row(stamp: Stamp, features: "Features") -> dict[str, Any]:
    """A stamp as the values of one row.

    Raises:
        ValueError: If it is flux and the shards hold pictures or the other way round, or if it has a class without a
            number.
    """
    if bool(stamp.bands) != ("flux" in features):
        kind, other = ("flux", "pictures") if stamp.bands else ("a picture", "flux")
        raise ValueError(
            f"{stamp.source} ({stamp.id}) is {kind}, and the stamps before it are {other}. "
            "Make shards of each kind in a directory of its own."
        )
    wcs = None if stamp.wcs is None else stamp.wcs.to_header(relax=True).tostring(endcard=False, padding=False)
    row = {"id": stamp.id, "source": stamp.source, "pixel_scale": stamp.pixel_scale, "units": stamp.units, "wcs": wcs}
    if stamp.bands:
        row["bands"] = ",".join(stamp.bands)
        row["flux"] = np.ascontiguousarray(stamp.pixels, dtype="<f4").tobytes()
        row["shape"] = stamp.pixels.shape
    else:
        row["image"] = {"bytes": stamp.encoded or _encode_png(stamp.pixels), "path": None}
    for name, value in stamp.columns.items():
        column = output_name(name)
        if column in features:
            row[column] = _carried_value(value, features[column], stamp)
    return row


def record_batch(rows: list[dict[str, Any]], schema: "pa.Schema") -> "pa.RecordBatch":
    """Rows of `shard_row` as Arrow. A column that a row does not have is null there."""
    import pyarrow as pa

    arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.record_batch(arrays, schema=schema)


def row_size(row: Mapping[str, Any]) -> int:
    """Bytes that a row takes in a file, but for the columns that compress well."""
    pixels = row["flux"] if "flux" in row else row["image"]["bytes"]
    return len(pixels) + len(row["id"])


def _plain_type(kind: Any) -> Any:
    """The Arrow type to store: categories become what they are categories of."""
    import pyarrow as pa

    if kind == "string" or pa.types.is_null(kind):
        return pa.string()
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _carried_value(value: Any, feature: Any, stamp: Stamp) -> Any:
    if value is None:
        return None
    if names := getattr(feature, "names", None):
        if value not in names:
            raise ValueError(f"{stamp.source} ({stamp.id}) is of the class {value!r}, which is not one of {names}.")
        return feature.str2int(value)
    if feature.dtype == "string":  # also where two sources disagree about the type
        return str(value)
    return value.item() if isinstance(value, np.generic) else value


def _encode_png(pixels: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
