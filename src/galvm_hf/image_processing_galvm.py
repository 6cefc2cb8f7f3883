# Copyright 2026 The GaLVM developers. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Image processor for GaLVM: pictures and flux of every kind in, the model's display stamps out, and back again."""

import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_base import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import ChannelDimension, ImageInput, SizeDict
from transformers.processing_utils import ImagesKwargs, Unpack
from transformers.utils import TensorType, logging

from .image_transforms_galvm import (
    BANDS,
    Crop,
    apply_crop,
    apply_crop_to_mask,
    display_to_flux,
    fill_hidden,
    find_crop,
    flux_to_display,
)

logger = logging.get_logger(__name__)

# The magnitude zero point of a nanomaggy.
NANOMAGGY_ZERO_POINT = 22.5
# Rounding may carry a float picture this far out of [0, 1] without its being something else than a picture.
_RANGE_TOLERANCE = 1e-3
# Options that processors share and this one has no use for. It refuses them: an option that does nothing misleads.
_REFUSED = {
    "do_resize": "`do_adaptive_crop` says whether images are resized",
    "do_center_crop": "`do_adaptive_crop` finds the crop itself",
    "do_rescale": "integer pictures are always brought to [0, 1], and flux is always stretched",
    "do_normalize": "the model reads display values in [0, 1]",
    "do_pad": "images of different sizes are always padded",
}


class GalvmImageProcessorKwargs(ImagesKwargs, total=False):
    r"""
    do_adaptive_crop (`bool`, *optional*, defaults to `True`):
        Whether to crop each image around its object and to resize it to `size`. With `False` the whole frame is kept in
        its own size, and frames of different sizes are padded with zeros at the bottom and at the right.
    crop_margin (`float`, *optional*, defaults to 0.2):
        Empty border on each side of the object, as a fraction of the object's extent.
    max_upscale (`float`, *optional*, defaults to 2.0):
        How much a crop may be enlarged at most.
    bands (`str`, `list[str]` or `tuple[str, ...]`, *optional*):
        Names of the planes of a float image `[C, H, W]`, "g", "r" and "z" in any order. Images are then flux, in the
        units that `zero_point` gives. Unset, they are pictures in RGB order, which is z, r, g.
    zero_point (`float`, *optional*, defaults to 22.5):
        AB magnitude of one unit of flux. 22.5 is that of the nanomaggy.
    return_crops (`bool`, *optional*, defaults to `False`):
        Whether to return `crops`, one `Crop` for each image: the box in pixels of the input, and why it fell back to
        the centre where it did.
    """

    do_adaptive_crop: bool | None
    crop_margin: float | int | None
    max_upscale: float | int | None
    bands: str | list[str] | tuple[str, ...] | None
    zero_point: float | int | None
    return_crops: bool | None


