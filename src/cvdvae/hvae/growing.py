"""A deeper network that begins as the function that a trained one is.

Its description must hold the trained one's blocks, stride by stride and in their order; the blocks
that it has beside them start as the identity: the last convolution of a residual block is zero, a
new latent group has ``r = 0``, ``W = 0`` and ``p(z_l | z_<l) = N(0, I)``, and a new head of an LR
encoder says ``q_ψ = p``. (As function-preserving growth in Net2Net, Chen et al. 2016.) So hours of
training are kept when a model gets more layers.
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


def alignment(small: Sequence[Hashable], large: Sequence[Hashable]) -> list[int | None]:
    """Which block of the small network each one of the large one continues; None for a new one.

    Blocks are told apart by their descriptions alone, and keep their order.

    Raises:
        ConfigError: The blocks of the small network are not among those of the large one, in order.

    Example:
        >>> alignment("aab", "aaabc")
        [0, 1, None, 2, None]
    """
    found = list[int | None]()
    for block in large:
        next_one = sum(index is not None for index in found)
        continues = next_one < len(small) and small[next_one] == block
        found.append(next_one if continues else None)
    missing = small[sum(index is not None for index in found) :]
    if missing:
        raise ConfigError(
            f"a network cannot grow by losing blocks, or by another order: {missing[0]} is missing"
        )
    return found


def grow_prior(large: HVAE, small: HVAE) -> None:
    """Start a prior as a smaller one, in place; new latent groups do not show in the image.

    Raises:
        ConfigError: The smaller one is not contained in it.
    """
    ours, theirs = large.config, small.config
    blocks = alignment(parse_bottom_up(theirs.bottom_up), parse_bottom_up(ours.bottom_up))
    described = parse_top_down(ours.top_down)
    top_down = alignment(parse_top_down(theirs.top_down), described)
    for block, old in zip(described, top_down, strict=True):
        if old is None and block.source is not None:
            raise ConfigError(
                f"a new block that adds the state of stride {block.source} is no identity: {block}"
            )
    lists = {"bottom_up.blocks": blocks, "top_down.blocks": top_down}
    _grow(large, small.state_dict(), lists)


def grow_encoder(
    large: LREncoder, small: LREncoder, large_prior: HVAEConfig, small_prior: HVAEConfig
) -> None:
    """Start an LR encoder as a smaller one on a smaller prior, in place.

    It may be told more than the smaller one (`conditions`), and keep the size where that enlarges,
    or have one scale where that has several.

    Raises:
        ConfigError: The smaller ones are not contained in the larger ones, or a head is new in a
            group that is not, and not relative to the prior: it could not say q_ψ = p.
    """
    blocks = alignment(
        parse_bottom_up(small.config.bottom_up), parse_bottom_up(large.config.bottom_up)
    )
    configs = (small.config, large.config)
    back = alignment(*(parse_pyramid(one.top_down, one.bottom_up) for one in configs))
    theirs, ours = (
        [block for block in parse_top_down(prior.top_down) if block.latent]
        for prior in (small_prior, large_prior)
    )
    heads = alignment(theirs[: small.groups], ours[: large.groups])
    old = (group is not None for group in alignment(theirs, ours))
    if not large.config.relative and any(g is None and o for g, o in zip(heads, old, strict=False)):
        raise ConfigError(
            "a new head in a group that the smaller prior has begins as the prior only where heads "
            "are relative: leave groups as they are"
        )
    state = small.state_dict() | _first(large, small)
    _grow(large, state, {"bottom_up.blocks": blocks, "top_down.blocks": back, "heads": heads})


def _first(large: LREncoder, small: LREncoder) -> dict[str, Tensor]:
    """The small encoder's first layer for the large one's input.

    All that is new there counts for nothing. The factor s, which an encoder of several is told as a
    constant log₂ s, goes into the bias of one that has no other: the same, but at the border.
    """
    kernel, like = small.bottom_up.in_conv.weight, large.bottom_up.in_conv.weight
    bias = small.bottom_up.in_conv.bias
    assert bias is not None
    ours, theirs = large.config, small.config
    if len(ours.scales) == 1 < len(theirs.scales):
        bias = bias + math.log2(ours.scales[0]) * kernel[:, -1].sum((1, 2))
        kernel = kernel[:, :-1]
    new = like.shape[1] - kernel.shape[1]
    if ours.scales == (1,) and ours.patch_size == theirs.patch_size and not theirs.conditions:
        kernel = F.pad(kernel, (0, 0, 0, 0, 0, max(0, new)))
    return {f"{FIRST}.weight": kernel, f"{FIRST}.bias": bias}


def _grow(large: nn.Module, small: dict[str, Tensor], lists: dict[str, list[int | None]]) -> None:
    """Copy the weights of all that both have, and make new blocks the identity."""
    names = {
        f"{name}.{old}.": f"{name}.{new}."
        for name, aligned in lists.items()
        for new, old in enumerate(aligned)
        if old is not None
    }
    state = {}
    for name, value in small.items():
        of = next((old for old in names if name.startswith(old)), "")
        state[names.get(of, "") + name.removeprefix(of)] = value
    target = large.state_dict()
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
            f"a network grows by blocks alone, and {sorted(wrong)[0]} has another shape "
            f"or is on one side only"
        )
    large.load_state_dict(state, strict=False)
    for name in new:
        block: Any = large.get_submodule(name.removesuffix("."))
        block.make_identity()
