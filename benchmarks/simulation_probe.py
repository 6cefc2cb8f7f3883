"""How real simulated galaxies are to the model: a linear probe trained on them and tested on the real sky.

    python benchmarks/simulation_probe.py --data DIR/sdss-galaxy-zoo-1 --split validation
    python benchmarks/simulation_probe.py --data DIR/sdss-galaxy-zoo-1 --split test

The features are a checkpoint's, the classifier is `galvm_hf.evaluation.probe.linear_probe`, the classes are elliptical,
edge-on and spiral. It is trained on simulated pictures in the manner of SDSS, on simulated stamps as they are, and, to
show what can be had, on real pictures of the training split. `validation` is a part of the training split, which the
simulator was tuned on; `test` is what nothing was tuned on.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from galvm_hf.data.readers import iter_stamps
from galvm_hf.data.simulate import simulate_galaxies
from galvm_hf.data.simulate.galaxies.population import CLASSES
from galvm_hf.data.simulate.galaxies.sdss import simulate_sdss_pictures
from galvm_hf.data.stamp import DEFAULT_BANDS, Stamp
from galvm_hf.evaluation.probe import linear_probe
from galvm_hf.interfaces.demo import probe_row
from galvm_hf.interfaces.embed import Encoder, load_encoder

PROBED = ("elliptical", "edge-on", "spiral")
LARGEST_CLASS = 800  # of real galaxies of a class that are read from the training split
BATCH = 48
VALIDATION_SHARE = 0.5  # of those, held out from the probe that is trained on real galaxies


def real_stamps(folder: Path, split: str) -> Iterator[Stamp]:
    """Real pictures of the three classes."""
    taken: Counter[str] = Counter()
    for stamp in iter_stamps(sorted(folder.glob(f"{split}-*.parquet"))):
        label = stamp.columns["label"]
        if label in PROBED and (split == "test" or taken[label] < LARGEST_CLASS):
            taken[label] += 1
            yield stamp


def simulated_stamps(number: int, seed: int, as_sdss: bool) -> Iterator[Stamp]:
    """Simulated galaxies of the three classes, as SDSS pictures or as flux."""
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, number, BATCH):
        if as_sdss:
            pixels, labels, _ = simulate_sdss_pictures(BATCH, generator, PROBED)
        else:
            galaxies = simulate_galaxies(BATCH, generator, classes=PROBED)
            pixels, labels = galaxies.flux.numpy(), galaxies.labels
        bands = None if as_sdss else DEFAULT_BANDS
        for index, (image, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
            yield Stamp(image, bands, None, f"{start + index}", "simulated", columns={"label": CLASSES[label]})


def embed(encoder: Encoder, stamps: Iterable[Stamp]) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, D] and the classes [N]."""
    features, labels, stamps = [], [], iter(stamps)
    while batch := list(islice(stamps, BATCH)):
        features.append(encoder.encode(encoder.prepare(batch)).numpy())
        labels += [stamp.columns["label"] for stamp in batch]
    return np.concatenate(features), np.array(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train-*.parquet and test-*.parquet")
    parser.add_argument("--split", choices=["validation", "test"], default="validation")
    parser.add_argument("--number", type=int, default=3840, help="simulated galaxies (default: 3840)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="galvm")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()

    encoder = load_encoder(arguments.model, arguments.device)
    real_x, real_y = embed(encoder, real_stamps(arguments.data, "train"))
    held_out = np.random.default_rng(0).random(len(real_y)) < VALIDATION_SHARE
    if arguments.split == "test":
        test_x, test_y = embed(encoder, real_stamps(arguments.data, "test"))
    else:
        test_x, test_y = real_x[held_out], real_y[held_out]
        real_x, real_y = real_x[~held_out], real_y[~held_out]
    print(f"tested on the {arguments.split} split: {dict(Counter(test_y.tolist()))}")
    print("| trained on | galaxies | balanced accuracy | 95 % interval |\n| --- | --- | --- | --- |")
    for name, train in (
        ("simulated, shown as SDSS would", simulated_stamps(arguments.number, arguments.seed, as_sdss=True)),
        ("simulated, as Legacy Surveys flux", simulated_stamps(arguments.number, arguments.seed, as_sdss=False)),
        ("real, the training split", None),
    ):
        train_x, train_y = (real_x, real_y) if train is None else embed(encoder, train)
        result = linear_probe(train_x, train_y, test_x, test_y)
        _, accuracy, interval = probe_row(name, result)
        print(f"| {name} | {result.n_train} | {accuracy} | {interval} |", flush=True)


if __name__ == "__main__":
    main()
