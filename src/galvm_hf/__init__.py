"""GaLVM: a large vision model for galaxy images, as transformers models.

Importing this package registers the classes with transformers' Auto API. Registration waits until transformers' own
modules are imported, so that `import galvm_hf` costs no more than torch and transformers do.
"""

from importlib import import_module
from importlib.metadata import version

from .configuration_galvm import GalvmConfig
from .registration import register

__version__ = version("galvm_hf")

_LAZY = {
    "GalvmBackbone": "modeling_galvm",
    "GalvmForImageClassification": "modeling_galvm",
    "GalvmForImageRestoration": "modeling_galvm",
    "GalvmForLensDetection": "modeling_galvm_detection",
    "GalvmForMaskedImageModeling": "modeling_galvm",
    "GalvmForParameterRegression": "modeling_galvm",
    "GalvmForPreTraining": "modeling_galvm",
    "GalvmModel": "modeling_galvm",
    "GalvmPreTrainedModel": "modeling_galvm",
    "GalvmImageProcessor": "image_processing_galvm",
    "Stamp": "data.readers",
}

__all__ = ["GalvmConfig", "__version__", *_LAZY]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)


register()
