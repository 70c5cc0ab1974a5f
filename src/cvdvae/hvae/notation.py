"""The notation in which networks are written.

A network is written as a comma-separated list of tokens, as for VD-VAE (Child 2021), but in strides
instead of resolutions, so that one description serves images of any size. R, S and N are integers;
the state at stride R has one position for every R×R pixels of the image:

=========  ==========================================================================
bottom-up  ``RxN``  N residual blocks at stride R
           ``RdN``  one residual block at R, then average pooling by N
top-down   ``RxN``  N blocks at R, each with a latent group
           ``RmS``  one block with a latent group that first adds the state at S, upsampled to R
           ``RrN``  N residual blocks at R without a latent
           ``RuS``  one block without a latent that first adds the state at S, upsampled to R
=========  ==========================================================================

So, for images of 8×8 pixels, ``"8x1,2u8,2r1,1u2,1r1"`` is a plain VAE with one latent group, and
``"8x1,2m8,2x2,1m2,1x4"`` is a very deep one with nine.
"""

import re
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from ..errors import ConfigError


class BottomUpSpec(NamedTuple):
    """One residual block at `stride`, followed by average pooling by `down`."""

    stride: int
    down: int

    def __str__(self) -> str:
        return f"{self.stride}{'xd'[self.down > 1]}{self.down}"


class TopDownSpec(NamedTuple):
    """One top-down block: where it works, what it first adds, whether it holds a latent group."""

    stride: int
    source: int | None
    latent: bool

    def __str__(self) -> str:
        kind = ("xm" if self.latent else "ru")[self.source is not None]
        return f"{self.stride}{kind}{self.source or 1}"


def parse_bottom_up(text: str) -> list[BottomUpSpec]:
    """Read a bottom-up block list.

    Example:
        >>> parse_bottom_up("2x1,2d2,4x1")
        [BottomUpSpec(stride=2, down=1), BottomUpSpec(stride=2, down=2), \
BottomUpSpec(stride=4, down=1)]
    """
    blocks: list[BottomUpSpec] = []
    for stride, kind, number in parse_tokens(text, "xd"):
        if kind == "x":
            blocks += [BottomUpSpec(stride, 1)] * number
        else:
            blocks.append(BottomUpSpec(stride, number))
    current = blocks[0].stride
    for block in blocks:
        if block.stride != current:
            raise ConfigError(
                f"bottom-up blocks '{text}': a block at stride {block.stride} "
                f"cannot follow stride {current}"
            )
        current *= block.down
    return blocks


def parse_top_down(text: str) -> list[TopDownSpec]:
    """Read a top-down block list.

    Example:
        >>> parse_top_down("4x1,1u4")
        [TopDownSpec(stride=4, source=None, latent=True), \
TopDownSpec(stride=1, source=4, latent=False)]
    """
    blocks: list[TopDownSpec] = []
    seen: set[int] = set()
    for stride, kind, number in parse_tokens(text, "xmru"):
        if kind in "xr":
            blocks += [TopDownSpec(stride, None, kind == "x")] * number
        else:
            if number not in seen or number % stride or number <= stride:
                raise ConfigError(
                    f"top-down blocks '{text}': stride {stride} cannot take its state from {number}"
                )
            blocks.append(TopDownSpec(stride, number, kind == "m"))
        seen.add(stride)
    if not any(block.latent for block in blocks):
        raise ConfigError(f"top-down blocks '{text}' hold no latent group")
    return blocks


