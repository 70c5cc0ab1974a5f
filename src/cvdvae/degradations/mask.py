"""Pixels that are missing, and colours of which only some are seen."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import InputError
from .base import LinearOperator, check_shape

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""

HIDES_ALL = "the mask hides everything: nothing would be left to see"
BAYER = {"RGGB": (0, 1, 1, 2), "BGGR": (2, 1, 1, 0), "GRBG": (1, 0, 2, 1), "GBRG": (1, 2, 0, 1)}
"""Colours at the four places of a 2×2 tile, row by row."""


class Mask(LinearOperator):
    """``Hx = m ⊙ x``: inpainting. A missing pixel of y is 0, and counts for nothing.

    Args:
        known: Which pixels are seen, bool, ``(H, W)`` or ``(C, H, W)``.

    Raises:
        InputError: Another shape or dtype, or nothing is seen.

    Example:
        >>> H = Mask(torch.tensor([[True, False]]))
        >>> H.A(torch.ones(1, 3, 1, 2))[0, 0].tolist()
        [[1.0, 0.0]]
    """

    mixes_colours = False
    exact = pixelwise = True

    def __init__(self, known: Tensor) -> None:
        if known.dtype != torch.bool or known.ndim not in (2, 3):
            raise InputError(
                f"a mask is bool of shape (H, W) or (C, H, W), not {known.dtype} "
                f"{tuple(known.shape)}"
            )
        if not bool(known.any()):
            raise InputError(HIDES_ALL)
        self.known = known
        # That of one colour is that of all.
        self.colours = known.shape[0] if known.ndim == 3 and len(known) > 1 else "C"
        self.size = self.lr_size = (known.shape[-2], known.shape[-1])
        self.colours_alike = known.ndim == 2
        self.loses_pixels = not bool(known.all())

    def A(self, x: Tensor) -> Tensor:
        """``H x``: ``(N, C, H, W)``, 0 where nothing is seen.

        Raises:
            InputError: x has another size than the mask, or another number of colours.
        """
        check_shape(x, self.colours, *self.size)
        return x * self.known.to(x)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y = m ⊙ y``."""
        return self.A(y)

    def A_dagger(self, y: Tensor) -> Tensor:
        """``H⁺ y = m ⊙ y``."""
        return self.A(y)

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """``(H Hᵀ + λ I)⁻¹ y`` of what is seen."""
        return self.A(y) / (1 + damping)

    def mean_eigenvalue(self) -> float:
        """That of the pixels that are seen."""
        return 1.0


class Colours(LinearOperator):
    """A weighted sum of the colours of every pixel: luminance, or the mosaic of a camera's sensor.

    Args:
        weights: How much of every colour, ``(C, H, W)`` or ``(C, 1, 1)``.

    Example:
        >>> x = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(-1, -1, 2, 2)
        >>> bayer((2, 2), "RGGB").A(x)[0, 0].tolist()
        [[1.0, 0.5], [0.5, 0.0]]
    """

    mixes_colours = exact = pixelwise = True

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights.double()
        size = self.weights.shape[1:]
        self.size: Sequence[int | str] = ("H", "W") if size == (1, 1) else size

    @property
    def everywhere(self) -> bool:
        """Whether it is the same sum at every pixel."""
        return bool((self.weights == self.weights[:, :1, :1]).all())

    def A(self, x: Tensor) -> Tensor:
        """``H x``: ``(N, C, H, W)`` to ``(N, 1, H, W)``.

        Raises:
            InputError: x has another number of colours, or another size.
        """
        check_shape(x, len(self.weights), *self.size)
        return (x * self.weights.to(x)).sum(1, keepdim=True)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y``: ``(N, 1, H, W)`` to ``(N, C, H, W)``."""
        check_shape(y, 1, *self.size)
        return y * self.weights.to(y)

    def A_dagger(self, y: Tensor) -> Tensor:
        """``H⁺ y``: ``(N, 1, H, W)`` to ``(N, C, H, W)``."""
        return self.A_adjoint(self.solve(y, 0.0))

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """``(H Hᵀ + λ I)⁻¹ y``; nought where no colour counts and λ is nought."""
        check_shape(y, 1, *self.size)
        power = self.weights.square().sum(0).to(y) + damping
        return y / torch.where(power > 0, power, torch.inf)

    def mean_eigenvalue(self) -> float:
        """``tr(H Hᵀ) / m``."""
        return float(self.weights.square().sum(0).mean())


class InAllColours(LinearOperator):
    """A grey in all three colours: ``(N, 1, H, W)`` to ``(N, 3, H, W)``."""

    mixes_colours = pixelwise = True

    def A(self, x: Tensor) -> Tensor:
        """``(g, g, g)``."""
        check_shape(x, 1, "H", "W")
        return x.expand(-1, 3, -1, -1)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``r + g + b``."""
        check_shape(y, 3, "H", "W")
        return y.sum(1, keepdim=True)

    def A_dagger(self, y: Tensor) -> Tensor:
        """Their mean."""
        check_shape(y, 3, "H", "W")
        return y.mean(1, keepdim=True)


def luminance() -> Colours:
    """H that leaves the luminance of an RGB image, ``(N, 3, H, W)`` to ``(N, 1, H, W)``."""
    return Colours(torch.tensor(LUMA, dtype=torch.float32, device="cpu").view(3, 1, 1))


def bayer(size: tuple[int, int], pattern: str = "RGGB") -> Colours:
    """H that leaves one colour of every pixel of an RGB image, as a camera's sensor does.

    Args:
        size: Height and width.
        pattern: Colours of a 2×2 tile, row by row.

    Raises:
        InputError: There is no such pattern.
    """
    if pattern not in BAYER:
        raise InputError(f"there is no mosaic '{pattern}': take one of {', '.join(BAYER)}")
    rows, columns = torch.arange(size[0], device="cpu") % 2, torch.arange(size[1], device="cpu") % 2
    colour = torch.tensor(BAYER[pattern], device="cpu")[2 * rows[:, None] + columns[None]]
    return Colours((colour[None] == torch.arange(3, device="cpu").view(3, 1, 1)).double())
