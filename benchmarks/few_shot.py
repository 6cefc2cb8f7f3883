"""Morphology from few labels: a checkpoint against ResNet18 and ResNet50 (timm) trained from scratch on the same ones.

    python benchmarks/few_shot.py --train train.parquet --test test.parquet --out few-shot.json
    python benchmarks/few_shot.py --train train.parquet --learning-rates 3e-4 1e-3 3e-3

Every network sees the same labelled galaxies, the same augmentation, and the same number of steps and images. The first
command measures on the test file with the recipes below, over five draws of the labels. The second scans learning rates
on galaxies that are held out from the training file, with one draw; the recipes come from there, and never from a test.

The comparison is fair only for a checkpoint whose encoder has seen no labels: one that was pre-trained, or multitask-
trained with its encoder frozen. After `uniform` or `active` training the encoder has learnt from every label there is.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification

from galvm_hf.evaluation.classification import class_numbers
from galvm_hf.evaluation.images import EvaluationImages, load_images
from galvm_hf.evaluation.probe import split_indices
from galvm_hf.evaluation.provenance import provenance
from galvm_hf.evaluation.scratch import augment
from galvm_hf.files import whole_file
from galvm_hf.head_galvm import stage_statistics
from galvm_hf.interfaces.embed import resolve_checkpoint

OURS = "GaLVM"
NETWORKS = (OURS, "resnet18", "resnet50")
SHOTS = (10, 50)  # labels a class
SEEDS = 5
VALIDATION_SHARE = 0.2
LEARNING_RATES = {OURS: 3e-4, "resnet18": 3e-3, "resnet50": 3e-3}
ENCODER_SHARE = 0.1  # of the learning rate, for what is pre-trained
WEIGHT_DECAY = 0.05
WARM_UP = 0.1  # of the steps


class Logits(nn.Module):
    """A transformers classifier that returns its logits alone, as timm's do."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


def build(name: str, num_classes: int, checkpoint: str, frozen: bool, images: Tensor) -> tuple[nn.Module, list[dict]]:
    """A network and its parameters in groups, each with its `share` of the learning rate.

    Args:
        name: One of `NETWORKS`.
        num_classes: How many classes it has to tell apart.
        checkpoint: Ours; its classification head is made anew, as it has seen more labels than there are here.
        frozen: Whether our encoder stays as it is.
        images: The labelled galaxies `[B, C, H, W]`, by which our head is standardised.
    """
    if name != OURS:
        network = timm.create_model(name, num_classes=num_classes)
        return network, [{"params": list(network.parameters()), "share": 1.0}]
    config = AutoConfig.from_pretrained(checkpoint)
    config.id2label = {number: str(number) for number in range(num_classes)}
    model = AutoModelForImageClassification.from_config(config)
    model.galvm.load_state_dict(AutoModel.from_pretrained(checkpoint).state_dict())
    model.galvm.requires_grad_(not frozen)
    with torch.no_grad():
        model.classifier.standardise(stage_statistics(model.eval().galvm(images)))
    groups = [{"params": list(model.classifier.parameters()), "share": 1.0}]
    if not frozen:
        groups.append({"params": list(model.galvm.parameters()), "share": ENCODER_SHARE})
    return Logits(model), groups


