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
"""From flux or a picture to what GaLVM reads: the stretch, the adaptive crop, and the filling of hidden pixels.

Only numpy and OpenCV are needed. Arrays are channel first, `[C, H, W]`, with the channels in order of wavelength (g, r,
z). Rows count downwards and columns to the right, from 0 at the top left pixel.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

BANDS = ("g", "r", "z")

# Constants of the Legacy Surveys viewer: `dr2_rgb` (scales, m) and `sdss_rgb` (Q), github.com/legacysurvey/imagine,
# map/views.py.
BAND_SCALES = np.array([6.0, 3.4, 2.2], dtype=np.float32).reshape(3, 1, 1)
SOFTENING = 0.03
Q = 20.0

# The object is looked for on an image whose long side is at most this many pixels: fast, and steady against noise.
_SEARCH_SIDE = 96
# What belongs to an object, and what proves one, above the sky: in units of the noise after smoothing, with floors on
# the [0, 1] scale, because a JPEG's black sky may have no noise at all, and as a share of the brightness in the middle.
_AREA_SIGMA, _AREA_FLOOR = 3.0, 0.03
_PEAK_SIGMA, _PEAK_FLOOR = 7.0, 0.06
_AREA_OF_PEAK = 0.1
# A stamp with more than this share of its area at the ceiling has no grey levels left to find an object by.
_CEILING, _SATURATED_SHARE = 0.98, 0.9


@dataclass(frozen=True)
class Crop:
    """The box that was cut out of an image, in pixels of that image.

    Attributes:
        top: First row. Negative when the box begins above the image, which is then padded with its background.
        left: First column, negative likewise.
        height: Number of rows.
        width: Number of columns.
        fallback: Why the centre of the image was taken instead of an object, or None when an object was found.
    """

    top: int
    left: int
    height: int
    width: int
    fallback: str | None = None


def flux_to_display(flux: np.ndarray) -> np.ndarray:
    """Stretches flux to the display range, as the Legacy Surveys viewer does (`sdss_rgb` with the scales of `dr2_rgb`).

    With `x = flux * scale + m` and the intensity `I = mean over bands of max(0, x)`, a channel is
    `x * arcsinh(Q * I) / (sqrt(Q) * I)`, clipped to [0, 1]: colours stay the same from faint to bright.

    Args:
        flux: `[..., 3, H, W]`, nanomaggies, bands g, r, z.

    Returns:
        `[..., 3, H, W]` float32 in [0, 1], channels g, r, z.
    """
    scaled = flux * BAND_SCALES + np.float32(SOFTENING)
    intensity = np.maximum(scaled, 0).mean(axis=-3, keepdims=True)
    stretched = np.arcsinh(Q * intensity) / math.sqrt(Q)
    intensity += (intensity == 0) * 1e-6
    scaled *= stretched / intensity
    return np.clip(scaled, 0, 1).astype(np.float32, copy=False)


def display_to_flux(display: np.ndarray) -> np.ndarray:
    """Undoes [`flux_to_display`], exactly wherever it clipped nothing: there the channels' mean is the stretched `I`.

    Args:
        display: `[..., 3, H, W]` in [0, 1], channels g, r, z.

    Returns:
        `[..., 3, H, W]` float32, nanomaggies, bands g, r, z. Where the stretch clipped, a limit: a band that was cut at
        the ceiling comes back too faint, one cut at zero too bright.
    """
    stretched = display.mean(axis=-3, keepdims=True)
    intensity = np.sinh(math.sqrt(Q) * stretched) / Q
    # At black both are zero; any finite ratio then gives zero.
    scaled = display * (intensity / np.where(stretched > 0, stretched, 1))
    return ((scaled - np.float32(SOFTENING)) / BAND_SCALES).astype(np.float32, copy=False)


def fill_hidden(image: np.ndarray, hidden: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Fills pixels that are not finite, or that are marked as hidden, with the median of what is seen in their band.

    In a stamp most pixels are sky, so the median is the background.

    Args:
        image: `[C, H, W]` float.
        hidden: `[H, W]` bool, true where hidden; None hides nothing.

    Returns:
        The filled image `[C, H, W]` (the input itself when nothing was to be filled), and what is hidden now, `[H, W]`
        bool: `hidden` and every pixel that was not finite in one of the bands.

    Raises:
        ValueError: No pixel is finite in every band.
    """
    finite = np.isfinite(image).all(axis=0)
    if not finite.any():
        raise ValueError(
            f"An image of shape {image.shape} has no pixel that is finite in every band, so nothing can be read from "
            "it. At least one is needed: leave this image out, or fill its NaN and infinite pixels."
        )
    hidden = ~finite if hidden is None else hidden | ~finite
    if not hidden.any():
        return image, hidden
    seen = finite if hidden.all() else ~hidden
    background = np.median(image[:, seen], axis=1)
    return np.where(hidden, background[:, None, None], image).astype(image.dtype, copy=False), hidden


