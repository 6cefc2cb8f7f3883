"""One training by `transformers.Trainer`: of the head on features that were computed once, and then of everything."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from ...configuration_galvm import GalvmConfig
from ...head_galvm import stage_statistics
from ...modeling_galvm import GalvmForImageClassification, GalvmModel
from .augment import augment
from .data import FeatureDataset, LabelledStamps, StampDataset
from .objective import Objective

HEAD_EPOCHS, FULL_EPOCHS = 40, 20
# The head is ready for the encoder to move after this many passes over the features.
HEAD_FIRST_EPOCHS = 15
# The encoder keeps what pre-training taught it.
ENCODER_SHARE = 0.2
WEIGHT_DECAY = 0.05
WARMUP = 0.05
PATIENCE = 5
# Views of each galaxy, as long as there are few galaxies: so many stamps are encoded, whatever their number.
MOST_VIEWS, MOST_ENCODED = 16, 2500
ENCODED_AT_ONCE = 64


class HeadAlone(nn.Module):
    """The classification head as a model of features.

    Args:
        head: From features [B, D] to outputs [B, K].
    """

    def __init__(self, head: nn.Module):
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Outputs [B, K] of features [B, D]."""
        return {"logits": self.head(features)}


class _StopAfter(TrainerCallback):
    """Ends after some epochs a training whose schedule is for more."""

    def __init__(self, epochs: int):
        self._epochs = epochs

    def on_epoch_end(self, args, state, control, **kwargs):
        control.should_training_stop |= round(state.epoch) >= self._epochs


class _Progress(TrainerCallback):
    """A bar of the steps of one training, gone when it ends: cross-validation has several."""

    def on_train_begin(self, args, state, control, **kwargs):
        self._bar = tqdm(total=state.max_steps, desc="Training", unit=" steps", leave=False, disable=None)

    def on_step_end(self, args, state, control, **kwargs):
        self._bar.update()

    def on_train_end(self, args, state, control, **kwargs):
        self._bar.close()


@dataclass
class Fit:
    """A trained model and how it went.

    Attributes:
        model: In the units of training, on the CPU, in evaluation mode.
        outputs: For the galaxies held out, after each epoch, [E, N, K]; empty without any.
        best: Index of the epoch with the smallest loss on them; its weights are in `model` if training could stop.
    """

    model: GalvmForImageClassification
    outputs: Tensor
    best: int


