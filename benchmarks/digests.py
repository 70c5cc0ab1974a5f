"""Digests of samples of all bundled models: the same before and after a change, on one machine.

python benchmarks/digests.py > before.txt
python benchmarks/digests.py | diff before.txt -
"""

import argparse
import hashlib
from collections.abc import Iterator
from functools import cache

import torch
from PIL import Image
from torch import Tensor

import cvdvae
from cvdvae.checkpoints.folder import bundled_names, find, read_record
from cvdvae.checkpoints.records import PriorRecord, RestorerRecord, SuperResolutionRecord
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.domains.simulate import simulate
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.imaging.io import in_channels, to_tensor
from cvdvae.restoration.sampler import MEASURED

HIDDEN = "hole:side=8"


@cache
def face() -> Image.Image:
    return crop_face(demo_photo()).resize((MEASURED, MEASURED))


def drawn(name: str) -> Iterator[Tensor]:
    """Samples of a model, whatever its kind; of several scales, at each."""
    record = read_record(find(name))
    if isinstance(record, PriorRecord):
        noise = SeededNoise(0, range(2))
        yield cvdvae.load_prior(name).sample(2, temperature=0.8, noise=noise, mean=True)
        return
    if isinstance(record, RestorerRecord):
        restorer = cvdvae.load_restorer(name)
        side = restorer.side or MEASURED
        seen = in_channels(face().resize((side, side)), restorer.prior.config.channels)
        yield restorer.restore(to_tensor(seen), HIDDEN, 3).samples
        return
    scales = record.model.scales if isinstance(record, SuperResolutionRecord) else (None,)
    for scale in scales:
        model = cvdvae.load(name, scale=scale)
        y, _ = simulate(in_channels(face(), model.channels), model.degradation, crop="none")
        yield model.upscale(y, 3).samples
        yield model.upscale(y, 2, 0.7, 5).samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="names or folders; the bundled ones by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.models or bundled_names():
        digest = hashlib.sha256()
        for samples in drawn(name):
            digest.update(samples.numpy().tobytes())
        print(name, digest.hexdigest()[:32], flush=True)


if __name__ == "__main__":
    main()
