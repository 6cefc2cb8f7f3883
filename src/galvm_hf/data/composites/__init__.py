"""Real galaxies and real strong lenses composed into fields, with boxes and masks: wide fields that nobody simulated.

The light is real, the places are not: stamps of three surveys are brought to one scale, seeing, stretch and noise.
"""

from .files import write_composites

__all__ = ["write_composites"]
