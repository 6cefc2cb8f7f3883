"""Measurements of a checkpoint against what it has to beat: probes, restoration, inpainting, classification."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.readers import iter_stamps, summarise_sources
from ..data.stamp import Stamp, UnreadableStampError
from ..evaluation.intervals import Estimate
from ..evaluation.probe import ProbeResult, linear_probe
from ..files import whole_file
from .embed import Encoder, iter_prepared, pick_device, resolve_checkpoint, untrained_encoder

CHECKPOINT, RANDOM, PIXELS = "checkpoint", "random weights", "16 x 16 pixels"
PATCHES = (4, 8, 16)  # px, the paper's
FIT_IMAGES = 256  # that classical methods are tuned on


@dataclass(frozen=True)
class Measurement:
    """What an evaluation found.

    Attributes:
        heading: What was measured, in a line.
        rows: A table of text, its first row the titles of the columns.
        record: The same numbers with where they come from, ready for JSON.
    """

    heading: str
    rows: list[tuple[str, ...]]
    record: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write the record to a JSON file."""
        import json

        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(self.record, indent=2) + "\n")


@dataclass(frozen=True)
class Setting:
    """What every evaluation is told.

    Attributes:
        data: Files of images to test on.
        model: "galvm" for the packaged checkpoint, a directory, or a name on the Hub.
        crop: Share of the shorter side that is cut out of the middle, or "adaptive".
        seed: Of degradations, masks and intervals.
        batch_size: Images per forward pass.
        device: As torch names it, or "auto".
    """

    data: Path
    model: str
    crop: float | str
    seed: int = 0
    batch_size: int = 32
    device: str = "auto"

    @property
    def name(self) -> str:
        """What the model is called in tables: no place on this machine."""
        return Path(self.model).name

    def load_model(self, auto_class: Any) -> Any:
        """The checkpoint's model of an Auto class, on the device."""
        return auto_class.from_pretrained(resolve_checkpoint(self.model)).eval().to(pick_device(self.device))

    def provenance(self, fit: Path | None = None) -> dict[str, Any]:
        """Where the numbers come from."""
        from ..evaluation.provenance import provenance

        checkpoint = Path(resolve_checkpoint(self.model))
        files = [self.data] if fit is None else [self.data, fit]
        folder = checkpoint if checkpoint.is_dir() else None
        return provenance(files, folder, model=self.name, crop=self.crop, seed=self.seed)


def measure_restoration_of_files(setting: Setting, fit: Path | None = None) -> Measurement:
    """PSNR and SSIM of a checkpoint's restorations and of classical ones.

    Args:
        setting: What to measure, on what.
        fit: File of other images, to choose the smoothing and the Wiener filter's spectrum on; none leaves them out.

    Raises:
        ValueError: If an image is in both files.
    """
    from transformers import AutoModelForImageToImage

    from ..evaluation.restoration import degrade_images, measure_restoration, restore_classically, run_model

    model = setting.load_model(AutoModelForImageToImage)
    pixels, training = _load_disjoint(setting, fit, model.config.image_size)
    images = degrade_images(pixels, setting.seed)
    restored = restore_classically(images, training, setting.seed + 1)
    restored[setting.name] = run_model(model, images.degraded, setting.batch_size)
    estimates = {name: measure_restoration(images, result).estimates() for name, result in restored.items()}
    rows = [("", "PSNR (dB)", "SSIM")]
    rows += [(name, str(of["psnr"]), str(of["ssim"])) for name, of in estimates.items()]
    heading = f"Restoration of {len(pixels)} galaxies, means with 95 % intervals over galaxies"
    return Measurement(heading, rows, _record("restoration", estimates, setting, fit))


def measure_inpainting_of_files(setting: Setting, fit: Path | None = None) -> Measurement:
    """Squared error over hidden pixels, for each patch size, of a checkpoint and of OpenCV.

    Args:
        setting: What to measure, on what.
        fit: File of other images, to choose OpenCV's radius on; without it the radius is 3 px.

    Raises:
        ValueError: If an image is in both files.
    """
    from transformers import AutoModelForMaskedImageModeling

    from ..evaluation.inpainting import fill_by_model, measure_inpainting

    model = setting.load_model(AutoModelForMaskedImageModeling)
    pixels, training = _load_disjoint(setting, fit, model.config.image_size)
    methods = {setting.name: lambda images: fill_by_model(images, model, setting.batch_size)}
    results, rows = {}, [("patch", "", "squared error", "of Navier-Stokes")]
    for patch in PATCHES:
        estimates = measure_inpainting(pixels, patch, methods, training, setting.seed).estimates()
        results[f"{patch} px"] = estimates
        rows += [(f"{patch} px", name, str(of["mse"]), str(of["ratio"])) for name, of in estimates.items()]
    heading = f"Inpainting of {len(pixels)} galaxies, 0 to 70 % hidden, means with 95 % intervals over galaxies"
    return Measurement(heading, rows, _record("inpainting", results, setting, fit))


