"""Settings of a run, as its YAML file states them."""

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Self, get_args, get_origin, get_type_hints

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError

from ..checkpoints import RELEASED, released_checkpoint
from ..configuration_galvm import GalvmConfig
from ..data.stream import Augmentation
from ..image_processing_galvm import GalvmImageProcessor

PRESETS = ("tiny", "small", "base")


def _require_positive(settings: Any, *names: str) -> None:
    for name in names:
        if getattr(settings, name) <= 0:
            raise ValueError(f"{name} must be positive, got {getattr(settings, name)}.")


@strict
@dataclass
class DataSettings:
    """Where stamps come from, and how they are cut.

    Attributes:
        sources: Files, folders and patterns, relative to the data folder; `hf://datasets/owner/name/*.parquet` is on
            the Hub.
        crop: "adaptive" for the box round the galaxy, or the share of the shorter side that is cut from the centre.
        rotation: "free" for any angle, "quarter" for multiples of 90 degrees, null for none.
        zoom: Smallest and largest side of the box, relative to that of the crop.
        shift: How far its centre moves at most, relative to its side.
        balance: Column with classes of which rare ones are shown more often in training; null to show all rows alike.
    """

    sources: list[str]
    crop: str | float | int = "adaptive"
    rotation: str | None = "free"
    zoom: list[float | int] = field(default_factory=lambda: [0.9, 1.1])
    shift: float | int = 0.05
    balance: str | None = None

    def validate_data(self):
        """Refuse settings that no stream can have; called at construction."""
        if not self.sources:
            raise ValueError("sources needs at least one file, folder or pattern, got none.")
        self.augmentation()

    def augmentation(self) -> Augmentation:
        """The random views of a galaxy in training."""
        return Augmentation(rotation=self.rotation, zoom=tuple(self.zoom), shift=self.shift)


@strict
@dataclass
class PhaseSettings:
    """A part of a run. Small parts of stamps first make the most of little hardware.

    Attributes:
        image_size: Side of the part of a stamp that tasks about pixels see, px; a multiple of 16, the largest patch
            that is hidden, and at least 32.
        steps: How many steps of the optimizer.
        batch_size: Images a step, over all processes and micro-batches.
        stamp_size: Side that whole stamps are averaged down to for tasks about galaxies, px; null for the model's own.
            Smaller ones are cheap to begin with. The last phase should have the model's own, which users will show.
    """

    image_size: int
    steps: int
    batch_size: int
    stamp_size: int | None = None

    def validate_phase(self):
        """Refuse a phase without images or steps; called at construction."""
        _require_positive(self, "steps", "batch_size")
        for name, size in {"image_size": self.image_size, "stamp_size": self.stamp_size}.items():
            if size is not None and (size < 32 or size % 16):
                raise ValueError(f"{name} must be a multiple of 16 and at least 32, got {size}.")


