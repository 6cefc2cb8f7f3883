"""Speed and memory of a training step, against timm's stages and against ours in float32 with eager attention.

    python benchmarks/train_step.py --sides 64 128
    python benchmarks/train_step.py --model-class pretraining --dtypes bfloat16

A step is forward, backward, clipping and fused AdamW, on images that are there already. The contestants have the same
weights, and are checked to compute the same images before anything is timed. They take turns in this process, so that
what else the machine does slows each of them alike. Speeds are medians over the rounds; a ratio is the median, and in
brackets the quartiles, of the rounds' own ratios. Memory is that of weights, moments and gradients and of what a step
takes beyond them at its peak; on a CPU it is told on Linux only.

Then come the share of a step that waits for data, where a `GalaxyStream` delivers simulated stamps while the model
trains on them, and the arithmetic that the step does in a second.
"""

import argparse
import copy
import ctypes
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import torch
from encoder import TOLERANCE, alternate, describe_machine, output_of
from timm.layers import set_fused_attn
from timm_reference import TimmRestoration, TimmSunet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from galvm_hf import GalvmConfig, GalvmForImageRestoration, GalvmForPreTraining

MODELS = {
    "restoration": (GalvmForImageRestoration, TimmRestoration),
    "pretraining": (GalvmForPreTraining, TimmSunet),
}
# dense bfloat16 products, TFLOP/s, by what the name of a card contains (NVIDIA's data sheets); the first match counts
PEAK_TFLOPS = {"H200": 989.0, "H100 PCIe": 756.0, "H100": 989.0, "A100": 312.0}
SHARD_ROWS = 8192
Step = Callable[[torch.Tensor, torch.Tensor], None]


def make_networks(size: str, model_class: str, side: int) -> dict[str, nn.Module]:
    """Our model with either attention, and timm's stages with either, all of the same weights."""
    torch.manual_seed(0)
    ours, reference = MODELS[model_class]
    model = ours(getattr(GalvmConfig, size)(attn_implementation="sdpa"))
    if model_class == "restoration":
        # at zero, where it starts, all would agree whatever comes before it
        nn.init.normal_(model.restoration.output.weight, std=0.02)
    eager = ours(getattr(GalvmConfig, size)(attn_implementation="eager"))
    eager.load_state_dict(model.state_dict())
    networks = {"galvm": model, "galvm eager": eager}
    for name, fused in (("timm", False), ("timm fused", True)):
        set_fused_attn(fused, experimental=fused)
        networks[name] = reference(model, (side, side))
    return networks


def check_agreement(networks: dict[str, nn.Module], images: torch.Tensor) -> None:
    """Raise unless all networks compute the same images."""
    with torch.no_grad():
        results = {name: output_of(network, images) - images for name, network in networks.items()}
    expected = results["timm"]
    for name, result in results.items():
        difference = ((result - expected).abs().max() / expected.abs().max()).item()
        if not difference < TOLERANCE:
            raise RuntimeError(f"{name} differs from timm by {difference:.1e} of the largest value; nothing is timed.")


def make_step(network: nn.Module, dtype: str, device: torch.device) -> Step:
    """A step of training on images and what they should become, `[B, C, H, W]`."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.9, 0.98), fused=True)

    def step(images: torch.Tensor, targets: torch.Tensor) -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            output = output_of(network, images)
        nn.functional.mse_loss(output.float(), targets).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def peak_memory(step: Callable[[], None], device: torch.device) -> float:
    """MiB that a step takes on top of what is held before it; not a number where that cannot be told."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what earlier steps freed would be taken again unseen
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = resident("VmRSS")
        step()
        return resident("VmHWM") - before
    except OSError:
        return float("nan")


def resident(name: str) -> float:
    """MiB of this process's memory, as Linux counts it."""
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def held_memory(network: nn.Module) -> float:
    """MiB of weights and of AdamW's two moments, all float32."""
    return 3 * sum(weight.numel() * weight.element_size() for weight in network.parameters()) / 2**20


def step_flops(network: nn.Module, images: torch.Tensor) -> int:
    """Floating-point operations of forward and backward. Eager attention is counted whole on every device."""
    with FlopCounterMode(display=False) as counter:
        output_of(network, images).square().mean().backward()
    network.zero_grad()
    return counter.get_total_flops()


