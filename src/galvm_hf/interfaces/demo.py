"""A tour of what a checkpoint does, as one HTML page: features, neighbours, a probe, restoration, inpainting."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..data.readers import iter_stamps
from ..data.stamp import DEFAULT_BANDS, Stamp, UnreadableStampError
from ..evaluation.probe import ProbeResult, linear_probe, split_indices
from .embed import load_encoder, resolve_checkpoint
from .measure import CHECKPOINT, iter_representations
from .report import Report, plot_features, strip, table

SEED = 7
QUERIES = 4
NEIGHBOURS = 6
EXAMPLES = 5
BATCH_SIZE = 32
TEST_SHARE = 0.4
SMALLEST_CLASS = 5
HIDDEN_SHARE = 0.4


@dataclass(frozen=True)
class DemoSummary:
    """What the demo found.

    Attributes:
        report: The page it wrote.
        number: Galaxies shown to the model.
        skipped: Galaxies that could not be used, and why.
        probes: By representation, its linear probe; empty without labels.
        notes: One line for each section that has no numbers, or has some of its own.
    """

    report: Path
    number: int
    skipped: list[UnreadableStampError]
    probes: dict[str, ProbeResult]
    notes: list[str]


def run_demo(
    out: Path, model_name: str, data: Sequence[Path] = (), number: int = 300, device: str = "auto"
) -> DemoSummary:
    """Run the tour and write `report.html`.

    Args:
        out: Folder for the page.
        model_name: As `load_encoder` takes it.
        data: Real stamps to use; simulated galaxies without any.
        number: How many galaxies, at most.
        device: As torch names it, or "auto".

    Raises:
        ValueError: If fewer than ten galaxies can be used.
    """
    import torch

    skipped: list[UnreadableStampError] = []
    stamps = islice(iter_stamps(data, skipped.append), number) if data else iter(_simulated_stamps(number))
    encoder = load_encoder(model_name, device)
    used, images, parts = [], [], []
    for batch, pixel_values, views in iter_representations(encoder, stamps, BATCH_SIZE, skipped.append):
        # Only what the page shows of a stamp is kept.
        used += [stamp.columns.get("label") for stamp in batch]
        images.append(pixel_values)
        parts.append(views)
    if len(used) < 10:
        raise ValueError(
            f"{len(used)} galaxies can be used, but the demo needs ten. Give more images, or a larger --number."
        )
    pixel_values = torch.cat(images)
    views = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    classes = None if any(label is None for label in used) else [str(label) for label in used]

    kind = "real images" if data else "simulated galaxies"
    report = Report(
        "GaLVM: a large vision model for galaxy images",
        [kind, f"{len(used)} galaxies", f"checkpoint {model_name}", str(encoder.device)],
        "What one checkpoint does with these galaxies. "
        + ("" if data else "They are simulated: every number on this page describes simulation, not the sky."),
    )
    pictures = encoder.image_processor.post_process_images(pixel_values, output_type="pil")
    _add_features(report, views[CHECKPOINT], pictures, classes, kind)
    probes, notes = _add_probe(report, views, classes, kind)
    for add in (_add_restoration, _add_inpainting):
        notes.append(add(report, model_name, encoder, pixel_values[:EXAMPLES]))
    path = out / "report.html"
    report.write(path)
    return DemoSummary(path, len(used), skipped, probes, notes)


def nearest_neighbours(features: np.ndarray, query: int, count: int) -> np.ndarray:
    """Indices of the `count` galaxies whose features [N, D] point in the most similar direction, after centring."""
    centred = features - features.mean(axis=0)
    directions = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(min=1e-12)
    similarity = directions @ directions[query]
    similarity[query] = -np.inf
    return np.argsort(-similarity, kind="stable")[:count]


def _simulated_stamps(number: int) -> list[Stamp]:
    import torch

    from ..data.simulate import CLASSES, PIXEL_SCALE, simulate_galaxies

    galaxies = simulate_galaxies(number, torch.Generator().manual_seed(SEED))
    return [
        Stamp(flux, DEFAULT_BANDS, PIXEL_SCALE, f"simulated-{index}", "simulated", columns={"label": CLASSES[label]})
        for index, (flux, label) in enumerate(zip(galaxies.flux.numpy(), galaxies.labels.tolist(), strict=True))
    ]


def _add_features(
    report: Report, features: np.ndarray, pictures: Sequence[Any], classes: Sequence[str] | None, kind: str
) -> None:
    from sklearn.decomposition import PCA

    points = PCA(2, random_state=SEED).fit_transform(features)
    report.section(
        "Features",
        f"{features.shape[1]} features of each galaxy ({kind}), reduced to two dimensions by principal components.",
        plot_features(points, classes),
    )
    rows = []
    for query in np.random.default_rng(SEED).choice(len(features), QUERIES, replace=False):
        found = [query, *nearest_neighbours(features, query, NEIGHBOURS)]
        names = [classes[index] if classes else f"no. {index}" for index in found]
        rows.append(strip([pictures[index] for index in found], [f"query: {names[0]}", *names[1:]]))
    report.section(
        "Nearest neighbours",
        f"A galaxy chosen at random ({kind}), and the others whose features are most similar. No label is used to find "
        "them.",
        *rows,
    )


def _add_probe(
    report: Report, views: dict[str, np.ndarray], classes: Sequence[str] | None, kind: str
) -> tuple[dict[str, ProbeResult], list[str]]:
    heading = "Linear probe"
    if classes is None:
        note = "Linear probe: left out, because not every galaxy has a label."
        report.section(heading, note)
        return {}, [note]
    names, counts = np.unique(classes, return_counts=True)
    kept = np.isin(classes, names[counts >= SMALLEST_CLASS])
    if (counts >= SMALLEST_CLASS).sum() < 2:
        note = f"Linear probe: left out, because fewer than two classes have {SMALLEST_CLASS} galaxies."
        report.section(heading, note)
        return {}, [note]
    labels = np.asarray(classes)[kept]
    train, test = split_indices(labels, TEST_SHARE, SEED)
    probes = {
        name: linear_probe(view[kept][train], labels[train], view[kept][test], labels[test], SEED)
        for name, view in views.items()
    }
    result = probes[CHECKPOINT]
    report.section(
        heading,
        f"How well a linear classifier on fixed features tells {', '.join(sorted(set(labels)))} apart: balanced "
        f"accuracy on {result.n_test} galaxies after {result.n_train} others ({kind}). What it has to beat: the same "
        "model without training, and coarse pixels.",
        table(["features", "balanced accuracy", "95 % interval"], [probe_row(name, probes[name]) for name in probes]),
    )
    return probes, []


def probe_row(name: str, result: ProbeResult) -> tuple[str, str, str]:
    """Name, balanced accuracy and interval, as people read them."""
    low, high = result.interval95
    return name, f"{result.balanced_accuracy:.3f}", f"{low:.3f} to {high:.3f}"


def _add_restoration(report: Report, model_name: str, encoder: Any, images: Any) -> str:
    import torch
    from transformers import AutoModelForImageToImage

    from ..data.degrade import FWHM_RANGE, NOISE_RANGE, blur_and_noise

    heading = "Restoration"
    if not _has_head(model_name, "restoration"):
        return _say_missing(report, heading, model_name)
    model = AutoModelForImageToImage.from_pretrained(resolve_checkpoint(model_name)).eval().to(encoder.device)
    degraded = blur_and_noise(images, torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        restored = model(degraded.to(encoder.device)).reconstruction.float().cpu().clamp(0, 1)
    (low, high), (faint, strong) = FWHM_RANGE, NOISE_RANGE
    before, after = _psnr(degraded, images), _psnr(restored, images)
    result = f"{before:.1f} dB before, {after:.1f} dB after (PSNR, {len(images)} images)."
    report.section(
        heading,
        f"Each blurred to a seeing of {low:g} to {high:g} px, with noise of {faint * 255:g} to {strong * 255:g} of "
        f"255, and restored. {result}",
        *_rows(encoder, original=images, degraded=degraded, restored=restored),
    )
    return f"{heading}: {result}"


def _add_inpainting(report: Report, model_name: str, encoder: Any, images: Any) -> str:
    import torch
    from transformers import AutoModelForMaskedImageModeling

    from ..data.degrade import PATCH_SIZES, patch_mask

    heading = "Inpainting"
    if not _has_head(model_name, "inpainting"):
        return _say_missing(report, heading, model_name)
    model = AutoModelForMaskedImageModeling.from_pretrained(resolve_checkpoint(model_name)).eval().to(encoder.device)
    height, width = images.shape[-2:]
    whole = [math.ceil(side / PATCH_SIZES[-1]) * PATCH_SIZES[-1] for side in (height, width)]
    generator = torch.Generator().manual_seed(SEED)
    mask = patch_mask(len(images), whole, generator, (HIDDEN_SHARE, HIDDEN_SHARE))[:, :height, :width]
    masked = images.masked_fill(mask[:, None], 0)
    with torch.no_grad():
        outputs = model(masked.to(encoder.device), bool_masked_pos=mask.to(encoder.device))
    filled = outputs.reconstruction.float().cpu().clamp(0, 1)
    error = (filled - images).square().mean(dim=1)[mask].mean().sqrt() * 255
    result = f"Hidden pixels are off by {error:.1f} of 255 (root mean square, {len(images)} images)."
    report.section(
        heading,
        f"{HIDDEN_SHARE:.0%} hidden in patches of {PATCH_SIZES[0]} to {PATCH_SIZES[-1]} px, and filled in from what is "
        f"left. {result}",
        *_rows(encoder, original=images, masked=masked, filled=filled),
    )
    return f"{heading}: {result}"


def _has_head(model_name: str, prefix: str) -> bool:
    """Whether a checkpoint holds the weights of a head; a model class would start a missing one from random weights."""
    from safetensors import safe_open
    from transformers.utils import cached_file

    with safe_open(cached_file(resolve_checkpoint(model_name), "model.safetensors"), framework="pt") as weights:
        return any(key.startswith(f"{prefix}.") for key in weights.keys())  # noqa: SIM118  # not a mapping


def _say_missing(report: Report, heading: str, model_name: str) -> str:
    note = f"{heading}: left out, because the checkpoint {model_name} has no {heading.lower()} head."
    report.section(heading, note)
    return note


def _rows(encoder: Any, **images: Any) -> list[str]:
    """One row for each batch of display images [B, 3, H, W], captioned by its name."""
    return [
        strip(encoder.image_processor.post_process_images(batch, output_type="pil"), [name] * len(batch))
        for name, batch in images.items()
    ]


def _psnr(images: Any, reference: Any) -> float:
    """Mean peak signal-to-noise ratio in dB of images [B, 3, H, W] in [0, 1]."""
    error = (images - reference).square().mean(dim=(1, 2, 3)).clamp(min=1e-12)
    return float((-10 * error.log10()).mean())