@strict
@dataclass(kw_only=True)
class RunSettings:
    """What every run states, whatever it trains.

    Attributes:
        model: Preset of the configuration: `tiny`, `small` or `base`.
        model_overrides: Fields of the configuration that differ from the preset.
        start_from: Folder of a checkpoint to begin with, or the name of a released one: its configuration, and the
            weights of all that it has.
        output: Folder of the run: log, plots, resumable states and the checkpoint.
        seed: Of weights, order, augmentation, degradation and the draw of tasks.
        phases: Parts of the run, in order.
        micro_batch_size: Largest number of images that a process takes at once; more accumulate.
        optimizer: "adamw", or "adam" as in the paper.
        learning_rate: Its peak.
        warmup_steps: Steps of its linear rise; after them it falls by a cosine to zero.
        weight_decay: Of AdamW.
        gradient_clip: Largest norm of the gradient.
        ema_decay: Of the running average of the weights, which is what is evaluated and released; 0 for none.
        compile: Whether the model goes through `torch.compile`.
        gradient_checkpointing: Whether activations are computed twice to save memory.
        mixed_precision: "no" or "bf16".
        num_workers: Processes that decode images, for each process that trains.
        evaluate_every: Steps from one evaluation to the next; there is one at the end too.
        save_minutes: Time from one resumable state to the next; there is one at the end and on SIGTERM too.
        keep: How many of these are kept.
        trackers: Of Accelerate, such as `tensorboard`.

    Raises:
        StrictDataclassError: If a setting is of the wrong type, out of range, or contradicts another.
    """

    output: str
    phases: list[PhaseSettings]
    model: str = "tiny"
    model_overrides: dict[str, Any] = field(default_factory=dict)
    start_from: str | None = None
    seed: int = 0
    micro_batch_size: int = 64
    optimizer: str = "adamw"
    learning_rate: float | int = 1e-3
    warmup_steps: int = 200
    weight_decay: float | int = 0.05
    gradient_clip: float | int = 1.0
    ema_decay: float | int = 0.999
    compile: bool = False
    gradient_checkpointing: bool = False
    mixed_precision: str = "no"
    num_workers: int = 0
    evaluate_every: int = 500
    save_minutes: float | int = 10
    keep: int = 2
    trackers: list[str] = field(default_factory=lambda: ["tensorboard"])

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Read a run's YAML file.

        Raises:
            ValueError: If a setting is unknown or missing, or contradicts another; with the file and the setting.
        """
        return read_settings(cls, path)

    def validate_run(self):
        """Refuse settings that no run can have; called at construction."""
        if self.model not in PRESETS:
            raise ValueError(f"model must be one of {PRESETS}, got {self.model!r}.")
        if self.optimizer not in ("adamw", "adam"):
            raise ValueError(f"optimizer must be 'adamw' or 'adam', got {self.optimizer!r}.")
        if self.mixed_precision not in ("no", "bf16"):
            raise ValueError(f"mixed_precision must be 'no' or 'bf16', got {self.mixed_precision!r}.")
        if not self.phases:
            raise ValueError("phases needs at least one phase, got none.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}.")
        if self.start_from and self.model_overrides:
            raise ValueError("start_from brings its own configuration: leave model_overrides out.")
        _require_positive(
            self, "learning_rate", "gradient_clip", "micro_batch_size", "evaluate_every", "save_minutes", "keep"
        )
        if self.warmup_steps < 0 or self.weight_decay < 0:
            raise ValueError(
                f"warmup_steps and weight_decay must not be negative, got {self.warmup_steps} and {self.weight_decay}."
            )

    @property
    def steps(self) -> int:
        """How many steps the run has."""
        return sum(phase.steps for phase in self.phases)

    def start_folder(self) -> Path | None:
        """Where the checkpoint to begin with lies."""
        if self.start_from in RELEASED:
            return released_checkpoint(self.start_from)
        return self.start_from and Path(self.start_from)

    def model_config(self) -> GalvmConfig:
        """The configuration of `start_from`, or else the preset with its overrides."""
        if self.start_from:
            return GalvmConfig.from_pretrained(self.start_folder())
        return getattr(GalvmConfig, self.model)(**self.model_overrides)

    def image_processor(self, config: GalvmConfig) -> GalvmImageProcessor:
        """What prepares images for the model that is trained; it is saved beside it."""
        return GalvmImageProcessor(size={"height": config.image_size, "width": config.image_size})


def read_settings(kind: type, path: Path, **overrides: Any) -> Any:
    """Read a run's YAML file.

    Args:
        kind: The dataclass of its settings.
        path: The file: a line `name: value` for each.
        overrides: Settings that take the place of the file's.

    Raises:
        ValueError: If it is no YAML, or a setting is unknown, missing or out of range; with the file and the setting.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text())
        if not isinstance(values, dict):
            raise ValueError(f"a run's file has lines like `model: tiny`, got {values!r}.")
        return build(kind, values | overrides)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def build(kind: type, values: Any, place: str = "") -> Any:
    """Make a settings object of what YAML gives, and the settings within it.

    Args:
        kind: The dataclass, or the annotation of a field that holds some.
        values: Dictionaries, lists and scalars.
        place: Where in the file, for messages.

    Raises:
        ValueError: If a setting is unknown, missing, of the wrong type or out of range; with its place.
    """
    if is_dataclass(kind) and isinstance(values, dict):
        hints = get_type_hints(kind)
        known = [item.name for item in fields(kind)]
        if unknown := sorted(map(str, set(values) - set(known))):
            raise ValueError(f"unknown settings {unknown}{place and f' of {place}'}; known are {sorted(known)}.")
        parts = {
            name: build(hints[name], value, f"{place}.{name}" if place else name) for name, value in values.items()
        }
        try:
            return kind(**parts)
        except (TypeError, StrictDataclassError) as error:
            raise ValueError(f"{place}: {error}" if place else str(error)) from error
    inner = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) is list and isinstance(values, list):
        return [build(inner[0], value, place) for value in values]
    if get_origin(kind) is dict and isinstance(values, dict):
        return {key: build(inner[1], value, f"{place}.{key}" if place else key) for key, value in values.items()}
    if len(inner) == 1 and get_origin(kind) not in (list, dict):  # an optional one
        return build(inner[0], values, place)
    return values
