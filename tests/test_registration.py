"""One saved directory through every Auto class, in processes of their own as a user has them."""

import subprocess
import sys

import pytest

LOAD_ALL = """
import logging, sys, warnings
warnings.simplefilter("error")
{imports}
import transformers
from transformers import (
    AutoBackbone, AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageClassification,
    AutoModelForImageToImage, AutoModelForMaskedImageModeling, AutoModelForPreTraining,
)

class Raise(logging.Handler):
    def emit(self, record):
        raise RuntimeError("logged: " + record.getMessage())

transformers.utils.logging.disable_default_handler()
transformers.utils.logging.add_handler(Raise(logging.WARNING))
folder, options = sys.argv[1], {options}
expected = {{
    AutoModel: "GalvmModel",
    AutoModelForPreTraining: "GalvmForPreTraining",
    AutoModelForImageClassification: "GalvmForImageClassification",
    AutoModelForImageToImage: "GalvmForImageRestoration",
    AutoModelForMaskedImageModeling: "GalvmForMaskedImageModeling",
}}
for auto, name in expected.items():
    model, info = auto.from_pretrained(folder, output_loading_info=True, **options)
    assert type(model).__name__ == name, (auto, type(model))
    assert not info["missing_keys"], info
config = AutoConfig.from_pretrained(folder, **options)
assert type(AutoBackbone.from_config(config, **options)).__name__ == "GalvmBackbone"
assert type(AutoImageProcessor.from_pretrained(folder, **options)).__name__ == "GalvmImageProcessor"
assert ("galvm_hf" in sys.modules) == bool({imports!r})
print("loaded all")
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=180)


@pytest.mark.parametrize(
    ("imports", "options"),
    [("import galvm_hf", {}), ("", {"trust_remote_code": True})],
    ids=["galvm_hf-imported", "remote-code"],
)
def test_every_auto_class_loads_one_directory_without_a_warning(
    tiny_checkpoint, imports, options, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path))
    result = run(LOAD_ALL.format(imports=imports, options=options), str(tiny_checkpoint))
    assert result.stdout.strip() == "loaded all", result.stderr


@pytest.mark.parametrize(
    "before",
    ["", "from transformers import AutoModel", "from transformers import SwinModel, pipeline, AutoImageProcessor"],
)
@pytest.mark.parametrize(
    "after",
    [
        "",
        "import transformers.modeling_layers",
        "from transformers import SwinModel",
        "import transformers.image_processing_utils",
        "from galvm_hf import GalvmImageProcessor, GalvmModel",
    ],
)
def test_registers_whatever_is_imported_first(before, after):
    code = f"""
{before}
import galvm_hf
{after}
from transformers import AutoModel, AutoImageProcessor
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING
model = AutoModel.from_config(galvm_hf.GalvmConfig(embed_dim=16, depths=(1, 1), num_heads=(1, 2)))
assert type(model) is galvm_hf.GalvmModel
assert IMAGE_PROCESSOR_MAPPING[galvm_hf.GalvmConfig]["pil"] is galvm_hf.GalvmImageProcessor
print("registered")
"""
    result = run(code)
    assert result.stdout.strip() == "registered", result.stderr


def test_import_brings_nothing_slow():
    """The heavy half of transformers and the optional libraries wait until they are used."""
    slow = ("transformers.modeling_utils", "transformers.models.auto.modeling_auto", "transformers.pipelines", "cv2")
    optional = (
        "accelerate",
        "astropy",
        "datasets",
        "gradio",
        "matplotlib",
        "pyarrow",
        "sklearn",
        "timm",
        "torchvision",
    )
    result = run(f"import sys, galvm_hf; print([name for name in {slow + optional} if name in sys.modules])")
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
