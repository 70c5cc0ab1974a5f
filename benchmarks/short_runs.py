"""What a short training changes at a prior: several ways to go on from its weights, equally long.

    python benchmarks/short_runs.py --config configs/celeba64.yaml --minutes 20 --out runs/short

Every run begins with the weights that the configuration names (`start_from`), takes as many steps
as fit the minutes on this machine, and lets the rate fall to zero over all of them. Judged are the
last 500 images of the folder, each by the same noise: how many bits/dim less than at the start.
Runs that are finished are not run again.
"""

import argparse
import subprocess
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import yaml
from hours import bits_per_dim
from rich.console import Console
from rich.table import Table
from torch import Tensor

from cvdvae.checkpoints.loading import load_prior
from cvdvae.data.folder import load_images
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.hvae import HVAE, HVAEConfig

Settings = dict[str, Any]
WAYS: dict[str, Settings] = {
    "rate 5e-4": {},
    "rate 2.5e-4": {"optim.learning_rate": 2.5e-4},
    "rate 1e-3": {"optim.learning_rate": 1e-3},
    "32 images a step": {"optim.batch_size": 32},
    "four more groups at 4×4 and 8×8": {
        "model.top_down": "64x1,16m64,16x6,8m16,8x9,4m8,4x7,2m4,2x2,2r3"
    },
}
"""By name, what differs from the configuration and from `COMMON`."""
COMMON: Settings = {
    "optim.learning_rate": 5e-4,
    "optim.warmup": 20,
    "optim.ema": 0.99,  # a tenth of a short run
    "stored_bits": 32,
}
TIMED = 6


def changed(config: Settings, changes: Settings) -> Settings:
    """A copy in which the values at dotted keys are others."""
    config = deepcopy(config)
    for key, value in changes.items():
        *path, last = key.split(".")
        place = config
        for name in path:
            place = place[name]
        place[last] = value
    return config


def seconds_per_step(config: Settings) -> float:
    """Of the bound, its gradient and an update; the median of a few."""
    torch.manual_seed(0)
    model = HVAE(HVAEConfig(**config["model"]))
    optimizer = torch.optim.AdamW(model.parameters())
    batch, side = config["optim"]["batch_size"], config["model"]["image_size"]
    x, taken = torch.rand(batch, 3, side, side), []
    for step in range(TIMED):
        began = time.perf_counter()
        model.elbo(x, SeededNoise(step, range(batch))).bits_per_dim.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        taken.append(time.perf_counter() - began)
    return sorted(taken)[TIMED // 2]


def trained(name: str, config: Settings, minutes: float, out: Path) -> tuple[int, Path]:
    """The steps that one way took, and the folder of its weights."""
    folder = out / name.replace(" ", "-")
    path = out / f"{folder.name}.yaml"
    if not path.exists():
        steps = int(60 * minutes / seconds_per_step(config))
        optim = {"steps": steps, "decay": steps - 20, "validate_every": steps}
        config = changed(config, {f"optim.{key}": value for key, value in optim.items()})
        path.write_text(yaml.safe_dump(config, allow_unicode=True))
    command = [sys.executable, "-m", "cvdvae.cli", "train", "prior"]
    if not (folder / "model").exists():
        subprocess.run([*command, "--config", str(path), "--out", str(folder)], check=True)
    return yaml.safe_load(path.read_text())["optim"]["steps"], folder / "model"


def gain(before: Tensor, after: Tensor) -> str:
    """The mean difference over images, with its standard error."""
    less = before - after
    return f"{1000 * float(less.mean()):+.1f} ± {1000 * float(less.std() / len(less) ** 0.5):.1f}"


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20, help="of each")
    parser.add_argument("--only", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    config = yaml.safe_load(options.config.read_text())
    paths = sorted(Path(config["data"]["folder"]).glob("*.jpg"))[-500:]
    faces = load_images(paths, config["model"]["image_size"], crop=config["data"]["crop"])
    x = faces.float() / 255
    before = bits_per_dim(load_prior(config["start_from"]), x)
    table = Table()
    for title in ("way", "steps", "images", "bits/dim", "less by · 1000"):
        table.add_column(title, no_wrap=True)
    table.add_row("the start", "", "", f"{float(before.mean()):.4f}", "")
    for name in options.only:
        way = changed(config, COMMON | WAYS[name])
        with torch.enable_grad():
            steps, folder = trained(name, way, options.minutes, options.out)
        after = bits_per_dim(load_prior(folder), x)
        images = steps * way["optim"]["batch_size"]
        table.add_row(
            name, f"{steps:,}", f"{images:,}", f"{float(after.mean()):.4f}", gain(before, after)
        )
    Console().print(table)


if __name__ == "__main__":
    main()