class GalvmImageProcessor(BaseImageProcessor):
    """Turns pictures (PIL images, arrays, tensors) and flux (nanomaggies, FITS arrays) into stamps that GaLVM reads.

    The output `pixel_values` is float32 `[B, 3, H, W]` in [0, 1], channels in order of wavelength (g, r, z). A
    picture's channels are therefore reversed on the way in, and again in [`~GalvmImageProcessor.post_process_images`].

    One class serves the "torchvision" and the "pil" backend: it works in numpy and OpenCV and needs no torchvision.

    Example:
        >>> processor = GalvmImageProcessor()
        >>> processor(Image.open("galaxy.jpg"), return_tensors="pt").pixel_values.shape
        torch.Size([1, 3, 128, 128])
        >>> processor(flux, bands=("g", "r", "z"), return_tensors="pt").pixel_values.shape
        torch.Size([1, 3, 128, 128])
    """

    valid_kwargs = GalvmImageProcessorKwargs
    model_input_names = ["pixel_values"]

    do_convert_rgb = True
    size = {"height": 128, "width": 128}
    do_adaptive_crop = True
    crop_margin = 0.2
    max_upscale = 2.0
    bands = None
    zero_point = NANOMAGGY_ZERO_POINT
    return_crops = False

    def __init__(self, **kwargs: Unpack[GalvmImageProcessorKwargs]):
        super().__init__(**kwargs)
        self._set_attributes(**kwargs)

    def preprocess(
        self, images: ImageInput, masks: Any = None, **kwargs: Unpack[GalvmImageProcessorKwargs]
    ) -> BatchFeature:
        """Preprocesses an image or a batch of images.

        Args:
            images: A picture or flux, or a batch or list of them, of equal or different sizes: PIL images of any mode,
                paths and URLs as `str`; integer arrays or tensors in RGB order, `[H, W, 3]`, `[3, H, W]` or a batch of
                these; float arrays in [0, 1] likewise; with `bands`, flux `[3, H, W]` or `[B, 3, H, W]`. One-channel
                pictures count as grey, and transparent ones lie on black sky. Arrays may be big-endian, as FITS arrays
                are, and masked.
            masks: What to hide, true where hidden: bool `[H, W]`, `[B, H, W]` or a list of `[H, W]`, one for each
                image. Hidden pixels, and those that are not finite, are filled with the median of their band.
            **kwargs: See [`GalvmImageProcessorKwargs`]; what is not given here is taken from the processor.

        Returns:
            A `BatchFeature` with

            - `pixel_values`: float32 `[B, 3, H, W]` in [0, 1], channels g, r, z; a list of `[3, H, W]` arrays without
              `return_tensors`.
            - `bool_masked_pos`: bool `[B, H, W]`, true where hidden. Only when masks were given or some pixel was not
              finite.
            - `crops`: list of `Crop`, only with `return_crops=True`. Without adaptive crop it is the whole frame.

        Raises:
            ValueError: An image that cannot be read without guessing: no pixels, none that is finite, bands that are
                wrong in number or unknown or missing, values that fit no picture; a mask that fits no image; an option
                that does not apply here.
        """
        return super().preprocess(images, masks, **kwargs)

    def _standardize_kwargs(self, bands: str | list[str] | tuple[str, ...] | None = None, **kwargs) -> dict:
        kwargs = super()._standardize_kwargs(**kwargs)
        # A tuple, so that a processor read from JSON, where it is a list, equals the one that was saved.
        kwargs["bands"] = None if bands is None else tuple(bands)
        return kwargs

    def _validate_preprocess_kwargs(
        self,
        size: SizeDict | None = None,
        bands: tuple[str, ...] | None = None,
        crop_margin: float | None = None,
        max_upscale: float | None = None,
        zero_point: float | None = None,
        data_format: str | ChannelDimension | None = None,
        do_adaptive_crop: bool | None = None,
        **kwargs,
    ) -> None:
        if size is None or not (size.height and size.width and size.height > 0 and size.width > 0):
            raise ValueError(
                f'size is {size}, but it must be like {{"height": 128, "width": 128}}, in pixels: pass both.'
            )
        if crop_margin is None or not 0 <= crop_margin < math.inf:
            raise ValueError(
                f"crop_margin is {crop_margin}, but it must be 0 or more: it is a fraction of the object's extent."
            )
        if max_upscale is None or not 0 < max_upscale < math.inf:
            raise ValueError(
                f"max_upscale is {max_upscale}, but it must be above 0: 2.0 enlarges a crop twofold at most."
            )
        if zero_point is None or not math.isfinite(zero_point):
            raise ValueError(f"zero_point is {zero_point}, but it must be a finite AB magnitude: 22.5 for nanomaggies.")
        if data_format not in (None, ChannelDimension.FIRST):
            raise ValueError(f"data_format is {data_format!r}, but the output is always channels_first: leave it out.")
        for name, reason in _REFUSED.items():
            value = kwargs.get(name)
            # `do_resize=False` is the common way to ask for the native size, and must not be passed over either.
            if value or (name == "do_resize" and value is False and do_adaptive_crop):
                raise ValueError(f"{name} is {value}, but it has no use here, since {reason}: leave it out.")
        if bands is not None:
            unknown = [band for band in bands if band not in BANDS]
            missing = [band for band in BANDS if band not in bands]
            if unknown or missing or len(bands) != len(BANDS):
                raise ValueError(
                    f"bands is {bands}; unknown: {unknown or 'none'}, missing: {missing or 'none'}. The model reads "
                    f"each of {BANDS} once: pass those three planes and name them in the order they have."
                )

    def _preprocess_image_like_inputs(
        self,
        images: ImageInput,
        masks: Any,
        bands: tuple[str, ...] | None,
        zero_point: float,
        do_convert_rgb: bool | None,
        input_data_format: str | ChannelDimension | None,
        do_adaptive_crop: bool,
        size: SizeDict,
        crop_margin: float,
        max_upscale: float,
        return_crops: bool | None,
        return_tensors: str | TensorType | None,
        device: "str | torch.device | None" = None,
        **kwargs,
    ) -> BatchFeature:
        images = _flatten(self.fetch_images(images), batch_ndim=4)
        if not images:
            raise ValueError("No image came, but at least one is needed: pass a list or a batch that is not empty.")
        hidden_by_user = _match_masks(masks, len(images))
        target = (size.height, size.width)
        stamps, hidden_stamps, crops = [], [], []
        for image, hidden in zip(images, hidden_by_user, strict=True):
            planes = self.process_image(image, bands, zero_point, do_convert_rgb, input_data_format)
            if hidden is not None and hidden.shape != planes.shape[-2:]:
                raise ValueError(
                    f"A mask of shape {hidden.shape} came with an image of {planes.shape[-2:]} (height, width): pass "
                    "one mask [H, W] for each image, of that image's size."
                )
            planes, hidden = fill_hidden(planes, hidden)
            if bands is not None:
                planes = flux_to_display(planes)
            if do_adaptive_crop:
                crop = find_crop(planes, target, crop_margin, max_upscale)
                planes = apply_crop(planes, crop, target)
                hidden = apply_crop_to_mask(hidden, crop, target) if hidden.any() else np.zeros(target, dtype=bool)
                if crop.fallback is not None:
                    logger.warning_once(
                        f"The adaptive crop found no object and took the centre of an image ({crop.fallback}). "
                        "`return_crops=True` returns the reason for each image."
                    )
            else:
                crop = Crop(top=0, left=0, height=planes.shape[-2], width=planes.shape[-1])
            stamps.append(planes)
            hidden_stamps.append(hidden)
            crops.append(crop)

        frame = tuple(max(stamp.shape[axis] for stamp in stamps) for axis in (-2, -1))
        data = {"pixel_values": [_pad(stamp, frame) for stamp in stamps]}
        if masks is not None or any(hidden.any() for hidden in hidden_stamps):
            data["bool_masked_pos"] = [_pad(hidden, frame) for hidden in hidden_stamps]
        if return_crops:
            data["crops"] = crops
        batch = BatchFeature(data=data, tensor_type=return_tensors, skip_tensor_conversion={"crops"})
        return batch if device is None else batch.to(device)

    def process_image(
        self,
        image: Any,
        bands: tuple[str, ...] | None = None,
        zero_point: float = NANOMAGGY_ZERO_POINT,
        do_convert_rgb: bool | None = True,
        input_data_format: str | ChannelDimension | None = None,
    ) -> np.ndarray:
        """Brings one image to planes in order of wavelength.

        Args:
            image: A PIL image, array or tensor.
            bands: Names of the planes when the image is flux, None when it is a picture.
            zero_point: AB magnitude of one unit of flux.
            do_convert_rgb: Whether grey and transparent pictures are made RGB; otherwise they are refused.
            input_data_format: Where a picture's channels are; None to infer it.

        Returns:
            `[3, H, W]` float32, g, r, z: nanomaggies when `bands` is given, otherwise display values in [0, 1]. Hidden
            pixels of a masked array are NaN.

        Raises:
            ValueError: As in [`~GalvmImageProcessor.preprocess`].
        """
        if isinstance(image, Image.Image):
            if bands is not None:
                raise ValueError(
                    f"bands is {bands}, which says that the image is flux, but a PIL image came (mode {image.mode}): "
                    "pass flux as a float array [3, H, W], or leave `bands` out for pictures."
                )
            image, input_data_format = _pil_to_array(image), ChannelDimension.LAST
        elif isinstance(image, torch.Tensor):
            image = image.detach().cpu()
            # numpy has no bfloat16, and half precision holds no more than float32 does.
            image = (image.float() if image.is_floating_point() else image).numpy()
        elif not isinstance(image, np.ndarray):
            raise ValueError(
                f"An image is of type {type(image).__name__}: pass PIL images, numpy arrays or torch tensors."
            )
        if image.size == 0 or image.ndim not in (2, 3):
            raise ValueError(
                f"An image has shape {image.shape}, but it must have pixels and be [C, H, W], [H, W, C] or, when it is "
                "grey, [H, W]: leave empty images out, and pass batches of equal size as one array [B, C, H, W]."
            )
        if bands is not None:
            return _flux_planes(image, bands, zero_point, input_data_format)
        return _picture_planes(image, bool(do_convert_rgb), input_data_format)

    def post_process_images(
        self, outputs: Any, output_type: str = "pil", target_sizes: "torch.Tensor | list[tuple[int, int]] | None" = None
    ) -> Any:
        """Turns reconstructions into images for people or for measurement.

        Args:
            outputs: A model output with `reconstruction`, `[B, 3, H, W]` display values g, r, z, or that tensor itself.
            output_type: "pil", "pt", "np" or "flux".
            target_sizes: Height and width of each frame, px, to cut away the padding at the bottom and at the right.

        Returns:
            - "pil": list of RGB `PIL.Image.Image`.
            - "pt": float32 tensor `[B, 3, H, W]`, RGB in [0, 1].
            - "np": float32 array `[B, H, W, 3]`, RGB in [0, 1].
            - "flux": float32 array `[B, 3, H, W]`, nanomaggies, bands g, r, z (see `display_to_flux`).

            With `target_sizes`, a list of B tensors or arrays, without the first axis.

        Raises:
            ValueError: Another `output_type`, or not one target size for each image, or one larger than the image.
        """
        converters = {
            "pil": lambda display: Image.fromarray((display.flip(0).permute(1, 2, 0) * 255).round().byte().numpy()),
            "pt": lambda display: display.flip(0),
            "np": lambda display: display.flip(0).permute(1, 2, 0).numpy(),
            "flux": lambda display: display_to_flux(display.numpy()),
        }
        if output_type not in converters:
            raise ValueError(
                f"output_type is {output_type!r}, but it must be one of {sorted(converters)}: pass one of these."
            )
        display = torch.as_tensor(getattr(outputs, "reconstruction", outputs)).detach().float().cpu().clamp(0, 1)
        if display.ndim != 4 or display.shape[1] != len(BANDS):
            raise ValueError(
                f"The images have shape {tuple(display.shape)}, but they must be [B, 3, H, W], channels {BANDS}: pass "
                "a model output that has `reconstruction`, or such a tensor."
            )
        frames = list(display)
        if target_sizes is not None:
            sizes = _match_target_sizes(target_sizes, len(frames))
            for height, width in sizes:
                if not (0 < height <= display.shape[2] and 0 < width <= display.shape[3]):
                    raise ValueError(
                        f"A target size is {(height, width)}, but the images are {tuple(display.shape[2:])} (height, "
                        "width): pass the sizes that the frames had before they were padded."
                    )
            frames = [frame[:, :height, :width] for frame, (height, width) in zip(frames, sizes, strict=True)]
        results = [converters[output_type](frame) for frame in frames]
        if target_sizes is not None or output_type == "pil":
            return results
        return torch.stack(results) if output_type == "pt" else np.stack(results)

    def post_process_object_detection(
        self,
        outputs: Any,
        threshold: float = 0.5,
        target_sizes: "torch.Tensor | list[tuple[int, int]] | None" = None,
    ) -> list[dict[str, torch.Tensor]]:
        """Turns detections into scores, labels and boxes, by the conventions of transformers' detectors.

        Args:
            outputs: A model output with `logits`, `[B, N, num_labels]`, a sigmoid each, and `pred_boxes`, `[B, N, 4]`:
                centre x, centre y, width, height, as fractions of the image.
            threshold: Detections with a lower score are left out.
            target_sizes: Height and width of each image that the fractions refer to, px. Without it boxes stay
                fractions.

        Returns:
            One dict an image: `scores` `[n]`, best first, `labels` `[n]` and `boxes` `[n, 4]` (left, top, right,
            bottom).

        Raises:
            ValueError: Not one target size for each image.
        """
        scores, labels = outputs.logits.sigmoid().max(dim=-1)
        centres, halves = outputs.pred_boxes[..., :2], outputs.pred_boxes[..., 2:] / 2
        boxes = torch.cat([centres - halves, centres + halves], dim=-1)
        if target_sizes is not None:
            sizes = torch.tensor(_match_target_sizes(target_sizes, len(boxes)), dtype=boxes.dtype, device=boxes.device)
            boxes = boxes * sizes.flip(-1).repeat(1, 2)[:, None]
        results = []
        for score, label, box in zip(scores, labels, boxes, strict=True):
            order = score.argsort(descending=True)
            order = order[score[order] > threshold]
            results.append({"scores": score[order], "labels": label[order], "boxes": box[order]})
        return results

    def post_process_instance_segmentation(
        self,
        outputs: Any,
        threshold: float = 0.5,
        target_sizes: "torch.Tensor | list[tuple[int, int]] | None" = None,
        mask_threshold: float = 0.5,
    ) -> list[dict[str, torch.Tensor]]:
        """Turns detections with masks into scores, labels, boxes and masks in pixels.

        Args:
            outputs: As for `post_process_object_detection`, with `pred_masks`, `[B, N, S, S]`: the probability that a
                part of the box belongs to the object, on a grid that is stretched over the box.
            threshold: Detections with a lower score are left out.
            target_sizes: Height and width of each image, px.
            mask_threshold: From which probability a pixel belongs to the object.

        Returns:
            As `post_process_object_detection`, in pixels, and `masks` bool `[n, H, W]`.

        Raises:
            ImportError: torchvision, which pastes the masks, is not installed.
            ValueError: No target sizes, or not one for each image.
        """
        try:
            from torchvision.models.detection.roi_heads import paste_masks_in_image
        except ImportError as error:
            raise ImportError('Masks of detections need torchvision: pip install "galvm_hf[detection]"') from error
        if target_sizes is None:
            raise ValueError("target_sizes is missing: pass the height and width, px, of each image.")
        sizes = _match_target_sizes(target_sizes, len(outputs.logits))
        results = self.post_process_object_detection(outputs, threshold, sizes)
        for result, logits, grids, size in zip(results, outputs.logits, outputs.pred_masks, sizes, strict=True):
            best = logits.max(dim=-1).values.argsort(descending=True)[: len(result["scores"])]
            probabilities = paste_masks_in_image(grids[best, None].float(), result["boxes"].float(), size)
            result["masks"] = probabilities[:, 0] >= mask_threshold
        return results


