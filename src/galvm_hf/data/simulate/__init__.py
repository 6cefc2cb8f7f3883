"""Simulated galaxies with their true parameters: the embedded default data, labelled as simulation where shown."""

from .galaxies import SimulatedGalaxies, render_galaxies, simulate_galaxies
from .population import CLASSES, draw_galaxies
from .survey import BANDS, PIXEL_SCALE

__all__ = [
    "BANDS",
    "CLASSES",
    "PIXEL_SCALE",
    "SimulatedGalaxies",
    "draw_galaxies",
    "render_galaxies",
    "simulate_galaxies",
]
