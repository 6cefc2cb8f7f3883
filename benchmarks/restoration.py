"""Our restoration head against a plain convolutional U-Net, both trained by the same loop for the same time.

    python benchmarks/restoration.py --data data --test test.parquet --minutes 8 --out runs/restoration

Each network is trained from random weights on the same images, degradations and batches, at each of the learning rates;
validation images choose the rate. The number of steps follows from the time that a few take. A run that was stopped
goes on.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from conv_unet import ConvUNet
from safetensors.torch import load_file

from galvm_hf.evaluation.images import CENTRAL_SHARE, load_images
from galvm_hf.evaluation.intervals import estimate_mean
from galvm_hf.evaluation.provenance import provenance
from galvm_hf.evaluation.restoration import degrade_images, measure_restoration, run_model
from galvm_hf.files import whole_file
from galvm_hf.modeling_galvm import GalvmForImageRestoration
from galvm_hf.train.loop import Run
from galvm_hf.train.mixing import FixedShares
from galvm_hf.train.settings import DataSettings, PhaseSettings, RunSettings
from galvm_hf.train.tasks import Restoration, TaskSettings

PIXELS, BATCH = 64, 16
TIMED_STEPS = 15


class UNetModel(ConvUNet):
    """The U-Net as the loop builds a model; the encoder that it is given with the others stays unused."""

    def __init__(self, config):
        super().__init__(config.num_channels)


class UNetRestoration(Restoration):
    """The same task for the U-Net."""

    model_class = UNetModel


NETWORKS = {"galvm": Restoration, "conv-unet": UNetRestoration}


def train(task: type[Restoration], data: Path, output: Path, steps: int, rate: float) -> float:
    """Train one network, or go on with it; the seconds that its steps took."""
    cut = {"crop": CENTRAL_SHARE, "rotation": "quarter", "zoom": [1, 1], "shift": 0}
    pictures = DataSettings(sources=["galaxy-zoo-1/train-*.parquet", "galaxy-zoo-2/train-*.parquet"], **cut)
    validation = DataSettings(sources=["galaxy-zoo-1/validation-*.parquet"], **cut)
    settings = RunSettings(
        output=str(output),
        phases=[PhaseSettings(image_size=PIXELS, steps=steps, batch_size=BATCH)],
        learning_rate=rate,
        warmup_steps=min(100, steps // 10),
        ema_decay=0.99,
        evaluate_every=steps,
        trackers=[],
    )
    restoration = TaskSettings(kind="restoration", data="pictures", validation=validation, reference=1.0)
    run = Run(
        settings,
        {"restoration": task("restoration", restoration)},
        {"pictures": pictures},
        FixedShares({"restoration": 1}),
        data,
    )
    run.train()
    return run.seconds


def validation_psnr(output: Path) -> float:
    """Of the last evaluation of a run."""
    last = json.loads((output / "log.jsonl").read_text().splitlines()[-1])
    return last["validation"]["restoration"]["psnr"]


def load(name: str, output: Path) -> torch.nn.Module:
    """A trained network."""
    checkpoint = output / "checkpoint"
    if name == "galvm":
        return GalvmForImageRestoration.from_pretrained(checkpoint).eval()
    model = ConvUNet()
    model.load_state_dict(
        {
            key: value.float()
            for key, value in load_file(checkpoint / "model.safetensors").items()
            if not key.startswith("galvm.")
        }
    )
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the splits (docs/training.md)")
    parser.add_argument("--test", type=Path, required=True, help="Parquet file of images to test on")
    parser.add_argument("--minutes", type=float, default=8, help="for each network and learning rate")
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[1e-3, 3e-4])
    parser.add_argument(
        "--out", type=Path, default=Path("runs/restoration"), help="folder of the runs and results.json"
    )
    arguments = parser.parse_args()

    images = degrade_images(load_images([arguments.test], CENTRAL_SHARE).pixels)
    results, values = {}, {}
    for name, task in NETWORKS.items():
        timed = arguments.out / f"{name}-timed-{time.time_ns()}"
        plan = arguments.out / f"{name}-steps.json"
        if not plan.exists():
            seconds = train(task, arguments.data, timed, TIMED_STEPS, 1e-3) / TIMED_STEPS
            with whole_file(plan) as temporary:
                temporary.write_text(json.dumps(round(60 * arguments.minutes / seconds)))
        steps = json.loads(plan.read_text())
        outputs = {rate: arguments.out / f"{name}-{rate:g}" for rate in arguments.learning_rates}
        minutes = {rate: train(task, arguments.data, output, steps, rate) / 60 for rate, output in outputs.items()}
        best = max(outputs, key=lambda rate: validation_psnr(outputs[rate]))
        model = load(name, outputs[best])
        values[name] = measure_restoration(images, run_model(model, images.degraded))
        results[name] = {
            "steps": steps,
            "learning_rate": best,
            "minutes": round(minutes[best], 1),
            "validation_psnr": {f"{rate:g}": validation_psnr(output) for rate, output in outputs.items()},
            **{metric: str(estimate) for metric, estimate in values[name].estimates().items()},
        }
        print(name, results[name], flush=True)
    gain = estimate_mean(values["galvm"].psnr - values["conv-unet"].psnr)
    print(f"galvm is {gain} dB above conv-unet")
    record = {"results": results, "gain_db": str(gain), **provenance([arguments.test], minutes=arguments.minutes)}
    with whole_file(arguments.out / "results.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
