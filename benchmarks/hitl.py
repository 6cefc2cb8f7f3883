"""Speed of a round of the human in the loop, and of a search by example, on many galaxies.

    python benchmarks/hitl.py
    python benchmarks/hitl.py --numbers 20000 --repeats 3

Features are simulated: 768 numbers with a spectrum like that of real ones, and a rare kind; bfloat16, mapped into
memory from a file. A round is training on 60 answers, ranking the collection and choosing ten. Figures are medians. The
rate of the matrix product is that of the hidden layer's own product, on the same batches, which are already in memory
and converted. Proposals and top 100 of the linear prefilter are compared with exact ones, over `--draws` learners. Peak
memory is that of a process of its own which ranks the whole collection and does nothing else (Linux only).
"""

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F

from galvm_hf.hitl import AlphaRule, Collection, Learner, build_collection, search_similar, train_learner
from galvm_hf.hitl.acquisition import Situation
from galvm_hf.hitl.learner import HIDDEN
from galvm_hf.hitl.scoring import Order, rank_collection

WIDTH = 768
NUMBERS = (201_319, 1_000_000)
SHARE = 0.02  # of the galaxies are of the kind
SIGNAL = 8  # directions in which those differ
BLOCK = 10_000
ANSWERS = 60
TOP, ROUND = 100, 10
LIMITS = {201_319: 0.5, 1_000_000: 1.5}  # seconds a round
SURVEY = 76_000_000  # galaxies of the survey that the paper names


def simulate(number: int, folder: Path) -> Collection:
    """A collection of simulated features; `kind` says which galaxies are of the kind."""
    random = np.random.default_rng(0)
    spectrum = (1 / np.sqrt(np.arange(1, WIDTH + 1))).astype(np.float32)
    turn = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0].astype(np.float32)
    signal = np.zeros(WIDTH, np.float32)
    signal[random.permutation(128)[:SIGNAL]] = 1.2
    features = pa.list_(pa.float32(), WIDTH)
    schema = pa.schema(
        [("id", pa.string()), ("source", pa.string()), ("features", features), ("kind", pa.bool_())],
        metadata={"model": "simulated", "weights": "none", "features": "pooler_output"},
    )
    table = folder / "features.parquet"
    with pq.ParquetWriter(table, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, number, BLOCK):
            rows = range(start, min(start + BLOCK, number))
            members = random.random(len(rows)) < SHARE
            noise = random.standard_normal((len(rows), WIDTH), dtype=np.float32)
            values = ((noise + members[:, None] * signal) * spectrum) @ turn
            columns = [
                pa.array(map(str, rows)),
                pa.array([""] * len(rows)),
                pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), WIDTH),
                pa.array(members),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
    collection = build_collection([table], folder / "collection")
    table.unlink()
    return collection


