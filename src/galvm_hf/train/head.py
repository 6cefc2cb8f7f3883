"""The classification head on fixed features: a first morphology classifier for a pre-trained checkpoint."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from tqdm import tqdm

from ..configuration_galvm import GalvmConfig
from ..data.readers import iter_stamps
from ..evaluation.probe import split_indices
from ..image_processing_galvm import GalvmImageProcessor
from ..modeling_galvm import GalvmClassificationHead, GalvmModel
from .release import save_checkpoint_folder

VALIDATION_SHARE = 0.15
EPOCHS = 60
BATCH_SIZE = 256
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
PATIENCE = 15


@dataclass(frozen=True)
class HeadResult:
    """What training a head came to.

    Attributes:
        balanced_accuracy: Mean over the classes of the share told right, on the validation part.
        epochs: The epoch whose weights were kept; the validation part chose it.
        n_train: Number of galaxies trained on.
        n_validation: Number of galaxies held out.
    """

    balanced_accuracy: float
    epochs: int
    n_train: int
    n_validation: int


def add_classification_head(
    checkpoint: Path, train: Path, output: Path, label: str = "label", seed: int = 0
) -> HeadResult:
    """Train the classification head of a checkpoint on labelled stamps, its encoder fixed, and save both.

    Classes are weighted equally. A part of the stamps, the same share of every class, is held out and chooses when to
    stop. The other heads of the checkpoint are kept.

    Args:
        checkpoint: Folder of the pre-trained checkpoint.
        train: Parquet file or folder of stamps with a column `label`.
        output: Folder to write the checkpoint with the head to.
        label: Name of that column.
        seed: Of the split, the weights and the order.

    Raises:
        ValueError: If no stamp has a label, or a class has a single stamp.
    """
    weights = load_file(checkpoint / "model.safetensors")
    image_processor = GalvmImageProcessor.from_pretrained(checkpoint)
    encoder = GalvmModel.from_pretrained(checkpoint).eval()
    features, names = _features(encoder, image_processor, train, label)
    classes = sorted(set(names))
    labels = torch.tensor([classes.index(name) for name in names])
    training, validation = (torch.from_numpy(part) for part in split_indices(names, VALIDATION_SHARE, seed))

    config = GalvmConfig.from_pretrained(checkpoint)
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: number for number, name in enumerate(classes)}
    torch.manual_seed(seed)
    head = GalvmClassificationHead(config)
    counts = labels[training].bincount(minlength=len(classes))
    loss_function = torch.nn.CrossEntropyLoss(weight=counts.sum() / (counts * len(classes)))
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    best, best_epoch, best_weights = -1.0, 0, head.state_dict()
    for epoch in range(1, EPOCHS + 1):
        for batch in training[torch.randperm(len(training))].split(BATCH_SIZE):
            optimizer.zero_grad()
            loss_function(head(features[batch]), labels[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            right = head(features[validation]).argmax(1) == labels[validation]
        score = sum(right[labels[validation] == number].float().mean().item() for number in range(len(classes)))
        if score / len(classes) > best:
            best, best_epoch, best_weights = score / len(classes), epoch, copy.deepcopy(head.state_dict())
        if epoch - best_epoch >= PATIENCE:
            break
    weights |= {f"classifier.{name}": value for name, value in best_weights.items()}
    save_checkpoint_folder(output, config, weights, image_processor)
    return HeadResult(best, best_epoch, len(training), len(validation))


@torch.no_grad()
def _features(
    encoder: GalvmModel, image_processor: GalvmImageProcessor, source: Path, label: str
) -> tuple[torch.Tensor, list[str]]:
    """Features `[N, hidden_size]` and class names of all labelled stamps."""
    features, names = [], []
    for images, part in _batches(image_processor, source, label):
        features.append(encoder(images).pooler_output)
        names += part
    if not features:
        raise ValueError(f"No stamp of {source} has a value in a column {label!r}.")
    return torch.cat(features), names


def _batches(
    image_processor: GalvmImageProcessor, source: Path, label: str
) -> Iterator[tuple[torch.Tensor, list[str]]]:
    images, names = [], []
    for stamp in tqdm(iter_stamps([source]), desc="Features", unit=" stamps", disable=None):
        if stamp.columns.get(label) is None:
            continue
        stamp = stamp.select()
        images.append(image_processor(stamp.pixels, bands=stamp.bands, return_tensors="pt").pixel_values)
        names.append(str(stamp.columns[label]))
        if len(images) == 64:
            yield torch.cat(images), names
            images, names = [], []
    if images:
        yield torch.cat(images), names
