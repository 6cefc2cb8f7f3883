"""Kill a run at random moments, and see whether it ends as if nothing had happened.

    python tests/train/kill_and_resume.py --processes 2 --kills 20 --folder FOLDER

makes simulated stamps, trains a small model on them without a stop, then once more with `kill -9` at random moments
until it has been killed so often, and compares weights, averages, the optimizer and the ids of all samples.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
# Runs the training script, and writes down the ids that this process trains on, a line a step.
SPY = """
import json, os, runpy, sys
from pathlib import Path
from galvm_hf.train import loop

learn = loop.Run._learn
log = Path(os.environ["SPY_FOLDER"], f"rank-{os.environ.get('RANK', '0')}.jsonl").open("a")

def noting(run, name, samples, image_size):
    print(json.dumps([run.step, name, samples["id"]]), file=log, flush=True)
    return learn(run, name, samples, image_size)

loop.Run._learn = noting
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def command(config: Path, data: Path, processes: int, output: Path, script: str) -> list[str]:
    """The command line of a run that is watched."""
    output.mkdir(parents=True, exist_ok=True)
    spy = output.parent / "spy.py"
    spy.write_text(SPY)
    kind = "one-cpu" if processes == 1 else "two-cpu-processes"
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(ROOT / "configs/accelerate" / f"{kind}.yaml")]
    port = ["--main_process_port", "0"] if processes > 1 else []
    run = [str(spy), str(ROOT / "training" / script), "--config", str(config), "--data", str(data)]
    return [sys.executable, *launcher, *port, *run, "--output", str(output)]


def environment(output: Path) -> dict[str, str]:
    """Of a run on the CPU that writes down its samples."""
    extra = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "SPY_FOLDER": str(output)}
    return {**os.environ, **extra}


def run_whole(config: Path, data: Path, processes: int, output: Path, script: str = "pretrain.py") -> None:
    """A run that is not stopped, or the rest of one that was."""
    arguments = command(config, data, processes, output, script)
    done = subprocess.run(arguments, env=environment(output), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)


def run_killed(
    config: Path, data: Path, processes: int, output: Path, kills: int, seed: int, script: str = "pretrain.py"
) -> list[int]:
    """The same run, killed so often at random moments; returns after how many steps each time."""
    output.mkdir(parents=True)
    chance, killed = random.Random(seed), []
    while len(killed) < kills:
        with (output.parent / "killed.log").open("w") as log:
            run = subprocess.Popen(
                command(config, data, processes, output, script),
                env=environment(output),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            before = steps(output)
            while run.poll() is None and steps(output) == before:  # until it trains
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 1.5))
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        if run.returncode == 0:  # it came to its end
            break
        killed.append(steps(output))
    return killed


def steps(output: Path) -> int:
    """How many lines the logs of all processes have, of steps that were taken once or more often."""
    return sum(path.read_text().count("\n") for path in output.glob("rank-*.jsonl"))


def samples(output: Path) -> dict[tuple[str, int], list]:
    """Task and ids of each step on each process, as they were when the step was taken for the last time.

    Raises:
        ValueError: If a step that was taken again had other samples.
    """
    found: dict[tuple[str, int], list] = {}
    for path in sorted(output.glob("rank-*.jsonl")):
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                step, *what = json.loads(line)
                if found.setdefault((path.name, step), what) != what:
                    raise ValueError(f"{path}: step {step} had {what} and {found[path.name, step]} before.")
    return found


def differences(whole: Path, killed: Path) -> list[str]:
    """What is not the same, to the bit, of two runs; nothing if all is well."""
    found = []
    states = [sorted((run / "states").glob("step-*"))[-1] for run in (whole, killed)]
    for name in ("weights", "average", "optimizer"):
        first, second = (load_file(state / f"{name}.safetensors") for state in states)
        if first.keys() != second.keys():
            found.append(f"{name}: other names")
        found += [f"{name}: {key}" for key in first if not torch.equal(first[key], second.get(key, first[key] + 1))]
    if samples(whole) != samples(killed):
        found.append("samples")
    facts = [json.loads((state / "state.json").read_text()) for state in states]
    found += [name for name in ("step", "shares", "streams", "scheduler") if facts[0][name] != facts[1][name]]
    losses = []
    for run in (whole, killed):
        lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
        losses.append([(line["step"], line["task"], line["loss"]) for line in lines])
    return found + (["log"] if losses[0] != losses[1] else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, choices=[1, 2], default=1)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, required=True, help="empty folder to work in")
    arguments = parser.parse_args()
    data = write_stamps(arguments.folder / "data")
    config = arguments.folder / "run.yaml"
    config.write_text(yaml.safe_dump(small_run(arguments.steps)))
    whole, killed = arguments.folder / "whole" / "run", arguments.folder / "killed" / "run"
    run_whole(config, data, arguments.processes, whole)
    moments = run_killed(config, data, arguments.processes, killed, arguments.kills, arguments.seed)
    print(f"{len(moments)} kills, with {moments} steps taken by all processes, repeated ones included")
    run_whole(config, data, arguments.processes, killed)
    found = differences(whole, killed)
    print("bit-equal" if not found else f"differs in {found}")
    sys.exit(bool(found))


def write_stamps(folder: Path, number: int = 50) -> Path:
    """Simulated stamps of 64 px, `train` and `validation`."""
    from galvm_hf.data.shards import ShardWriter
    from galvm_hf.data.simulate import BANDS, PIXEL_SCALE, simulate_galaxies
    from galvm_hf.data.stamp import Stamp

    for seed, (part, count) in enumerate({"train": number, "validation": 8}.items()):
        galaxies = simulate_galaxies(count, torch.Generator().manual_seed(seed), size=64)
        with ShardWriter(folder / part) as writer:
            for index, flux in enumerate(galaxies.flux.numpy()):
                writer.write(Stamp(flux, BANDS, PIXEL_SCALE, f"{part}-{index}", "simulated"))
    return folder


def small_run(steps: int) -> dict:
    """Settings of a pre-training run of some seconds, with two phases and states on the way."""
    return {
        "model": "tiny",
        "model_overrides": {"image_size": 64, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2]},
        "data": {"sources": ["train/*.parquet"]},
        "validation": {"sources": ["validation/*.parquet"]},
        "validation_stamps": 8,
        "output": "run",
        "objectives": {"autoencode": 1, "denoise": 1, "masked": 1},
        "phases": [
            {"image_size": 32, "steps": steps - steps // 4, "batch_size": 6},
            {"image_size": 64, "steps": steps // 4, "batch_size": 4},
        ],
        "micro_batch_size": 2,
        "learning_rate": 3e-3,
        "warmup_steps": 3,
        "evaluate_every": max(steps // 4, 1),
        "save_minutes": 0.005,
        "keep": 2,
        "trackers": [],
        "seed": 1,
    }


if __name__ == "__main__":
    main()
