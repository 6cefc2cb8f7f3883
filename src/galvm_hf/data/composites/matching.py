"""A real stamp as it would stand in the field: its pixels, seeing and sky, cut out softly along what shines in it."""

from dataclasses import dataclass

import cv2
import numpy as np

from ..simulate.survey import PIXEL_SCALE
from .noise import StampNoise, field_power, measure_noise

FWHM_TO_SIGMA = 1 / 2.3548
LEAST_BLUR = 0.4  # field pixels, standard deviation: no detail finer than the field's pixels is sampled
DETECTION_BLUR = 1.2  # field pixels, standard deviation
# Of the field's sky, all bands together, before the smoothing: the higher ones only where the object in the middle
# would otherwise hang together with the edges.
DETECTION_SIGMAS = (0.9, 1.4, 2.2)
LEAST_PIXELS = 12  # of an object
GROWTH, FEATHER = 3.0, 5.0  # pixels that an outline reaches beyond what is detected, and over which it fades
BLANK_DISTANCE = 4.0  # pixels from an object to what counts as sky
LEAST_BLANK = 0.1  # of the stamp
LEAST_GAIN = 0.5  # of a stamp whose brightness on the sky is known
EDGE = 4  # pixels over which a stamp fades at its edges
LONG_WAVES, FFT_SIDE = 0.25, 32  # cycles per pixel below which noise is compared
CENTRE = 3.0  # arcsec from the centre of the stamp within which its object lies


class UnusableStampError(ValueError):
    """A stamp whose object cannot be cut out."""


@dataclass(frozen=True)
class Conditions:
    """Of a field.

    Attributes:
        psf_fwhm: Seeing in g, r, z, arcsec, [3].
        sky: Standard deviation of the noise of a pixel, nanomaggies, [3].
    """

    psf_fwhm: np.ndarray
    sky: np.ndarray


@dataclass(frozen=True)
class Cutout:
    """What is pasted of a stamp.

    Attributes:
        flux: Nanomaggies in a pixel of the field, above the sky, float32 [3, H, W].
        opacity: Share of the stamp in each pixel, float32 [H, W]: 1 over objects, 0 in the sky and at the edges.
        noise: That of `flux`.
        gain: What the light was multiplied with.
    """

    flux: np.ndarray
    opacity: np.ndarray
    noise: StampNoise
    gain: float