def _flatten(images: Any, batch_ndim: int) -> list:
    """One list of single images (or masks) out of nested lists, and of arrays with `batch_ndim` axes."""
    if isinstance(images, list | tuple):
        return [single for item in images for single in _flatten(item, batch_ndim)]
    return list(images) if getattr(images, "ndim", None) == batch_ndim else [images]


def _match_masks(masks: Any, count: int) -> list[np.ndarray | None]:
    """One bool mask `[H, W]`, or None, for each of `count` images."""
    if masks is None:
        return [None] * count
    flat = [
        np.asarray(mask.cpu() if isinstance(mask, torch.Tensor) else mask) for mask in _flatten(masks, batch_ndim=3)
    ]
    if len(flat) != count or any(mask.ndim != 2 for mask in flat):
        raise ValueError(
            f"{len(flat)} masks of shapes {[mask.shape for mask in flat]} came with {count} images: pass one mask "
            "[H, W] for each image, as [B, H, W] or a list."
        )
    return [mask.astype(bool) for mask in flat]


def _match_target_sizes(target_sizes: "torch.Tensor | list[tuple[int, int]]", count: int) -> list[tuple[int, int]]:
    sizes = [(int(height), int(width)) for height, width in target_sizes]
    if len(sizes) != count:
        raise ValueError(
            f"{len(sizes)} target sizes came with {count} images: pass one (height, width) for each image."
        )
    return sizes


