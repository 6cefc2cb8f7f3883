"""Streams of training samples that resume exactly, whatever the number of workers and of ranks."""

from .augmentation import Augmentation
from .stream import GalaxyStream

__all__ = ["Augmentation", "GalaxyStream"]
