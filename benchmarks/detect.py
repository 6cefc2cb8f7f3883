"""What a search for lenses takes: peak memory, seconds a megapixel, and the share of the time outside the network.

    python benchmarks/detect.py --size 10000
    python benchmarks/detect.py --size 2000 --untrained

A simulated field of that many pixels a side is written block by block, four different blocks of 1,000 px again and
again, and searched by what `galvm detect` calls, in a process of its own. Memory is that process's peak (Linux only),
all libraries included. The next tiles are read by a thread while the network runs: its time is given too, as both may
share their cores. `--untrained` searches with random weights where there is no checkpoint; its detections mean nothing.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import torch

BLOCK_SIDE, DIFFERENT_BLOCKS = 1000, 4
LENSES, LOOKALIKES = 4, 6  # in a block


def write_field(path: Path, size: int) -> None:
    """A simulated field [3, size, size] of repeated blocks, never more than one of them in memory."""
    from astropy.io import fits
    from astropy.wcs import WCS

    from galvm_hf.data.simulate import PIXEL_SCALE, simulate_field

    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [size / 2, size / 2], [-PIXEL_SCALE / 3600, PIXEL_SCALE / 3600]
    header = fits.Header({"SIMPLE": True, "BITPIX": -32, "NAXIS": 3, "NAXIS1": size, "NAXIS2": size, "NAXIS3": 3})
    header.update(wcs.to_header())
    header.update({"BANDS": "grz", "BUNIT": "nanomaggy", "SIMULATD": True})
    start = header.tostring().encode()
    path.write_bytes(start)
    with path.open("r+b") as stream:
        stream.truncate(len(start) + -(-12 * size**2 // 2880) * 2880)
    corners = [(top, left) for top in range(0, size, BLOCK_SIDE) for left in range(0, size, BLOCK_SIDE)]
    for kind in range(min(DIFFERENT_BLOCKS, len(corners))):
        generator = torch.Generator().manual_seed(kind)
        flux = simulate_field((BLOCK_SIDE, BLOCK_SIDE), generator, LENSES, LOOKALIKES).flux.numpy()
        for top, left in corners[kind::DIFFERENT_BLOCKS]:
            pixels = np.memmap(path, ">f4", "r+", len(start), (3, size, size))
            place = pixels[:, top : top + BLOCK_SIDE, left : left + BLOCK_SIDE]
            place[:] = flux[:, : place.shape[1], : place.shape[2]]


def search_once(arguments: argparse.Namespace) -> None:
    """Search the field of `--search-once` and print what it took as JSON."""
    from galvm_hf.interfaces.detect import detect_lenses, load_detector

    with tempfile.TemporaryDirectory() as folder:
        model = write_untrained(Path(folder)) if arguments.untrained else arguments.model
        detector = load_detector(model, arguments.device, arguments.threshold)
        out, sizes = Path(folder) / "lenses.fits", (arguments.tile, arguments.overlap, arguments.batch_size)
        search, _ = detect_lenses(Path(arguments.search_once), out, detector, "benchmark", *sizes)
    # not `getrusage`, whose peak is that of the parent if that was larger before this process was started
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
    times = {name: getattr(search, f"{name}_seconds") for name in ("network", "reading")}
    print(json.dumps({"peak": peak / 2**20, "seconds": search.seconds, "found": len(search.detections), **times}))


def write_untrained(folder: Path) -> str:
    """A checkpoint of the `tiny` preset with random weights."""
    from galvm_hf import GalvmConfig
    from galvm_hf.image_processing_galvm import GalvmImageProcessor
    from galvm_hf.modeling_galvm_detection import GalvmForLensDetection

    torch.manual_seed(0)
    config = GalvmConfig(num_labels=1, id2label={0: "lens"}, label2id={"lens": 0})
    GalvmForLensDetection(config).save_pretrained(folder / "untrained")
    GalvmImageProcessor().save_pretrained(folder / "untrained")
    return str(folder / "untrained")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000, help="height and width of the field in pixels")
    parser.add_argument("--model", default="galvm-lens")
    parser.add_argument("--untrained", action="store_true", help="random weights instead of --model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--overlap", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--search-once", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.search_once:
        search_once(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "field.fits"
        write_field(path, arguments.size)
        command = [sys.executable, __file__, *sys.argv[1:], "--search-once", str(path)]
        done = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    megapixels, seconds = arguments.size**2 / 1e6, done["seconds"]
    weights = "random weights" if arguments.untrained else arguments.model
    print(f"{date.today()}, {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {weights}")
    print(f"simulated field of {arguments.size} x {arguments.size} px, three bands: {done['found']} detections")
    print(f"peak memory           {done['peak']:.2f} GiB")
    print(f"time                  {seconds:.1f} s, {seconds / megapixels:.3f} s/Mpx")
    print(f"outside the network   {1 - done['network'] / seconds:.1%}")
    print(f"reading, in a thread  {done['reading'] / seconds:.1%}")


if __name__ == "__main__":
    main()