def _pad(plane: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
    """Zeros (False in a mask) at the bottom and at the right of `[..., H, W]`."""
    missing = [(0, wanted - there) for wanted, there in zip(frame, plane.shape[-2:], strict=True)]
    return np.pad(plane, [(0, 0)] * (plane.ndim - 2) + missing) if any(after for _, after in missing) else plane


def _pil_to_array(image: Image.Image) -> np.ndarray:
    """`[H, W]` or `[H, W, C]`, of which `_picture_planes` knows the meaning."""
    if image.mode in ("L", "RGB", "RGBA", "F") and "transparency" not in image.info:
        return np.asarray(image)
    if image.mode.startswith("I"):
        # Scientific 16-bit pictures; Pillow's own conversion to RGB would clip them at 255.
        return np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
    return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _native_float(image: np.ndarray) -> np.ndarray:
    """float32 in the machine's byte order; what a masked array hides becomes NaN."""
    # Beyond float32 lies no light, only the fill values of some files: they become infinite, and so hidden.
    with np.errstate(over="ignore"):
        values = np.asarray(image).astype(np.float32)
    return np.where(np.ma.getmaskarray(image), np.float32(np.nan), values) if np.ma.isMaskedArray(image) else values


def _flux_planes(
    image: np.ndarray, bands: tuple[str, ...], zero_point: float, input_data_format: str | ChannelDimension | None
) -> np.ndarray:
    """`[3, H, W]` nanomaggies, g, r, z."""
    if image.dtype.kind != "f":
        raise ValueError(
            f"bands is {bands}, which says that the image is flux, but its dtype is {image.dtype}: pass flux as "
            "floats, or leave `bands` out for pictures."
        )
    if input_data_format == ChannelDimension.LAST and image.ndim == 3:
        image = np.moveaxis(image, -1, 0)
    if image.ndim != 3 or len(image) != len(bands):
        raise ValueError(
            f"A flux image has shape {image.shape}, but bands {bands} need [{len(bands)}, H, W]: pass one plane for "
            "each band, bands first."
        )
    order = [bands.index(band) for band in BANDS]
    return _native_float(image[order]) * np.float32(10 ** ((NANOMAGGY_ZERO_POINT - zero_point) / 2.5))


def _picture_planes(
    image: np.ndarray, do_convert_rgb: bool, input_data_format: str | ChannelDimension | None
) -> np.ndarray:
    """`[3, H, W]` display values in [0, 1], g, r, z, from an RGB, RGBA or grey picture."""
    # Four float planes are rather four bands than a colour with its transparency.
    allowed = (3,) if not do_convert_rgb else (1, 3) if image.dtype.kind == "f" else (1, 3, 4)
    if image.ndim == 2:
        image = image[None]
    elif input_data_format == ChannelDimension.LAST or (input_data_format is None and _channels_last(image, allowed)):
        image = np.moveaxis(image, -1, 0)
    channels = len(image)
    if channels not in allowed:
        raise ValueError(
            f"A {image.dtype} picture has shape {image.shape}, with {channels} channels where {allowed} are allowed: "
            f'pass RGB, or flux in the bands {BANDS} with `bands=("g", "r", "z")`.'
        )
    picture = _to_unit_range(image)
    if channels == 4:
        # The sky is black.
        picture = picture[:3] * picture[3]
    return np.ascontiguousarray(np.broadcast_to(picture[::-1], (len(BANDS), *picture.shape[1:])))


def _channels_last(picture: np.ndarray, allowed: tuple[int, ...]) -> bool:
    first, last = picture.shape[0], picture.shape[-1]
    return first != 3 and (last == 3 or (last in allowed and first not in allowed))


def _to_unit_range(image: np.ndarray) -> np.ndarray:
    """float32 in [0, 1], NaN where hidden: integers by their range, floats as they are."""
    kind, depth = image.dtype.kind, 8 * image.dtype.itemsize
    if kind not in "uif":
        raise ValueError(f"A picture has dtype {image.dtype}: pass 8-bit or 16-bit integers, or floats in [0, 1].")
    values = _native_float(image)
    if kind == "u" and depth <= 16:
        values /= np.float32(2**depth - 1)
        return values
    ceiling = 1.0 if kind == "f" else 255.0
    seen = values[np.isfinite(values)]
    if seen.size and not (seen.min() >= -_RANGE_TOLERANCE and seen.max() <= ceiling + _RANGE_TOLERANCE):
        raise ValueError(
            f"A picture of dtype {image.dtype} has values from {seen.min():g} to {seen.max():g}, but only 0 to "
            f'{ceiling:g} is allowed: pass `bands=("g", "r", "z")` if it is flux; otherwise scale it to [0, 1], or '
            "pass "
            "16-bit pictures as uint16."
        )
    values /= np.float32(ceiling)
    return np.clip(values, 0, 1, out=values)
