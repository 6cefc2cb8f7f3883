"""Speed of the simulated lenses and fields, on one core.

    OMP_NUM_THREADS=1 python benchmarks/simulate_lenses.py --number 96 --rounds 5
    OMP_NUM_THREADS=1 python benchmarks/simulate_lenses.py --number 0 --field 4000

CPU time of this process, so that what else the machine does hardly counts. Each figure is the median over the rounds,
with the range.
"""

import argparse
import resource
import statistics
import time

import torch

from galvm_hf.data.simulate.fields.field import simulate_field
from galvm_hf.data.simulate.lenses.stamps import simulate_lenses


def time_stamps(number: int, rounds: int, size: int, lens_fraction: float) -> list[float]:
    """Stamps a second of CPU time, once a round, after one that is not counted."""
    rates = []
    for seed in range(rounds + 1):
        start = time.process_time()
        simulate_lenses(number, torch.Generator().manual_seed(seed), size, lens_fraction)
        rates.append(number / (time.process_time() - start))
    return rates[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=96, help="stamps a round; 0 for none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--field", type=int, default=0, help="height and width of a field in pixels; 0 for none")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, share in (("lenses", 1.0), ("look-alikes and galaxies", 0.0)):
        if arguments.number:
            rates = time_stamps(arguments.number, arguments.rounds, arguments.size, share)
            print(f"{name}: {statistics.median(rates):.1f} stamps/s ({min(rates):.1f} to {max(rates):.1f})")
    if arguments.field:
        start = time.process_time()
        field = simulate_field((arguments.field,) * 2, torch.Generator().manual_seed(0), lenses=16, lookalikes=16)
        took, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"field of {arguments.field} px: {took:.1f} s, {len(field.catalogue['x'])} objects, peak {peak:.2f} GiB")


if __name__ == "__main__":
    main()
