"""Speed of the stream against plain `datasets` streaming, a bare loop over the same work, and decoding alone.

    taskset -c 0 python benchmarks/stream.py
    taskset -c 0 python benchmarks/stream.py --pictures DIR/train-*.parquet

The rows are JPEG stamps in Parquet: simulated galaxies of 152 px, the size of the survey stamps of Stein et al. (2022),
or the pictures of `--pictures`. Each contestant decodes, crops, flips and rotates freely, and stacks batches of 64, but
for "decoding alone". All run in this process and take turns; a figure is the median over the rounds, in samples a
second, and a ratio is the median of the rounds' own ratios. Pinned to a core, it is the figure of a core.

`--memory` prints instead the peak memory of a stream over 20,000 rows and over 200,000, each in a process of its own
(Linux only).
"""

import argparse
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from datasets import Image, load_dataset

from galvm_hf.data.simulate import simulate_galaxies
from galvm_hf.data.stream import Augmentation, GalaxyStream
from galvm_hf.data.stream.samples import SampleMaker
from galvm_hf.data.stream.sources import Record
from galvm_hf.image_transforms_galvm import flux_to_display

BATCH = 64
STAMP_SIDE = 152
JPEG_QUALITY = 90
ROW_GROUP = 128
SHARD_ROWS = 4096
DIFFERENT_STAMPS = 512
AUGMENTATION = Augmentation()


def simulated_pictures() -> list[bytes]:
    """JPEG stamps of simulated galaxies."""
    flux = simulate_galaxies(DIFFERENT_STAMPS, torch.Generator().manual_seed(0), size=STAMP_SIDE).flux.numpy()
    display = (
        (255 * flux_to_display(flux)).round().astype(np.uint8).transpose(0, 2, 3, 1)
    )  # g, r, z as blue, green, red
    return [cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes() for picture in display]


def read_pictures(paths: list[str]) -> list[bytes]:
    """Encoded pictures of Parquet files."""
    rows = load_dataset("parquet", data_files=paths, split="train", streaming=True)
    rows = rows.select_columns("image").cast_column("image", Image(decode=False))
    return [row["image"]["bytes"] for row in islice(rows, DIFFERENT_STAMPS)]


def write_shards(folder: Path, pictures: list[bytes], number: int) -> list[str]:
    """Parquet shards of that many rows, as `datasets` writes them: the pictures again and again."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features, Value

    schema = Features({"id": Value("string"), "image": Image()}).arrow_schema
    for shard, start in enumerate(range(0, number, SHARD_ROWS)):
        rows = range(start, min(start + SHARD_ROWS, number))
        images = [{"bytes": pictures[row % len(pictures)], "path": None} for row in rows]
        table = pa.table({"id": [str(row) for row in rows], "image": images}, schema=schema)
        pq.write_table(table, folder / f"train-{shard:05}.parquet", row_group_size=ROW_GROUP, compression="none")
    return sorted(map(str, folder.glob("*.parquet")))


def in_batches(rows: Iterator[Record]) -> Iterator[torch.Tensor]:
    """What a bare loop does with rows."""
    maker, numbered = SampleMaker(128, AUGMENTATION, 0), enumerate(rows)
    while batch := list(islice(numbered, BATCH)):
        yield maker.__getitems__([(0, index, record) for index, record in batch])["pixel_values"]


def decode_alone(pictures: list[bytes], number: int) -> Iterator[np.ndarray]:
    for index in range(number):
        picture = np.frombuffer(pictures[index % len(pictures)], np.uint8)
        yield [cv2.imdecode(picture, cv2.IMREAD_COLOR)]


def bare_loop(pictures: list[bytes], number: int) -> Iterator[torch.Tensor]:
    return in_batches(Record(str(index), pictures[index % len(pictures)], {}) for index in range(number))


def plain_datasets(shards: list[str], number: int) -> Iterator[torch.Tensor]:
    rows = load_dataset("parquet", data_files=shards, split="train", streaming=True)
    rows = rows.cast_column("image", Image(decode=False))
    return in_batches(Record(row["id"], row["image"]["bytes"], {}) for row in islice(rows, number))


def our_stream(shards: list[str], number: int) -> Iterator[torch.Tensor]:
    stream = GalaxyStream(shards, batch_size=BATCH, augmentation=AUGMENTATION)
    return (batch["pixel_values"] for batch in islice(stream, number // BATCH))


def samples_per_second(batches: Iterator) -> float:
    """Wall-clock speed from the first batch on, so that nobody's start counts."""
    next(batches)
    started, number = time.perf_counter(), 0
    for batch in batches:
        number += len(batch)
    return number / (time.perf_counter() - started)


def compare(pictures: list[bytes], number: int, rounds: int) -> None:
    """Print the table of speeds."""
    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(Path(folder), pictures, number)
        contestants = {
            "decoding alone": lambda: decode_alone(pictures, number),
            "bare loop": lambda: bare_loop(pictures, number),
            "datasets, streaming": lambda: plain_datasets(shards, number),
            "galvm stream": lambda: our_stream(shards, number),
        }
        speeds = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, run in contestants.items():
                speeds[name].append(samples_per_second(run()))
    print(f"{'':22}{'samples/s':>10}{'galvm stream is':>18}")
    for name, values in speeds.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(speeds["galvm stream"], values, strict=True))
        print(f"{name:22}{statistics.median(values):>10.0f}{ratio:>17.2f}x")


def print_memory(pictures: list[bytes], numbers: list[int]) -> None:
    """Print the peak memory of a pass over shards of each length."""
    peaks = []
    for number in numbers:
        with tempfile.TemporaryDirectory() as folder:
            write_shards(Path(folder), pictures, number)
            command = [sys.executable, __file__, "--stream-once", folder]
            peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(f"{number:>8} rows: peak memory {peaks[-1] / 1024:.0f} MiB")
    print(f"The longest takes {peaks[-1] / peaks[0] - 1:+.1%} against the shortest.")


def stream_once(folder: str) -> None:
    """Print the peak memory, in KiB, of this process after one pass."""
    for _ in GalaxyStream(folder, batch_size=BATCH, augmentation=AUGMENTATION):
        pass
    # not `getrusage`, whose peak is that of the parent if that was larger before this process was started
    print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", nargs="+", help="Parquet files of pictures instead of simulated galaxies")
    parser.add_argument("--number", type=int, default=8192, help="rows of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", nargs="*", type=int, help="measure memory instead, for these numbers of rows")
    parser.add_argument("--stream-once", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stream_once:
        stream_once(arguments.stream_once)
        return
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    pictures = read_pictures(arguments.pictures) if arguments.pictures else simulated_pictures()
    side = cv2.imdecode(np.frombuffer(pictures[0], np.uint8), cv2.IMREAD_COLOR).shape[0]
    kind = "pictures" if arguments.pictures else "simulated stamps"
    print(f"{date.today()}, {platform.processor() or platform.machine()}, {kind} of {side} px, JPEG in Parquet")
    if arguments.memory is not None:
        print_memory(pictures, arguments.memory or [20_000, 200_000])
    else:
        compare(pictures, arguments.number, arguments.rounds)


if __name__ == "__main__":
    main()
