"""From a wide image of the sky to a catalogue of strong lenses.

`tiles` says which windows are looked at, `search` looks at them, `merge` makes one detection of what several tiles show
of one object, `shape` measures it, `catalogue` and `regions` write what was found. The detector itself is a model like
any other, `AutoModelForObjectDetection`.
"""

from .catalogue import CATALOGUE_SUFFIXES, make_catalogue, write_catalogue
from .merge import Detection
from .regions import write_regions
from .search import Detector, Search, search_field

__all__ = [
    "CATALOGUE_SUFFIXES",
    "Detection",
    "Detector",
    "Search",
    "make_catalogue",
    "search_field",
    "write_catalogue",
    "write_regions",
]
