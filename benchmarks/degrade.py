"""Speed of the degradations on one CPU core, against the same work done an image at a time with SciPy and NumPy.

    OMP_NUM_THREADS=1 python benchmarks/degrade.py --batches 16 64

A degradation is a Moffat blur, Gaussian noise and a patch mask, each of a strength drawn for each stamp. The reference
samples a PSF out to four times its FWHM, mirrors the stamp beyond its edges and convolves with
`scipy.signal.fftconvolve`. Both run in this process, on one thread, and take turns. Figures are milliseconds of CPU
time a stamp, the median and the smallest of the rounds; the ratio is the median of the rounds' own ratios.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date

import numpy as np
import scipy
import torch
from scipy.signal import fftconvolve

from galvm_hf.data.degrade import (
    BETA,
    FWHM_RANGE,
    MASK_RATIO_RANGE,
    NOISE_RANGE,
    PATCH_SIZES,
    bad_lines,
    blur,
    blur_and_noise,
    patch_mask,
    saturated_stars,
)

# the two blurs have to agree to this, on stamps between 0 and 1, before anything is timed: the reference cuts the wings
TOLERANCE = 5e-3


def blur_by_scipy(image: np.ndarray, fwhm: float) -> np.ndarray:
    """One image [C, H, W] convolved with one PSF, mirrored beyond its edges."""
    margin = int(np.ceil(4 * fwhm))
    y, x = np.mgrid[-margin : margin + 1, -margin : margin + 1].astype(np.float32)
    radius = fwhm / (2 * np.sqrt(2 ** (1 / BETA) - 1))
    psf = (1 + (x**2 + y**2) / radius**2) ** -BETA
    padded = np.pad(image, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")
    return fftconvolve(padded, (psf / psf.sum())[None], mode="valid", axes=(1, 2))


def degrade_by_scipy(images: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What `blur_and_noise` and `patch_mask` do, an image at a time."""
    degraded, masks = np.empty_like(images), np.empty((len(images), *images.shape[-2:]), dtype=bool)
    for index, image in enumerate(images):
        noise = random.standard_normal(image.shape, dtype=np.float32) * random.uniform(*NOISE_RANGE)
        degraded[index] = (blur_by_scipy(image, random.uniform(*FWHM_RANGE)) + noise).clip(0, 1)
        patch = random.choice(PATCH_SIZES)
        grid = (image.shape[-2] // patch, image.shape[-1] // patch)
        hidden = np.arange(grid[0] * grid[1]) < round(random.uniform(*MASK_RATIO_RANGE) * grid[0] * grid[1])
        masks[index] = random.permutation(hidden).reshape(grid).repeat(patch, 0).repeat(patch, 1)
    return degraded, masks


def check_agreement(images: torch.Tensor) -> None:
    """Raise unless both blurs compute the same function."""
    fwhm = torch.linspace(*FWHM_RANGE, len(images))
    expected = np.stack([blur_by_scipy(*pair) for pair in zip(images.numpy(), fwhm.tolist(), strict=True)])
    difference = np.abs(blur(images, fwhm).numpy() - expected).max()
    if not difference < TOLERANCE:
        raise RuntimeError(f"The blurs differ by {difference:.1e}; nothing is timed.")


def alternate(steps: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """CPU seconds of the contestants in turn, after a round that is not counted, for `seconds`, at least 5 rounds."""
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    started = time.perf_counter()
    while time.perf_counter() - started < seconds or len(times["scipy"]) < 5:
        for name, step in steps.items():
            before = time.process_time()
            step()
            times[name].append(time.process_time() - before)
    return times


def describe_machine() -> str:
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    capability = torch.backends.cpu.get_cpu_capability()
    versions = ", ".join(f"{module.__name__} {module.__version__}" for module in (torch, np, scipy))
    return f"{date.today()}, {processor} ({capability}), one thread, {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 64])
    parser.add_argument("--side", type=int, default=128, help="of the stamps, in px (default: 128)")
    parser.add_argument("--seconds", type=float, default=15, help="how long to time each row (default: 15)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator, random = torch.Generator().manual_seed(0), np.random.default_rng(0)

    print(f"{describe_machine()}, stamps of {arguments.side} px in 3 bands\n")
    columns = ("degradation", "scipy", "blur and noise", "patch mask", "bad lines", "saturated stars")
    print(f"| batch | {' | '.join(columns)} | ratio |")
    print("| --- " * (len(columns) + 2) + "|")
    for batch in arguments.batches:
        images = torch.rand(batch, 3, arguments.side, arguments.side, generator=generator)
        size, array = images.shape[-2:], images.numpy()
        check_agreement(images)
        parts = {
            "blur and noise": lambda images=images: blur_and_noise(images, generator),
            "patch mask": lambda batch=batch, size=size: patch_mask(batch, size, generator),
        }
        steps = parts | {
            "degradation": lambda parts=parts: [part() for part in parts.values()],
            "scipy": lambda array=array: degrade_by_scipy(array, random),
            "bad lines": lambda images=images: bad_lines(images, generator),
            "saturated stars": lambda images=images: saturated_stars(images, generator),
        }
        times = alternate(steps, arguments.seconds)
        figures = {name: [1e3 * taken / batch for taken in times[name]] for name in columns}
        cells = " | ".join(f"{statistics.median(taken):.2f} ({min(taken):.2f})" for taken in figures.values())
        pairs = zip(times["scipy"], times["degradation"], strict=True)
        print(f"| {batch} | {cells} | {statistics.median(slow / fast for slow, fast in pairs):.1f} |", flush=True)


if __name__ == "__main__":
    main()