def measure_classification_of_files(setting: Setting, label: str = "label", plot: Path | None = None) -> Measurement:
    """Accuracy, precision, recall, F1 and calibration of a checkpoint's classes on labelled galaxies.

    Args:
        setting: What to measure, on what.
        label: Column with the class; rows without one are left out.
        plot: PNG file for the confusion matrix, if wanted.

    Raises:
        ValueError: If no row has a class, or one that the model does not know.
    """
    from transformers import AutoModelForImageClassification

    from ..evaluation.classification import (
        class_numbers,
        class_probabilities,
        measure_classification,
        plot_confusion,
    )
    from ..evaluation.images import load_images

    model = setting.load_model(AutoModelForImageClassification)
    images = load_images([setting.data], setting.crop, model.config.image_size, label)
    images = images.take([row for row, name in enumerate(images.labels) if name is not None])
    if not len(images):
        raise ValueError(f"No row of {setting.data} has a value in a column {label!r}. Name another one by --label.")
    names = [model.config.id2label[number] for number in range(model.config.num_labels)]
    labels = class_numbers(images.labels, names)
    probabilities = class_probabilities(model, images.pixels, setting.batch_size)
    result = measure_classification(probabilities, labels, names, setting.seed)
    rows = [("", "precision", "recall", "F1")]
    rows += [(name, str(result.precision[name]), str(result.recall[name]), str(result.f1[name])) for name in names]
    heading = (
        f"Classification of {len(images)} galaxies, with 95 % intervals over galaxies: balanced accuracy "
        f"{result.balanced_accuracy}, accuracy {result.accuracy}, calibration error {result.calibration_error}"
    )
    if plot is not None:
        plot_confusion(result, plot)
    return Measurement(heading, rows, _record("classification", result, setting, None))


def _load_disjoint(setting: Setting, fit: Path | None, size: int) -> tuple[Any, Any]:
    """Images to test on, `[N, 3, size, size]`, and to fit on, `[M, 3, size, size]` or `None`."""
    from ..evaluation.images import load_images

    images = load_images([setting.data], setting.crop, size)
    if fit is None:
        return images.pixels, None
    training = load_images([fit], setting.crop, size, number=FIT_IMAGES)
    images.require_disjoint(training)
    return images.pixels, training.pixels


def _record(task: str, results: Any, setting: Setting, fit: Path | None) -> dict[str, Any]:
    return {"task": task, "results": _plain(results), **setting.provenance(fit)}


def _plain(value: Any) -> Any:
    """Results in what JSON knows."""
    if isinstance(value, Estimate):
        return asdict(value)
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return {name: _plain(part) for name, part in vars(value).items()} if hasattr(value, "__dict__") else value


def iter_representations(
    encoder: Encoder, stamps: Iterable[Stamp], batch_size: int, on_error: Callable[[UnreadableStampError], None]
) -> Iterator[tuple[list[Stamp], Any, dict[str, np.ndarray]]]:
    """Each stamp seen in three ways: by the encoder, by the same encoder with random weights, and as coarse pixels.

    Yields:
        Stamps, their display images [B, 3, H, W], and representations [B, D] by name: `CHECKPOINT`, `RANDOM`, `PIXELS`.
    """
    import torch

    untrained = untrained_encoder(encoder, seed=0)
    for batch, pixel_values in iter_prepared(encoder, stamps, batch_size, on_error):
        coarse = torch.nn.functional.adaptive_avg_pool2d(pixel_values, 16).flatten(1)
        views = {CHECKPOINT: encoder.encode(pixel_values), RANDOM: untrained.encode(pixel_values), PIXELS: coarse}
        yield batch, pixel_values, {name: view.numpy() for name, view in views.items()}


def probe_files(
    train: Path, test: Path, encoder: Encoder, label: str = "label", batch_size: int = 32
) -> dict[str, ProbeResult]:
    """Probe labelled splits in three ways.

    Args:
        train: Parquet file, or folder of them, to train the linear classifier on.
        test: The same to test it on; must not hold the same images.
        encoder: From `load_encoder`.
        label: Column with the class; rows without one are left out.
        batch_size: Stamps per forward pass.

    Returns:
        By representation (`CHECKPOINT`, `RANDOM`, `PIXELS`), what its linear probe measured.

    Raises:
        ValueError: If no row has a class, or images of the test set are in the training set too.
        UnreadableStampError: If a stamp cannot be read: a measurement is of all of the data or of none.
    """
    train_x, train_y, train_images = _represent(train, encoder, label, batch_size)
    test_x, test_y, _ = _represent(test, encoder, label, batch_size, train_images)
    return {name: linear_probe(train_x[name], train_y, test_x[name], test_y) for name in train_x}


def _represent(
    path: Path, encoder: Encoder, label: str, batch_size: int, forbidden: Set[bytes] = frozenset()
) -> tuple[dict[str, np.ndarray], list[str], set[bytes]]:
    """Representations [N, D] by name, the class of each stamp, and the digests of their pixels."""
    from tqdm import tqdm

    def refuse(error: UnreadableStampError) -> None:
        raise error

    parts: dict[str, list[np.ndarray]] = {CHECKPOINT: [], RANDOM: [], PIXELS: []}
    classes, images = [], set()
    labelled = (stamp for stamp in iter_stamps([path]) if stamp.columns.get(label) is not None)
    with tqdm(total=summarise_sources([path])[0], unit="stamp", desc=path.name, disable=None) as progress:
        for batch, _, views in iter_representations(encoder, labelled, batch_size, refuse):
            for name, view in views.items():
                parts[name].append(view)
            classes += [str(stamp.columns[label]) for stamp in batch]
            images |= {hashlib.sha1(stamp.pixels.tobytes(), usedforsecurity=False).digest() for stamp in batch}
            if images & forbidden:
                raise ValueError(f"Images of {path} are in the training set too. Give splits that are disjoint.")
            progress.update(len(batch))
    if not classes:
        raise ValueError(f"No row of {path} has a value in a column {label!r}. Name another column with --label.")
    return {name: np.concatenate(views) for name, views in parts.items()}, classes, images
