"""Convolution with a kernel, and what is assumed beyond the border.

``(Hx)_i = Σ_q k_q x_{i + c − q}`` for every colour, c the kernel's middle. The image is continued
beyond its border, and the continued image convolved by FFT. Where the whole H is a multiplication
of waves (``circular``), or of cosines (``reflect`` with a kernel that is its own mirror image), so
are Hᵀ and the damped inverse. A kernel that is a product
of a column and a row has an H that is separable, whatever the border, and its damped inverse in
closed form, too, up to 512 pixels of y a side. For the others, and beyond, it is iterated, led by
that of an image without a border.

No blur but a slight one can be inverted: a frequency that the kernel does not pass is lost. So a
projection onto {Hx = y} takes a y that is not exactly Hx for more than it is, and the nearest
consistent image is noise; `estimate` and conditional draws, which know of σ, are what blurs need.
"""

import math
from functools import cached_property
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import InputError
from . import cosine
from .base import check_shape
from .damped import Damped
from .separable import LONGEST, Spectrum, divisors

Boundary = Literal["reflect", "replicate", "circular", "zero", "valid"]
"""Beyond the border: mirror images, the last pixel, the other side, nothing; ``valid`` keeps only
what the image itself decides, so that y is smaller than x."""

NOUGHT = 1e-12
"""What round-off leaves of a movement, of 1, where it has none."""
REACH = 4
"""How many kernels the inverse of a blur reaches, but for what iterations make up for."""
RANK = 1e-12
"""Second singular value, relative to the first, of a kernel that is no product."""


