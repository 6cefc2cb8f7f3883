"""Where real stamps come from: the pixels, seeing and stretch of three surveys, and the flux behind their pictures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...image_transforms_galvm import display_to_flux
from ..simulate.galaxies.sdss import GAIN as SDSS_GAIN
from ..simulate.galaxies.sdss import PIXEL as SDSS_PIXEL
from ..simulate.galaxies.sdss import SCALES as SDSS_SCALES
from ..simulate.galaxies.sdss import SOFTENING as SDSS_SOFTENING

# HumVI (Marshall et al. 2015), with the arguments that the Space Warps project gave it: `-s 0.4,0.6,1.7 -p 1.0,0.09`.
# It divides the scales by their mean, and its flux has a zero point of 30.
HUMVI_SCALES = np.array((1.7, 0.6, 0.4), dtype=np.float32) / np.float32(0.9)  # g, r, i
HUMVI_Q, HUMVI_ALPHA = 1.0, 0.09
HUMVI_UNIT = 10 ** (0.4 * (22.5 - 30.0))  # nanomaggies
# z - i in flux, by r - i: none for a flat spectrum, 1.2 times as much z as i for an elliptical nearby, 1.4 times at a
# redshift of a half (red sequence of Rykoff et al. 2016).
Z_BEYOND_I = 0.7
FAINTEST = 1e-4  # of a display image, below its first grey level: the stretch is linear there


@dataclass(frozen=True)
class Survey:
    """How a survey's stamps show the sky.

    Attributes:
        name: For people.
        pixel_scale: Arcseconds per pixel of the stamps.
        psf_fwhm: Typical seeing in the bands that stand for g, r and z, arcsec.
        to_flux: Nanomaggies in a pixel of the stamp, [3, H, W] in g, r, z, of a display image of that shape in [0, 1].
            The sky is where it is; what the stretch clipped stays clipped.
    """

    name: str
    pixel_scale: float
    psf_fwhm: tuple[float, float, float]
    to_flux: Callable[[np.ndarray], np.ndarray]


def _humvi_to_flux(display: np.ndarray) -> np.ndarray:
    total = np.maximum(HUMVI_Q * display.sum(axis=0), FAINTEST)
    linear = display * (np.sinh(total) / total)
    return _z_for_i(linear * (HUMVI_UNIT / HUMVI_ALPHA / HUMVI_SCALES[:, None, None]))


def _sdss_to_flux(display: np.ndarray) -> np.ndarray:
    stretched = np.maximum(display.mean(axis=0), FAINTEST)
    intensity = SDSS_SOFTENING * np.sinh(stretched / SDSS_GAIN)
    per_pixel = (SDSS.pixel_scale / SDSS_PIXEL) ** 2
    return _z_for_i(display * (intensity / stretched) * (per_pixel / np.array(SDSS_SCALES, np.float32)[:, None, None]))


def _legacy_to_flux(display: np.ndarray) -> np.ndarray:
    return display_to_flux(display) * (LEGACY.pixel_scale / 0.262) ** 2


def _z_for_i(flux: np.ndarray) -> np.ndarray:
    """Flux in g, r, i with z in the place of i, extrapolated from r and i."""
    flux[2] += Z_BEYOND_I * (flux[2] - flux[1])
    return flux


# Galaxy Zoo cut each picture to the size of its galaxy: a pixel is 0.02 of the Petrosian radius with 90 % of the light.
# Here that radius counts as 10 arcsec, some 1.6 times what is typical, and so does the seeing.
SDSS_RADIUS = 10.0
# The seeing of the wide survey by Gwyn (2012), of SDSS as in `simulate.galaxies.sdss`, of DR10 as in `simulate.survey`.
CFHTLS = Survey("CFHTLS", 0.187, (0.78, 0.71, 0.64), _humvi_to_flux)
SDSS = Survey("SDSS", 0.02 * SDSS_RADIUS, (2.3, 2.1, 2.0), _sdss_to_flux)
LEGACY = Survey("Legacy Surveys", 0.262 * 96 / 153, (1.29, 1.18, 1.11), _legacy_to_flux)
