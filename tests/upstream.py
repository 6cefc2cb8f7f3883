"""Finds transformers' own tests, which lie beside the real data where there is any."""

import os
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def require_suite() -> None:
    """Make `hf_model_suite` and `hf_image_processor_suite` importable, or skip the module that asks."""
    suite = Path(os.environ.get("GALVM_DATA", SHARED / "data")).parent / "hf-suite"
    if not suite.is_dir():
        pytest.skip(
            f"transformers' tests are not at {suite}: GALVM_DATA names a folder beside", allow_module_level=True
        )
    if str(suite) not in sys.path:
        sys.path.insert(0, str(suite))
