"""Models from their folders, and results from their recipes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.devices import check_device
from ..checkpoints.folder import bundled_names, find, fingerprint_of, name_of, read_record
from ..checkpoints.loading import load_encoder, load_flow, load_restoring
from ..checkpoints.proper import read_proper
from ..checkpoints.shrinking import read_shrinking
from ..errors import InputError, WeightsError
from ..imaging.carried import Extras
from .flow import FlowResolver
from .hvae import HVAEResolver
from .networks import DTYPES
from .recipe import Dtype, Origin, Recipe, check_weights, recipe_from_dict
from .restored import Restoration, RestorationRecipe, restoration_from_dict
from .restorer import Restorer
from .result import SuperResolution
from .sampler import SuperResolver
from .saving import read_told, result_in
from .stack.restored import RestoredStackRecipe


def load_hvae(name: str, scale: int | None = None) -> HVAEResolver:
    """An LR encoder with its prior, from a folder's name; as `load`."""
    return HVAEResolver(name=name, **load_encoder(name, scale)._asdict())


def load_hcflow(name: str, scale: int | None = None) -> FlowResolver:
    """A flow, from a folder's name; as `load`."""
    flow, suits = load_flow(name)
    if scale not in (None, flow.config.scale):
        raise InputError(f"'{name}' enlarges by {flow.config.scale}, not by {scale}")
    return FlowResolver(flow, name, suits)


Loader = Callable[[str, int | None], SuperResolver]

KINDS: dict[str, Loader] = {
    "lr-encoder": load_hvae,
    "one-scale": load_hvae,
    "hcflow": load_hcflow,
}
"""What can super-resolve, by the kind that a folder's `config.yaml` names: a new one has a row
here, and its record one in `cvdvae.checkpoints.records.RECORDS`."""


def load(
    name: str | Path,
    device: str | torch.device = "cpu",
    dtype: Dtype = "fp32",
    compile: bool = False,
    scale: int | None = None,
) -> SuperResolver:
    """Load a super-resolution model.

    Args:
        name: A bundled name, a folder, or a Hub id ``user/repository``; a `Path` is a folder.
            Results hold a folder's absolute path.
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
    _check(device, dtype)
    folder, name = find(name), name_of(name)
    kind = read_record(folder).kind
    if kind not in KINDS:
        advice = "name an LR encoder on it, or take it as a prior (cvdvae.load_prior)"
        if kind == "restorer":
            advice = (
                "cvdvae restore draws with it, and evaluate, calibrate and report judge it with "
                "--degradation (in Python cvdvae.load_restorer)"
            )
        raise WeightsError(f"'{name}' is a {kind}, which alone cannot super-resolve: {advice}")
    model = KINDS[kind](name, scale)
    model.weights = fingerprint_of(folder)
    model.proper, model.shrinking = read_proper(folder), read_shrinking(folder, model.scale)
    model.to(device, DTYPES[dtype])
    return model.compile() if compile else model


def load_at_scale(models: str, scale: int, device: str | torch.device = "cpu") -> SuperResolver:
    """Load the model of a family that enlarges by `scale`.

    Args:
        models: Name, folder or Hub id, with ``{scale}`` where it stands.
        scale: The factor.
        device: Where to compute.

    Raises:
        InputError: The model has not this scale.
        WeightsError: There is no such model.
    """
    return load(models.replace("{scale}", str(scale)), device, scale=scale)


def replay(
    recipe: str | Path | Recipe, device: str | torch.device = "cpu", trust: bool = False
) -> SuperResolution | Restoration:
    """Draw a result again, from its `result.json`: of `upscale` or of `restore`.

    Args:
        recipe: Path of the file or of its folder, or what was read from it.
        device: Where to compute.
        trust: Load the model that it names also where that is a folder or on the Hub.

    Raises:
        InputError: There is no such file, it holds no recipe, it names a model that is none of the
            bundled ones, or that model has other weights by now.
        ConfigError: A setting that is unknown, or of a wrong type or value.
        WeightsError: The model that it names is unknown here.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = load("celeba64-x4").upscale(torch.full((3, 16, 16), 0.4), samples=1)
        ...     result.save(folder)
        ...     again = replay(f"{folder}/result.json")
        >>> torch.equal(again.pixels, result.pixels)
        True
    """
    if isinstance(recipe, Recipe):
        return model_of(recipe.origin, device, trust).run(recipe.y, recipe.sampling)
    path = result_in(Path(recipe))
    data = read_told(path)
    told, extras = recipe_of(data, path), extras_of(data, path)
    if isinstance(told, RestorationRecipe):
        restored = restorer_for(told, device, trust).run(told.seen, told.restoring)
        return replace(restored, extras=extras)
    result = model_of(told.origin, device, trust).run(told.y, told.sampling)
    return replace(result, extras=extras)


def recipe_of(data: dict[str, Any], path: Path) -> Recipe | RestorationRecipe:
    """What the `result.json` of a picture says of how it is drawn again.

    Args:
        data: What the file holds.
        path: Where it lies, for messages and what lies beside it.

    Raises:
        InputError: It is none, or is damaged.
        ConfigError: A setting that is unknown or of a wrong type.
    """
    if "degradation" in data and "values" not in data:
        return restoration_from_dict(data, str(path))
    return recipe_from_dict(data, str(path), path.parent, numbers=True)


def extras_of(data: dict[str, Any], path: Path) -> Extras:
    """What the `result.json` of a picture says that its pictures carry beside their colours.

    Args:
        data: What the file holds.
        path: Where it lies, for messages.

    Raises:
        InputError: It is damaged.
    """
    orientation = data.get("orientation", 1)
    if type(orientation) is not int or not 1 <= orientation <= 8:
        raise InputError(f"{path}: an orientation is a number from 1 to 8, not {orientation!r}")
    return Extras.turned(orientation)


def restorer_for(
    told: RestorationRecipe | RestoredStackRecipe,
    device: str | torch.device = "cpu",
    trust: bool = False,
) -> Restorer:
    """The model of a restoration's recipe; as `replay`."""
    _check_trust(told.model, told.weights, trust)
    return load_restorer(told.model, device, told.dtype)


