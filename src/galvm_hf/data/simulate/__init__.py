"""Simulated galaxies, strong lenses and wide fields with the truth about each: the embedded default data.

It is labelled as simulation wherever it is shown. `galaxies`, `lenses` and `fields` draw and render; the modules beside
them are what these share: the survey, the sky, profiles, neighbours. `files` writes them.
"""

from .fields import SimulatedField, simulate_field
from .galaxies import CLASSES, SimulatedGalaxies, draw_galaxies, render_galaxies, simulate_galaxies
from .lenses import KINDS, SimulatedLenses, simulate_lenses
from .survey import BANDS, PIXEL_SCALE

__all__ = [
    "BANDS",
    "CLASSES",
    "KINDS",
    "PIXEL_SCALE",
    "SimulatedField",
    "SimulatedGalaxies",
    "SimulatedLenses",
    "draw_galaxies",
    "render_galaxies",
    "simulate_field",
    "simulate_galaxies",
    "simulate_lenses",
]
