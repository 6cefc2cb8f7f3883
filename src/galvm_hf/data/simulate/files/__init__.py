"""What is simulated, written to files: shards and cubes of stamps, fields with catalogues and annotations."""

from .fields import write_fields
from .stamps import write_stamp_cubes, write_stamp_shards

__all__ = ["write_fields", "write_stamp_cubes", "write_stamp_shards"]