def model_of(
    origin: Origin, device: str | torch.device = "cpu", trust: bool = False
) -> SuperResolver:
    """The model that a result was drawn by; as `replay`."""
    _check_trust(origin.model, origin.weights, trust)
    return load(origin.model, device, origin.dtype, scale=origin.scale)


def _check_trust(name: str, weights: str, trust: bool) -> None:
    """Refuse to load a model that a file names, or that is another by now; as `replay`."""
    if not trust and name not in bundled_names():
        raise InputError(
            f"this result names the model '{name[:200]}', which is none of the bundled ones: if "
            f"you trust it, say so with --trust-model (in Python trust=True)"
        )
    if weights:
        check_weights(name, weights, fingerprint_of(find(name)))


def _check(device: str | torch.device, dtype: Dtype) -> None:
    """Refuse what nothing can compute on, or in."""
    if dtype not in DTYPES:
        raise InputError(f"dtype must be one of {', '.join(DTYPES)}, not '{dtype}'")
    check_device(device)


def load_restorer(
    name: str | Path, device: str | torch.device = "cpu", dtype: Dtype = "fp32"
) -> Restorer:
    """Load a model that restores what any linear degradation has left.

    Args:
        name: As for `load`: of an encoder for any degradation, or of a prior, whose samples then
            need moves.
        device: As for `load`.
        dtype: As for `load`.

    Raises:
        WeightsError: Unknown, damaged, or of another kind.
        ConfigError: Its configuration does not describe a model.
        InputError: There is no such device, or dtype is something else.
    """
    _check(device, dtype)
    folder, name = find(name), name_of(name)
    parts = load_restoring(name)._asdict()
    model = Restorer(**parts, name=name, weights=fingerprint_of(folder))
    return model.to(device, DTYPES[dtype])
