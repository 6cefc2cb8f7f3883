"""The card of a directory of shards: a README.md with the front matter that the Hub and `datasets` read."""

from pathlib import Path
from typing import Any

from ...files import whole_file
from .writer import read_records

SIZE_CATEGORIES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
MEANINGS = {
    "id": "name of the object",
    "source": "file that the stamp was read from",
    "image": "the picture, in the bytes that it came in",
    "flux": "pixels, float32 little-endian in C order; `np.frombuffer(flux, '<f4').reshape(shape)`",
    "shape": "of the flux: bands, height, width",
    "bands": "names of the planes of the flux, in their order",
    "pixel_scale": "arcseconds per pixel",
    "units": "of the flux",
    "wcs": "celestial WCS, as the text of a FITS header",
    "padded": "fraction of the stamp that lies outside its image, where the flux is NaN",
    "at_edge": "whether `padded` is more than nothing",
    "ra": "right ascension, degrees",
    "dec": "declination, degrees",
}


def write_dataset_card(directory: str | Path, name: str | None = None, license: str | None = None) -> Path:
    """Write the card of the complete splits in a directory, from the records that `ShardWriter` left.

    Args:
        directory: Holds the shards.
        name: Of the dataset. Without it, the name in the card that is there, or else that of the directory.
        license: As the Hub spells it ("cc-by-4.0"). Without it, that of the card that is there, or else "unknown".

    Returns:
        The path of the card.

    Raises:
        ValueError: If no split is complete.
    """
    from datasets import DatasetInfo, Features, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard, DatasetCardData

    directory = Path(directory)
    records = read_records(directory)
    if not records:
        raise ValueError(f"{directory} holds no complete split, so there is nothing to describe in a card.")
    path = directory / "README.md"
    earlier = DatasetCard.load(path).data.to_dict() if path.exists() else {}
    name = name or earlier.get("pretty_name") or directory.resolve().name
    features = Features.from_dict(records[0]["features"])
    splits = [
        SplitInfo(record["split"], num_examples=_sum(record, "rows"), num_bytes=_sum(record, "arrow_bytes"))
        for record in records
    ]
    number = sum(split.num_examples for split in splits)
    labelled = any(hasattr(feature, "names") for feature in features.values())
    data = DatasetCardData(
        pretty_name=name,
        license=license or earlier.get("license") or "unknown",
        task_categories=["image-feature-extraction", *(["image-classification"] if labelled else [])],
        tags=["astronomy", "galaxies", *(["simulated"] if any("simulated" in r["facts"] for r in records) else [])],
        size_categories=[_size_category(number)],
        configs=[
            {
                "config_name": "default",
                "data_files": [
                    {"split": record["split"], "path": f"{record['split']}-*.parquet"} for record in records
                ],
            }
        ],
    )
    info = DatasetInfo(
        features=features,
        splits=SplitDict({split.name: split for split in splits}),
        download_size=sum(_sum(record, "file_bytes") for record in records),
        dataset_size=sum(split.num_bytes for split in splits),
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    text = "\n".join([f"# {name}", "", *_describe(records, features)])
    with whole_file(path) as temporary:
        temporary.write_text(f"---\n{data.to_yaml()}\n---\n\n{text}\n", encoding="utf-8")
    return path


def _describe(records: list[dict[str, Any]], features: Any) -> list[str]:
    lines = [
        "Galaxy stamps in Parquet shards. `load_dataset` reads them, whole or as a stream:",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
        f'stamps = load_dataset("path/to/this/directory", split="{records[0]["split"]}", streaming=True)',
        "```",
        "",
        "| split | stamps | shards | MB |",
        "| --- | --- | --- | --- |",
    ]
    for record in records:
        size = f"{_sum(record, 'file_bytes') / 1e6:,.1f}"
        lines.append(f"| {record['split']} | {_sum(record, 'rows'):,} | {len(record['shards'])} | {size} |")
    lines += ["", "## Features", "", "| column | type | meaning |", "| --- | --- | --- |"]
    for column, feature in features.items():
        meaning = MEANINGS.get(column, "came with the stamp")
        if names := getattr(feature, "names", None):
            meaning = f"class: {', '.join(names)}"
        lines.append(f"| `{column}` | {_type_name(feature)} | {meaning} |")
    lines += ["", "## Provenance"]
    for record in records:
        lines += ["", f"### {record['split']}", ""]
        lines += [f"- {key}:{_listed(value)}" for key, value in record["facts"].items()]
    return lines


def _type_name(feature: Any) -> str:
    if hasattr(feature, "feature"):
        return f"list of {_type_name(feature.feature)}"
    return feature.dtype if type(feature).__name__ == "Value" else type(feature).__name__


def _listed(value: Any) -> str:
    return "".join(f"\n  - {entry}" for entry in value) if isinstance(value, list) else f" {value}"


def _sum(record: dict[str, Any], key: str) -> int:
    return sum(shard[key] for shard in record["shards"])


def _size_category(number: int) -> str:
    return next((name for limit, name in SIZE_CATEGORIES if number < limit), "n>1B")
