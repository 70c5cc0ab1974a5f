"""Models from their folders, and results from their recipes."""

from pathlib import Path
from typing import Literal

import torch

from ..checkpoints.folder import find, load_encoder, load_flow, read_record
from ..checkpoints.records import FlowRecord
from ..errors import InputError
from .flow import FlowResolver
from .hvae import HVAEResolver
from .recipe import Recipe, read_recipe
from .result import SuperResolution
from .sampler import SuperResolver

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load(
    name: str,
    device: str | torch.device = "cpu",
    dtype: Literal["fp32", "bf16"] = "fp32",
    compile: bool = False,
    scale: int | None = None,
) -> SuperResolver:
    """Load a super-resolution model.

    Args:
        name: A bundled name, a folder, or a Hub id ``user/repository``.
        device: Where to compute.
        dtype: What the networks compute in. bf16 is faster where the machine has it (AVX-512 with
            bf16, AMX, recent GPUs), and its samples differ slightly.
        compile: As `HVAEResolver.compile`.
        scale: The factor to enlarge by; needed only where the model has several.

    Raises:
        WeightsError: Unknown (the message lists the bundled ones), damaged, or of another kind.
        ConfigError: Its configuration does not describe a model.
        InputError: There is no such device, dtype is something else, the model does not enlarge by
            `scale`, or a flow is to be compiled or to compute in bf16.
    """
    if dtype not in DTYPES:
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, not '{dtype}'")
    if isinstance(read_record(find(name)), FlowRecord):
        if compile:
            raise InputError(f"the flow {name} cannot be compiled")
        flow, suits = load_flow(name)
        if scale not in (None, flow.config.scale):
            raise InputError(f"'{name}' enlarges by {flow.config.scale}, not by {scale}")
        return FlowResolver(flow, name, suits).to(device, DTYPES[dtype])
    model = HVAEResolver(name=name, **load_encoder(name, scale)._asdict())
    model.to(device, DTYPES[dtype])
    return model.compile() if compile else model


def load_at_scale(models: str, scale: int, device: str | torch.device = "cpu") -> SuperResolver:
    """Load the model of a family that enlarges by `scale`.

    Args:
        models: Name, folder or Hub id, with ``{scale}`` where it stands.
        scale: The factor.
        device: Where to compute.

    Raises:
        InputError: The model has another scale.
        WeightsError: There is no such model.
    """
    model = load(models.replace("{scale}", str(scale)), device)
    if model.scale != scale:
        raise InputError(f"the model {model.name} enlarges by {model.scale}, not by {scale}")
    return model


def replay(recipe: str | Path | Recipe, device: str | torch.device = "cpu") -> SuperResolution:
    """Draw a result again, from its `result.json`.

    Args:
        recipe: Path of the file, or what was read from it.
        device: Where to compute.

    Raises:
        InputError: There is no such file, or it holds no recipe.
        WeightsError: The model that it names is unknown here.

    Example:
        >>> cvdvae.replay("out/result.json").save("again/")  # doctest: +SKIP
    """
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(recipe)
    return load(recipe.model, device).run(recipe.y, recipe.sampling)
