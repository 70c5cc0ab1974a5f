"""
deepinv, side by side
=====================

The degradations here have the names of ``deepinv.physics.LinearPhysics``, so either library
takes the other's. This example is built where deepinv is installed.
"""

# %%
# Our H as physics of deepinv: total variation by proximal gradient descent, one answer without
# training. (The cup: Rachel Michetti, CC0.)
import deepinv
import matplotlib.pyplot as plt
from deepinv.physics.functional.blur import gaussian_blur

import cvdvae
from cvdvae.degradations.projection import project
from cvdvae.domains import PHOTOS
from cvdvae.domains.simulate import simulate_at_scale
from cvdvae.restoration.result import psnr

y, truth = simulate_at_scale(PHOTOS.example().crop((180, 60, 340, 220)), scale=4)
model = cvdvae.load("photos-x4")
H = model.degradation_of((y.shape[1], y.shape[2]))
physics = deepinv.physics.LinearPhysics(A=H.A, A_adjoint=H.A_adjoint)
prior, fidelity = deepinv.optim.TVPrior(n_it_max=20), deepinv.optim.L2()
x = H.A_dagger(y[None])
for _ in range(30):
    x = x - fidelity.grad(x, y[None], physics)
    x = prior.prox(x, gamma=0.003)

# %%
# Ours: as many answers as you like, each of which gives y back exactly. What differs between them
# is invented.
result = model.upscale(y, samples=4, look=True)
shown = {"bicubic": result.bicubic, "TV": x[0].clamp(0, 1), "mean": result.mean,
         "sample 0": result.samples[0], "sample 1": result.samples[1], "truth": truth}  # fmt: skip
figure, axes = plt.subplots(2, 3, figsize=(9, 6.4), layout="constrained")
for ax, (title, image) in zip(axes.flat, shown.items(), strict=True):
    ax.imshow(image.permute(1, 2, 0))
    dB = psnr(image, truth)
    ax.set_title(title if title == "truth" else f"{title}, {dB:.1f} dB")
    ax.axis("off")

# %%
# And theirs as our degradation: the projection takes any operator with ``A`` and ``A_adjoint``
# that works in float64.
kernel = gaussian_blur(psf_size=(7, 7), sigma=1.0).reshape(7, 7)
blur = deepinv.physics.Blur(kernel[None, None], padding="circular").double()
x = truth[None].double()
again = project(x, blur.A(x), blur)
print("already consistent, so nothing moves:", float((again - x).abs().max()))
