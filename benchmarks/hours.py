"""What an hour of training buys: weights of one prior over faces at different ages.

    python benchmarks/hours.py --data ../shared/data/celeba --picture docs/hours.png \\
        "80,000 images=FOLDER" "674,000=src/cvdvae/zoo/celeba64"

Each FOLDER holds a prior as `cvdvae train` exports it; the history of this repository has some.
For every one: bits/dim of the last 500 images of the folder, the kernel distance (KID) of samples
without any input to as many real faces, in thousandths, and eight samples with the same noise.

    python benchmarks/hours.py --behind docs/hours_behind.png \\
        --encoders "80,000 images=FOLDER,FOLDER" "674,000=celeba64-x8,celeba64-x16"

draws what these LR encoders see behind the same face, one row for each age; the `config.yaml` of an
earlier one names the folder of its own prior.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image
from realism import without_input
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from cvdvae.checkpoints.loading import load_prior
from cvdvae.data.folder import load_images
from cvdvae.domains import FACES
from cvdvae.domains.faces import crop_face
from cvdvae.domains.simulate import simulate
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.hvae.model import HVAE
from cvdvae.imaging.io import save_png, to_pil
from cvdvae.imaging.sheets import labelled_sheet
from cvdvae.metrics.perceptual import LPIPS
from cvdvae.metrics.realism import kernel_distance
from cvdvae.restoration.load import load
from cvdvae.restoration.result import DISCLAIMER

BATCH, SHOWN, BEHIND = 20, 8, 4


def bits_per_dim(prior: HVAE, x: Tensor) -> Tensor:
    """Of every image."""
    batches = track(range(0, len(x), BATCH), "judging", transient=True)
    noise = (SeededNoise(0, range(b, min(b + BATCH, len(x)))) for b in range(0, len(x), BATCH))
    return torch.cat(
        [prior.elbo(x[b : b + BATCH], n).bits_per_dim for b, n in zip(batches, noise, strict=True)]
    )


def behind(label: str, models: str, temperature: float) -> list[tuple[str, Image.Image]]:
    """The bundled face as LR encoders of one age see it, and samples of each."""
    face, cells = crop_face(FACES.example()), []
    for name in models.split(","):
        model = load(name)
        y, _ = simulate(face, model.degradation, crop="none")
        result = model.run(y, model.sampling(BEHIND, temperature, 0, temperature))
        cells.append((f"{label}, x{model.scale}", to_pil(y)))
        cells += [("", to_pil(one)) for one in result.pixels]
    return cells


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ages", nargs="*", help="LABEL=FOLDER")
    parser.add_argument("--data", type=Path, help="the faces that the priors are judged on")
    parser.add_argument("--lpips", type=Path)
    parser.add_argument("--seen", action="store_true", help="the first of all: trained on")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--encoders", nargs="+", default=[], help="LABEL=FOLDER,FOLDER")
    parser.add_argument("--behind", type=Path, help="picture of what they see")
    options = parser.parse_args()
    if bool(options.encoders) != (options.behind is not None):
        parser.error("--encoders and --behind belong together")
    if bool(options.ages) != (options.data is not None):
        parser.error("priors are judged on the faces of --data, and nothing else is")
    if options.encoders:
        ages = (age.split("=", 1) for age in options.encoders)
        rows = [behind(label, models, options.temperature) for label, models in ages]
        save_png(options.behind, labelled_sheet(rows, DISCLAIMER))
    if options.ages:
        judge_priors(options)


def judge_priors(options: argparse.Namespace) -> None:
    """A table of the priors, and a picture of their samples."""
    every = sorted(options.data.glob("*.jpg"))
    paths = every[:500] if options.seen else every[-500:]
    real = load_images(paths, 64, crop=74).float() / 255
    judge = LPIPS(options.lpips)
    features = judge.features(real[: options.images])
    table, rows = Table(), []
    for title in ("age", "bits/dim", "kernel distance · 1000"):
        table.add_column(title, no_wrap=True)
    for age in options.ages:
        label, folder = age.split("=", 1)
        prior = load_prior(folder)
        bits, drawn = (
            bits_per_dim(prior, real),
            without_input(prior, options.images, options.temperature),
        )
        distance, error = kernel_distance(judge.features(drawn), features)
        spread = float(bits.std() / len(bits) ** 0.5)
        table.add_row(
            label,
            f"{float(bits.mean()):.3f} ± {spread:.3f}",
            f"{1000 * distance:.1f} ± {1000 * error:.1f}",
        )
        rows.append([(label if i == 0 else "", to_pil(x)) for i, x in enumerate(drawn[:SHOWN])])
    Console().print(table)
    if options.picture is not None:
        save_png(options.picture, labelled_sheet(rows, DISCLAIMER))


if __name__ == "__main__":
    main()