class Fitter:
    """Trains on some of the stamps and follows the loss on others.

    Args:
        encoder: Pre-trained; it stays as it is.
        config: Of the model to be, with its labels.
        stamps: All of them.
        objective: The loss.
        is_full: Whether the encoder is trained too.
        epochs: Most passes; None for the default.
        batch_size: Galaxies per step and process.
        learning_rate: Peak for the head.
        seed: Of weights, order and augmentation.
        device: `auto` or `cpu`.
        folder: For the library's own files; removed after each training.
        show_progress: Whether to show progress bars.
    """

    def __init__(
        self,
        encoder: GalvmModel,
        config: GalvmConfig,
        stamps: LabelledStamps,
        objective: Objective,
        is_full: bool,
        epochs: int | None,
        batch_size: int,
        learning_rate: float,
        seed: int,
        device: str,
        folder: Path,
        show_progress: bool = False,
    ):
        self._encoder, self._config, self._stamps, self._objective = encoder, config, stamps, objective
        self._is_full, self._batch_size, self._learning_rate = is_full, batch_size, learning_rate
        self.epochs = epochs or (FULL_EPOCHS if is_full else HEAD_EPOCHS)
        self._seed, self._device, self._folder, self._show_progress = seed, device, folder, show_progress
        self._targets = objective.scale(stamps.targets)
        self._views = self._encode()

    def fit(self, training: Tensor, validation: Tensor | None = None, epochs: int | None = None) -> Fit:
        """Train a new head, and the encoder where that is asked for.

        Args:
            training: Which stamps to train on.
            validation: Which to follow the loss on; with them, and without `epochs`, training stops early and the best
                weights are kept.
            epochs: Stop after so many, keeping the last weights.
        """
        set_seed(self._seed)
        model = GalvmForImageClassification(self._config)
        model.galvm.load_state_dict(self._encoder.state_dict())
        model.classifier.standardise(self._views[training].flatten(0, 1))
        head = HeadAlone(model.classifier)
        features = FeatureDataset(self._views[training], self._targets[training], augmented=True)
        held, outputs, best = None, torch.empty(0), 0
        if not self._is_full:
            if validation is not None:
                held = FeatureDataset(self._views[validation], self._targets[validation])
            outputs, best = self._train(head, features, held, model.classifier.parameters(), [], epochs, self.epochs)
        else:
            self._train(head, features, None, model.classifier.parameters(), [], HEAD_FIRST_EPOCHS, HEAD_FIRST_EPOCHS)
        model.cpu()
        if self._is_full:
            stamps = StampDataset(self._stamps.images[training], self._targets[training], augmented=True)
            if validation is not None:
                held = StampDataset(self._stamps.images[validation], self._targets[validation])
            heads, body = model.classifier.parameters(), model.galvm.parameters()
            outputs, best = self._train(model, stamps, held, heads, body, epochs, self.epochs)
        return Fit(model.cpu().eval(), outputs, best)

    def predict(self, model: GalvmForImageClassification, images: Tensor) -> Tensor:
        """Outputs [N, K] for images, uint8 [N, 3, H, W], over all processes."""
        dataset = StampDataset(images, torch.zeros(len(images), dtype=torch.long))
        with self._arguments(1, best=False) as arguments:
            trainer = Trainer(model, arguments, compute_loss_func=_no_loss)
            _silence(trainer)
            outputs = torch.from_numpy(trainer.predict(dataset).predictions)
        model.cpu()
        return outputs

    def _train(self, model, training, held, head, body, epochs: int | None, planned: int) -> tuple[Tensor, int]:
        """Outputs on the galaxies held out, after each epoch, and the epoch of the smallest loss."""
        outputs: list[Tensor] = []

        def record(prediction: EvalPrediction) -> dict[str, float]:
            outputs.append(torch.from_numpy(prediction.predictions))
            return {}

        stops_early = held is not None and epochs is None
        with self._arguments(planned, held is not None, stops_early) as arguments:
            groups = [{"params": list(head), "lr": self._learning_rate}]
            if body:
                groups.append({"params": list(body), "lr": self._learning_rate * ENCODER_SHARE})
            trainer = Trainer(
                model,
                arguments,
                train_dataset=training,
                eval_dataset=held,
                compute_loss_func=self._objective,
                compute_metrics=record,
                optimizers=(torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY), None),
            )
            _silence(trainer)
            if self._show_progress:
                trainer.add_callback(_Progress())
            if stops_early:
                trainer.add_callback(EarlyStoppingCallback(PATIENCE))
            elif epochs is not None:
                trainer.add_callback(_StopAfter(epochs))
            trainer.train()
            best = 0
            if held is not None:
                losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
                best = min(range(len(losses)), key=losses.__getitem__)
        return torch.stack(outputs) if outputs else torch.empty(0), best

    @contextmanager
    def _arguments(self, epochs: int, held: bool = False, best: bool = False) -> Iterator[TrainingArguments]:
        arguments = TrainingArguments(
            output_dir=str(self._folder),
            num_train_epochs=epochs,
            per_device_train_batch_size=self._batch_size,
            per_device_eval_batch_size=ENCODED_AT_ONCE,
            warmup_steps=WARMUP,
            eval_strategy="epoch" if held else "no",
            save_strategy="epoch" if best else "no",
            save_only_model=True,
            save_total_limit=1,
            load_best_model_at_end=best,
            metric_for_best_model="loss",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            label_names=["labels"],
            dataloader_pin_memory=self._device != "cpu" and torch.accelerator.is_available(),
            use_cpu=self._device == "cpu",
            seed=self._seed,
        )
        try:
            yield arguments
        finally:
            if arguments.should_save:
                shutil.rmtree(self._folder, ignore_errors=True)

    @torch.no_grad()
    def _encode(self) -> Tensor:
        """What the head sees, [N, V, D]: of each stamp as it is, and of random views of it."""
        set_seed(self._seed)
        number = len(self._stamps)
        views = max(1, min(MOST_VIEWS, MOST_ENCODED // number))
        with self._arguments(1) as arguments:
            encoder = self._encoder.to(arguments.device).eval()
        parts = []
        with tqdm(
            total=number * views, desc="Features", unit=" views", disable=None if self._show_progress else True
        ) as progress:
            for view in range(views):
                for images in self._stamps.images.split(ENCODED_AT_ONCE):
                    images = images.float() / 255
                    images = augment(images) if view else images
                    parts.append(stage_statistics(encoder(images.to(arguments.device))).float().cpu())
                    progress.update(len(images))
        self._encoder.cpu()
        return torch.cat(parts).view(views, number, -1).transpose(0, 1).contiguous()


def _no_loss(outputs, labels, num_items_in_batch=None) -> Tensor:
    return outputs["logits"].new_zeros(())


def _silence(trainer: Trainer) -> None:
    """Without its own progress bars the library prints every log as a dictionary."""
    trainer.remove_callback(PrinterCallback)