def resample(
    flux: np.ndarray, pixel_scale: float, psf_fwhm: np.ndarray, conditions: Conditions, shrink: float = 1.0
) -> np.ndarray:
    """Blur a stamp to the seeing of the field and sample it at its pixels.

    Args:
        flux: Nanomaggies in a pixel, [3, h, w].
        pixel_scale: Arcseconds per pixel.
        psf_fwhm: Seeing of the stamp, arcsec, [3].
        conditions: Those of the field. A band that is less sharp already is not blurred.
        shrink: How much smaller the stamp is to appear on the sky, as if it were farther away.

    Returns:
        Nanomaggies in a pixel of 0.262 arcsec, float32 [3, H, W] of odd sides; the middle of the stamp stays there.
    """
    scale = PIXEL_SCALE / (pixel_scale * shrink)  # stamp pixels in a field pixel
    sides = [int((side - 1) / scale) // 2 * 2 - 1 for side in flux.shape[1:]]
    affine = np.array(
        [[scale, 0, (flux.shape[2] - 1 - scale * (sides[1] - 1)) / 2],
         [0, scale, (flux.shape[1] - 1 - scale * (sides[0] - 1)) / 2]]
    )  # fmt: skip
    planes = []
    for plane, wanted, given in zip(flux, conditions.psf_fwhm, np.asarray(psf_fwhm) * shrink, strict=True):
        sigma = FWHM_TO_SIGMA / PIXEL_SCALE * np.sqrt(max(wanted**2 - given**2, 0))
        blurred = cv2.GaussianBlur(plane, (0, 0), max(sigma, LEAST_BLUR) * scale, borderType=cv2.BORDER_REFLECT)
        planes.append(cv2.warpAffine(blurred, affine, sides[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP))
    # as many stamp pixels lie in a field pixel; a shrunken stamp keeps its surface brightness
    return np.stack(planes) * np.float32((PIXEL_SCALE / pixel_scale) ** 2)


def cut_out(flux: np.ndarray, conditions: Conditions, least_gain: float = LEAST_GAIN) -> Cutout:
    """Cut the object in the middle of a stamp, and the others that are whole, out of their sky.

    Where the stamp is noisier than the field, its light is dimmed until its noise is not: the rest of the field's noise
    can then be added, and what matters, the signal to noise, is kept.

    Args:
        flux: As `resample` gives it.
        conditions: Those of the field.
        least_gain: Stamps that would have to be dimmed below this are refused.

    Raises:
        UnusableStampError: If there is no object in the middle, it reaches the edges, there is no sky round it, or the
            stamp is too noisy.
    """
    sky_map = np.ones(flux.shape[1:], dtype=bool)
    for _ in range(2):  # the sky of a first guess, then without the objects found with it
        level, noise = measure_noise(flux, sky_map)
        gain = min(1.0, _fitting_gain(noise, conditions))
        light = ((flux - level[:, None, None]) * gain).astype(np.float32)
        sky_map = distance_outside(detect(light, conditions)) > BLANK_DISTANCE
        if sky_map.mean() < LEAST_BLANK:
            raise UnusableStampError("its objects leave no sky in the stamp")
    if gain < least_gain:
        raise UnusableStampError(f"its noise fits the field only with {gain:.2f} of its light")
    outside = distance_outside(_whole_objects(light, conditions))
    fading = np.clip(1 - (outside - GROWTH) / FEATHER, 0, 1)
    opacity = (fading * fading * (3 - 2 * fading)).astype(np.float32)
    return Cutout(light, opacity * _edge_fading(opacity.shape), noise.scaled(gain), gain)


def detect(light: np.ndarray, conditions: Conditions, threshold: float = DETECTION_SIGMAS[0]) -> np.ndarray:
    """Where objects shine in light above the sky [3, H, W], bool [H, W]."""
    smooth = cv2.GaussianBlur(significance(light, conditions), (0, 0), DETECTION_BLUR)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((smooth > threshold).astype(np.uint8))
    large = stats[:, cv2.CC_STAT_AREA] >= LEAST_PIXELS
    large[0] = False
    return large[labels]


def significance(light: np.ndarray, conditions: Conditions) -> np.ndarray:
    """Sum over bands of light [3, H, W] over the noise of the sky, of unit variance in the field's sky, [H, W]."""
    return (light / conditions.sky[:, None, None]).sum(axis=0) / np.sqrt(len(light))


def distance_outside(objects: np.ndarray) -> np.ndarray:
    """Pixels from the nearest object, 0 in them, float32 [H, W]; the stamp's diagonal where there is none."""
    if not objects.any():
        return np.full(objects.shape, np.hypot(*objects.shape), dtype=np.float32)
    distance = cv2.distanceTransform((~objects).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.round(distance, 3)  # its last bits depend on where in memory the image lies


def _fitting_gain(noise: StampNoise, conditions: Conditions) -> float:
    """Factor at which the stamp's noise is no stronger than the field's in long waves, where it is strongest."""
    y, x = np.fft.fftfreq(FFT_SIDE)[:, None], np.fft.rfftfreq(FFT_SIDE)
    long_waves = np.hypot(y, x) < LONG_WAVES
    stamp, field = (
        power[:, long_waves].mean(axis=1)
        for power in (noise.power((FFT_SIDE, FFT_SIDE)), field_power(conditions.sky, (FFT_SIDE, FFT_SIDE)))
    )
    return float(np.sqrt((field / stamp.clip(min=1e-12 * field)).min()))


def _whole_objects(light: np.ndarray, conditions: Conditions) -> np.ndarray:
    """Objects that do not come near the edges, the one in the middle among them, bool [H, W]."""
    rows, columns = np.indices(light.shape[1:])
    middle = np.hypot(rows - light.shape[1] // 2, columns - light.shape[2] // 2) < CENTRE / PIXEL_SCALE
    for threshold in DETECTION_SIGMAS:
        objects = detect(light, conditions, threshold)
        if not (middle & objects).any():
            raise UnusableStampError("it has no object in the middle")
        _, labels = cv2.connectedComponents(objects.astype(np.uint8))
        at_edge = np.unique(labels[_edge_fading(objects.shape) < 1])
        whole = objects & ~np.isin(labels, at_edge)
        if (middle & whole).any():
            return whole
    raise UnusableStampError("its object reaches the edge of the stamp")


def _edge_fading(shape: tuple[int, ...]) -> np.ndarray:
    """1 inside, falling to 0 at the edges over `EDGE` pixels, float32 [H, W]."""
    ramps = [np.minimum(np.arange(side), np.arange(side)[::-1]) / EDGE for side in shape]
    smooth = [ramp.clip(max=1) ** 2 * (3 - 2 * ramp.clip(max=1)) for ramp in ramps]
    return np.minimum(smooth[0][:, None], smooth[1]).astype(np.float32)