def parse_pyramid(text: str, bottom_up: str) -> list[TopDownSpec]:
    """Read the blocks of a pyramid: ``RrN`` and ``RuS``, or none.

    Args:
        text: The blocks.
        bottom_up: Those of the bottom-up pass whose activations they take.

    Raises:
        ConfigError: Other blocks, or one at a stride, or from one, where there is no activation.

    Example:
        >>> parse_pyramid("4u8,4r1", "4d2,8x1")
        [TopDownSpec(stride=4, source=8, latent=False), \
TopDownSpec(stride=4, source=None, latent=False)]
    """
    blocks: list[TopDownSpec] = []
    strides = bottom_up_strides(parse_bottom_up(bottom_up))
    for stride, kind, number in parse_tokens(text, "ru") if text else []:
        sources = {number} if kind == "u" else set()
        if not {stride, *sources} <= strides or (kind == "u" and number <= stride):
            raise ConfigError(
                f"top-down blocks '{text}': {stride}{kind}{number} is at, or from, a stride "
                f"where the bottom-up pass leaves nothing"
            )
        if kind == "u":
            blocks.append(TopDownSpec(stride, number, latent=False))
        else:
            blocks += [TopDownSpec(stride, None, latent=False)] * number
    return blocks


def parse_tokens(text: str, kinds: str) -> list[tuple[int, str, int]]:
    """Read tokens: numbers from 1 with one of the letters between, or a `ConfigError`."""
    tokens = []
    for token in text.split(","):
        match = re.fullmatch(rf"\s*(\d+)([{kinds}])(\d+)\s*", token)
        if match is None or int(match[1]) < 1 or int(match[3]) < 1:
            raise ConfigError(
                f"'{token}' in '{text}' is not a block: expected a number, one of "
                f"{', '.join(kinds)}, and a number"
            )
        tokens.append((int(match[1]), match[2], int(match[3])))
    return tokens


def strides_of_resolutions(text: str, image_size: int) -> str:
    """Rewrite a block list of the published notation, which counts resolutions, in strides.

    Example:
        >>> strides_of_resolutions("1x1,4m1,4x2", image_size=8)
        '8x1,2m8,2x2'
    """

    def stride(resolution: str) -> int:
        if int(resolution) < 1 or image_size % int(resolution):
            raise ConfigError(f"resolution {resolution} does not divide {image_size} in '{text}'")
        return image_size // int(resolution)

    tokens = []
    for token in text.split(","):
        match = re.fullmatch(r"\s*(\d+)([xdmru])(\d+)\s*", token)
        if match is None:
            raise ConfigError(f"'{token}' in '{text}' is not a block")
        last = stride(match[3]) if match[2] in "mu" else match[3]
        tokens.append(f"{stride(match[1])}{match[2]}{last}")
    return ",".join(tokens)


def bottom_up_strides(blocks: list[BottomUpSpec]) -> set[int]:
    """Strides at which a bottom-up pass leaves an activation."""
    return {b.stride for b in blocks} | {b.stride * b.down for b in blocks}


def check_counted(
    bottom_up: str, groups: list[int], widths: Mapping[int, int], others: Set[int] = frozenset()
) -> None:
    """Refuse widths and bottom-up blocks that would count for nothing.

    Args:
        bottom_up: The blocks.
        groups: Strides of the latent groups that see them.
        widths: Channels at single strides.
        others: Strides that occur elsewhere in the network.

    Raises:
        ConfigError: There are such.
    """
    strides = bottom_up_strides(parse_bottom_up(bottom_up))
    odd = sorted(widths.keys() - strides - others)
    if odd:
        raise ConfigError(f"widths at strides {odd}, where there is no block")
    if max(strides) > max(groups):
        raise ConfigError(
            f"the bottom-up pass goes on to stride {max(strides)}, where no latent group sees it: "
            f"none is coarser than {max(groups)}"
        )


def check_states_seen(blocks: Sequence[TopDownSpec], seen: Set[int]) -> None:
    """Refuse top-down blocks whose state would go nowhere.

    Args:
        blocks: In their order.
        seen: Strides whose last states are seen when all blocks are done.

    Raises:
        ConfigError: There are such.
    """
    ends = {block.stride: i for i, block in enumerate(blocks)}
    for stride, end in ends.items():
        if stride not in seen | {later.source for later in blocks[end:]}:
            raise ConfigError(
                f"top-down blocks '{','.join(map(str, blocks))}': the state at stride {stride} "
                f"goes nowhere: a later block must take it, as u{stride} does"
            )