class Blur(Damped):
    """H of a blur by a known kernel.

    Args:
        size: Height and width of the image x.
        kernel: ``(h, w)``, real numbers; scaled so that they add up to 1.
        boundary: What is assumed beyond the border.

    Raises:
        InputError: A kernel that is not finite, adds up to nought, or is larger than the image.

    Example:
        >>> H = Blur((32, 32), gaussian(2.0))
        >>> x = torch.rand(1, 3, 32, 32)
        >>> torch.allclose(H.A(x).mean(), x.mean(), atol=1e-5)
        True
    """

    mixes_colours = False
    colours_alike = True

    def __init__(
        self, size: tuple[int, int], kernel: Tensor, boundary: Boundary = "reflect"
    ) -> None:
        if boundary not in get_args(Boundary):
            raise InputError(f"boundary must be one of {', '.join(get_args(Boundary))}")
        kernel = checked(kernel, size)
        self.size, self.kernel, self.boundary = size, kernel, boundary
        symmetric = torch.equal(kernel, kernel.flip(0)) and torch.equal(kernel, kernel.flip(1))
        odd = kernel.shape[0] % 2 == 1 and kernel.shape[1] % 2 == 1
        self.mirrored = boundary == "reflect" and symmetric and odd
        self.closed = boundary == "circular" or self.mirrored
        middle = [side // 2 for side in kernel.shape]
        if self.closed:
            self.grid = self.lr_size = size
            if self.mirrored:
                self.transfer = cosine.transfer(kernel, size)
            else:
                around = _around(kernel, size).roll([-m for m in middle], (0, 1))
                self.transfer = torch.fft.rfft2(around)
        else:
            lengths = zip(size, kernel.shape, middle, strict=True)
            self.sources = [_continued(n, k, c, boundary) for n, k, c in lengths]
            sides = [len(source) for source in self.sources]
            height, width = (n - k + 1 for n, k in zip(sides, kernel.shape, strict=True))
            self.grid, self.lr_size = (quick(sides[0]), quick(sides[1])), (height, width)
            self.transfer = torch.fft.rfft2(kernel, self.grid)

    def A(self, x: Tensor) -> Tensor:
        """``H x``: ``(N, C, H, W)`` to ``(N, C, h, w)``, smaller only where `valid`."""
        check_shape(x, "C", *self.size)
        if self.closed:
            return self._filtered(x, self._transfer(x))
        (height, width), (top, left) = self.lr_size, (side - 1 for side in self.kernel.shape)
        whole = self._convolved(self._continue(x), self._transfer(x))
        return whole[..., top : top + height, left : left + width]

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y``: ``(N, C, h, w)`` to ``(N, C, H, W)``."""
        check_shape(y, "C", *self.lr_size)
        if self.closed:
            return self._filtered(y, self._transfer(y).conj())
        top, left = (side - 1 for side in self.kernel.shape)
        y = torch.nn.functional.pad(y, (left, 0, top, 0))
        height, width = (len(source) for source in self.sources)
        return self._fold(self._convolved(y, self._transfer(y).conj())[..., :height, :width])

    def mean_eigenvalue(self) -> float | None:
        """``tr(H Hᵀ) / m``, where it is known in closed form."""
        return float(self.kernel.square().sum()) if self.boundary == "circular" else None

    def solve(self, y: Tensor, damping: float) -> Tensor | None:
        """``(H Hᵀ + λ I)⁻¹ y`` where it is known in closed form, else None; with λ = 0 the
        pseudo-inverse."""
        check_shape(y, "C", *self.lr_size)
        if self.closed:
            return self._filtered(y, 1 / self._divisors(y, damping))
        return None if self._spectrum is None else self._spectrum.solve(y, damping)

    def damped_inverse(self, y: Tensor, damping: float) -> Tensor | None:
        """``Hᵀ (H Hᵀ + λ I)⁻¹ y``, where it is one product."""
        if not self.closed:
            return None
        return self._filtered(y, self._transfer(y).conj() / self._divisors(y, damping))

    def _divisors(self, y: Tensor, damping: float) -> Tensor:
        """``|k̂|² + λ``."""
        transfer = self._transfer(y).abs()
        return divisors(transfer**2, damping, (8 * torch.finfo(transfer.dtype).eps) ** 2)

    def precondition(self, r: Tensor, damping: float) -> Tensor:
        """``(H Hᵀ + λ I)⁻¹ r``, had the image no border and were r surrounded by nothing."""
        grid = self._surrounded
        power, nought = self._power.to(r), (8 * torch.finfo(r.dtype).eps) ** 2
        whole = torch.fft.irfft2(torch.fft.rfft2(r, grid) / divisors(power, damping, nought), grid)
        result: Tensor = whole[..., : self.lr_size[0], : self.lr_size[1]]
        return result

    @cached_property
    @torch.inference_mode(False)
    def _spectrum(self) -> Spectrum | None:
        """Of a kernel that is a product of a column and a row."""
        u, s, v = torch.linalg.svd(self.kernel, full_matrices=False)
        if max(self.lr_size) > LONGEST or bool((s[1:] > RANK * s[0]).any()):
            return None
        lines = (u[:, 0] * s[0], v[0])
        sides = zip(lines, self.sources, self.size, strict=True)
        return Spectrum.of(*(_matrix(line, source, n) for line, source, n in sides))

    @cached_property
    @torch.inference_mode(False)
    def _power(self) -> Tensor:
        """``|k̂|²`` on the grid of `precondition`."""
        power: Tensor = torch.fft.rfft2(_around(self.kernel, self._surrounded)).abs() ** 2
        return power

    @property
    def _surrounded(self) -> tuple[int, int]:
        """The sides of y with nothing beside them: as much as the inverse reaches, or a side."""
        height, width = (
            quick(min(2 * side, side + REACH * taps))
            for side, taps in zip(self.lr_size, self.kernel.shape, strict=True)
        )
        return height, width

    def _transfer(self, like: Tensor) -> Tensor:
        complex_ = torch.complex128 if like.dtype == torch.float64 else torch.complex64
        dtype = like.dtype if self.mirrored else complex_
        transfer: Tensor = self.transfer.to(like.device, dtype)
        return transfer

    def _convolved(self, x: Tensor, transfer: Tensor) -> Tensor:
        convolved: Tensor = torch.fft.irfft2(torch.fft.rfft2(x, self.grid) * transfer, self.grid)
        return convolved

    def _filtered(self, x: Tensor, transfer: Tensor) -> Tensor:
        """Multiply the cosines or the waves of an image."""
        if self.mirrored:
            return cosine.undone(cosine.transformed(x) * transfer)
        return self._convolved(x, transfer)

    def _continue(self, x: Tensor) -> Tensor:
        for dim, source in zip((-2, -1), self.sources, strict=True):
            inside = source >= 0
            x = x.index_select(dim, source.clamp(min=0).to(x.device))
            shape = [1, 1, -1, 1] if dim == -2 else [1, 1, 1, -1]
            x = x * inside.view(shape).to(x)
        return x

    def _fold(self, x: Tensor) -> Tensor:
        """The adjoint of `_continue`: what lies beyond is added to where it came from."""
        for dim, source, side in zip((-2, -1), self.sources, self.size, strict=True):
            inside = (source >= 0).nonzero().flatten().to(x.device)
            shape = list(x.shape)
            shape[dim] = side
            folded = x.new_zeros(shape)
            x = folded.index_add(dim, source.to(x.device)[inside], x.index_select(dim, inside))
        return x


def quick(side: int) -> int:
    """The next length that has no prime factor above 5, whose Fourier transform is quick."""
    while 30 ** side.bit_length() % side:
        side += 1
    return side


def _around(kernel: Tensor, grid: tuple[int, int]) -> Tensor:
    """A kernel on a grid whose ends meet."""
    places = (torch.arange(k, device="cpu") % n for k, n in zip(kernel.shape, grid, strict=True))
    rows, columns = torch.meshgrid(*places, indexing="ij")
    spread = torch.zeros(grid, dtype=kernel.dtype, device="cpu")
    return spread.index_put_((rows, columns), kernel, accumulate=True)


def _matrix(line: Tensor, source: Tensor, side: int) -> Tensor:
    """H of one side, ``(h, H)``: a line of a kernel over a continued side."""
    results, taps = len(source) - len(line) + 1, len(line)
    place = source.unfold(0, taps, 1)
    rows = torch.arange(results, device="cpu")[:, None].expand_as(place)
    weights = line.flip(0).expand_as(place) * (place >= 0)
    matrix = torch.zeros(results, side, dtype=line.dtype, device="cpu")
    return matrix.index_put_((rows, place.clamp(min=0)), weights, accumulate=True)


def checked(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """A kernel in float64, on the processor, whose numbers add up to 1.

    Raises:
        InputError: It is no matrix of finite numbers, adds up to nought, or is larger than the
            image.
    """
    some = isinstance(kernel, Tensor) and kernel.ndim == 2 and kernel.numel() > 0
    if not some or kernel.is_complex() or not bool(kernel.isfinite().all()):
        raise InputError("a kernel is a matrix, a tensor of finite real numbers")
    kernel = kernel.detach().cpu().double()
    if not bool(kernel.abs().sum().isfinite()):
        kernel = kernel / kernel.abs().max()
    total = float(kernel.sum())
    if abs(total) < 1e-6 * float(kernel.abs().sum()) or total == 0:
        raise InputError("the kernel's numbers add up to nought, so nothing would be left to see")
    if kernel.shape[0] > size[0] or kernel.shape[1] > size[1]:
        raise InputError(
            f"the kernel of {kernel.shape[1]}×{kernel.shape[0]} is larger than the image of "
            f"{size[1]}×{size[0]} pixels"
        )
    return kernel / total


def _continued(n: int, kernel: int, middle: int, boundary: Boundary) -> Tensor:
    """Which pixel stands at every place of a continued side; −1 for nothing."""
    if boundary == "valid":
        return torch.arange(n, device="cpu")
    place = torch.arange(middle - kernel + 1, n + middle, device="cpu")
    if boundary == "replicate":
        return place.clamp(0, n - 1)
    if boundary == "circular":
        return place.remainder(n)
    if boundary == "zero":
        return torch.where((place >= 0) & (place < n), place, -1)
    around = place.remainder(2 * n)
    return torch.where(around < n, around, 2 * n - 1 - around)


def gaussian(sigma: float) -> Tensor:
    """A Gaussian kernel of standard deviation `sigma` pixels, cut at 4 of them.

    Raises:
        InputError: σ is not a positive number, or beyond 100.
    """
    if not 0 < sigma <= 100:
        raise InputError(f"the sigma of a blur is above 0 and at most 100 pixels, not {sigma}")
    reach = max(1, math.ceil(4 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device="cpu").double() / sigma) ** 2)
    return torch.outer(line, line) / line.sum() ** 2


def box(side: int) -> Tensor:
    """A square kernel of equal numbers.

    Raises:
        InputError: A side below 1.
    """
    if side < 1:
        raise InputError(f"the side of a box must be at least 1, not {side}")
    return torch.full((side, side), 1 / side**2, dtype=torch.float64, device="cpu")


def motion(length: float, angle: float = 0.0) -> Tensor:
    """The kernel of a straight movement, as high and as wide as that.

    Args:
        length: Pixels that it covers.
        angle: Its direction in degrees, counterclockwise from the right.

    Raises:
        InputError: A length that is not from 1 to 400, or an angle that is no number.
    """
    if not 1 <= length <= 400 or not math.isfinite(angle):
        raise InputError(
            f"a movement has a length from 1 to 400 pixels and an angle in degrees, not {length} "
            f"and {angle}"
        )
    reach = math.ceil(length / 2)
    kernel = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64, device="cpu")
    along = torch.linspace(-0.5, 0.5, 8 * math.ceil(length) + 1, dtype=torch.float64, device="cpu")
    along = along * (length - 1)
    down = reach - along * math.sin(math.radians(angle))
    right = reach + along * math.cos(math.radians(angle))
    # Every point of the line is shared by the four pixels around it.
    for rows in (down.floor(), down.floor() + 1):
        for columns in (right.floor(), right.floor() + 1):
            weight = (1 - (down - rows).abs()) * (1 - (right - columns).abs())
            place = (rows.long().clamp(max=2 * reach), columns.long().clamp(max=2 * reach))
            kernel.index_put_(place, weight, accumulate=True)
    return _trimmed(kernel / kernel.sum())


def _trimmed(kernel: Tensor) -> Tensor:
    """A kernel without what is nought at both of its ends: it would see beyond the border."""
    for dim in (0, 1):
        held = (kernel.abs() > NOUGHT).any(1 - dim).nonzero().flatten()
        side = kernel.shape[dim]
        empty = min(int(held[0]), side - 1 - int(held[-1]))
        kernel = kernel.narrow(dim, empty, side - 2 * empty)
    return kernel.contiguous()
