"""The cosine transform in which a filter that is its own mirror image is a product.

An image that is continued by its mirror images has a Fourier transform of cosines alone, the
type-II transform of the image itself::

    X_k = Σ_n x_n cos(π (2n + 1) k / 2N)

along both sides, by one real Fourier transform of N values (Makhoul 1980, "A fast cosine transform
in one and two dimensions"): a quarter of the numbers that the continued image has.
"""

import math

import torch
from torch import Tensor


def transformed(x: Tensor) -> Tensor:
    """The type-II transform of images, float ``(…, H, W)``, in the same shape."""
    return _cosines(_cosines(x).mT).mT


def undone(waves: Tensor) -> Tensor:
    """The images ``(…, H, W)`` whose transform this is."""
    return _values(_values(waves.mT).mT)


def transfer(kernel: Tensor, size: tuple[int, int]) -> Tensor:
    """What a filter does to every cosine, ``(H, W)``.

    Args:
        kernel: Its own mirror image in both directions, of odd sides, ``(h, w)``.
        size: Height and width of the images.
    """
    rows, columns = (_samples(k, n).to(kernel) for k, n in zip(kernel.shape, size, strict=True))
    return rows @ kernel @ columns.T


def _samples(taps: int, n: int) -> Tensor:
    """``cos(π k q / N)`` of every frequency k and place q of a kernel, ``(N, taps)``."""
    place = torch.arange(taps, device="cpu") - taps // 2
    turns = torch.outer(torch.arange(n, device="cpu"), place) % (2 * n)  # whole ones are exact
    return torch.cos(math.pi / n * turns.double())


def _turns(n: int, like: Tensor) -> Tensor:
    """``exp(−iπ k / 2N)`` of the frequencies that a real Fourier transform of N values has."""
    angle = torch.arange(n // 2 + 1, dtype=torch.float64, device="cpu") * (-math.pi / (2 * n))
    turns = torch.polar(torch.ones_like(angle), angle)
    return turns.to(
        like.device, torch.complex128 if like.dtype == torch.float64 else torch.complex64
    )


def _cosines(x: Tensor) -> Tensor:
    """The transform of the rows of x."""
    n = x.shape[-1]
    order = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1)
    waves = torch.fft.rfft(order) * _turns(n, x)
    return torch.cat([waves.real, -waves.imag[..., 1 : (n + 1) // 2].flip(-1)], -1)


def _values(waves: Tensor) -> Tensor:
    """The rows whose transform this is."""
    n, half = waves.shape[-1], waves.shape[-1] // 2 + 1
    imaginary = torch.nn.functional.pad(waves[..., 1:].flip(-1), (1, 0))[..., :half]
    whole = torch.complex(waves[..., :half].contiguous(), -imaginary) * _turns(n, waves).conj()
    order, x = torch.fft.irfft(whole, n=n), torch.empty_like(waves)
    middle = (n + 1) // 2
    x[..., ::2], x[..., 1::2] = order[..., :middle], order[..., middle:].flip(-1)
    return x
