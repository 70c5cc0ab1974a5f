"""How fast and how large: 8 samples of one face once loaded, and the whole of `cvdvae demo`.

python benchmarks/speed.py
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from cvdvae.domains.faces import demo_photo
from cvdvae.domains.simulate import simulate
from cvdvae.restoration.load import load
from cvdvae.restoration.settings import Sampling


def main() -> None:
    print(f"{os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}, "
          f"torch {torch.__version__}")  # fmt: skip
    for scale in (4, 8, 16):
        started = time.perf_counter()
        model = load(f"celeba64-x{scale}")
        loading = time.perf_counter() - started
        y, _ = simulate(demo_photo(), model.degradation)
        first = model.run(y, Sampling()).seconds
        rest = sorted(model.run(y, Sampling(seed=i)).seconds for i in range(9))
        print(f"×{scale}: loaded in {loading:.2f} s; 8 samples in {rest[4]:.2f} s "
              f"(median of 9; the first call {first:.2f} s)")  # fmt: skip
    command = [str(Path(sys.executable).with_name("cvdvae")), "demo", "--out"]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run([*command, folder], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    print(f"cvdvae demo: {seconds:.1f} s in all, {peak:.2f} GB at most")


if __name__ == "__main__":
    main()
