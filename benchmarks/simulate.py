"""How many simulated galaxies a second: three bands, with neighbours, seeing and noise, all classes mixed.

    OMP_NUM_THREADS=1 python benchmarks/simulate.py
    python benchmarks/simulate.py --classes spiral --number 400

The median over the rounds, by the clock and by the time the processor spent: on a busy machine the second is the one to
read.
"""

import argparse
import statistics
import time

import torch

from galvm_hf.data.simulate import CLASSES, simulate_galaxies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=200, help="galaxies a round (default: 200)")
    parser.add_argument("--size", type=int, default=128, help="pixels of a side (default: 128)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--classes", nargs="+", default=list(CLASSES), choices=CLASSES)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    generator = torch.Generator(arguments.device).manual_seed(0)
    simulate_galaxies(40, generator, arguments.size, arguments.classes)
    clock, spent = [], []
    for _ in range(arguments.rounds):
        before, spent_before = time.perf_counter(), time.process_time()
        simulate_galaxies(arguments.number, generator, arguments.size, arguments.classes)
        if arguments.device != "cpu":
            torch.accelerator.synchronize()
        clock.append(time.perf_counter() - before)
        spent.append(time.process_time() - spent_before)
    print(f"{', '.join(arguments.classes)}; {arguments.size} px; {arguments.device}, {torch.get_num_threads()} threads")
    print(f"{arguments.number / statistics.median(clock):.0f} galaxies/s by the clock")
    print(f"{arguments.number / statistics.median(spent):.0f} galaxies per second of processor time")


if __name__ == "__main__":
    main()
