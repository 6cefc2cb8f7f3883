"""Planted lenses and a detector that finds them: red blobs, which nothing else in the field is."""

from dataclasses import dataclass
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from transformers.utils import ModelOutput

from galvm_hf.detection import Detector
from galvm_hf.image_processing_galvm import GalvmImageProcessor
from galvm_hf.modeling_galvm import GalvmPreTrainedModel

PIXEL_SCALE = 0.262
SIGMA = 4.0  # px of a blob


def empty_field(shape, seed=0):
    """Noise [3, H, W] of the depth of the survey."""
    noise = np.random.default_rng(seed).normal(size=(3, *shape)).astype(np.float32)
    return 0.002 * noise


def plant(flux, x, y, sigma_x=SIGMA, sigma_y=SIGMA):
    """Add a blob, in z alone, around a column and row."""
    rows, columns = np.mgrid[: flux.shape[1], : flux.shape[2]]
    flux[2] += 2 * np.exp(-((columns - x) ** 2) / 2 / sigma_x**2 - (rows - y) ** 2 / 2 / sigma_y**2)


def field_header(shape, angle=0.0):
    """North up, or turned by an angle in degrees."""
    from astropy.io.fits import Header

    sine, cosine, scale = np.sin(np.radians(angle)), np.cos(np.radians(angle)), PIXEL_SCALE / 3600
    return Header(
        {
            **{"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 30.0, "RADESYS": "ICRS"},
            **{"CRPIX1": (shape[1] + 1) / 2, "CRPIX2": (shape[0] + 1) / 2},
            **{"CD1_1": -scale * cosine, "CD1_2": scale * sine, "CD2_1": scale * sine, "CD2_2": scale * cosine},
            **{"BANDS": "grz", "BUNIT": "nanomaggy"},
        }
    )


def write_field(path, flux, angle=0.0, **header):
    from astropy.io import fits

    cards = field_header(flux.shape[1:], angle)
    cards.update(header)
    fits.PrimaryHDU(flux, cards).writeto(path)
    return path


class BlobModel(torch.nn.Module):
    """Finds red blobs. The smaller one is, the better its score, so that a part of one outdoes the whole."""

    dtype = torch.float32

    def forward(self, pixel_values):
        found = []
        for display in pixel_values.numpy():
            red = (display[2] > 0.5) & (display[0] < 0.3)
            number, labels, stats, _ = cv2.connectedComponentsWithStats(red.astype(np.uint8), connectivity=8)
            found.append([(stats[index, :4], labels == index) for index in range(1, number)])
        return SimpleNamespace(found=found)


class BlobProcessor(GalvmImageProcessor):
    """Hands on what `BlobModel` found."""

    def post_process_instance_segmentation(self, outputs, threshold=0.5, target_sizes=None):
        results = []
        for blobs, size in zip(outputs.found, target_sizes, strict=True):
            blobs = sorted(blobs, key=lambda blob: blob[1].sum())
            scores = [0.5 + 0.5 / (1 + blob[1].sum() / 100) for blob in blobs]
            kept = [(*blob, score) for blob, score in zip(blobs, scores, strict=True) if score > threshold]
            boxes = [[x, y, x + width, y + height] for (x, y, width, height), _, _ in kept]
            masks = np.array([mask for _, mask, _ in kept]).reshape(-1, *size)
            results.append(
                {
                    "scores": torch.tensor([score for *_, score in kept]),
                    "labels": torch.zeros(len(kept), dtype=torch.long),
                    "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
                    "masks": torch.from_numpy(masks),
                }
            )
        return results


def blob_detector(threshold=0.5):
    return Detector(BlobModel().eval(), BlobProcessor(), torch.device("cpu"), threshold)


@dataclass
class BlobOutput(ModelOutput):
    """As detectors of transformers have it, and masks on a grid over the box."""

    logits: torch.Tensor | None = None
    pred_boxes: torch.Tensor | None = None
    pred_masks: torch.Tensor | None = None


class BlobDetector(GalvmPreTrainedModel):
    """`BlobModel` as a model of transformers: the same blobs, as `GalvmForLensDetection` gives what it finds."""

    slots = 8

    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(1))  # a pipeline asks for the dtype of the weights
        self.post_init()

    def forward(self, pixel_values, **kwargs):
        number, (height, width) = len(pixel_values), pixel_values.shape[-2:]
        logits = torch.full((number, self.slots, 1), -10.0)
        boxes, masks = torch.zeros(number, self.slots, 4), torch.zeros(number, self.slots, 28, 28)
        for row, blobs in enumerate(BlobModel()(pixel_values).found):
            for slot, ((x, y, across, down), mask) in enumerate(blobs):
                logits[row, slot] = 1 + slot
                centre = [(x + across / 2) / width, (y + down / 2) / height]
                boxes[row, slot] = torch.tensor([*centre, across / width, down / height])
                inside = mask[y : y + down, x : x + across].astype(np.float32)
                masks[row, slot] = torch.from_numpy(cv2.resize(inside, (28, 28), interpolation=cv2.INTER_LINEAR))
        return BlobOutput(logits=logits, pred_boxes=boxes, pred_masks=masks)
