"""Pixels that are missing, and colours of which only some are seen."""

import torch
from torch import Tensor

from ..errors import InputError
from .base import LinearOperator, check_float

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""

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

    pixelwise = True

    def __init__(self, known: Tensor) -> None:
        if known.dtype != torch.bool or known.ndim not in (2, 3):
            raise InputError(
                f"a mask is bool of shape (H, W) or (C, H, W), not {known.dtype} "
                f"{tuple(known.shape)}"
            )
        if not bool(known.any()):
            raise InputError("the mask hides everything: nothing would be left to see")
        self.known = known
        self.size = self.lr_size = (known.shape[-2], known.shape[-1])
        self.colours_alike = known.ndim == 2
        self.loses_pixels = not bool(known.all())

    def A(self, x: Tensor) -> Tensor:
        """``H x``: ``(N, C, H, W)``, 0 where nothing is seen."""
        check_float(x)
        if x.ndim != 4 or tuple(x.shape[2:]) != self.size:
            height, width = self.size
            raise InputError(
                f"the mask is for images of {width}×{height} pixels, not {tuple(x.shape)}"
            )
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

    mixes_colours = pixelwise = True

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights.double()

    def A(self, x: Tensor) -> Tensor:
        """``H x``: ``(N, C, H, W)`` to ``(N, 1, H, W)``.

        Raises:
            InputError: x has another number of colours, or another size.
        """
        self._check(x, len(self.weights))
        return (x * self.weights.to(x)).sum(1, keepdim=True)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y``: ``(N, 1, H, W)`` to ``(N, C, H, W)``."""
        self._check(y, 1)
        return y * self.weights.to(y)

    def A_dagger(self, y: Tensor) -> Tensor:
        """``H⁺ y``: ``(N, 1, H, W)`` to ``(N, C, H, W)``."""
        return self.A_adjoint(self.solve(y, 0.0))

    def solve(self, y: Tensor, damping: float) -> Tensor:
        """``(H Hᵀ + λ I)⁻¹ y``."""
        self._check(y, 1)
        return y / (self.weights.square().sum(0).to(y) + damping)

    def mean_eigenvalue(self) -> float:
        """``tr(H Hᵀ) / m``."""
        return float(self.weights.square().sum(0).mean())

    def _check(self, x: Tensor, colours: int) -> None:
        check_float(x)
        size = self.weights.shape[1:]
        if x.ndim != 4 or x.shape[1] != colours or size not in ((1, 1), x.shape[2:]):
            wanted = "(H, W)" if size == (1, 1) else tuple(size)
            raise InputError(
                f"expected images of {colours} colours and size {wanted}, not {tuple(x.shape)}"
            )


class InAllColours(LinearOperator):
    """A grey in all three colours: ``(N, 1, H, W)`` to ``(N, 3, H, W)``."""

    mixes_colours = pixelwise = True
    exact = False

    def A(self, x: Tensor) -> Tensor:
        """``(g, g, g)``."""
        check_float(x)
        return x.expand(-1, 3, -1, -1)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``r + g + b``."""
        check_float(y)
        return y.sum(1, keepdim=True)

    def A_dagger(self, y: Tensor) -> Tensor:
        """Their mean."""
        check_float(y)
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
