"""Wide fields of galaxies and stars, with lenses in them."""

from .field import SimulatedField, simulate_field

__all__ = ["SimulatedField", "simulate_field"]
