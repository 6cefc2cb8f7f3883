"""Degradations of display images, batched and seeded: what restoration and inpainting learn to undo.

The ranges are the paper's (Fu et al. 2024, section 3): Moffat PSFs of 2 to 8 px FWHM, Gaussian noise of standard
deviation 1 to 15 on the 0 to 255 scale, and square patches of 4, 8 or 16 px that hide 0 to 70 % of the image. Bad rows
and columns and saturated stars are what else a camera spoils. Their masks say which pixels tell nothing of the sky:
they are `bool_masked_pos` of the inpainting model, alone or together with a patch mask (`|`).

All randomness comes from one generator for the batch, or from one for each image (`image_generators`, as in the
pipelines of diffusers): then what happens to an image does not depend on what else is in its batch.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import blake2b

import torch
from torch import Tensor

from .psf import moffat_at, moffat_radius

FWHM_RANGE = (2.0, 8.0)
BETA = 3.0
NOISE_RANGE = (1.0 / 255, 15.0 / 255)
PATCH_SIZES = (4, 8, 16)
MASK_RATIO_RANGE = (0.0, 0.7)

LINE_NUMBERS = (1, 6)  # of bad rows and columns together
LINE_WIDTHS = (1, 3)  # px

STAR_PEAK_RANGE = (3.0, 1000.0)  # in units of saturation
STAR_TINT_RANGE = (0.7, 1.0)  # of each band
SPIKE_SHARE = 0.1  # of the peak
SPIKE_WIDTH = 0.7  # px, standard deviation
TRAIL_LENGTH_RANGE = (0.0, 4.0)  # to either side, in radii of the saturated core: below one it does not show
TRAIL_WIDTHS = (1, 3)  # px

# A CPU blurs so many pixels of so many bands at a time that they stay in its cache.
CPU_PIXELS = 2**20


Generators = torch.Generator | Sequence[torch.Generator]


def image_generators(keys: Iterable[Sequence[int]], device: torch.device | str = "cpu") -> list[torch.Generator]:
    """A generator for each image, seeded by its key alone: by a digest, since neighbouring seeds give alike numbers.

    Args:
        keys: Of each image, whole numbers such as the run's seed, the epoch and the index of its row.
        device: Where the images are.
    """
    digests = (blake2b(repr(tuple(map(int, key))).encode(), digest_size=8).digest() for key in keys)
    return [torch.Generator(device).manual_seed(int.from_bytes(digest, "little")) for digest in digests]


def _device(generator: Generators) -> torch.device:
    if isinstance(generator, torch.Generator):
        return generator.device
    if not generator:
        raise ValueError("The sequence of generators is empty: give one for each image, or one for all.")
    return generator[0].device


def _draw(kind: Callable[..., Tensor], number: int, generator: Generators, *shape: int) -> Tensor:
    """Random numbers `[number, *shape]` of a kind such as `torch.rand`, from one generator or from one for each."""
    if isinstance(generator, torch.Generator):
        return kind((number, *shape), generator=generator, device=generator.device)
    if len(generator) != number:
        raise ValueError(f"Got {len(generator)} generators for {number} images: give one for each, or one for all.")
    return torch.stack([kind(shape, generator=one, device=one.device) for one in generator])


def _uniform(number: int, bounds: tuple[float, float], generator: Generators, *shape: int) -> Tensor:
    low, high = bounds
    return low + (high - low) * _draw(torch.rand, number, generator, *shape)


def _whole(number: int, bounds: tuple[int, int], generator: Generators, *shape: int) -> Tensor:
    """Whole numbers from the first bound to the second, both included."""
    low, high = bounds
    return _draw(partial(torch.randint, low, high + 1), number, generator, *shape)


def blur(images: Tensor, fwhm: Tensor, beta: float = BETA) -> Tensor:
    """Convolve each image with a Moffat PSF of its own, sampled at pixel centres and not cut off.

    Beyond its edges an image goes on as its mirror image, the edge pixels repeated: light that leaves comes back. So
    the sum of an image stays what it was wherever its sources are, an even sky stays even, and nothing wraps around to
    the other side. Reflection about the edge pixels themselves, `F.pad`'s, changes the sum. Cosines that end in the
    middle of an edge have this symmetry: the blur is a product in the cosine transform (DCT-II), which is an FFT of the
    reordered image (Makhoul 1980), with no margin.

    Args:
        images: `[B, C, H, W]`, float32 or float64.
        fwhm: Of each PSF, in px, `[B]`.
        beta: Power of the wings.

    Returns:
        Blurred images, `[B, C, H, W]`.

    Raises:
        ValueError: If `beta` is not above 1.
    """
    if images.device.type != "cpu":
        return _blur_at_once(images, fwhm, beta)
    number = max(CPU_PIXELS // max(images[:1].numel(), 1), 1)
    parts = zip(images.split(number), fwhm.split(number), strict=True)
    return torch.cat([_blur_at_once(*part, beta) for part in parts])


def _blur_at_once(images: Tensor, fwhm: Tensor, beta: float) -> Tensor:
    """`blur`, all images in one transform."""
    height, width = images.shape[-2:]
    half = width // 2 + 1
    y, x = (torch.arange(side, dtype=images.dtype, device=images.device) for side in (height, width))
    # an image begins half a pixel before the centre of its first pixel
    phase = torch.exp(-0.5j * math.pi * y / height)[:, None] * torch.exp(-0.5j * math.pi * x[:half] / width)
    # a real and an imaginary part side by side hold the cosine coefficients (y, x) and (y, W - x)
    x = torch.stack([x[:half], (width - x[:half]) % width], dim=-1).flatten()
    transfer = moffat_at(fwhm, y / (2 * height), x / (2 * width), beta).unflatten(-1, (half, 2))[:, None]
    transfer[..., 1:, :, :] /= 2

    spectrum = torch.fft.rfft2(_fold(images)).mul_(phase)
    beyond_zero = spectrum[..., 1:, :]
    beyond_zero.add_(beyond_zero.flip(-2), alpha=1j)
    torch.view_as_real(spectrum).mul_(transfer)
    beyond_zero.sub_(beyond_zero.flip(-2), alpha=1j)
    return _unfold(torch.fft.irfft2(spectrum.mul_(phase.conj_physical()), s=(height, width)))


def _fold(images: Tensor) -> Tensor:
    """Along both axes, the even pixels and then the odd ones backwards."""
    images = torch.cat([images[..., ::2], images[..., 1::2].flip(-1)], dim=-1)
    return torch.cat([images[..., ::2, :], images[..., 1::2, :].flip(-2)], dim=-2)


def _unfold(folded: Tensor) -> Tensor:
    """Undo `_fold`."""
    rows, images = torch.empty_like(folded), torch.empty_like(folded)
    evens, odds = folded.tensor_split([(folded.shape[-2] + 1) // 2], dim=-2)
    rows[..., ::2, :], rows[..., 1::2, :] = evens, odds.flip(-2)
    evens, odds = rows.tensor_split([(rows.shape[-1] + 1) // 2], dim=-1)
    images[..., ::2], images[..., 1::2] = evens, odds.flip(-1)
    return images


def blur_and_noise(images: Tensor, generator: Generators, beta: float = BETA) -> Tensor:
    """Blur and add noise, each of a strength drawn for each image.

    Args:
        images: Display images in [0, 1], `[B, C, H, W]`.
        generator: Source of all randomness, on the device of `images`; or a sequence of them, one for each image.
        beta: Power of the PSF's wings.

    Returns:
        Degraded images in [0, 1], `[B, C, H, W]`.

    Raises:
        ValueError: If `beta` is not above 1.
    """
    blurred = blur(images, _uniform(len(images), FWHM_RANGE, generator), beta)
    sigma = _uniform(len(images), NOISE_RANGE, generator, 1, 1, 1)
    noise = _draw(torch.randn, len(images), generator, *images.shape[1:])
    return noise.mul_(sigma).add_(blurred).clamp_(0, 1)


def patch_mask(
    number: int,
    size: tuple[int, int],
    generator: Generators,
    ratio_range: tuple[float, float] = MASK_RATIO_RANGE,
) -> Tensor:
    """Masks of square patches, patch size and hidden share drawn for each image.

    Args:
        number: Number of masks, B.
        size: Height and width of the images, in px; the patch sizes must divide them.
        generator: Source of all randomness; or a sequence of them, one for each mask.
        ratio_range: Smallest and largest share of the image that is hidden. The number of hidden patches is the whole
            one nearest to the share drawn.

    Returns:
        True where hidden, bool, `[B, H, W]`.

    Raises:
        ValueError: If a patch size does not divide the image.
    """
    height, width = size
    if height % PATCH_SIZES[-1] or width % PATCH_SIZES[-1]:
        raise ValueError(f"Patch masks need height and width divisible by {PATCH_SIZES[-1]} px, got {size}.")
    device = _device(generator)
    ratio = _uniform(number, ratio_range, generator, 1)
    choice = _whole(number, (0, len(PATCH_SIZES) - 1), generator)
    masks = torch.empty(number, height, width, dtype=torch.bool, device=device)
    for index, patch in enumerate(PATCH_SIZES):
        chosen = (choice == index).nonzero()[:, 0]
        grid = (height // patch, width // patch)
        if not len(chosen):
            continue
        own = generator if isinstance(generator, torch.Generator) else [generator[index] for index in chosen.tolist()]
        order = _draw(torch.rand, len(chosen), own, math.prod(grid)).argsort(1)
        hide = torch.arange(order.shape[1], device=device) < (ratio[chosen] * order.shape[1]).round()
        hidden = torch.empty_like(hide).scatter_(1, order, hide)
        masks[chosen] = hidden.view(-1, *grid).repeat_interleave(patch, 1).repeat_interleave(patch, 2)
    return masks


def bad_lines(images: Tensor, generator: Generators) -> tuple[Tensor, Tensor]:
    """Make whole rows and columns of the detector dead (0) or hot (1): 1 to 6 an image, each 1 to 3 px wide.

    Args:
        images: Display images in [0, 1], `[B, C, H, W]`. All bands have the same bad pixels.
        generator: Source of all randomness, on the device of `images`; or a sequence of them, one for each image.

    Returns:
        The images with bad pixels, `[B, C, H, W]`, and true where they are bad, bool, `[B, H, W]`. Where a hot line
        crosses a dead one, it shows.
    """
    number, most, device = len(images), LINE_NUMBERS[1], _device(generator)
    exists = torch.arange(most, device=device) < _whole(number, LINE_NUMBERS, generator, 1)
    lines = _whole(number, LINE_WIDTHS, generator, most, 1)
    place = _draw(torch.rand, number, generator, most, 1)
    row, hot = (_draw(torch.rand, number, generator, most) < 0.5 for _ in range(2))

    def covered(side: int, chosen: Tensor) -> Tensor:
        """Of the pixels along an axis, those in any of the chosen lines, `[B, side]`."""
        first = (place * (side - lines + 1)).floor()
        pixels = torch.arange(side, device=device)
        return ((pixels >= first) & (pixels < first + lines) & (chosen & exists)[..., None]).any(dim=1)

    height, width = images.shape[-2:]
    dead, bright = (
        covered(height, row & kind)[:, :, None] | covered(width, ~row & kind)[:, None] for kind in (~hot, hot)
    )
    return images.masked_fill(dead[:, None], 0.0).masked_fill(bright[:, None], 1.0), dead | bright


def star_light(size: tuple[int, int], centre: Tensor, fwhm: Tensor, peak: Tensor, angle: Tensor) -> Tensor:
    """Brightness of one star an image: a Moffat profile, and four diffraction spikes at right angles.

    A spike fades with the square of the distance, as the diffraction of a straight strut does.

    Args:
        size: Height and width of the images, in px.
        centre: y and x of each star, in px from the centre of the first pixel, `[B, 2]`.
        fwhm: Of the Moffat profile, in px, `[B]`.
        peak: Brightness of the profile at its centre, `[B]`.
        angle: Of the first spike, from the rows, in radians, `[B]`.

    Returns:
        The brightness, `[B, H, W]`.
    """
    y, x = (
        torch.arange(side, device=centre.device) - at[:, None] for side, at in zip(size, centre.unbind(1), strict=True)
    )
    y, x = y[:, :, None], x[:, None]
    fwhm, peak, angle = (value[:, None, None] for value in (fwhm, peak, angle))
    squared = y**2 + x**2
    core = (1 + squared / moffat_radius(fwhm, BETA) ** 2) ** -BETA
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    struts = sum(torch.exp(-0.5 * (offset / SPIKE_WIDTH) ** 2) for offset in (along, across))
    return peak * (core + SPIKE_SHARE * struts / (1 + squared.sqrt() / fwhm) ** 2)


def saturated_stars(images: Tensor, generator: Generators) -> tuple[Tensor, Tensor]:
    """Add a star to each image that is too bright for the detector: what is above 1 is clipped, and charge bleeds.

    Place, width, brightness, colour, spikes and bleeding are drawn for each. The charge that a saturated core cannot
    hold runs along its columns. The star is added to the image as displayed, not to the flux before the stretch.

    Args:
        images: Display images in [0, 1], `[B, C, H, W]`.
        generator: Source of all randomness, on the device of `images`; or a sequence of them, one for each image.

    Returns:
        The images with stars, `[B, C, H, W]`, and true where a star saturates a band or bleeds, bool, `[B, H, W]`.
        Pixels that were saturated without it do not count.
    """
    (number, bands, height, width), device = images.shape, _device(generator)
    sides = torch.tensor([height, width], device=device)
    centre = _uniform(number, (0.0, 1.0), generator, 2) * sides - 0.5
    fwhm = _uniform(number, FWHM_RANGE, generator)
    low, high = STAR_PEAK_RANGE
    peak = low * (high / low) ** _uniform(number, (0.0, 1.0), generator)
    angle = _uniform(number, (0.0, math.pi / 2), generator)
    tint = _uniform(number, STAR_TINT_RANGE, generator, bands, 1, 1)
    light = star_light((height, width), centre, fwhm, peak, angle)[:, None] * tint

    length = (
        _uniform(number, TRAIL_LENGTH_RANGE, generator) * moffat_radius(fwhm, BETA) * (peak ** (1 / BETA) - 1).sqrt()
    )
    columns = _whole(number, TRAIL_WIDTHS, generator)
    y, x = (torch.arange(side, device=device) - at[:, None] for side, at in zip((height, width), centre.T, strict=True))
    trail = (y.abs() <= length[:, None])[:, :, None] & (x.abs() <= columns[:, None] / 2)[:, None]

    starlit = images + light
    saturated = trail | ((starlit >= 1) & ((images < 1) | (light >= 1))).any(dim=1)
    return starlit.masked_fill_(trail[:, None], 1.0).clamp_(max=1.0), saturated
