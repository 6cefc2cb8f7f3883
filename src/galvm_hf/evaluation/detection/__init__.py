"""How well lenses are found in fields: average precision, completeness, and false alarms."""

from .completeness import Completeness, measure_completeness
from .detections import FieldDetections, detect_fields
from .precision import Precision, measure_precision

__all__ = [
    "Completeness",
    "FieldDetections",
    "Precision",
    "detect_fields",
    "measure_completeness",
    "measure_precision",
]