def train(
    network: nn.Module,
    groups: list[dict],
    images: Tensor,
    labels: Tensor,
    rate: float,
    steps: int,
    batch: int,
    seed: int,
) -> None:
    """Train for a number of steps, the rate warmed up and then falling along a cosine to nothing."""
    generator = torch.Generator().manual_seed(seed)
    groups = [{"params": group["params"], "lr": rate * group["share"]} for group in groups]
    optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
    warm = max(1, round(WARM_UP * steps))

    def schedule(step: int) -> float:
        return min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * max(step - warm, 0) / max(steps - warm, 1))))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    order = torch.empty(0, dtype=torch.long)
    network.train()
    for _ in range(steps):
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(len(images), generator=generator)])
        rows, order = order[:batch], order[batch:]
        loss = F.cross_entropy(network(augment(images[rows], generator)), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()


@torch.inference_mode()
def balanced_accuracy(network: nn.Module, images: Tensor, labels: np.ndarray) -> float:
    """Mean over the classes of the share of galaxies told right."""
    network.eval()
    answers = torch.cat([network(part).argmax(1) for part in images.split(32)]).numpy()
    return float(np.mean([(answers[labels == number] == number).mean() for number in np.unique(labels)]))


def draw_labels(labels: np.ndarray, shots: int, seed: int) -> np.ndarray:
    """Rows of `shots` galaxies of each class.

    Raises:
        ValueError: If a class has fewer.
    """
    random, rows = np.random.default_rng(seed), []
    for number in np.unique(labels):
        members = np.flatnonzero(labels == number)
        if len(members) < shots:
            raise ValueError(f"Class {number} has {len(members)} galaxies to draw {shots} from: ask for fewer --shots.")
        rows.append(random.permutation(members)[:shots])
    return np.concatenate(rows)


def run(
    name: str,
    rate: float,
    training: tuple[Tensor, np.ndarray],
    tested: tuple[Tensor, np.ndarray],
    shots: int,
    seed: int,
    options: argparse.Namespace,
) -> float:
    """Balanced accuracy of one network after training on one draw of labels."""
    images, labels = training
    rows = draw_labels(labels, shots, seed)
    torch.manual_seed(seed)
    network, groups = build(
        name, int(labels.max()) + 1, resolve_checkpoint(options.model), options.frozen, images[rows]
    )
    start = time.perf_counter()
    train(network, groups, images[rows], torch.from_numpy(labels[rows]), rate, options.steps, options.batch_size, seed)
    score = balanced_accuracy(network, *tested)
    print(f"{name}, {shots} a class, seed {seed}, rate {rate:g}: {score:.3f} ({time.perf_counter() - start:.0f} s)")
    return score


def scan(training, validation, options: argparse.Namespace) -> None:
    """Balanced accuracy on held-out training galaxies for each learning rate."""
    _print_row("network", "labels a class", *(f"{rate:g}" for rate in options.learning_rates))
    _print_row(*["---"] * (2 + len(options.learning_rates)))
    for name in options.networks:
        for shots in options.shots:
            scores = [run(name, rate, training, validation, shots, 0, options) for rate in options.learning_rates]
            _print_row(name, str(shots), *(f"{score:.3f}" for score in scores))


def measure(training, tested, options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Balanced accuracy on the test galaxies, by network and labels a class, one for each seed."""
    scores = {
        name: {
            str(shots): [
                run(name, LEARNING_RATES[name], training, tested, shots, seed, options) for seed in range(options.seeds)
            ]
            for shots in options.shots
        }
        for name in options.networks
    }
    _print_row("network", *(f"{shots} labels a class" for shots in options.shots))
    _print_row(*["---"] * (1 + len(options.shots)))
    for name, of in scores.items():
        _print_row(name, *(f"{np.mean(one):.3f} ± {np.std(one, ddof=1):.3f}" for one in of.values()))
    return scores


def _print_row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="labelled Parquet file to draw labels from")
    parser.add_argument("--test", type=Path, help="labelled Parquet file to measure on")
    parser.add_argument("--learning-rates", type=float, nargs="+", help="scan these on held-out training galaxies")
    parser.add_argument("--label", default="label", help="column with the class (default: label)")
    parser.add_argument("--model", default="galvm", help="our checkpoint (default: the released one)")
    parser.add_argument("--frozen", action="store_true", help="train our head alone, on fixed features")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--shots", type=int, nargs="+", default=list(SHOTS), help="labels a class (default: 10 50)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="draws of the labels (default: 5)")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--size", type=int, default=64, help="side of the images in px (default: 64)")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args(arguments)
    if (options.test is None) == (options.learning_rates is None):
        parser.error("give --test to measure, or --learning-rates to scan")
    if options.seeds < 2:
        parser.error("--seeds must be 2 or more, for the spread between draws")

    source = load_images([options.train], "adaptive", options.size, options.label)
    names = sorted({name for name in source.labels if name is not None})
    labels = class_numbers(source.labels, names)
    kept, held_out = split_indices(labels, VALIDATION_SHARE, seed=0)
    training = source.pixels[kept], labels[kept]
    if options.test is None:
        scan(training, (source.pixels[held_out], labels[held_out]), options)
        return
    target: EvaluationImages = load_images([options.test], "adaptive", options.size, options.label)
    target.require_disjoint(source)
    scores = measure(training, (target.pixels, class_numbers(target.labels, names)), options)
    if options.out is not None:
        told = ("label", "frozen", "networks", "shots", "seeds", "steps", "batch_size", "size")
        settings = {name: getattr(options, name) for name in told} | {"learning_rates": LEARNING_RATES}
        checkpoint = Path(resolve_checkpoint(options.model))
        sources = [options.train, options.test]
        record = {"balanced_accuracy": scores, **provenance(sources, checkpoint, **settings)}
        with whole_file(options.out) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