def find_crop(display: np.ndarray, size: tuple[int, int], margin: float = 0.2, max_upscale: float = 2.0) -> Crop:
    """Finds the box around the object in a stamp, from its grey levels, after the adaptive crop of Fu et al. 2024.

    The grey image is reduced and smoothed. What stands out of the background by some times the noise is joined into
    objects, and the one at the centre, or else nearest to it, is the one wanted. The box has the shape of `size`, holds
    the object with a margin on every side, and lies inside the image where it fits.

    Args:
        display: `[C, H, W]` float in [0, 1].
        size: Height and width that the box will be resized to, px.
        margin: Empty border on each side, as a fraction of the object's extent.
        max_upscale: How much the box may be enlarged at most: it is at least `size / max_upscale` px wide.

    Returns:
        The box. `fallback` says why when it is the largest centred one, because no object could be told from the sky.
    """
    image_size = display.shape[-2:]
    extent, fallback = _occupied(_search_image(display))
    if extent is None:
        # The largest centred box of that shape, so that nothing more than necessary is lost.
        zoom = max(min(image_size[0] / size[0], image_size[1] / size[1]), 1 / max_upscale)
        centre = (image_size[0] / 2, image_size[1] / 2)
    else:
        top, left, bottom, right = (edge * side for edge, side in zip(extent, image_size * 2, strict=True))
        needed = max((bottom - top) / size[0], (right - left) / size[1])
        fits = min(image_size[0] / size[0], image_size[1] / size[1])
        # The margin gives way before the box would leave the image; the object itself never does.
        zoom = max(min(needed * (1 + 2 * margin), max(fits, needed)), 1 / max_upscale)
        centre = ((top + bottom) / 2, (left + right) / 2)
    height, width = (max(1, math.ceil(side * zoom - 1e-6)) for side in size)
    return Crop(
        top=_place(centre[0], height, image_size[0]),
        left=_place(centre[1], width, image_size[1]),
        height=height,
        width=width,
        fallback=fallback,
    )


def apply_crop(image: np.ndarray, crop: Crop, size: tuple[int, int]) -> np.ndarray:
    """Cuts a box out of an image and resizes it; outside the image lies its background, the median of its rim.

    Args:
        image: `[C, H, W]` float.
        crop: The box.
        size: Height and width of the result, px.

    Returns:
        `[C, *size]` float32. Area averages when the box shrinks, bilinear when it grows.
    """
    planes = np.empty((len(image), *size), dtype=np.float32)
    for plane, result in zip(image, planes, strict=True):
        box = _cut(plane.astype(np.float32, copy=False), crop)
        cv2.resize(box, size[::-1], dst=result, interpolation=_interpolation(box.shape, size))
    return planes


def apply_crop_to_mask(mask: np.ndarray, crop: Crop, size: tuple[int, int]) -> np.ndarray:
    """Cuts a box out of a mask and resizes it as [`apply_crop`] does the image, so that no hidden value leaks out.

    Args:
        mask: `[H, W]` bool, true where hidden.
        crop: The box. Outside the image nothing is hidden.
        size: Height and width of the result, px.

    Returns:
        `[*size]` bool: true for every pixel that took any part of its value from a hidden one.
    """
    box = _cut(mask.astype(np.float32), crop, background=0.0)
    return cv2.resize(box, size[::-1], interpolation=_interpolation(box.shape, size)) > 0


