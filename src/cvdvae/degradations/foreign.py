"""Operators of others, deepinv's `LinearPhysics` above all, where ours are expected.

Theirs have their numbers in one precision, float32 unless they were told otherwise, and take
nothing else; ours take what comes. The projection works in float64.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar, cast

import torch
from torch import Tensor

from ..errors import InputError
from .base import Products

Operator = TypeVar("Operator", bound=Products)

TRIES, SLACK = 2.5, 1e-3
"""What a trial image is multiplied by, and how far its y may then be from as many times the first.
"""
UNTOLD = "carries noise that no single σ tells: name noise=, its standard deviation in y"
OFF = {torch.float32: 1e-3, torch.float64: 1e-6}
"""How far ``⟨Hu, v⟩`` may be from ``⟨u, Hᵀv⟩``, of what it is for random u and v: a hundred times
what rounding makes of it."""


def in_precision(degradation: Operator, dtype: torch.dtype) -> Operator:
    """The same operator with its numbers in `dtype`: a module that has others is copied.

    Args:
        degradation: H; only a `torch.nn.Module` is looked into, and the steps of a `Composed`.
        dtype: float32 or float64.
    """
    if (each := getattr(degradation, "each", None)) is not None:
        return cast(Operator, each(partial(in_precision, dtype=dtype)))
    if not isinstance(degradation, torch.nn.Module):
        return degradation
    if all(one.dtype == dtype for one in _numbers_of(degradation) if one.is_floating_point()):
        return degradation
    complex_ = torch.complex128 if dtype == torch.float64 else torch.complex64

    def converted(one: Tensor) -> Tensor:
        # `Module.to` would drop the imaginary part of complex numbers.
        if one.is_complex():
            return one.to(complex_)
        return one.to(dtype) if one.is_floating_point() else one

    return cast(Operator, copy.deepcopy(degradation)._apply(converted))


def on_device(degradation: Operator, device: torch.device) -> Operator:
    """The same operator on a device; ours are wherever what they are given is.

    Args:
        degradation: H; a `torch.nn.Module` with numbers elsewhere is copied, and so are those among
            the steps of a `Composed`.
        device: Where it is to compute.
    """
    if (each := getattr(degradation, "each", None)) is not None:
        return cast(Operator, each(partial(on_device, device=device)))
    if not isinstance(degradation, torch.nn.Module):
        return degradation
    if all(one.device == device for one in _numbers_of(degradation)):
        return degradation
    return cast(Operator, copy.deepcopy(degradation).to(device))


def _numbers_of(module: torch.nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def of_one(y: Tensor, degradation: object) -> Tensor:
    """What is seen of one image, with a dimension for that: ``(C, h, w)`` has none, but what an
    operator makes of one may have three with it, as ``(1, C, M)``.

    Args:
        y: On the processor.
        degradation: H, or a description of one, which makes pictures.
    """
    if y.ndim != 3:
        return y
    if len(y) == 1 and hasattr(degradation, "A_adjoint"):
        here = on_device(cast(Products, degradation), y.device)
        try:
            x = here.A_adjoint(y)
            if x.ndim == 4 and here.A(x).shape == y.shape:
                return y
        except (InputError, RuntimeError, ValueError, IndexError, AttributeError):
            pass  # it takes a picture, or `check_linear` says what is wrong with it
    return y[None]


def check_linear(degradation: object, y: Tensor) -> None:
    """Make sure that an operator is linear, as far as a few trials can tell.

    Args:
        degradation: H.
        y: What it gives, ``(1, …)`` float32 or float64.

    Raises:
        InputError: It has no A or A_adjoint; one of them fails, gives no images, changes those that
            it is given, or does not treat each of several by itself; y has another size; what it
            does is not linear, or one is not the other's adjoint.
    """
    name = type(degradation).__name__
    if not all(callable(getattr(degradation, product, None)) for product in ("A", "A_adjoint")):
        raise InputError(f"{name} is no linear degradation: it lacks A or A_adjoint")
    linear = in_precision(cast(Products, degradation), y.dtype)
    generator = torch.Generator().manual_seed(0)

    def drawn(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, device="cpu").to(like)

    noise = drawn(y)
    with torch.no_grad():  # as it will be asked
        (x,) = _linear(linear.A_adjoint, name, noise)
        other = drawn(x)
        once, seen = _linear(linear.A, name, x, other)
    if once.shape != y.shape:
        raise InputError("y does not belong to this degradation: it has another size")
    # Both: a factor is told by ⟨Hx, v⟩ = ‖x‖² for x = Hᵀv, and a part that is missing by any u.
    slack = OFF.get(y.dtype, SLACK)
    for u, Hu, part in ((x, once, 1.0), (other, seen, y.numel() ** -0.5)):
        there, along = float((Hu * noise).sum()), float((u * x).sum())
        if not abs(there - along) <= slack * part * float(Hu.norm() * noise.norm()):
            raise InputError(
                f"A_adjoint of {name} is not the adjoint of its A: "
                f"⟨Hx, v⟩ is {there:.4g}, and ⟨x, Hᵀv⟩ is {along:.4g}"
            )


def _linear(
    product: Callable[[Tensor], object], name: str, image: Tensor, *others: Tensor
) -> Sequence[Tensor]:
    """What a product of an operator makes of images, given with `TRIES` times the first."""

    def is_multiple(more: Tensor, once: Tensor) -> bool:
        if more.shape != once.shape:
            return False
        off = float((more - TRIES * once).abs().max())
        return not off > SLACK * float(more.abs().max())  # NaN is told by what follows

    images = torch.cat((image, *others, TRIES * image))
    once, *seen = _made(product, images, name).split(1)
    more = seen.pop() if seen else once
    if is_multiple(more, once) and len(seen) == len(others):
        return once, *seen
    if is_multiple(_made(product, TRIES * image, name), _made(product, image, name)):
        raise InputError(f"{name} does not treat every image of a batch by itself, and alike")
    raise InputError(f"{name} is not linear: no prior can be met with it")


def _made(product: Callable[[Tensor], object], images: Tensor, name: str) -> Tensor:
    """What a product of an operator makes of images, which it must leave as they are."""
    kept = images.clone()
    try:
        made = product(images)
    except Exception as error:  # whatever is wrong in what others wrote
        said = str(error).split("\n", 1)[0]
        if not isinstance(error, RuntimeError | ValueError) or not said:
            said = f"{type(error).__name__}: {said}".removesuffix(": ")
        if "does not require grad" in said:
            said += " (an adjoint by autograd is computed within torch.enable_grad())"
        raise InputError(f"y does not belong to this degradation: {said}") from error
    if not isinstance(made, Tensor):
        raise InputError(f"{name} gives {type(made).__name__}, not a tensor")
    if not (made.is_floating_point() and made.ndim and made.numel()):
        raise InputError(f"{name} gives {made.dtype} of {made.ndim} dimensions, not images")
    if not (torch.equal(images, kept) or bool(kept.isnan().any())):
        raise InputError(f"{name} changes the images that it is given: let it work on a copy")
    return made


def noise_carried_by(steps: Sequence[object]) -> float:
    """σ of the normal noise that an operator of deepinv's adds to Hx; 0 where it adds none.

    Args:
        steps: Those of H; noise is added behind the last.

    Raises:
        InputError: They carry noise of which one σ does not tell.
    """
    *before, last = map(_sigma_of, steps)
    if any(before):
        raise InputError(f"a step of this degradation before its last {UNTOLD}")
    return last


def _sigma_of(step: object) -> float:
    """σ of the normal noise that one step adds.

    Raises:
        InputError: It carries other noise.
    """
    model = getattr(step, "noise_model", None)
    kinds = {kind.__name__ for kind in type(model).__mro__}
    if model is None or "ZeroNoise" in kinds:
        return 0.0
    sigma = getattr(model, "sigma", None)
    if isinstance(sigma, Tensor) and sigma.numel() == 1:
        sigma = sigma.item()
    if "GaussianNoise" not in kinds or not isinstance(sigma, int | float):
        raise InputError(f"this degradation's {type(model).__name__} {UNTOLD}")
    return float(sigma)
