"""Strong lenses by ray-tracing, and what is mistaken for them."""

from .stamps import KINDS, SimulatedLenses, simulate_lenses

__all__ = ["KINDS", "SimulatedLenses", "simulate_lenses"]
