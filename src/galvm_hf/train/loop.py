"""The loop of every run: draw a task, take a step, and now and then evaluate and save.

A run depends on its settings and nothing else: each random number follows from the seed, the step and the sample. So
it is the same on one process and on several, up to the order of sums, and the same to the bit when it is stopped at any
moment and begun again.
"""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration, gather_object, set_seed
from safetensors.torch import load_file
from tqdm import tqdm
from transformers import get_cosine_schedule_with_warmup

from ..data.degrade import image_generators
from ..data.stream import GalaxyStream
from .average import WeightAverage
from .checkpoints import StateFolder, gather, load_optimizer, optimizer_tensors, scatter
from .data import Samples, find_sources, load_held_out, micro_batches, open_training, read_column
from .evaluate import Evaluator
from .few_shot import ProbeSettings
from .logs import RunLog, scalars
from .mixing import FixedShares
from .network import SharedEncoder
from .release import save_checkpoint_folder
from .settings import DataSettings, PhaseSettings, RunSettings
from .tasks import Task
from .tasks.base import Batch, validation_generators

STATE_VERSION = 1
# What may differ between a run and its continuation.
FREE_SETTINGS = ("output", "save_minutes", "keep", "trackers", "num_workers", "micro_batch_size")
TERMINATED = 128 + signal.SIGTERM
FIRST_SAMPLES = 256  # that a new head is prepared with


