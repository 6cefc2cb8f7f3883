"""Pipelines: restoration, inpainting and lens detection as tasks of their own, and FITS and flux for the stock tasks.

```python
>>> from transformers import pipeline
>>> import galvm_hf
>>> pipeline("galaxy-restoration", model="galvm")("stamp.fits")["image"]
>>> pipeline("lens-detection", model="galvm-lens")("field.fits", threshold=0.8)
>>> pipeline("image-classification", model="galvm")("stamp.fits")
>>> pipeline("image-feature-extraction", model="galvm")(flux, bands="grz", pool=True)
```

For any other model, `image-classification`, `image-feature-extraction` and `object-detection` stay what they are in
transformers.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageToImage, AutoModelForMaskedImageModeling, AutoModelForObjectDetection
from transformers.image_utils import load_image
from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.base import Pipeline
from transformers.pipelines.image_classification import ImageClassificationPipeline
from transformers.pipelines.image_feature_extraction import ImageFeatureExtractionPipeline
from transformers.pipelines.object_detection import ObjectDetectionPipeline

from .configuration_galvm import GalvmConfig
from .data.readers import ARRAY_SUFFIXES, FITS_SUFFIXES, read_stamp
from .data.stamp import NANOMAGGY, Stamp


class _GalaxyInputs:
    """What the pipelines here share: reading every kind of input, and saving what loads again everywhere."""

    _load_processor = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_tokenizer = False

    def _read(self, image: Any, bands: tuple[str, ...] | None, timeout: float | None, **options: Any) -> Any:
        """One image to `pixel_values` float [1, 3, H, W]: display range, channels g, r, z.

        Args:
            image: Path of a picture, of FITS or of `.npy` and `.npz`, a URL, a PIL image, a `Stamp`, or an array or
                tensor. FITS of one file a band is `name-{band}.fits`.
            bands: Names of the planes where `image` is an array of flux; files and stamps bring their own.
            timeout: Seconds to wait for a URL.
            **options: Of the image processor.

        Raises:
            UnreadableStampError: If a file cannot be read, misses g, r or z, or is in other units than nanomaggies
                and no `zero_point` is given.
            ValueError: If `zero_point` is given for flux of stated units, the image processor cannot read the image, or
                it is a batch.
        """
        if isinstance(image, str | Path):
            if str(image).lower().endswith((*FITS_SUFFIXES, *ARRAY_SUFFIXES)):
                image = read_stamp(image)
            else:
                image, bands = load_image(str(image), timeout=timeout), None
        if isinstance(image, Stamp):
            if "zero_point" in options and image.units == NANOMAGGY:
                raise ValueError(f"The flux of {image.source} is in nanomaggies: leave `zero_point` out.")
            image = image.select(units=None if "zero_point" in options else NANOMAGGY)
            image, bands = image.pixels, image.bands
        if getattr(image, "ndim", 0) > 3:
            raise ValueError(f"An image has shape {tuple(image.shape)}: give a batch as a list of single images.")
        return self.image_processor(image, bands=bands, return_tensors="pt", **options).to(self.dtype)

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save model and image processor.

        The stock method also writes the pipeline's code into the configuration, after which every load asks for
        `trust_remote_code`.
        """
        self.model.save_pretrained(save_directory, **kwargs)
        self.image_processor.save_pretrained(save_directory, **kwargs)


