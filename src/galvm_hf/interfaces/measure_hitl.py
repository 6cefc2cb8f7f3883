"""`galvm evaluate hitl`: from labelled files to tables and a figure."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.hitl import RARE_ROUNDS, TOP, Galaxies, Score, Search
from ..files import whole_file
from ..hitl import AlphaRule, Collection, Diverse, Random, Uncertainty
from ..hitl.encoder import digest_encoder
from ..hitl.session import ROUND
from .collect import collect_stamps
from .embed import Encoder, load_encoder, resolve_checkpoint

RESNET_SEEDS = 3
RESNET_SIDE = 64  # px
RESNET_SHOTS = 50  # of each side
RESNET_LABELS = 1000
PAPER_RARE_PRECISION = 0.15  # of mergers among 50, of the paper's own galaxies
STRATEGIES = (AlphaRule(), AlphaRule(0.9), Uncertainty(), Diverse(), Random())
Table = list[tuple[str, ...]]


def measure_hitl_of_files(
    train: Path,
    test: Path,
    out: Path,
    model: str = "galvm",
    label: str = "label",
    target: str = "spiral",
    rare_label: str = "galaxy_zoo_1",
    rare: str | None = "merger",
    seeds: int = 10,
    error_rate: float = 0.0,
    resnet: bool = False,
    batch_size: int = 32,
    device: str = "auto",
) -> dict[str, Table]:
    """Search in one labelled file with a simulated person, and measure on another.

    Writes `hitl.json`, `hitl.md` and `hitl.png`. Features are kept beside them, and computed once for a checkpoint.

    Args:
        train: Parquet file of galaxies to search in.
        test: Parquet file of other galaxies to measure on.
        out: Folder to write to.
        model: "galvm" for the packaged checkpoint, a directory, or a name on the Hub.
        label: Column with the class.
        target: The class that is looked for.
        rare_label: Column with the class of a rare kind.
        rare: That kind, or `None`.
        seeds: How often all is done.
        error_rate: Share of the person's answers that are wrong.
        resnet: Whether ResNet18 is trained too.
        batch_size: Stamps per forward pass.
        device: As torch names it, or "auto".

    Returns:
        By heading, tables of text.
    """
    from tqdm import tqdm

    from ..evaluation.hitl import measure_learning, measure_search
    from ..evaluation.provenance import provenance

    encoder = load_encoder(model, device, features="stage_statistics")
    name = Path(model).name
    collections = [_collect(path, out, encoder, name, batch_size) for path in (train, test)]
    pool, tested = (Galaxies.of(collection, label, target) for collection in collections)
    with tqdm(total=seeds, unit="seed", desc=target, disable=None) as progress:
        learning = measure_learning(pool, tested, seeds, error_rate, done=progress.update)
    if resnet:
        learning |= _measure_resnet(train, test, label, target)
    tables = {
        f"{target}: galaxies that nobody looked at, mean ± standard deviation over seeds": _learning_rows(learning)
    }
    record: dict[str, Any] = {"learning": {row: [asdict(score) for score in of] for row, of in learning.items()}}
    if rare is not None:
        searched = Galaxies.of(collections[0], rare_label, rare)
        with tqdm(total=seeds, unit="seed", desc=rare, disable=None) as progress:
            search = measure_search(searched, tested, seeds, STRATEGIES, error_rate, progress.update)
        number = f"{int(searched.members.sum())} among {len(searched.members)}"
        heading = f"{rare}: {number}, after {RARE_ROUNDS} rounds of {ROUND}"
        tables[heading] = _search_rows(search)
        record["search"] = {row: [asdict(one) for one in of] for row, of in search.items()}
    checkpoint = Path(resolve_checkpoint(model))
    folder = checkpoint if checkpoint.is_dir() else None
    settings = {"model": name, "label": label, "target": target, "seeds": seeds, "error_rate": error_rate}
    record |= provenance([train, test], folder, **settings)
    with whole_file(out / "hitl.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
    with whole_file(out / "hitl.md") as temporary:
        temporary.write_text(
            "\n\n".join(f"## {heading}\n\n{_markdown(rows)}" for heading, rows in tables.items()) + "\n"
        )
    plot_learning(learning, f"{target} among {len(pool.members)} galaxies", out / "hitl.png")
    return tables


def plot_learning(rows: dict[str, Sequence[Score]], title: str, path: Path) -> None:
    """Draw AUPR and AUC of each row, mean and standard deviation over the seeds, as a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.2 + 0.32 * len(rows)), layout="constrained")
    places = np.arange(len(rows))[::-1]
    for axes, metric in zip(figure.subplots(1, 2, sharey=True), ("aupr", "auc"), strict=True):
        values = [[getattr(score, metric) for score in of] for of in rows.values()]
        means, deviations = [np.mean(of) for of in values], [np.std(of, ddof=1) if len(of) > 1 else 0 for of in values]
        colours = ["C0" if "chosen" in row else "C1" if "alpha" in row else "C7" for row in rows]
        axes.barh(places, means, xerr=deviations, color=colours, height=0.7)
        axes.set_yticks(places, list(rows))
        axes.set_xlabel(metric.upper())
        axes.set_xlim(left=min(0.5, min(means)) if metric == "auc" else 0)
        axes.grid(axis="x", alpha=0.4)
        axes.set_axisbelow(True)
    figure.suptitle(title)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _collect(path: Path, out: Path, encoder: Encoder, name: str, batch_size: int) -> Collection:
    """The collection of a file, which is made where it is not there for these weights."""
    weights = digest_encoder(encoder.model)
    folder = out / f"{path.stem}-{weights}"
    if not folder.exists():
        summary = collect_stamps([path], folder, encoder, name, batch_size=batch_size)
        if summary.skipped:
            raise summary.skipped[0]  # a measurement is of all of the data or of none
    return Collection(folder)


