"""Registers GaLVM with transformers' Auto classes and pipelines, no earlier than it can be noticed.

The modules of transformers that hold the registries take as long to import as all of torch, and transformers itself
imports them on first use only. So the configuration is registered at once; the models are when a configuration is made
for the first time, which every Auto class does before it looks for a model; the image processor and the pipelines are
when transformers imports their registries.
"""

import sys
from collections.abc import Callable
from functools import wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

from transformers import AutoConfig

from .configuration_galvm import GalvmConfig


def _register_models() -> None:
    from transformers.models.auto import modeling_auto as auto

    from . import modeling_galvm as galvm
    from .modeling_galvm_detection import GalvmForLensDetection

    auto.AutoModel.register(GalvmConfig, galvm.GalvmModel)
    auto.AutoModelForPreTraining.register(GalvmConfig, galvm.GalvmForPreTraining)
    auto.AutoModelForImageClassification.register(GalvmConfig, galvm.GalvmForImageClassification)
    auto.AutoModelForImageToImage.register(GalvmConfig, galvm.GalvmForImageRestoration)
    auto.AutoModelForMaskedImageModeling.register(GalvmConfig, galvm.GalvmForMaskedImageModeling)
    auto.AutoModelForObjectDetection.register(GalvmConfig, GalvmForLensDetection)
    auto.AutoBackbone.register(GalvmConfig, galvm.GalvmBackbone)


def _register_image_processor() -> None:
    from transformers.models.auto.image_processing_auto import AutoImageProcessor

    from .image_processing_galvm import GalvmImageProcessor

    # one class, which needs no torchvision, serves both of transformers' backends
    AutoImageProcessor.register(
        GalvmConfig, image_processor_classes={"torchvision": GalvmImageProcessor, "pil": GalvmImageProcessor}
    )


def _register_pipelines() -> None:
    from .pipelines import register_pipelines

    register_pipelines()


def _call_before_first_config(register: Callable[[], None]) -> None:
    post_init = GalvmConfig.__post_init__

    @wraps(post_init)
    def register_then_post_init(self, **kwargs):
        GalvmConfig.__post_init__ = post_init
        register()
        post_init(self, **kwargs)

    GalvmConfig.__post_init__ = register_then_post_init


class _LoaderThatRegisters(Loader):
    """A module's own loader, which calls `register` once the module is there."""

    def __init__(self, loader: Loader, register: Callable[[], None]):
        self.loader = loader
        self.register = register

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        self.register()

    def __getattr__(self, name: str):
        return getattr(self.loader, name)


class _FinderThatRegisters(MetaPathFinder):
    """Gives the modules named in `registrations` a loader that registers; finds nothing itself."""

    def __init__(self, registrations: dict[str, Callable[[], None]]):
        self.registrations = registrations

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        register = self.registrations.pop(fullname, None)
        spec = find_spec(fullname) if register else None
        if spec is not None:
            spec.loader = _LoaderThatRegisters(spec.loader, register)
        return spec


def register() -> None:
    """Register the configuration now, everything else when it is first needed."""
    AutoConfig.register(GalvmConfig.model_type, GalvmConfig)
    _call_before_first_config(_register_models)
    registrations = {
        "transformers.models.auto.image_processing_auto": _register_image_processor,
        "transformers.pipelines": _register_pipelines,
    }
    for name in [name for name in registrations if name in sys.modules]:
        registrations.pop(name)()
    sys.meta_path.insert(0, _FinderThatRegisters(registrations))