def waiting_share(step: Step, side: int, batch: int, workers: int, seconds: float, device: torch.device) -> float:
    """Share of the time that training waits for a stream of simulated stamps, decoded and augmented as in a run."""
    from stream import simulated_pictures, write_shards

    from galvm_hf.data.stream import Augmentation, GalaxyStream

    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(Path(folder), simulated_pictures(), SHARD_ROWS)
        stream = GalaxyStream(
            shards, batch_size=batch, size=side, augmentation=Augmentation(), num_workers=workers, repeat=True
        )
        batches = iter(stream)

        def take() -> float:
            began = time.perf_counter()
            images = next(batches)["pixel_values"].to(device)
            waited = time.perf_counter() - began
            step(images, images)
            return waited

        for _ in range(3):  # workers and compiled code start
            take()
        started, waits = time.perf_counter(), []
        while time.perf_counter() - started < seconds or len(waits) < 5:
            waits.append(take())
        return sum(waits) / (time.perf_counter() - started)


def compare(size: str, side: int, dtype: str, arguments: argparse.Namespace) -> None:
    """Print the rows of one size."""
    device, batch = torch.device(arguments.device), arguments.batch
    images, targets = torch.rand(2, batch, 3, side, side, device=device)
    networks = {name: network.to(device) for name, network in make_networks(size, arguments.model_class, side).items()}
    check_agreement(networks, images[:2])
    flops = batch * step_flops(networks["galvm eager"], images[:1]) / 1e12
    contestants = {name: (network, dtype) for name, network in networks.items()}
    if dtype != "float32":
        contestants["galvm eager float32"] = (copy.deepcopy(networks["galvm eager"]), "float32")
    if device.type == "cuda":
        for name in ("galvm", "galvm eager"):
            contestants[f"{name} compiled"] = (torch.compile(copy.deepcopy(networks[name])), dtype)
    steps = {name: make_step(network, kind, device) for name, (network, kind) in contestants.items()}
    times = alternate({name: partial(step, images, targets) for name, step in steps.items()}, arguments.seconds)
    for name, (network, _) in contestants.items():
        ratios = [theirs / ours for theirs, ours in zip(times[name], times["galvm"], strict=True)]
        lower, middle, upper = statistics.quantiles(ratios, n=4)
        ratio = "" if name == "galvm" else f"{middle:.2f} ({lower:.2f} to {upper:.2f})"
        memory = held_memory(network) + peak_memory(partial(steps[name], images, targets), device)
        speed = batch / statistics.median(times[name])
        print(f"| {size} | {side} | {batch} | {dtype} | {name} | {speed:.1f} | {ratio} | {memory:.0f} |", flush=True)

    waiting = waiting_share(steps["galvm"], side, batch, arguments.workers, arguments.seconds / 2, device)
    notes = [f"{size}, {side} px, {dtype}: {waiting:.1%} of a step waits for data ({arguments.workers} workers)"]
    for name in ("galvm", "galvm compiled"):
        if name in times:
            rate = flops / statistics.median(times[name])
            share = f", {rate / arguments.peak_tflops:.1%} of the peak" if arguments.peak_tflops else ""
            notes.append(f"{name} does {rate:.3g} TFLOP/s{share}")
    arguments.notes.append("; ".join(notes) + ".")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    on_gpu = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--model-class", default="restoration", choices=list(MODELS))
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small", "base"] if on_gpu else ["tiny"])
    parser.add_argument("--sides", nargs="+", type=int, default=[128], help="heights and widths, px")
    parser.add_argument("--batch", type=int, default=128 if on_gpu else 16)
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16"], help="default: what the device is for")
    parser.add_argument("--seconds", type=float, default=30, help="how long the contestants of a size take turns")
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 1) if on_gpu else 0, help="of the stream")
    parser.add_argument("--peak-tflops", type=float, help="of the device in --dtypes; known for A100, H100 and H200")
    arguments = parser.parse_args()
    arguments.notes = []
    device = torch.device(arguments.device)
    print(describe_machine(device))

    capabilities = torch.cpu.get_capabilities()
    emulated = device.type == "cpu" and not (capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    dtypes = arguments.dtypes or (["float32", "bfloat16"] if emulated else ["bfloat16"])
    if emulated and "bfloat16" in dtypes:
        print("This CPU has no bfloat16 instructions: its bfloat16 rows measure an emulation.")
    if device.type == "cuda" and arguments.peak_tflops is None and dtypes == ["bfloat16"]:
        card = torch.cuda.get_device_name(device)
        arguments.peak_tflops = next((peak for name, peak in PEAK_TFLOPS.items() if name in card), None)
    print("\n| size | px | batch | dtype | contestant | images/s | galvm is faster by | MiB |")
    print("| --- " * 8 + "|")
    for size, side, dtype in product(arguments.sizes, arguments.sides, dtypes):
        compare(size, side, dtype, arguments)
    print("", *arguments.notes, sep="\n")


if __name__ == "__main__":
    main()