class GalaxyRestorationPipeline(_GalaxyInputs, Pipeline):
    """Sharpen blurred and noisy galaxy images: task "galaxy-restoration".

    Call it with an image or a list of them: paths and URLs of pictures, paths of FITS cubes, PIL images, arrays, or
    flux [3, H, W] with `bands=("g", "r", "z")`. The frame keeps its size.

    Parameters of a call:
        bands: Names of the planes of flux arrays.
        zero_point: AB magnitude of one unit of flux; 22.5, that of a nanomaggy, without it.
        do_adaptive_crop: Crop to the galaxy and resize to the model's size. Off by default.
        output_type: "flux" (nanomaggies [3, H, W], g, r, z), "np" (RGB [H, W, 3] in [0, 1]) or "pt" (RGB [3, H, W] in
            [0, 1]) adds an entry of that name.
        timeout: Seconds to wait for a URL.

    Returns:
        For each image a dictionary with `image`, a PIL image, and what `output_type` asked for.
    """

    _preprocess_parameters = ("bands", "zero_point", "do_adaptive_crop", "timeout")

    def _sanitize_parameters(self, output_type: str | None = None, **parameters: Any) -> tuple[dict, dict, dict]:
        if unknown := sorted(parameters.keys() - set(self._preprocess_parameters)):
            raise TypeError(f"{type(self).__name__} has no parameters {unknown}, only {self._preprocess_parameters}.")
        return parameters, {}, {} if output_type is None else {"output_type": output_type}

    def preprocess(
        self,
        image: Any,
        bands: tuple[str, ...] | None = None,
        timeout: float | None = None,
        do_adaptive_crop: bool = False,
        **options: Any,
    ) -> Any:
        """See `_GalaxyInputs._read`."""
        inputs = self._read(image, bands, timeout, do_adaptive_crop=do_adaptive_crop, **options)
        return {"pixel_values": inputs["pixel_values"]}

    def _forward(self, model_inputs: Any) -> dict[str, Any]:
        return {"reconstruction": self.model(**model_inputs).reconstruction}

    def postprocess(self, model_outputs: dict[str, Any], output_type: str = "pil") -> dict[str, Any]:
        """The reconstruction [1, 3, H, W] to a PIL image, and whatever else is wanted."""
        display = model_outputs["reconstruction"]
        result = {"image": self.image_processor.post_process_images(display, output_type="pil")[0]}
        if output_type != "pil":
            result[output_type] = self.image_processor.post_process_images(display, output_type=output_type)[0]
        return result


class GalaxyInpaintingPipeline(GalaxyRestorationPipeline):
    """Fill in hidden pixels of galaxy images: task "galaxy-inpainting".

    As [`GalaxyRestorationPipeline`], with `mask`: what to hide, an array [H, W], true where hidden, a PIL image, or
    the path of one, white where hidden. Pixels of flux that are not finite are hidden of themselves. Images with masks
    of their own are dictionaries, `{"image": ..., "mask": ...}`.
    """

    _preprocess_parameters = (*GalaxyRestorationPipeline._preprocess_parameters, "mask")

    def preprocess(
        self,
        image: Any,
        bands: tuple[str, ...] | None = None,
        timeout: float | None = None,
        do_adaptive_crop: bool = False,
        mask: Any = None,
        **options: Any,
    ) -> Any:
        """See `_GalaxyInputs._read`; adds `bool_masked_pos` bool [1, H, W]."""
        if isinstance(image, dict):
            image, mask = image["image"], image.get("mask", mask)
        masks = None if mask is None else _read_mask(mask, timeout)
        inputs = self._read(image, bands, timeout, do_adaptive_crop=do_adaptive_crop, masks=masks, **options)
        if "bool_masked_pos" not in inputs:
            raise ValueError("Nothing is hidden: give `mask`, or flux with NaN where pixels are missing.")
        return {"pixel_values": inputs["pixel_values"], "bool_masked_pos": inputs["bool_masked_pos"]}


class _FrameInputs(_GalaxyInputs):
    """What the pipelines that detect objects share: the image is seen as it is, and its size goes with it."""

    def preprocess(
        self, image: Any, timeout: float | None = None, bands: tuple[str, ...] | None = None, **options: Any
    ) -> Any:
        """See `_GalaxyInputs._read`; adds `target_size` int [1, 2], height and width."""
        options = {"do_adaptive_crop": False, "do_resize": False, **options}
        pixel_values = self._read(image, bands, timeout, **options)["pixel_values"]
        return {"pixel_values": pixel_values, "target_size": torch.tensor([pixel_values.shape[-2:]])}


class LensDetectionPipeline(_FrameInputs, Pipeline):
    """Find strong lenses in an image small enough for one pass: task "lens-detection".

    Call it with an image or a list of them: paths and URLs of pictures, paths of FITS cubes, PIL images, arrays, or
    flux [3, H, W] with `bands=("g", "r", "z")`. `galvm detect` searches larger fields, and measures what it finds.

    Parameters of a call:
        threshold: Least score of a detection, 0.5 without it.
        bands: Names of the planes of flux arrays.
        zero_point: AB magnitude of one unit of flux; 22.5, that of a nanomaggy, without it.
        timeout: Seconds to wait for a URL.

    Returns:
        For each image a list, best first, of dictionaries with `score`, `label`, `box` (`xmin`, `ymin`, `xmax`, `ymax`
        in pixels) and `mask`, bool [H, W].
    """

    _preprocess_parameters = ("bands", "zero_point", "timeout")

    def _sanitize_parameters(self, threshold: float | None = None, **parameters: Any) -> tuple[dict, dict, dict]:
        if unknown := sorted(parameters.keys() - set(self._preprocess_parameters)):
            known = ("threshold", *self._preprocess_parameters)
            raise TypeError(f"{type(self).__name__} has no parameters {unknown}, only {known}.")
        return parameters, {}, {} if threshold is None else {"threshold": threshold}

    def _forward(self, model_inputs: Any) -> Any:
        target_size = model_inputs.pop("target_size")
        outputs = self.model(**model_inputs)
        return type(outputs)({"target_size": target_size, **outputs})

    def postprocess(self, model_outputs: Any, threshold: float = 0.5) -> list[dict[str, Any]]:
        """Detections of one image as plain values."""
        (found,) = self.image_processor.post_process_instance_segmentation(
            model_outputs, threshold=threshold, target_sizes=model_outputs["target_size"]
        )
        boxes = found["boxes"].round().int().tolist()
        return [
            {
                "score": score,
                "label": self.model.config.id2label[label],
                "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)),
                "mask": mask.cpu().numpy(),
            }
            for score, label, box, mask in zip(
                found["scores"].tolist(), found["labels"].tolist(), boxes, found["masks"], strict=True
            )
        ]


