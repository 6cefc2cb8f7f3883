"""Parquet shards with a dataset card: written so that a stopped job goes on, read by `datasets` and by our stream."""

from .card import write_dataset_card
from .repack import RepackSummary, repack_sources
from .writer import SHARD_SIZE, ShardWriter, read_records, record_path

__all__ = [
    "SHARD_SIZE",
    "RepackSummary",
    "ShardWriter",
    "read_records",
    "record_path",
    "repack_sources",
    "write_dataset_card",
]