class Run:
    """A run on as many processes as the launcher started.

    Args:
        settings: Of the run.
        tasks: What is trained, by name.
        data: Streams, by the names that tasks use.
        shares: How often each task is trained.
        folder: What all sources are relative to.
        freeze_encoder: Whether the heads alone are trained.
        probe: A few-shot probe at each evaluation.

    Raises:
        FileNotFoundError: If a source matches nothing.
        ValueError: If a phase does not fit the number of processes or the model, or the folder of the run holds a state
            of other settings.
    """

    def __init__(
        self,
        settings: RunSettings,
        tasks: Mapping[str, Task],
        data: Mapping[str, DataSettings],
        shares: FixedShares,
        folder: Path,
        freeze_encoder: bool = False,
        probe: ProbeSettings | None = None,
    ):
        self.settings, self.tasks, self.data, self.shares, self.folder = settings, tasks, data, shares, folder
        self.output = Path(settings.output)
        self.accelerator = Accelerator(
            mixed_precision=settings.mixed_precision,
            log_with=settings.trackers or None,
            project_config=ProjectConfiguration(str(self.output), logging_dir=str(self.output)),
            # a step trains one head
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.device, self.world = self.accelerator.device, self.accelerator.num_processes
        self.config = settings.model_config()
        self._check_phases()
        self.states = StateFolder(self.output / "states", settings.keep)
        set_seed(settings.seed)
        self._configure_tasks()
        self._build(freeze_encoder)
        self.evaluator = Evaluator(
            tasks,
            folder,
            self.config.image_size,
            settings.seed,
            settings.micro_batch_size,
            self.accelerator,
            probe,
        )
        self.step, self.seconds = 0, 0.0
        self._streams: dict[str, GalaxyStream] = {}
        self._stream_states: dict[str, Any] = {}
        self._resume()

    def _check_phases(self) -> None:
        for phase in self.settings.phases:
            if phase.batch_size % self.world:
                raise ValueError(f"batch_size {phase.batch_size} does not divide by {self.world} processes.")
            for name, size in {"image_size": phase.image_size, "stamp_size": phase.stamp_size or 0}.items():
                if size > self.config.image_size:
                    raise ValueError(
                        f"{name} {size} of a phase is larger than the model's image_size, {self.config.image_size} px."
                    )

    def _columns(self, data: str) -> list[str]:
        """Columns that the tasks on a stream need."""
        return sorted({column for task in self.tasks.values() if task.settings.data == data for column in task.columns})

    def _draw(self, task: Task, number: int) -> Samples:
        """So many samples from all over what a task is trained on, the same on every process."""
        data = self.data[task.settings.data]
        return load_held_out(data, self.folder, number, self.config.image_size, task.columns, shuffle=True)[0]

    def _read(self, task: Task, column: str) -> list[Any]:
        """The values of a column as a pass over what a task is trained on shows them."""
        data = self.data[task.settings.data]
        return read_column(find_sources(data.sources, self.folder), data.balance, column)

    def _configure_tasks(self) -> None:
        for data in self.data.values():
            find_sources(data.sources, self.folder)  # that they are there, before anything is written
        for task in self.tasks.values():
            task.configure(self.config, partial(self._read, task), partial(self._draw, task))

    @torch.no_grad()
    def _begin_tasks(self, network: SharedEncoder, missing: set[str]) -> None:
        """Prepare the heads of which a checkpoint lacks weights."""
        network.eval()
        for name, task in self.tasks.items():
            model = network.models[name]
            own = {key for key in model.state_dict() if not key.startswith(f"{model.base_model_prefix}.")}
            if own & missing:
                task.begin(model, partial(self._first_batch, task))

    def _first_batch(self, task: Task) -> Batch:
        samples = self._draw(task, FIRST_SAMPLES)
        generators = validation_generators(samples["index"].tolist(), self.settings.seed, torch.device("cpu"))
        return task.make_batch(samples, self._image_size(task, self.settings.phases[0]), generators)

    def _build(self, freeze_encoder: bool) -> None:
        """The network, its optimizer and the running average; with the weights of `start_from`."""
        settings = self.settings
        network = SharedEncoder(self.config, self.tasks)
        self._kept: dict[str, torch.Tensor] = {}
        missing = set(network.named_weights())
        if settings.start_from:
            begin = load_file(settings.start_folder() / "model.safetensors")
            missing = set(network.load_weights(begin))
            if freeze_encoder:  # heads that are not trained still fit it
                self._kept = {name: begin[name] for name in begin.keys() - network.named_weights().keys()}
        self._begin_tasks(network, missing)
        network.encoder.requires_grad_(not freeze_encoder)
        if settings.gradient_checkpointing:
            for model in network.heads:
                model.activation_checkpointing_enable()
        if settings.compile:
            for model in network.heads:
                model.compile(dynamic=False)  # sizes are few, and inductor fails on symbolic ones
        trained = [weight for weight in network.named_weights().values() if weight.requires_grad]
        kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[settings.optimizer]
        options = {"weight_decay": settings.weight_decay} if settings.optimizer == "adamw" else {}
        optimizer = kind(trained, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True, **options)
        self.model, self.optimizer = self.accelerator.prepare(network, optimizer)
        self.network = self.accelerator.unwrap_model(self.model)
        self.scheduler = get_cosine_schedule_with_warmup(optimizer, settings.warmup_steps, settings.steps)
        self.weights = self.network.named_weights()
        self.average = WeightAverage(self.weights, settings.ema_decay)

    # -- stopping and going on ------------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        return {
            "version": STATE_VERSION,
            "settings": asdict(self.settings),
            "step": self.step,
            "seconds": self.seconds,
            "processes": self.world,
            "shares": self.shares.state_dict(),
            "streams": {name: stream.state_dict() for name, stream in self._streams.items()},
            "scheduler": self.scheduler.state_dict(),
        }

    def save(self) -> None:
        """Write the resumable state. To be called on all processes."""
        tensors = {
            "weights": gather(self.weights),
            "average": gather(self.average.values),
            "optimizer": gather(optimizer_tensors(self.optimizer.optimizer, self.weights)),
        }
        if self.accelerator.is_main_process:
            self.states.save(self.step, tensors, self._facts())
        self.accelerator.wait_for_everyone()
        self._saved = time.monotonic()

    def _resume(self) -> None:
        """Take up the newest state of the run's folder, if it has one."""
        path = self.states.latest()
        if path is None:
            return
        tensors, facts = self.states.load(path)
        self._require_same_run(path, facts)
        with torch.no_grad():
            for name, value in tensors["weights"].items():
                self.weights[name].copy_(scatter(value, self.weights[name]))
            for name, value in tensors["average"].items():
                self.average.values[name].copy_(scatter(value, self.weights[name]))
        load_optimizer(self.optimizer.optimizer, self.weights, tensors["optimizer"])
        self.scheduler.load_state_dict(facts["scheduler"])
        for group, rate in zip(self.optimizer.param_groups, self.scheduler.get_last_lr(), strict=True):
            group["lr"] = rate
        self.shares.load_state_dict(facts["shares"])
        self.step, self.seconds, self._stream_states = facts["step"], facts["seconds"], facts["streams"]
        self.accelerator.print(f"Going on from step {self.step} ({path}).")

    def _require_same_run(self, path: Path, facts: Mapping[str, Any]) -> None:
        if facts["version"] != STATE_VERSION:
            raise ValueError(f"{path} is of version {facts['version']}, and this is {STATE_VERSION}: begin a new run.")
        own = asdict(self.settings)
        if changed := [name for name in own if own[name] != facts["settings"].get(name) and name not in FREE_SETTINGS]:
            told = ", ".join(f"{name} was {facts['settings'].get(name)!r} and is {own[name]!r}" for name in changed)
            raise ValueError(f"{path} is of a run with other settings: {told}. Put them back, or change `output`.")

    # -- the loop ------------------------------------------------------------------------------------------------

    def train(self) -> Path:
        """Take all steps that are left.

        Returns:
            The folder of the checkpoint, which every Auto class loads.

        Raises:
            FloatingPointError: If a loss stops being finite; states and checkpoint stay as they were.
            SystemExit: On SIGTERM, once the state is saved.
        """
        self._terminated = False
        before = signal.signal(signal.SIGTERM, self._on_sigterm)
        self._saved = time.monotonic()
        if self.settings.trackers:
            resumed = {"purge_step": self.step} if self.step else {}
            self.accelerator.init_trackers("tensorboard", init_kwargs={"tensorboard": resumed})
        main = self.accelerator.is_main_process
        log = RunLog(self.output, self.step) if main else None
        progress = tqdm(total=self.settings.steps, initial=self.step, unit="step", disable=None if main else True)
        try:
            first = 0
            for phase in self.settings.phases:
                if self.step < first + phase.steps:
                    self._open_streams(phase)
                while self.step < first + phase.steps:
                    record = self._take_step(phase)
                    if main:
                        log.write(record)
                        progress.update()
                        shown = {record["task"]: f"{record['loss']:.2e}", "images/s": f"{self._speed:.1f}"}
                        progress.set_postfix(shown)
                        if note := record.get("validation"):
                            progress.write(f"step {self.step}: {note}")
                    self.accelerator.log(scalars(record), step=self.step)
                    if self._must_save:  # after its line is written: the log is cut at the step of the state
                        self.save()
                    if self._must_stop:
                        self.accelerator.print(f"Stopped at step {self.step}; the same command goes on from there.")
                        raise SystemExit(TERMINATED)
                first += phase.steps
        finally:
            signal.signal(signal.SIGTERM, before)
            progress.close()
            if main:
                log.close()
            self.accelerator.end_training()
        return self.output / "checkpoint"

    def _on_sigterm(self, *_: object) -> None:
        self._terminated = True

    def _open_streams(self, phase: PhaseSettings) -> None:
        """Streams at the batch size of a phase, from where those of the phase before have come to."""
        states = {name: stream.state_dict() for name, stream in self._streams.items()} or self._stream_states
        self._streams = {
            name: open_training(
                self.data[name],
                self.folder,
                phase.batch_size // self.world,
                self.config.image_size,
                self._columns(name),
                self.settings.seed,
                self.settings.num_workers,
            )
            for name in sorted({task.settings.data for task in self.tasks.values()})
        }
        for name, state in states.items():
            self._streams[name].load_state_dict(state)
        self._batches: dict[str, Iterator[Samples]] = {name: iter(stream) for name, stream in self._streams.items()}

    def _take_step(self, phase: PhaseSettings) -> dict[str, Any]:
        """One step of the optimizer, with what it calls for: an evaluation, a saved state. Returns the log's line."""
        began = time.monotonic()
        name = self.shares.draw(self.settings.seed, self.step)
        samples = next(self._batches[self.tasks[name].settings.data])
        loss, norm = self._learn(name, samples, phase)
        self.step += 1
        seconds = time.monotonic() - began
        self.seconds += seconds
        self._speed = phase.batch_size / seconds
        record = {
            "step": self.step,
            "task": name,
            "image_size": self._image_size(self.tasks[name], phase),
            "batch_size": phase.batch_size,
            "loss": loss,
            "gradient_norm": norm,
            "learning_rate": self.scheduler.get_last_lr()[0],
            "seconds": round(self.seconds, 1),
        }
        last = self.step == self.settings.steps
        if last or self.step % self.settings.evaluate_every == 0:
            record["shares"] = dict(self.shares.shares)
            record["validation"] = self.evaluate(phase)
            self._release()
        self._must_save |= last
        return record

    def _image_size(self, task: Task, phase: PhaseSettings) -> int:
        """Side of the images that a task learns from in a phase, px."""
        return (phase.stamp_size or self.config.image_size) if task.whole_stamps else phase.image_size

    def _learn(self, name: str, samples: Samples, phase: PhaseSettings) -> tuple[float, float]:
        """Forward, backward and update.

        Returns:
            The loss, a mean over all processes and micro-batches, and the norm of the gradient before it is clipped.
        """
        task, rank = self.tasks[name], self.accelerator.process_index
        image_size = self._image_size(task, phase)
        torch.manual_seed((self.settings.seed * 1_000_003 + self.step) * 1009 + rank)  # of dropout
        self.model.train()
        parts, batches = list(micro_batches(samples, self.settings.micro_batch_size)), []
        for part in parts:
            part["pixel_values"] = part["pixel_values"].to(self.device, non_blocking=True)
            keys = ((self.settings.seed, self.step, index) for index in part["index"].tolist())
            batches.append(task.make_batch(part, image_size, image_generators(keys, self.device)))
        terms = torch.stack([task.terms(batch) for batch in batches])
        total = self.accelerator.reduce(terms.sum()).clamp(min=1)
        losses = []
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1  # gradients are exchanged with it
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                loss = self.model(name, batch)
                # DDP takes the mean over processes, and what is wanted is the mean over terms
                self.accelerator.backward(loss * (terms[index] * self.world / total * task.settings.loss_weight))
            losses.append(loss.detach())
        losses = torch.stack(losses).float()
        timer = time.monotonic() - self._saved > 60 * self.settings.save_minutes
        # what one process knows becomes known to all, in one exchange
        told = torch.stack([(losses * terms).sum(), losses.new_tensor(self._terminated), losses.new_tensor(timer)])
        loss, terminated, due = self.accelerator.reduce(told).tolist()
        self._must_stop, self._must_save = terminated > 0, terminated + due > 0
        norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip))
        if not (isfinite(loss) and isfinite(norm)):
            # where the loss is finite and its gradient is not, any sample may be the cause
            bad = [
                part["id"]
                for part, finite in zip(parts, losses.isfinite().tolist(), strict=True)
                if isfinite(loss) or not finite
            ]
            self._refuse(name, [identity for part in gather_object(bad) for identity in part])
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.scheduler.step()
        self.average.update(self.step)
        return loss / total.item(), norm

    def _refuse(self, name: str, identities: list[str]) -> None:
        raise FloatingPointError(
            f"The loss of {name} or its gradient is not finite at step {self.step + 1}, in the samples {identities}. "
            f"The last good state is {self.states.latest() or 'none'}. Lower learning_rate, or look at those samples."
        )

    # -- evaluation ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def evaluate(self, phase: PhaseSettings) -> dict[str, Any]:
        """Scores of each task on its held-out stamps, by the averaged weights; the shares follow them.

        Tasks about pixels are shown images as large as the model's, tasks about galaxies what they learn from: a
        classifier of small stamps is not yet one of large ones.

        Returns:
            Metrics by task; `probe`, if there is one, is the balanced accuracy of a few-shot probe.

        Raises:
            FloatingPointError: If an error is not finite: the step that was just taken may have broken the weights.
        """
        whole = self.config.image_size
        sizes = {
            name: self._image_size(task, phase) if task.whole_stamps else whole for name, task in self.tasks.items()
        }
        with self.average.in_place():
            scores = self.evaluator.score(self.model, sizes)
        for name in self.tasks:
            if not torch.isfinite(torch.tensor(scores[name]["error"])):
                raise FloatingPointError(
                    f"The validation error of {name} is {scores[name]['error']} after step {self.step}. Lower "
                    "learning_rate."
                )
        self.shares.update({name: task.shortfall(scores[name]) for name, task in self.tasks.items()})
        return scores

    def _release(self) -> None:
        """Write the checkpoint that the Auto classes load, with the averaged weights."""
        weights = gather(self.average.values)
        if self.accelerator.is_main_process:
            processor = self.settings.image_processor(self.config)
            save_checkpoint_folder(self.output / "checkpoint", self.config, self._kept | weights, processor)
        self.accelerator.wait_for_everyone()
