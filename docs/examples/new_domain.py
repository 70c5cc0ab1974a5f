"""
A domain of your own
====================

A domain says what images a family of models knows: how they are framed, what they are called,
what to show as an example. A program in which it is registered knows it by its name; so does the
command line of a program that imports it first, as in :doc:`/degradations`.
"""

# %%
# Walls, on the bundled models of photographs. (The brick wall is from CC0Textures, CC0, in
# scikit-image.) Models trained on your own images would stand in ``models``: see :doc:`/training`.
import matplotlib.pyplot as plt
import numpy as np
import skimage.data
from PIL import Image

import cvdvae
from cvdvae.domains import Domain, domain_of, register
from cvdvae.domains.simulate import simulate_at_scale
from cvdvae.imaging.crop import Square


def brick() -> Image.Image:
    grey = skimage.data.brick()
    return Image.fromarray(np.repeat(grey[..., None], 3, 2))


def upper_left(photo: Image.Image) -> Square:
    """Where the wall is, in every photograph: your own detector stands here."""
    return Square(left=40, top=40, side=120)


register(Domain("walls", "a wall", "photos-x{scale}", (2, 3, 4), 2, brick, upper_left))

# %%
# By its name it gives the model and the frame. The samples are plausible, not true: what differs
# between them is invented.
walls = domain_of("walls")
model = cvdvae.load(walls.model_at(walls.usual_scale))
photo = walls.example()
assert walls.framing is not None  # without one it would be the whole photograph
y, truth = simulate_at_scale(walls.framing(photo).cut(photo), walls.usual_scale)
result = model.upscale(y, samples=4, seed=0)

figure, axes = plt.subplots(1, 4, figsize=(9, 2.7), layout="constrained")
shown = {"the input": y, "sample 0": result.samples[0], "mean": result.mean, "truth": truth}
for ax, (title, image) in zip(axes, shown.items(), strict=True):
    ax.imshow(image.permute(1, 2, 0), interpolation="nearest")
    ax.set_title(title)
    ax.axis("off")