def answer(collection: Collection, members: np.ndarray, seed: int) -> tuple[np.ndarray, torch.Tensor]:
    """Rows that were answered, a third of them yes, and the answers."""
    random = np.random.default_rng(seed)
    yes, no = random.permutation(np.flatnonzero(members)), random.permutation(np.flatnonzero(~members))
    rows = np.concatenate([yes[: ANSWERS // 3], no[: ANSWERS - ANSWERS // 3]])
    return rows, torch.from_numpy(members[rows])


def train(collection: Collection, members: np.ndarray, seed: int) -> tuple[Learner, np.ndarray]:
    """A learner, and the rows of its answers."""
    rows, answers = answer(collection, members, seed)
    background = collection.background(rows)
    return train_learner(collection.take(rows), answers, background, collection.basis, seed), rows


def seconds(task: Callable[[], object], repeats: int) -> float:
    """Median wall-clock time of a task, which is run once before."""
    task()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def product_seconds(learner: Learner, number: int, repeats: int) -> float:
    """How long the product of the hidden layer alone takes for so many galaxies, on batches in memory."""
    fast = learner.as_fast()
    batch = torch.randn(2048, WIDTH).to(fast.weight.dtype)
    with torch.inference_mode():
        return seconds(lambda: [F.linear(batch, fast.weight) for _ in range(8)], repeats) / (8 * 2048) * number


def measure(collection: Collection, repeats: int, draws: int) -> dict[str, float]:
    """All figures of one collection."""
    number = len(collection)
    members = collection.column("kind").to_numpy(zero_copy_only=False).astype(bool)
    learner, rows = train(collection, members, 0)
    excluded = set(rows.tolist())

    def rank(exact: bool, which: Learner = learner) -> np.ndarray:
        return rank_collection(collection, which, [(Order.HIGH, TOP)], excluded, exact)[0].rows

    def whole_round() -> np.ndarray:
        trained, answered = train(collection, members, 1)
        return AlphaRule().choose(Situation(collection, trained, set(answered.tolist())), ROUND).rows

    exact = seconds(lambda: rank(True), max(1, repeats // 3))
    product = product_seconds(learner, number, repeats)
    top, proposals = [], []
    for seed in range(draws):
        which, _ = train(collection, members, 10 + seed)
        one, other = rank(True, which), rank(False, which)
        top.append(len(np.intersect1d(one, other)) / TOP)
        proposals.append(len(np.intersect1d(one[:ROUND], other[:ROUND])) / ROUND)
    example = collection.take([5])
    return {
        "galaxies": number,
        "training_seconds": seconds(lambda: train(collection, members, 2), repeats),
        "exact_scoring_seconds": exact,
        "scoring_of_product_rate": product / exact,
        "product_gigaflops": 2 * number * WIDTH * HIDDEN / product / 1e9,
        "prefiltered_ranking_seconds": seconds(lambda: rank(False), repeats),
        "round_seconds": seconds(whole_round, repeats),
        "same_top_100": float(np.mean(top)),
        "same_proposals": float(np.mean(proposals)),
        "search_seconds": seconds(lambda: search_similar(collection, example, ROUND), repeats),
        "peak_mebibytes": peak_memory(collection.folder),
    }


def peak_memory(folder: Path) -> float | None:
    """Peak resident memory of a process that ranks a collection, MiB."""
    if platform.system() != "Linux":
        return None
    command = [sys.executable, __file__, "--peak", str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(folder: Path) -> None:
    collection = Collection(folder)
    rows = np.arange(ANSWERS)
    background = collection.background(rows)
    learner = train_learner(collection.take(rows), torch.arange(ANSWERS) % 3 == 0, background, collection.basis)
    for exact in (True, False):
        rank_collection(collection, learner, [(Order.HIGH, TOP)], exact=exact)
    search_similar(collection, collection.take([0]), ROUND)
    print(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)


def report(results: list[dict[str, float]]) -> None:
    """Print what was measured, what it had to be, and what it would be for a survey."""
    print(f"{date.today()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| | " + " | ".join(f"{result['galaxies']:,} galaxies" for result in results) + " |")
    print("| " + " | ".join(["---"] * (1 + len(results))) + " |")
    for name in list(results[0])[1:]:
        print(f"| {name.replace('_', ' ')} | " + " | ".join(f"{result[name]:.3f}" for result in results) + " |")
    for result in results:
        if (limit := LIMITS.get(int(result["galaxies"]))) is not None:
            print(f"\n{result['galaxies']:,}: a round may take {limit} s and takes {result['round_seconds']:.2f} s.")
    last = results[-1]
    many = SURVEY / last["galaxies"]
    size = SURVEY * WIDTH * 2 / 1e9
    print(
        f"\nProjected to {SURVEY:,} galaxies, as what grows with their number grows: exact scoring "
        f"{many * last['exact_scoring_seconds']:.0f} s, a round "
        f"{last['training_seconds'] + many * last['prefiltered_ranking_seconds']:.0f} s, a search "
        f"{many * last['search_seconds']:.0f} s, where the file of {size:.0f} GB is in memory; from a disk it takes as "
        "long as reading it."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--numbers", type=int, nargs="+", default=list(NUMBERS), help="galaxies of each collection")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--draws", type=int, default=10, help="learners that the prefilter is checked with")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print_peak(options.peak)
        return
    results = []
    for number in options.numbers:
        with tempfile.TemporaryDirectory() as folder:
            results.append(measure(simulate(number, Path(folder)), options.repeats, options.draws))
    report(results)
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
