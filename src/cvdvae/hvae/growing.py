"""A deeper network that begins as the function that a trained one is, or a lighter one that keeps
what it has of it.

Where the description holds the trained one's blocks, stride by stride and in their order, the
blocks that it has beside them start as the identity: the last convolution of a residual block is
zero, a new latent group has ``r = 0``, ``W = 0`` and ``p(z_l | z_<l) = N(0, I)``, and a new head of
an LR encoder says ``q_ψ = p``. (As function-preserving growth in Net2Net, Chen et al. 2016.) Where
the trained one holds its blocks, the others are left out: of residual blocks, whose sum goes on
without them, enough is left that hours of training are kept (Veit et al. 2016, "Residual networks
behave like ensembles of relatively shallow networks").
"""

import math
from collections.abc import Hashable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .config import HVAEConfig
from .lr_encoder import LREncoder
from .model import HVAE
from .notation import parse_bottom_up, parse_pyramid, parse_top_down

FIRST = "bottom_up.in_conv"
"""What an encoder's input meets first."""


def alignment(trained: Sequence[Hashable], new: Sequence[Hashable]) -> list[int | None]:
    """Which block of a trained network each one of the new one continues; None for a new one.

    Blocks are told apart by their descriptions alone, and keep their order: of several alike the
    first go on.

    Raises:
        ConfigError: Neither network holds the blocks of the other, in order.

    Example:
        >>> alignment("aab", "aaabc"), alignment("aaabc", "aab")
        ([0, 1, None, 2, None], [0, 1, 3])
    """
    if (kept := _places(new, trained)) is not None:
        return list(kept)
    grown = _places(trained, new)
    if grown is None:
        raise ConfigError(
            f"a network either grows by blocks or loses some, and keeps their order: "
            f"{' '.join(map(str, trained))} becomes {' '.join(map(str, new))}"
        )
    return [grown.index(place) if place in grown else None for place in range(len(new))]


def _places(few: Sequence[Hashable], many: Sequence[Hashable]) -> list[int] | None:
    """Where the few are among the many, each at the first place behind the one before; None where
    they are not there in their order."""
    places = list[int]()
    for place, one in enumerate(many):
        if len(places) < len(few) and few[len(places)] == one:
            places.append(place)
    return places if len(places) == len(few) else None


def grow_prior(new: HVAE, trained: HVAE) -> None:
    """Start a prior from one with fewer blocks or more, in place; new latent groups do not show in
    the image.

    Raises:
        ConfigError: Neither is contained in the other.
    """
    ours, theirs = new.config, trained.config
    blocks = alignment(parse_bottom_up(theirs.bottom_up), parse_bottom_up(ours.bottom_up))
    described = parse_top_down(ours.top_down)
    top_down = alignment(parse_top_down(theirs.top_down), described)
    for block, old in zip(described, top_down, strict=True):
        if old is None and block.source is not None:
            raise ConfigError(
                f"a new block that adds the state of stride {block.source} is no identity: {block}"
            )
    lists = {"bottom_up.blocks": blocks, "top_down.blocks": top_down}
    _grow(new, trained.state_dict(), lists)


def grow_encoder(
    new: LREncoder, trained: LREncoder, new_prior: HVAEConfig, its_prior: HVAEConfig
) -> None:
    """Start an LR encoder from one with fewer blocks or more, on a prior of fewer or more.

    It may be told more than the trained one (`conditions`), and keep the size where that enlarges,
    or have one scale where that has several.

    Raises:
        ConfigError: One of them is not contained in the other, or a head is new in a group that is
            not, and not relative to the prior: it could not say q_ψ = p.
    """
    configs = (trained.config, new.config)
    blocks = alignment(*(parse_bottom_up(one.bottom_up) for one in configs))
    back = alignment(*(parse_pyramid(one.top_down, one.bottom_up) for one in configs))
    theirs, ours = (
        [block for block in parse_top_down(prior.top_down) if block.latent]
        for prior in (its_prior, new_prior)
    )
    heads = alignment(theirs[: trained.groups], ours[: new.groups])
    old = (group is not None for group in alignment(theirs, ours))
    if not new.config.relative and any(g is None and o for g, o in zip(heads, old, strict=False)):
        raise ConfigError(
            "a new head in a group that the prior before has begins as the prior only where heads "
            "are relative: leave groups as they are"
        )
    state = trained.state_dict() | _first(new, trained)
    _grow(new, state, {"bottom_up.blocks": blocks, "top_down.blocks": back, "heads": heads})


def _first(new: LREncoder, trained: LREncoder) -> dict[str, Tensor]:
    """The trained encoder's first layer for the new one's input.

    All that is new there counts for nothing. The factor s, which an encoder of several is told as a
    constant log₂ s, goes into the bias of one that has no other: the same, but at the border.
    """
    kernel, like = trained.bottom_up.in_conv.weight, new.bottom_up.in_conv.weight
    bias = trained.bottom_up.in_conv.bias
    assert bias is not None
    ours, theirs = new.config, trained.config
    if len(ours.scales) == 1 < len(theirs.scales):
        bias = bias + math.log2(ours.scales[0]) * kernel[:, -1].sum((1, 2))
        kernel = kernel[:, :-1]
    more = like.shape[1] - kernel.shape[1]
    if ours.scales == (1,) and ours.patch_size == theirs.patch_size and not theirs.conditions:
        kernel = F.pad(kernel, (0, 0, 0, 0, 0, max(0, more)))
    return {f"{FIRST}.weight": kernel, f"{FIRST}.bias": bias}


def _grow(
    network: nn.Module, trained: dict[str, Tensor], lists: dict[str, list[int | None]]
) -> None:
    """Copy the weights of all that both have, and make new blocks the identity."""
    names = {
        f"{name}.{old}.": f"{name}.{index}."
        for name, aligned in lists.items()
        for index, old in enumerate(aligned)
        if old is not None
    }
    state = {}
    for name, value in trained.items():
        of = next((old for old in names if name.startswith(old)), "")
        if of or not name.startswith(tuple(f"{one}." for one in lists)):  # else it is left out
            state[names.get(of, "") + name.removeprefix(of)] = value
    target = network.state_dict()
    new = tuple(
        f"{name}.{index}."
        for name, aligned in lists.items()
        for index, old in enumerate(aligned)
        if old is None
    )
    wrong = [k for k, v in state.items() if k not in target or target[k].shape != v.shape]
    wrong += [k for k in target if k not in state and not k.startswith(new)]
    if wrong:
        raise ConfigError(
            f"a network grows or shrinks by blocks alone, and {sorted(wrong)[0]} has another shape "
            f"or is on one side only"
        )
    network.load_state_dict(state, strict=False)
    for name in new:
        block: Any = network.get_submodule(name.removesuffix("."))
        block.make_identity()
