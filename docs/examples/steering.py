"""
Steering: others like this one, a blend, a region
=================================================

A sample is a function of the noise of its latent groups, so to steer is to choose that noise:
see :doc:`/explanation/sampling`.
"""

# %%
# A face of 8×8 pixels: Eileen Collins's (NASA, public domain), found in the photograph and shrunk.
import matplotlib.pyplot as plt
import torch

import cvdvae
from cvdvae.domains.faces import demo_photo
from cvdvae.restoration.edits import Blend, Resample, ResampleRegion, pack_region

model = cvdvae.load("celeba64-x8")
y, _ = cvdvae.simulate(demo_photo(), model.degradation)
start = model.sampling(samples=6, temperature=0.8, seed=1)

# %%
# Three ways to go on from the first set. All steps are kept in the settings, and so in
# ``result.json``: a result is replayed with them.
lower_half = torch.zeros(64, 64, dtype=torch.bool)
lower_half[40:] = True
sets = {
    "the first set": start,
    "others like 0: ten groups stay": start.then(Resample(0, groups=10, seed=2)),
    "from 0 to 5": start.then(Blend(0, 5)),
    "0, varied below": start.then(ResampleRegion(0, pack_region(lower_half), seed=3)),
}
figure, axes = plt.subplots(len(sets), 6, figsize=(9, 6.6), layout="constrained")
for row, (title, sampling) in zip(axes, sets.items(), strict=True):
    result = model.run(y, sampling)
    assert all(result.round_trip_exact)
    for ax, sample in zip(row, result.samples, strict=True):
        ax.imshow(sample.permute(1, 2, 0), interpolation="nearest")
        ax.axis("off")
    row[0].set_title(title, loc="left", fontsize=10)

# %%
# None of them exists but in the model, and every one gives the 8×8 pixels back.
