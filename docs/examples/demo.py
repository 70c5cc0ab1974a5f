"""
A photograph, shrunk and drawn again
====================================

The shortest way from an image to its samples.
"""

# %%
# The picture is a cup of coffee by Rachel Michetti (CC0), from scikit-image. We shrink a part of
# it by 4, so that the truth is known.
import matplotlib.pyplot as plt

import cvdvae
from cvdvae.domains import PHOTOS
from cvdvae.domains.simulate import simulate_at_scale

cup = PHOTOS.example().crop((180, 60, 340, 220))
y, truth = simulate_at_scale(cup, scale=4)
print(tuple(y.shape), "from", tuple(truth.shape))

# %%
# Four of the images that could be behind it: what differs between them is invented. The tamer
# temperatures for looking please the eye more; without ``look`` the samples are calibrated.
model = cvdvae.load("photos-x4")
result = model.upscale(y, samples=4, seed=0, look=True)

figure, axes = plt.subplots(2, 3, figsize=(9, 6.2), layout="constrained")
shown = {"the input": y, "bicubic": result.bicubic, "mean of the samples": result.mean,
         "sample 0": result.samples[0], "sample 1": result.samples[1], "photo": truth}  # fmt: skip
for ax, (title, image) in zip(axes.flat, shown.items(), strict=True):
    ax.imshow(image.permute(1, 2, 0), interpolation="nearest")
    ax.set_title(title)
    ax.axis("off")

# %%
# Each of them, saved as a PNG and shrunk again, gives the input back in every pixel.
print("exact:", result.round_trip_exact)
print("LR-PSNR in dB:", [round(value, 1) for value in result.lr_psnr])
