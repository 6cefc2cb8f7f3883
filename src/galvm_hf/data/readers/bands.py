"""Names of bands: as headers and file names spell them, and their order by wavelength."""

import re
from collections.abc import Sequence

BANDS_BY_WAVELENGTH = ("u", "g", "r", "i", "z", "y", "j", "h", "k", "w1", "w2", "w3", "w4")
# An extension or file with one of these words in its name belongs to a band without being its image.
_NOT_IMAGES = {
    *("chi2", "depth", "dq", "err", "error", "flag", "flags", "galdepth", "invvar", "ivar", "mask", "maskbits"),
    *("model", "nexp", "psf", "psfdepth", "psfsize", "rms", "std", "unc", "var", "variance", "weight", "wht", "wt"),
}


def band_name(text: str) -> str | None:
    """The band in a FILTER or EXTNAME: "g" of "g DECam SDSS c0001 4720.0 1520.0", "HSC-G" or "IMAGE_G"; else `None`."""
    return next((word for word in _words(text) if word in BANDS_BY_WAVELENGTH), None)


def is_image_name(text: str) -> bool:
    """Whether an extension or file of this name can be an image of the sky: a mask, or an inverse variance, is none."""
    return not _NOT_IMAGES.intersection(_words(text))


def wavelength_order(bands: Sequence[str]) -> list[int]:
    """Indices that sort planes by wavelength; their own order if a name is unknown."""
    if not set(bands) <= set(BANDS_BY_WAVELENGTH):
        return list(range(len(bands)))
    return sorted(range(len(bands)), key=lambda index: BANDS_BY_WAVELENGTH.index(bands[index]))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())
