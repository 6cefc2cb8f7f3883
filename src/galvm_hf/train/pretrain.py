"""Self-supervised pre-training on stamps in memory: settings and loop."""

import json
import math
import os
import random
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from tqdm import tqdm
from transformers import get_cosine_schedule_with_warmup

from ..configuration_galvm import GalvmConfig
from ..image_processing_galvm import GalvmImageProcessor
from .objectives import OBJECTIVES, SharedEncoder
from .release import save_checkpoint_folder
from .stamps import load_stamps

DATA_VARIABLE = "GALVM_DATA"
PRESETS = ("tiny", "small", "base")


@strict
@dataclass
class PretrainSettings:
    """One pre-training run, as a YAML file under `configs/pretrain/` states it.

    Attributes:
        model: Preset of the configuration: `tiny`, `small` or `base`.
        data: Files, folders or patterns of stamps, relative to the data folder.
        output: Folder of the run: log, settings and checkpoint.
        objectives: Weight of each objective of `train.objectives`; each step draws one.
        phases: Image size in px, number of steps and batch size (over all processes) of each phase, in order. Small
            images first make the most of little hardware.
        learning_rate: Peak of the learning rate of AdamW.
        warmup_steps: Steps of its linear rise; after them it falls by a cosine.
        weight_decay: Of AdamW.
        gradient_clip: Largest norm of the gradient.
        validation_stamps: Number of stamps, drawn by the seed, that are kept out of training.
        validation_every: Steps from one validation and checkpoint to the next.
        seed: Of weights, splits, order, augmentation and degradation.
        model_overrides: Fields of the configuration that differ from the preset. Stamps are cropped to its
            `image_size`.

    Raises:
        StrictDataclassError: If a setting is of the wrong type, out of range, or contradicts another.
    """

    model: str
    data: list[str]
    output: str
    objectives: dict[str, float | int]
    phases: list[dict[str, int]]
    learning_rate: float | int = 1e-3
    warmup_steps: int = 200
    weight_decay: float | int = 0.05
    gradient_clip: float | int = 1.0
    validation_stamps: int = 512
    validation_every: int = 500
    seed: int = 0
    model_overrides: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_yaml(cls, path: Path) -> "PretrainSettings":
        """Read a run's YAML file.

        Raises:
            ValueError: If a setting is unknown or missing, or contradicts another.
        """
        import yaml

        values = yaml.safe_load(path.read_text())
        if not isinstance(values, dict):
            raise ValueError(f"{path}: a run's file has lines like `model: tiny`, got {values!r}.")
        known = {item.name for item in fields(cls)}
        if unknown := sorted(map(str, set(values) - known)):
            raise ValueError(f"{path}: unknown settings {unknown}; known are {sorted(known)}.")
        try:
            return cls(**values)
        except (TypeError, StrictDataclassError) as error:
            raise ValueError(f"{path}: {error}") from error

    def validate_settings(self):
        """Refuse settings that no run can have; called at construction."""
        if self.model not in PRESETS:
            raise ValueError(f"model must be one of {PRESETS}, got {self.model!r}.")
        if not self.objectives or any(weight <= 0 for weight in self.objectives.values()):
            raise ValueError(f"objectives needs at least one, each with a positive weight, got {self.objectives}.")
        if not self.phases:
            raise ValueError("phases needs at least one phase, got none.")
        for phase in self.phases:
            if set(phase) != {"image_size", "steps", "batch_size"}:
                raise ValueError(f"a phase has image_size, steps and batch_size, got {phase}.")
            if min(phase.values()) < 1:
                raise ValueError(f"every number of a phase must be at least 1, got {phase}.")
        for name in ("learning_rate", "gradient_clip", "validation_stamps", "validation_every"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")

    def model_config(self) -> GalvmConfig:
        """The preset with its overrides."""
        return getattr(GalvmConfig, self.model)(**self.model_overrides)

    def plan(self) -> list[tuple[int, int]]:
        """Image size and batch size of every step."""
        return [(phase["image_size"], phase["batch_size"]) for phase in self.phases for _ in range(phase["steps"])]


def find_sources(patterns: list[str], folder: Path) -> list[Path]:
    """Expand the patterns of a run's `data` below a folder, sorted.

    Raises:
        FileNotFoundError: If a pattern matches nothing.
    """
    sources = []
    for pattern in patterns:
        matches = sorted(folder.glob(pattern))
        if not matches:
            raise FileNotFoundError(
                f"Nothing matches {pattern!r} in {folder}. Name the folder of the data by --data or the environment "
                f"variable {DATA_VARIABLE}."
            )
        sources += matches
    return list(dict.fromkeys(sources))  # one that two patterns match is read once, or held out and trained on


def samples(training: torch.Tensor, start: int, number: int, seed: int) -> torch.Tensor:
    """The next stamps after `start` have been seen: pass after pass, each in an order of its own."""
    parts = []
    while number:
        epoch, offset = divmod(start, len(training))
        order = torch.randperm(len(training), generator=_seeded("cpu", seed, 1, epoch))
        parts.append(training[order[offset : offset + number]])
        start, number = start + len(parts[-1]), number - len(parts[-1])
    return torch.cat(parts)


def augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Flip and turn each square image by one of the eight symmetries of the square, drawn for each."""
    element = torch.randint(8, (len(images),), generator=generator, device=generator.device)
    turned = torch.empty_like(images)
    for index in range(8):
        chosen = element == index
        part = images[chosen].rot90(index % 4, (2, 3))
        turned[chosen] = part.flip(3) if index >= 4 else part
    return turned


def _seeded(device: torch.device | str, *numbers: int) -> torch.Generator:
    """A generator for one place in a run, so that what is drawn there depends on nothing before it."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number) % 2**63
    return torch.Generator(device=device).manual_seed(seed)


def pretrain(settings: PretrainSettings, data_folder: Path) -> Path:
    """Run pre-training, on as many processes as the launcher started.

    Args:
        settings: The run.
        data_folder: Where `settings.data` is found.

    Returns:
        The folder of the checkpoint, which every Auto class loads.

    Raises:
        FileNotFoundError: If a data pattern matches nothing.
        ValueError: If a phase does not fit the number of processes or the stamps, or nothing is left to train on.
        FloatingPointError: If a loss stops being finite; the last checkpoint stays as it is.
    """
    accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
    world, rank, device = accelerator.num_processes, accelerator.process_index, accelerator.device
    plan = settings.plan()
    if odd := [batch_size for _, batch_size in plan if batch_size % world]:
        raise ValueError(f"batch_size {odd[0]} does not divide by {world} processes.")
    config = settings.model_config()
    if large := [image_size for image_size, _ in plan if image_size > config.image_size]:
        raise ValueError(f"image_size {large[0]} of a phase is larger than the stamps, {config.image_size} px.")
    set_seed(settings.seed)
    model = SharedEncoder(config, list(settings.objectives))
    image_processor = GalvmImageProcessor(size={"height": config.image_size, "width": config.image_size})
    images = load_stamps(find_sources(settings.data, data_folder), image_processor, accelerator.is_main_process)
    order = torch.randperm(len(images), generator=_seeded("cpu", settings.seed, 0))
    validation, training = order[: settings.validation_stamps], order[settings.validation_stamps :]
    if len(training) == 0:
        raise ValueError(f"{len(images)} stamps leave none to train on beside {settings.validation_stamps} held out.")

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98), fused=True
    )
    scheduler = get_cosine_schedule_with_warmup(optimizer, settings.warmup_steps, len(plan))
    model, optimizer = accelerator.prepare(model, optimizer)

    output = Path(settings.output)
    checkpoint = output / "checkpoint"
    if accelerator.is_main_process:
        output.mkdir(parents=True, exist_ok=True)
        facts = {"settings": asdict(settings), "training_stamps": len(training), "processes": world}
        (output / "run.json").write_text(json.dumps(facts, indent=2))

    names, weights = zip(*settings.objectives.items(), strict=True)
    started = time.monotonic()
    seen = 0
    progress = tqdm(plan, unit=" steps", disable=not accelerator.is_main_process)
    with (output / "log.jsonl" if accelerator.is_main_process else Path(os.devnull)).open("w") as log:
        for step, (image_size, batch_size) in enumerate(progress):
            # every process draws the same objective, and takes its own part of the same batch
            objective = random.Random(f"{settings.seed} {step}").choices(names, weights)[0]
            stamps = samples(training, seen, batch_size, settings.seed)[rank::world]
            seen += batch_size
            generator = _seeded(device, settings.seed, 2, step, rank)
            batch = images[stamps].to(device).float() / 255
            batch = augment(batch, generator)
            model.train()
            loss = model(objective, OBJECTIVES[objective].make_batch(batch, image_size, generator))
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"The {objective} loss is {loss.item()} at step {step}, stamps {stamps.tolist()} of "
                    f"{settings.data}. Lower learning_rate, or look at those stamps."
                )
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), settings.gradient_clip)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()

            seconds = time.monotonic() - started
            progress.set_postfix({objective: f"{loss.item():.2e}", "images/s": f"{seen / seconds:.1f}"})
            record = {
                "step": step + 1,
                "stamps_seen": seen,
                "image_size": image_size,
                "objective": objective,
                "loss": loss.item(),
                "learning_rate": scheduler.get_last_lr()[0],
                "seconds": round(seconds, 1),
            }
            if step + 1 == len(plan) or (step + 1) % settings.validation_every == 0:
                whole = accelerator.unwrap_model(model)
                if accelerator.is_main_process:
                    record["validation"] = validate(whole, images[validation], settings, device)
                    # the step that was just taken may be the one that broke the weights
                    if not all(map(math.isfinite, record["validation"].values())):
                        raise FloatingPointError(
                            f"The validation loss is {record['validation']} after step {step}. Lower learning_rate."
                        )
                    tqdm.write(f"step {step + 1}: validation loss {record['validation']}")
                    save_checkpoint_folder(checkpoint, config, whole.checkpoint(), image_processor)
                accelerator.wait_for_everyone()
            log.write(json.dumps(record) + "\n")
            log.flush()
    accelerator.end_training()
    return checkpoint


@torch.no_grad()
def validate(
    model: SharedEncoder, images: torch.Tensor, settings: PretrainSettings, device: torch.device, batch_size: int = 32
) -> dict[str, float]:
    """Mean loss of each objective on held-out stamps `[N, 3, H, W]`, uint8, with the same degradations every time."""
    model.eval()
    losses = {}
    for objective in settings.objectives:
        total = 0.0
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size].to(device).float() / 255
            generator = _seeded(device, settings.seed, 3, start)
            inputs = OBJECTIVES[objective].make_batch(batch, batch.shape[-1], generator)
            total += model(objective, inputs).item() * len(batch)
        losses[objective] = total / len(images)
    return losses
