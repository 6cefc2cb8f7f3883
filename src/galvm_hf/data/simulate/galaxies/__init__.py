"""Galaxies of five classes: who there is (`population`), what each class looks like, and stamps of them."""

from .population import CLASSES, draw_galaxies
from .stamps import SimulatedGalaxies, render_galaxies, simulate_galaxies

__all__ = ["CLASSES", "SimulatedGalaxies", "draw_galaxies", "render_galaxies", "simulate_galaxies"]
