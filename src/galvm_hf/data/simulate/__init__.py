"""Simulated galaxies with their true parameters: the embedded default data, labelled as simulation where shown."""

from .galaxies import CLASSES, SimulatedGalaxies, simulate_galaxies
from .survey import BANDS, PIXEL_SCALE

__all__ = ["BANDS", "CLASSES", "PIXEL_SCALE", "SimulatedGalaxies", "simulate_galaxies"]