class _FluxInputs(_GalaxyInputs):
    """Adds FITS and flux to a stock pipeline for pictures: parameters `bands` and `zero_point`.

    The classes derived from it stand behind a task that all models share: made with a model of another kind, they give
    an instance of the stock class.
    """

    _stock: type[Pipeline]

    def __new__(cls, model: Any = None, *args: Any, **kwargs: Any) -> Pipeline:
        # without a model, a copy or a pickle is being made of one of ours
        if model is None or model.config.model_type == GalvmConfig.model_type:
            return super().__new__(cls)
        return cls._stock(model, *args, **kwargs)

    def _sanitize_parameters(self, **parameters: Any) -> tuple[dict, dict, dict]:
        own = {name: parameters.pop(name) for name in ("bands", "zero_point") if name in parameters}
        preprocess, forward, postprocess = super()._sanitize_parameters(**parameters)
        return {**preprocess, **own}, forward, postprocess

    def preprocess(
        self, image: Any, timeout: float | None = None, bands: tuple[str, ...] | None = None, **options: Any
    ) -> Any:
        """See `_GalaxyInputs._read`."""
        return {"pixel_values": self._read(image, bands, timeout, **options)["pixel_values"]}


class GalaxyClassificationPipeline(_FluxInputs, ImageClassificationPipeline):
    """`image-classification` that also reads FITS cubes and flux."""

    _stock = ImageClassificationPipeline


class GalaxyFeaturePipeline(_FluxInputs, ImageFeatureExtractionPipeline):
    """`image-feature-extraction` that also reads FITS cubes, arrays and flux."""

    _stock = ImageFeatureExtractionPipeline


class GalaxyObjectDetectionPipeline(_FrameInputs, _FluxInputs, ObjectDetectionPipeline):
    """`object-detection` that also reads FITS cubes, arrays and flux."""

    _stock = ObjectDetectionPipeline
    _load_tokenizer = ObjectDetectionPipeline._load_tokenizer

    def check_model_type(self, supported_models: Any) -> None:
        """The stock pipeline checks against a copy of the list, which loses the classes that were registered."""
        super().check_model_type(MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES)


def register_pipelines() -> None:
    """Make the galaxy tasks known to `transformers.pipeline`, and put our classes behind the stock tasks."""
    for task, pipeline_class, model_class in (
        ("galaxy-restoration", GalaxyRestorationPipeline, AutoModelForImageToImage),
        ("galaxy-inpainting", GalaxyInpaintingPipeline, AutoModelForMaskedImageModeling),
        ("lens-detection", LensDetectionPipeline, AutoModelForObjectDetection),
    ):
        PIPELINE_REGISTRY.register_pipeline(task, pipeline_class, pt_model=model_class, type="image")
    for task, pipeline_class in (
        ("image-classification", GalaxyClassificationPipeline),
        ("image-feature-extraction", GalaxyFeaturePipeline),
        ("object-detection", GalaxyObjectDetectionPipeline),
    ):
        # registering the name again would lose the task's default model, and warn
        PIPELINE_REGISTRY.supported_tasks[task]["impl"] = pipeline_class


def _read_mask(mask: Any, timeout: float | None) -> Any:
    """A mask bool [H, W] from an array, a PIL image or the path of one; of a picture, what is brighter than half."""
    if isinstance(mask, str | Path):
        mask = load_image(str(mask), timeout=timeout)
    return np.asarray(mask.convert("L")) > 127 if isinstance(mask, Image.Image) else mask
