"""Make the pictures of the documentation from the bundled weights.

    python docs/make_pictures.py

`demo.png` is what `cvdvae demo` writes; `prior_samples.png` shows unconditional samples of the
prior at temperatures 0.7, 0.85 and 1, two rows each. Nobody in it exists.
"""

import shutil
import tempfile
from pathlib import Path

import torch

from cvdvae.demo import run_demo
from cvdvae.hvae import SeededNoise
from cvdvae.images import save_tiles
from cvdvae.store import load_prior

HERE = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = run_demo(Path(folder), samples=8, temperature=0.8, seed=0, on_progress=print)
        shutil.copy(report.picture, HERE / "demo.png")
    prior = load_prior("celeba64")
    with torch.no_grad():
        rows = [
            prior.sample(24, temperature=t, noise=SeededNoise(0, range(24)), mean=True)
            for t in (0.7, 0.85, 1.0)
        ]
    save_tiles(HERE / "prior_samples.png", torch.cat(rows), columns=12)


if __name__ == "__main__":
    main()