def _search_image(display: np.ndarray) -> np.ndarray:
    """Mean grey level, reduced to `_SEARCH_SIDE` at most and smoothed: `[h, w]` float32."""
    height, width = display.shape[-2:]
    factor = max(1, math.ceil(max(height, width) / _SEARCH_SIDE))
    small = (math.ceil(width / factor), math.ceil(height / factor))
    mean = np.full((1, len(display)), 1 / len(display), dtype=np.float32)
    interleaved = display.transpose(1, 2, 0)
    if not interleaved.flags.c_contiguous:  # OpenCV would copy it, more slowly
        interleaved = cv2.merge(tuple(display))
    grey = cv2.transform(interleaved, mean)
    return cv2.GaussianBlur(cv2.resize(grey, small, interpolation=cv2.INTER_AREA), (5, 5), 1.0)


def _occupied(grey: np.ndarray) -> tuple[tuple[float, float, float, float] | None, str | None]:
    """Extent (top, left, bottom, right) of the central object, as fractions of the image; or None and the reason."""
    if np.count_nonzero(grey >= _CEILING) > _SATURATED_SHARE * grey.size:
        return None, f"saturated: over {_SATURATED_SHARE:.0%} of the image is at the ceiling"
    # Sky is what most of the image shows, except where the galaxy fills it: then only the rim does. Noise is measured
    # below the sky level, where no source contributes.
    sky = min(_median(grey.ravel()), rim_median(grey))
    below = grey[grey <= sky]
    noise = 1.4826 * _median(sky - below) if below.size else 0.0

    # Between the isophotes of a bright object and its neighbours lies light of both. A share of the brightness at the
    # centre keeps them apart; where nothing is at the centre it changes nothing.
    height, width = grey.shape
    middle = grey[3 * height // 8 : math.ceil(5 * height / 8), 3 * width // 8 : math.ceil(5 * width / 8)]
    isophote = max(_AREA_SIGMA * noise, _AREA_FLOOR, _AREA_OF_PEAK * (float(middle.max()) - sky))
    count, labels = cv2.connectedComponents((grey > sky + isophote).view(np.uint8), connectivity=8)
    proven = np.bincount(labels[grey > sky + max(_PEAK_SIGMA * noise, _PEAK_FLOOR)], minlength=count) > 0
    proven[0] = False
    if not proven.any():
        return None, "empty: nothing in the image stands out of the noise"
    nearest = labels[(height - 1) // 2, (width - 1) // 2]
    if not proven[nearest]:
        nearest = labels.flat[np.argmin(np.where(proven[labels], _distance_from_centre(grey.shape), np.inf))]
    object_ = labels == nearest
    rows, columns = (np.flatnonzero(object_.any(axis=axis)) for axis in (1, 0))
    return (rows[0] / height, columns[0] / width, (rows[-1] + 1) / height, (columns[-1] + 1) / width), None


@lru_cache(maxsize=32)
def _distance_from_centre(shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows - (shape[0] - 1) / 2, columns - (shape[1] - 1) / 2)


def _place(centre: float, length: int, available: int) -> int:
    """First pixel of `length` px around `centre`, moved to lie in the image, or centred on an image that is shorter."""
    if length >= available:
        return (available - length) // 2
    return min(max(round(centre - length / 2), 0), available - length)


def _cut(plane: np.ndarray, crop: Crop, background: float | None = None) -> np.ndarray:
    """The box out of one plane `[H, W]`, with `background`, or else the median of its rim, where the box leaves it."""
    height, width = plane.shape
    bottom, right = crop.top + crop.height, crop.left + crop.width
    box = plane[max(crop.top, 0) : max(bottom, 0), max(crop.left, 0) : max(right, 0)]
    if box.shape == (crop.height, crop.width):
        return box
    borders = (max(-crop.top, 0), max(bottom - height, 0), max(-crop.left, 0), max(right - width, 0))
    background = rim_median(plane) if background is None else background
    return cv2.copyMakeBorder(box, *borders, cv2.BORDER_CONSTANT, value=background)


def _interpolation(box: tuple[int, int], size: tuple[int, int]) -> int:
    return cv2.INTER_AREA if box[0] >= size[0] and box[1] >= size[1] else cv2.INTER_LINEAR


def rim_median(plane: np.ndarray) -> float:
    """Median of the outermost pixels of a plane `[H, W]`."""
    return _median(np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]]))


def _median(values: np.ndarray) -> float:
    """Median of `[N]` values without NaN: what `np.median` gives, in a fifth of its time on so few."""
    upper = len(values) // 2
    parted = np.partition(values, upper)
    return float(parted[upper] if len(values) % 2 else (parted[:upper].max() + parted[upper]) / 2)
