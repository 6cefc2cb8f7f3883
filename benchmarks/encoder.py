"""Speed of the encoder, and of the whole network, against timm's Swin V1 with the same sizes and weights.

    python benchmarks/encoder.py --sizes tiny small --batches 1 16 64
    python benchmarks/encoder.py --network --sizes base --batches 4

All contestants run in this process and take turns, so that what else the machine does slows each of them alike. Each
figure is a median over the rounds; a ratio is the median of the rounds' own ratios, of our best attention to timm's
best. timm runs with its default attention and with its fused one, which it leaves off by itself.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date
from itertools import product

import timm
import torch
from timm.layers import set_fused_attn
from timm_reference import TimmEncoder, TimmSunet

from galvm_hf import GalvmConfig, GalvmForPreTraining, GalvmModel

SIDE = 128
# float32 has to agree to this, relative to the largest value, before anything is timed
TOLERANCE = 1e-4


def make_contestants(size: str, network: bool, device: torch.device) -> dict[str, torch.nn.Module]:
    """Our model with either attention, and timm's with either, all of the same weights."""
    torch.manual_seed(0)
    model_class = GalvmForPreTraining if network else GalvmModel
    reference_class = TimmSunet if network else TimmEncoder
    ours = {}
    for attention in ("sdpa", "eager"):
        # SUNet has skips
        config = getattr(GalvmConfig, size)(attn_implementation=attention, pretraining_skips=True)
        model = model_class(config)
        if ours:
            model.load_state_dict(ours["galvm sdpa"].state_dict())
        ours[f"galvm {attention}"] = model
    references = {}
    for name, fused in (("timm default", False), ("timm fused", True)):
        set_fused_attn(fused, experimental=fused)
        references[name] = reference_class(ours["galvm sdpa"], (SIDE, SIDE))
    return {name: model.eval().to(device) for name, model in (ours | references).items()}


def output_of(model: torch.nn.Module, pixel_values: torch.Tensor) -> torch.Tensor:
    """Features or image, whichever the model is for."""
    outputs = model(pixel_values)
    if isinstance(outputs, torch.Tensor):
        return outputs
    return outputs.reconstruction if "reconstruction" in outputs else outputs.pooler_output


def check_agreement(contestants: dict[str, torch.nn.Module], pixel_values: torch.Tensor) -> None:
    """Raise unless all contestants compute the same function."""
    with torch.no_grad():
        results = {name: output_of(model, pixel_values) for name, model in contestants.items()}
    expected = results.pop("timm default")
    for name, result in results.items():
        difference = ((result - expected).abs().max() / expected.abs().max()).item()
        if not difference < TOLERANCE:
            raise RuntimeError(f"{name} differs from timm by {difference:.1e} of the largest value; nothing is timed.")


def make_step(model: torch.nn.Module, pixel_values: torch.Tensor, backward: bool, dtype: str) -> Callable[[], None]:
    """What is timed: a forward pass, or forward and backward."""
    device = pixel_values.device
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16")

    def step() -> None:
        with torch.set_grad_enabled(backward), autocast:
            output = output_of(model, pixel_values)
        if backward:
            output.float().square().mean().backward()
            model.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def alternate(steps: dict[str, Callable[[], None]], seconds: float) -> dict[str, list[float]]:
    """Time the contestants in turn, after one round that is not counted, for about `seconds` and at least 5 rounds."""
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    names, started = list(steps), time.perf_counter()
    while time.perf_counter() - started < seconds or len(times[names[0]]) < 5:
        for name in names:
            before = time.perf_counter()
            steps[name]()
            times[name].append(time.perf_counter() - before)
        names.append(names.pop(0))  # nobody is always first
    return times


def describe_machine(device: torch.device) -> str:
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    if device.type == "cuda":
        processor = torch.cuda.get_device_name(device)
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"{date.today()}, {processor} ({capability}), {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"timm {timm.__version__}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small"], choices=["tiny", "small", "base"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--passes", nargs="+", default=["forward", "training"], choices=["forward", "training"])
    parser.add_argument("--modes", nargs="+", default=["eager"], choices=["eager", "compiled"])
    parser.add_argument("--network", action="store_true", help="encoder and decoder, against SUNet's up-sampling")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=15, help="how long to time each row (default: 15)")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)

    print(f"{describe_machine(device)}, {SIDE} px, window 8")
    if device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        print("This CPU has no bfloat16 instructions: its bfloat16 rows measure an emulation.")
    print()
    columns = ("galvm sdpa", "galvm eager", "timm default", "timm fused")
    print(f"| size | pass | dtype | mode | batch | {' | '.join(columns)} | ratio |")
    print("| --- " * (len(columns) + 6) + "|")
    for size in arguments.sizes:
        contestants = make_contestants(size, arguments.network, device)
        check_agreement(contestants, torch.rand(2, 3, SIDE, SIDE, device=device))
        for mode in arguments.modes:
            models = contestants
            if mode == "compiled":
                models = {name: torch.compile(model) for name, model in contestants.items()}
            for what, dtype, batch in product(arguments.passes, arguments.dtypes, arguments.batches):
                pixel_values = torch.rand(batch, 3, SIDE, SIDE, device=device)
                backward = what == "training"
                steps = {name: make_step(models[name], pixel_values, backward, dtype) for name in columns}
                times = alternate(steps, arguments.seconds)
                rates = {name: batch / statistics.median(times[name]) for name in columns}
                ours, reference = (max(group, key=rates.get) for group in (columns[:2], columns[2:]))
                ratio = statistics.median(slow / fast for slow, fast in zip(times[reference], times[ours], strict=True))
                figures = " | ".join(f"{rates[name]:.1f}" for name in columns)
                print(f"| {size} | {what} | {dtype} | {mode} | {batch} | {figures} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
