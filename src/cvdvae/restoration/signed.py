"""Models from folders, whose results say which weights in which dtype they were drawn with."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from .flow import FlowResolver
from .hvae import HVAEResolver
from .recipe import Dtype
from .result import SuperResolution
from .sampler import SuperResolver

DTYPES: dict[Dtype, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Signed(SuperResolver):
    """A model that came from a folder.

    Attributes:
        weights: Its fingerprint.
    """

    weights = ""

    def stream(self, *arguments: Any, **options: Any) -> Iterator[SuperResolution]:
        """As every model's, signed."""
        dtype = next(name for name, dtype in DTYPES.items() if dtype == self.dtype)
        for result in super().stream(*arguments, **options):
            yield replace(result, weights=self.weights, dtype=dtype)


class SignedHVAE(Signed, HVAEResolver):
    """A prior with an LR encoder."""


class SignedFlow(Signed, FlowResolver):
    """A conditional flow."""
