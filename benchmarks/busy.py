"""How much slower draws are where other programs keep every processor busy.

    python benchmarks/busy.py

Eight samples of a face at ×8, alone and beside as many busy processes as there are processors, in
turns. The best that a fair scheduler can give is a ratio of 2.
"""

import argparse
import multiprocessing
import time
from statistics import median

import torch

import cvdvae
from cvdvae.domains.faces import demo_photo
from cvdvae.domains.simulate import simulate
from cvdvae.restoration.workers import usable_processors


def spin() -> None:
    """Keep a processor busy."""
    while True:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="celeba64-x8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=5)
    options = parser.parse_args()
    model = cvdvae.load(options.model)
    y, _ = simulate(demo_photo(), model.degradation)
    model.upscale(y, 8)

    def seconds() -> float:
        """Median of some draws."""
        times = []
        for _ in range(options.draws):
            started = time.perf_counter()
            model.upscale(y, 8)
            times.append(time.perf_counter() - started)
        return median(times)

    count = usable_processors()
    alone, beside = [], []
    for _ in range(options.rounds):
        alone.append(seconds())
        context = multiprocessing.get_context("spawn")
        busy = [context.Process(target=spin, daemon=True) for _ in range(count)]
        for process in busy:
            process.start()
        time.sleep(0.5)
        beside.append(seconds())
        for process in busy:
            process.kill()
            process.join()
    ratio = median(beside) / median(alone)
    print(f"PyTorch {torch.__version__}, {count} processors, 8 samples with {options.model}")
    print(f"alone {median(alone):.3f} s, beside {count} busy processes {median(beside):.3f} s")
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