def _measure_resnet(train: Path, test: Path, label: str, target: str) -> dict[str, list[Score]]:
    from tqdm import tqdm

    from ..evaluation.hitl import score_probabilities
    from ..evaluation.images import load_images
    from ..evaluation.scratch import train_resnet18

    images, tested = (load_images([path], "adaptive", RESNET_SIDE, label) for path in (train, test))
    tested.require_disjoint(images)
    members, truth = (np.array([name == target for name in of.labels]) for of in (images, tested))
    rows: dict[str, list[Score]] = {}
    with tqdm(total=2 * RESNET_SEEDS, unit="network", desc="ResNet18", disable=None) as progress:
        for seed in range(RESNET_SEEDS):
            random = np.random.default_rng(seed)
            sides = [random.permutation(np.flatnonzero(members == side))[:RESNET_SHOTS] for side in (True, False)]
            draws = {
                f"ResNet18, {RESNET_SHOTS} + {RESNET_SHOTS} random": np.concatenate(sides),
                f"ResNet18, {RESNET_LABELS:,} random": random.permutation(len(members))[:RESNET_LABELS],
            }
            for name, drawn in draws.items():
                probabilities = train_resnet18(images.pixels[drawn], members[drawn], tested.pixels, seed)
                rows.setdefault(name, []).append(score_probabilities(probabilities, truth))
                progress.update()
    return rows


def _learning_rows(learning: dict[str, list[Score]]) -> Table:
    titles = ("answers", "AUPR", "AUC", "precision", "recall")
    return [
        titles,
        *(
            (row, *(_spread([getattr(score, key.lower()) for score in of]) for key in titles[1:]))
            for row, of in learning.items()
        ),
    ]


def _search_rows(search: dict[str, list[Search]]) -> Table:
    titles = ("chosen by", "found", "asked", f"precision of {TOP} not asked about", f"precision of {TOP} of all")
    rows = [
        (
            row,
            _spread([one.found for one in of], 1),
            str(of[0].asked),
            _spread([one.precision for one in of]),
            _spread([one.precision_of_all for one in of]),
        )
        for row, of in search.items()
    ]
    paper = ("the paper, its galaxies", "", "", f"{PAPER_RARE_PRECISION:.2f}", "")
    return [titles, *rows, paper]


def _spread(values: Sequence[float], decimals: int = 3) -> str:
    if len(values) < 2:
        return f"{values[0]:.{decimals}f}"
    return f"{np.mean(values):.{decimals}f} ± {np.std(values, ddof=1):.{decimals}f}"


def _markdown(rows: Table) -> str:
    lines = [rows[0], ("---",) * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
