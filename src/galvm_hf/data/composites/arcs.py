"""The lensed light of a real lens: what is bluer than its deflector, and lies round it.

Nobody has drawn these arcs: they are computed. As in RingFinder (Gavazzi et al. 2014), the red bands, scaled to the
colour of the deflector, are subtracted from the blue one: red galaxies vanish, the deflector's companions too, and
bluer arcs remain. It fails where source and deflector have one colour, and takes blue neighbours at the right distance
for arcs.
"""

import cv2
import numpy as np

from .matching import FWHM_TO_SIGMA
from .noise import StampNoise, measure_noise

SMOOTHING = 0.25  # arcsec, standard deviation
DEFLECTOR_RADIUS = 3.0  # arcsec from the centre within which the deflector is looked for
CORE = 1.0  # arcsec round its peak, where its colour is measured
LEAST_CORE = 8  # pixels
COLOUR_PERCENTILE = 25  # arcs make some of those pixels too blue
FIELD_OF_VIEW = 8.0  # arcsec from the centre: the widest arcs
LEAST_SIGNIFICANCE = 4.0  # of a pixel
LEAST_EXCESS = 0.25  # of the blue light that the deflector's colour does not explain; its own gradient is less
LEAST_AREA = 0.5  # square arcsec of a piece
STAR_RADIUS = 2.0  # arcsec round what is saturated in g and r, away from the deflector
DISTANCE_SCALE = 3.0  # arcsec from the centre at which a piece counts half
BAND = (0.5, 1.6)  # of the distance of the main piece, in which the others lie
LEAST_SHARE = 0.08  # of the light of the main piece


def find_arcs(flux: np.ndarray, clipped: np.ndarray, pixel_scale: float, psf_fwhm: tuple[float, ...]) -> np.ndarray:
    """Light of the lensed source in a stamp, without its deflector.

    Args:
        flux: Nanomaggies in a pixel, [3, H, W], bands g, r, z.
        clipped: Pixels that are saturated in the picture, bool [3, H, W].
        pixel_scale: Arcseconds per pixel.
        psf_fwhm: Seeing in the bands, arcsec.

    Returns:
        Nanomaggies in a pixel, smoothed, the same in all bands as of a source with a flat spectrum, and 0 away from the
        arcs, float32 [H, W]. All zeros where nothing is found.
    """
    blue, red, noise = _blue_and_red(flux, pixel_scale, psf_fwhm)
    rows, columns = np.indices(blue.shape)
    centre = np.hypot(rows - blue.shape[0] // 2, columns - blue.shape[1] // 2) * pixel_scale
    # where only the blue is saturated, it is bluer still
    unclear = cv2.dilate(clipped[1:].any(axis=0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0

    peak = np.unravel_index(np.where(centre < DEFLECTOR_RADIUS, red, -np.inf).argmax(), red.shape)
    from_peak = np.hypot(rows - peak[0], columns - peak[1]) * pixel_scale
    colour = _deflector_colour(blue, red, noise, from_peak, ~unclear)
    rest = blue - colour * red
    sigma = np.hypot(noise.sigma[0], colour * noise.sigma[1])

    stars = clipped[:2].all(axis=0) & (from_peak > 2 * CORE)
    reach = 2 * int(STAR_RADIUS / pixel_scale) + 1
    stars = cv2.dilate(stars.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) > 0
    bluer = (rest > LEAST_SIGNIFICANCE * sigma) & (rest > LEAST_EXCESS * blue) & (centre < FIELD_OF_VIEW)
    arcs = _choose_pieces(bluer & ~unclear & ~stars, rest, centre, LEAST_AREA / pixel_scale**2)
    grown = cv2.dilate(arcs.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return (np.where(grown, rest.clip(min=0), 0) / (1 - min(colour, 0.5))).astype(np.float32)


def _blue_and_red(
    flux: np.ndarray, pixel_scale: float, psf_fwhm: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, StampNoise]:
    """g, and the mean of r and z, above the sky and at the same seeing, and the noise of both."""
    widths = np.sqrt(max(psf_fwhm) ** 2 - np.square(psf_fwhm)) * FWHM_TO_SIGMA
    planes = [
        cv2.GaussianBlur(plane, (0, 0), float(np.hypot(width, SMOOTHING)) / pixel_scale, borderType=cv2.BORDER_REFLECT)
        for plane, width in zip(flux, widths, strict=True)
    ]
    both = np.stack([planes[0], 0.5 * (planes[1] + planes[2])])
    level, noise = measure_noise(both, np.ones(both.shape[1:], dtype=bool))
    blue, red = both - level[:, None, None]
    return blue, red, noise


def _deflector_colour(
    blue: np.ndarray, red: np.ndarray, noise: StampNoise, from_peak: np.ndarray, clear: np.ndarray
) -> float:
    """Blue over red light near the deflector's peak, farther out where its core is saturated."""
    bright = clear & (red > 5 * noise.sigma[1])
    for radius in (CORE, 2 * CORE, 4 * CORE):
        core = bright & (from_peak < radius)
        if core.sum() >= LEAST_CORE:
            return float(np.percentile(blue[core] / red[core], COLOUR_PERCENTILE))
    return 0.0


def _choose_pieces(bluer: np.ndarray, light: np.ndarray, centre: np.ndarray, least_area: float) -> np.ndarray:
    """The main piece, the brightest near the centre, and those as far from the centre as it is, bool [H, W]."""
    number, labels, stats, _ = cv2.connectedComponentsWithStats(bluer.astype(np.uint8))
    pieces = [label for label in range(1, number) if stats[label, cv2.CC_STAT_AREA] >= least_area]
    if not pieces:
        return np.zeros(bluer.shape, dtype=bool)
    total = np.array([light[labels == label].sum() for label in pieces])
    distance = np.array([np.average(centre[labels == label], weights=light[labels == label]) for label in pieces])
    main = np.argmax(total / (1 + (distance / DISTANCE_SCALE) ** 2))
    low, high = (share * distance[main] for share in BAND)
    kept = (distance > min(low, distance[main] - 1)) & (distance < max(high, distance[main] + 1))
    kept &= total > LEAST_SHARE * total[main]
    return np.isin(labels, np.array(pieces)[kept])
