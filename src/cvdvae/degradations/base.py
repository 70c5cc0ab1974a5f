"""What every degradation H offers, under the names of `deepinv.physics.LinearPhysics`."""

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError


class Products(Protocol):
    """The products with a linear operator H on images; it treats every image of a batch alike."""

    def A(self, x: Tensor) -> Tensor:
        """``H x``."""

    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y``."""


class Degradation(Products, Protocol):
    """A linear operator H on images, as in deepinv; `LinearOperator` says what more it may tell."""

    def A_dagger(self, y: Tensor) -> Tensor:
        """``H⁺ y``."""


class LinearOperator(ABC):
    """A degradation of ours: what the protocol asks for, and what follows from it.

    Attributes:
        mixes_colours: Whether a value of y depends on more than one colour of x; None where that
            has to be tried out.
        colours_alike: Whether it does the same to every colour, however many there are.
        exact: Whether it is known that some image gives every y back: ``H Hᵀ`` is far from
            singular where anything is measured. Otherwise the rounding of y in a file is noise,
            too.
        pixelwise: Whether a pixel of y depends on one pixel of x alone, in some of its colours.
        loses_pixels: Whether nothing is seen of some of them.
    """

    mixes_colours: bool | None = None
    colours_alike: bool = False
    exact: bool = False
    pixelwise: bool = False
    loses_pixels: bool = False

    @abstractmethod
    def A(self, x: Tensor) -> Tensor:
        """``H x``."""

    @abstractmethod
    def A_adjoint(self, y: Tensor) -> Tensor:
        """``Hᵀ y``."""

    @abstractmethod
    def A_dagger(self, y: Tensor) -> Tensor:
        """``H⁺ y``."""

    def A_vjp(self, x: Tensor, v: Tensor) -> Tensor:
        """The gradient of ⟨v, Hx⟩ in x: ``Hᵀ v``, whatever x."""
        return self.A_adjoint(v)

    def __call__(self, x: Tensor) -> Tensor:
        """``H x``."""
        return self.A(x)

    def mean_eigenvalue(self) -> float | None:
        """``tr(H Hᵀ) / m``, m the length of y; None where it has to be probed."""
        return None


def may_mix_colours(degradation: object) -> bool:
    """Whether a degradation mixes colours, or does not say that it leaves them apart."""
    return getattr(degradation, "mixes_colours", None) is not False


def check_float(x: Tensor) -> None:
    """Refuse images whose numbers operators do not compute with: whole ones would be cut off, and
    halves have no Fourier transform everywhere.

    Raises:
        InputError: Neither float32 nor float64.
    """
    if x.dtype not in (torch.float32, torch.float64):
        raise InputError(f"images are in [0, 1], in float32 or float64, not {x.dtype}")


def check_shape(x: Tensor, *wanted: int | str) -> None:
    """Refuse images, or what else an operator takes, of another shape or dtype.

    Args:
        x: ``(N, …)``.
        wanted: What follows N; a name where any number will do.

    Raises:
        InputError: x has another shape, or is as `check_float` refuses it.
    """
    check_float(x)
    sides = zip(wanted, x.shape[1:], strict=False)
    if x.ndim != 1 + len(wanted) or any(
        not isinstance(side, str) and side != given for side, given in sides
    ):
        shape = ", ".join(map(str, ("N", *wanted)))
        kind = "images" if len(wanted) == 3 else "values"
        raise InputError(f"expected {kind} of shape ({shape}), not {tuple(x.shape)}")


def cut_as(y: Tensor, shadow: Tensor, sigma: float = 0.0) -> Tensor:
    """Hx as y could show it: where y lies in [0, 1], as in a file, it may have been cut to that.

    Without noise that was Hx itself. With noise it was what that was added to: an Hx beyond 0 or 1
    agrees with a y that lies there, and misses any other y by all of its distance.

    Args:
        y: What is seen, ``(1, …)`` or ``(N, …)``; values of one image, ``(M,)``.
        shadow: Hx, ``(N, …)``.
        sigma: Standard deviation of the noise in y.
    """
    in_range = _in_range(y)
    if not bool(in_range.any()):
        return shadow
    cut = shadow.clamp(0, 1)
    if sigma:
        beyond = (y <= 0) & (shadow < 0) | (y >= 1) & (shadow > 1)
        cut = torch.where(beyond, cut, shadow)
    return cut if bool(in_range.all()) else torch.where(in_range, cut, shadow)


def ends_of(y: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the most that an Hx may be which agrees with a noisy y, as `cut_as` has it."""
    cut = _in_range(y)
    return torch.where(cut & (y <= 0), -torch.inf, y), torch.where(cut & (y >= 1), torch.inf, y)


def _in_range(y: Tensor) -> Tensor:
    """Which y lie in [0, 1] as a whole, one bool each, to be told of all of their values."""
    inside = (y >= 0) & (y <= 1)
    inside = (inside.flatten(1) if y.ndim > 1 else inside[None]).all(1)
    return inside.view(-1, *[1] * (y.ndim - 1))


def shrink_to_8_bits(
    x: Tensor,
    degradation: Degradation,
    photons: float = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The low-resolution image as a file holds it: Hx rounded to 8 bits, float32 in [0, 1].

    It is computed in full precision also where autocasting is on: y must not depend on that.

    Args:
        x: Images in [0, 1], ``(N, C, H, W)``.
        degradation: H.
        photons: How many photons a value of 1 stands for: with P of them, Hx becomes
            ``Poisson(P · Hx) / P`` before it is rounded. 0 for no noise.
        generator: Source of that noise, on the device of x; PyTorch's global one by default.
    """
    with torch.autocast(x.device.type, enabled=False):
        y = degradation.A(x.float()).clamp(0, 1)
        if photons:
            y = (torch.poisson(photons * y, generator) / photons).clamp(max=1)
        return torch.round(y * 255) / 255
