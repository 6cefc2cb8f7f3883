"""Training of the lens detector on fields with boxes and masks."""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.dataclasses import strict

from ..configuration_galvm import GalvmConfig
from ..image_processing_galvm import GalvmImageProcessor
from .fields import FieldSettings
from .loop import Run
from .mixing import FixedShares
from .resnet import ResNetForLensDetection
from .settings import RunSettings
from .tasks.detection import Detection, DetectionTaskSettings

ENCODERS = {"galvm": Detection.model_class, "resnet50": ResNetForLensDetection}


@strict
@dataclass(kw_only=True)
class DetectionSettings(RunSettings):
    """One training of the detector, as a YAML file under `configs/detection/` states it.

    Attributes:
        data: Fields to train on.
        validation: Fields that are kept out of training; the part of each in its middle is used.
        validation_fields: How many of them are used.
        encoder: `galvm`, or `resnet50` for the peer.
    """

    data: FieldSettings
    validation: FieldSettings
    validation_fields: int = 200
    encoder: str = "galvm"

    def validate_detection(self):
        """Refuse settings that no detector can have; called at construction."""
        if self.encoder not in ENCODERS:
            raise ValueError(f"encoder must be one of {sorted(ENCODERS)}, got {self.encoder!r}.")
        if len({phase.image_size for phase in self.phases}) > 1:
            raise ValueError("all phases of a detector need the same image_size.")

    def model_config(self) -> GalvmConfig:
        """With one class, and the size of the parts of fields as that of its images."""
        config = super().model_config()
        config.image_size = self.phases[0].image_size
        config.id2label, config.label2id = {0: "lens"}, {"lens": 0}
        return config

    def image_processor(self, config: GalvmConfig) -> GalvmImageProcessor:
        """Fields stay as they are: neither cropped to a galaxy nor resized."""
        return GalvmImageProcessor(do_adaptive_crop=False)


def train_detector(settings: DetectionSettings, data_folder: Path) -> Path:
    """Train the detector, or go on with it, on as many processes as the launcher started.

    Args:
        settings: The run.
        data_folder: What its sources are relative to.

    Returns:
        The folder of the checkpoint, which `AutoModelForObjectDetection` loads.

    Raises:
        FileNotFoundError: If a source matches nothing.
        ValueError: If a field is too small, or the run's folder is of other settings.
        FloatingPointError: If a loss stops being finite.
    """
    task = Detection(
        "lenses",
        DetectionTaskSettings(
            kind="detection",
            data="fields",
            validation=settings.validation,
            validation_stamps=settings.validation_fields,
            reference=1.0,
        ),
    )
    task.model_class = ENCODERS[settings.encoder]
    data = {"fields": settings.data}
    return Run(settings, {"lenses": task}, data, FixedShares({"lenses": 1.0}), data_folder).train()
