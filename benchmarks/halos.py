"""How far tiles are from the whole image, before rounding, by what they have around their cores.

    python benchmarks/halos.py SETS/Kodak SETS/Urban100 --halos 128 144

Of every image the upper left part, 768×512 pixels when enlarged, every second image at half its
size; cut into cores of 256×256. Printed is the largest difference of any value in levels of 255.
Fine states of a tile reach less far than its halo (`cvdvae.hvae.reach`).
"""

import argparse
from pathlib import Path

import torch

import cvdvae
from cvdvae.imaging.io import list_images, read_photo, to_tensor
from cvdvae.restoration import tiles
from cvdvae.restoration.drawing import Drawing

HEIGHT, WIDTH, CORE = 512, 768, 256


def drawn(drawing: Drawing) -> torch.Tensor:
    """The one sample, as the network gives it."""
    (x,) = drawing.before_finish()
    return x


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--model", default="photos-x{scale}")
    parser.add_argument("--scales", type=int, nargs="+", default=[4])
    parser.add_argument("--halos", type=int, nargs="+", default=[tiles.HALO])
    parser.add_argument("--every", type=int, default=1, help="take every so many-th image")
    options = parser.parse_args()
    paths = [path for folder in options.folders for path in list_images(folder)[:: options.every]]
    whole = max(tiles.WHOLE_PIXELS, HEIGHT * WIDTH)
    for scale in options.scales:
        model = cvdvae.load(options.model.replace("{scale}", str(scale)), scale=scale)
        worst = [0.0] * len(options.halos)
        for number, path in enumerate(paths):
            image = read_photo(path).image
            if number % 2:
                image = image.reduce(2)
            y = to_tensor(image.crop((0, 0, WIDTH // scale, HEIGHT // scale)))
            sampling = model.sampling(1, seed=number)
            tiles.WHOLE_PIXELS = whole
            all_of_it = drawn(Drawing(model, y, sampling))
            tiles.WHOLE_PIXELS, tiles.CORE = 0, CORE
            found = []
            for halo in options.halos:
                tiles.HALO = halo
                apart = (drawn(Drawing(model, y, sampling)) - all_of_it).abs().max()
                found.append(float(apart) * 255)
            worst = [max(pair) for pair in zip(worst, found, strict=True)]
            print(f"×{scale} {path.name}:", *(f"{one:.2f}" for one in found), flush=True)
        print(f"×{scale} halos", *options.halos, "at most", *(f"{one:.2f}" for one in worst))


if __name__ == "__main__":
    main()
