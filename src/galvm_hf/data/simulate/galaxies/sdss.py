"""Simulated galaxies as the Sloan Digital Sky Survey shows them: JPEG pictures of shallow g, r, i images.

Galaxy Zoo's pictures are of this kind, so this is what simulation has to look like to be compared with them.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from ..draw import Draw, take
from ..neighbours import draw_neighbours, render_neighbours
from ..sky import blur
from ..survey import PIXEL_SCALE
from .population import CLASSES, draw_galaxies
from .stamps import MARGIN, RENDER_BATCH, render_galaxies

PIXEL = 0.396  # arcsec
PSF_FWHM = (1.42, 1.30, 1.22)  # arcsec in g, r, i
SKY_NOISE = (0.026, 0.036, 0.056)  # nanomaggies in a pixel, in g, r, i
RENDERED = 128  # pixels of the simulator across what is rendered
# A picture shows this many half-light radii; Galaxy Zoo chose the scale by the galaxy's radius.
RADII_ACROSS = 13.0
NARROWEST = 9.5  # arcsec
# How much nearer galaxies are than in the stamps, natural logarithm, by class: volunteers call a galaxy a spiral when
# it is large enough to show it.
NEARER = (0.2, 0.2, 0.3, 0.1, 0.1)
# Stretch after Lupton et al. (2004): `SCALES * flux`, softened by an arcsinh. Tuned by eye and by the brightness of the
# training split's pictures.
SCALES = (1.62, 1.0, 0.87)
SOFTENING = 0.16  # nanomaggies a pixel
GAIN = 0.172
PEDESTAL = -0.003
BALANCE_SCATTER, GAIN_SCATTER, PEDESTAL_SCATTER = 0.05, 0.1, 0.005
PICTURE_SIZE = 320
JPEG_QUALITY = 75  # that of Galaxy Zoo's pictures, by their quantisation tables


def simulate_sdss_pictures(
    number: int, generator: torch.Generator, classes: Sequence[str] = CLASSES
) -> tuple[np.ndarray, Tensor, dict[str, Tensor]]:
    """Colour pictures of simulated galaxies.

    Galaxies are up to three times as near as the simulator draws them for stamps: SDSS's pictures zoom out as far as
    the galaxy needs. That makes them that much larger than the seeing.

    Args:
        number: How many.
        generator: Source of every random number, on the CPU.
        classes: Some of `CLASSES`.

    Returns:
        Pictures, uint8 [N, 320, 320, 3], red first; labels, the index into `CLASSES`, [N]; and parameters, among them
        `nearer`, how many times as large as in the parameters all is on the sky, and `pixel_scale` of the picture,
        arcsec per pixel, [N] each.
    """
    galaxies = draw_galaxies(number, generator, classes)
    side = RENDERED + 2 * MARGIN
    neighbours = draw_neighbours(number, generator, side)
    draw = Draw(number, generator)
    mean = torch.tensor(NEARER, device=generator.device)[galaxies["label"]]
    nearer = (mean + 0.35 * draw.normal(0.0, 1.0)).exp().clamp(0.6, 3.0)
    across = (RADII_ACROSS * draw.normal(0.0, 0.2).exp() * galaxies["half_light_radius"]).clamp(
        NARROWEST, RENDERED * PIXEL_SCALE
    )
    width = torch.tensor(PSF_FWHM) * draw.normal(1.0, 0.1, 1).clamp(0.8, 1.35) / nearer[:, None]
    depth = draw.normal(0.0, 0.25, 1).exp() * torch.tensor(SKY_NOISE)
    balance = draw.normal(0.0, BALANCE_SCATTER, 3).exp() * draw.normal(0.0, GAIN_SCATTER, 1).exp()
    pedestal = draw.normal(PEDESTAL, PEDESTAL_SCATTER, 3)
    pictures = np.empty((number, PICTURE_SIZE, PICTURE_SIZE, 3), dtype=np.uint8)
    for start in range(0, number, RENDER_BATCH):
        rows = slice(start, start + RENDER_BATCH)
        image = render_galaxies(take(galaxies, rows), side, generator) + render_neighbours(take(neighbours, rows), side)
        image[:, 2] = 0.5 * (image[:, 1] + image[:, 2])  # from z to i
        image = blur(image, width[rows])
        per_area = image[..., MARGIN:-MARGIN, MARGIN:-MARGIN] / PIXEL_SCALE**2
        for index in range(len(image)):
            row = start + index
            pixels = max(8, round((across[row] * nearer[row] / PIXEL).item()))
            flux = _zoom(per_area[index], across[row].item() / PIXEL_SCALE, pixels) * PIXEL**2
            flux += depth[row, :, None, None] * torch.randn(flux.shape, generator=generator)
            tile = _compress((stretch(flux, balance[row], pedestal[row]) * 255).round().byte().permute(1, 2, 0).numpy())
            enlarged = cv2.resize(tile, (PICTURE_SIZE, PICTURE_SIZE), interpolation=cv2.INTER_CUBIC)
            pictures[row] = _compress(enlarged)[..., ::-1]
    scale = across * nearer / PICTURE_SIZE
    return pictures, galaxies["label"], galaxies | {"nearer": nearer, "pixel_scale": scale}


def stretch(flux: Tensor, balance: Tensor, pedestal: Tensor) -> Tensor:
    """Display values in [0, 1] of SDSS flux.

    Args:
        flux: [3, H, W] in g, r, i, nanomaggies in a pixel of 0.396 arcsec.
        balance: Factor on each channel, [3].
        pedestal: Display value of the sky in each channel, [3].
    """
    scaled = flux * (balance * torch.tensor(SCALES))[:, None, None]
    intensity = scaled.mean(dim=0, keepdim=True).clamp(min=1e-6)
    display = scaled / intensity * GAIN * torch.asinh(intensity / SOFTENING) + pedestal[:, None, None]
    return display.clamp(0, 1)


def _zoom(image: Tensor, across: float, pixels: int) -> Tensor:
    """The middle `across` pixels of an image [3, H, W] as `pixels` ones, [3, pixels, pixels]."""
    scale = across / pixels
    offset = (image.shape[-1] - 1) / 2 - scale * (pixels - 1) / 2
    affine = np.array([[scale, 0, offset], [0, scale, offset]])
    planes = [
        cv2.warpAffine(
            plane, affine, (pixels, pixels), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        )
        for plane in image.numpy()
    ]
    return torch.from_numpy(np.stack(planes))


def _compress(picture: np.ndarray) -> np.ndarray:
    """A picture, uint8 [H, W, 3], blue first, as JPEG leaves it: colours lose more than brightness."""
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)
