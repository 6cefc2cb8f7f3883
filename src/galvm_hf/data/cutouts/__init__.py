"""Stamps cut from survey images at the positions of a catalogue."""

from .catalogues import Catalogue, read_catalogue
from .files import write_fits_cutouts, write_parquet_cutouts
from .plan import CutoutPlan, iter_cutouts, plan_cutouts

__all__ = [
    "Catalogue",
    "CutoutPlan",
    "iter_cutouts",
    "plan_cutouts",
    "read_catalogue",
    "write_fits_cutouts",
    "write_parquet_cutouts",
]
