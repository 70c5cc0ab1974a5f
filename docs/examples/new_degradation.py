"""
A degradation of your own
=========================

Anything linear: a class with ``A``, ``A_adjoint`` and ``A_dagger``, as in deepinv.
"""

# %%
# Here it is the blur of a camera that moved along a diagonal, with the image going on periodically
# beyond its border.
import matplotlib.pyplot as plt
import torch
from torch import Tensor

from cvdvae.degradations.base import LinearOperator, shrink_to_8_bits
from cvdvae.degradations.projection import project, residual, round_consistently
from cvdvae.domains import PHOTOS
from cvdvae.imaging.io import to_tensor


class Shake(LinearOperator):
    """The mean of an image at five places on a diagonal."""

    mixes_colours = False  # each value of y is of one colour
    colours_alike = True  # and all colours are treated the same
    exact = False  # it hardly passes some waves: not every y has an image behind it

    def A(self, x: Tensor) -> Tensor:
        return torch.stack([x.roll((i, i), (2, 3)) for i in range(5)]).mean(0)

    def A_adjoint(self, y: Tensor) -> Tensor:
        return torch.stack([y.roll((-i, -i), (2, 3)) for i in range(5)]).mean(0)

    def A_dagger(self, y: Tensor) -> Tensor:
        impulse = torch.zeros_like(y[:1, :1])
        impulse[..., 0, 0] = 1
        h = torch.fft.fft2(self.A(impulse))
        filtered = torch.fft.fft2(y) * h.conj() / (h.abs() ** 2).clamp(min=1e-6)
        return torch.real(torch.fft.ifft2(filtered))


# %%
# Is the adjoint one? ⟨Hx, v⟩ = ⟨x, Hᵀv⟩ for any x and v.
H = Shake()
x, v = torch.rand(2, 1, 3, 16, 16, dtype=torch.float64)
print("difference:", float((H(x) * v).sum() - (x * H.A_adjoint(v)).sum()))

# %%
# The projection takes it as it takes its own: from any image to the nearest one in [0, 1] that H
# takes to y. (The cup: Rachel Michetti, CC0.)
truth = to_tensor(PHOTOS.example().crop((180, 60, 340, 220)))[None]
y = shrink_to_8_bits(truth, H)
nearest = project(y, y, H)
print(f"largest |Hx − y|: {float(residual(nearest, y, H)):.4f} of 255 levels")
saved = round_consistently(nearest, y, H)
same = (H(saved.double() / 255) * 255).round() == (y.double() * 255).round()
print(
    f"saved as 8 bits and shaken again, {float(same.double().mean()):.1%} of the values come back"
)

figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
shown = {"y: shaken": y, "the nearest image with Hx = y": nearest, "the real photo": truth}
for ax, (title, image) in zip(axes, shown.items(), strict=True):
    ax.imshow(image[0].permute(1, 2, 0))
    ax.set_title(title)
    ax.axis("off")

# %%
# Being consistent is not all: among the images with Hx = y this is only the one nearest to the
# blurred one. Which of them are plausible is what a prior knows.
