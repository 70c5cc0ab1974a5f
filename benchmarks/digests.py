"""Digests of samples of all bundled models: the same before and after a change, on one machine.

python benchmarks/digests.py > before.txt
python benchmarks/digests.py | diff before.txt -
"""

import hashlib

import torch

import cvdvae
from cvdvae.checkpoints.folder import bundled_names
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.domains.simulate import simulate
from cvdvae.errors import WeightsError
from cvdvae.gaussian import SeededNoise
from cvdvae.restoration.sampler import MEASURED

torch.set_num_threads(1)
for name in bundled_names():
    if name == "photos-sr":  # it is loaded by its scales' names
        continue
    try:
        model = cvdvae.load(name)
    except WeightsError:
        prior = cvdvae.load_prior(name)
        noise = SeededNoise(0, range(2))
        pixels = prior.sample(2, temperature=0.8, noise=noise, mean=True)
    else:
        face = crop_face(demo_photo()).resize((MEASURED, MEASURED))
        y, _ = simulate(face, model.degradation, crop="none")
        pixels = torch.cat([x.samples for x in (model.upscale(y, 3), model.upscale(y, 2, 0.7, 5))])
    print(name, hashlib.sha256(pixels.numpy().tobytes()).hexdigest()[:32])
