"""Checkpoints of other repositories as model folders of ours. Nothing else imports this room.

========================  =====================================================================
openai/vdvae              ``*-model-ema.th``: the state dict of a VD-VAE
jprost76/srvdvae          ``*.ckpt``: a Lightning checkpoint; its ``cvae.*`` is a VD-VAE with an
                          LR encoder (``encoder_y``, ``dec_blocks.*.enc_y``)
JingyunLiang/HCFlow       ``SR_*_HCFlow*.pth``: the state dict of an HCFlow
========================  =====================================================================

They are read with ``weights_only=True``: a pickle that holds code is refused and does not run.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, OutputError, WeightsError
from ..files import temporary_folder
from ..hcflow import HCFlow, HCFlowConfig
from ..hcflow.presets import PRESETS as FLOW_PRESETS
from ..hvae import HVAE, HVAEConfig
from ..hvae.config import LREncoderConfig
from ..hvae.lr_encoder import LREncoder
from ..hvae.notation import parse_bottom_up, strides_of_resolutions
from ..hvae.presets import PRESETS
from .bounds import MAX_SIZE, check_description
from .folder import PRIOR_SUBFOLDER, save_model
from .pickled import read_checkpoint
from .records import FlowRecord, PriorRecord, SuperResolutionRecord
from .weights import FLOATS, digest, is_plain

FLAG = ".initialized"
"""End of the names of actnorm's flags."""

LISTED = 20
"""How many names of wrong tensors a message holds at most."""


def import_checkpoint(checkpoint: str | Path, preset: str, out: str | Path) -> str:
    """Convert a released checkpoint to a model folder.

    Args:
        checkpoint: The file: a prior of openai/vdvae, an LR encoder of jprost76/srvdvae, or a flow
            of JingyunLiang/HCFlow.
        preset: Size of the prior or of the flow.
        out: Folder to make; it is made whole or not at all.

    Returns:
        What the folder now holds: ``prior``, ``lr-encoder`` or ``hcflow``.

    Raises:
        ConfigError: There is no such preset.
        WeightsError: The file is damaged, holds code, or has other tensors than the preset.
        OutputError: The folder exists already or cannot be written.
    """
    known = [*PRESETS, *FLOW_PRESETS]
    if preset not in known:
        raise ConfigError(f"unknown preset '{preset}': choose one of {', '.join(known)}")
    checkpoint, out = Path(checkpoint), Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"{out} already holds something: choose a new folder")
    loaded = read_checkpoint(checkpoint)
    convert = _convert_encoder if "state_dict" in loaded else _convert_prior
    if preset in FLOW_PRESETS:
        convert = _convert_flow
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(out.parent) as temporary:
            folder = temporary / "model"
            folder.mkdir()
            kind = convert(checkpoint, loaded, preset, folder)
            folder.replace(out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from None
    return kind


def _convert_prior(path: Path, loaded: dict[str, Any], preset: str, folder: Path) -> str:
    config = PRESETS[preset]
    weights = {name.removeprefix("module."): value for name, value in loaded.items()}
    names = vdvae_names(config)
    _check(path, preset, weights, names, _shapes(lambda: HVAE(config)))
    save_model(folder, PriorRecord("prior", config), {o: weights[t] for o, t in names.items()})
    return "prior"


def _convert_encoder(path: Path, loaded: dict[str, Any], preset: str, folder: Path) -> str:
    prior = PRESETS[preset]
    weights = {
        name.removeprefix("cvae."): value
        for name, value in loaded["state_dict"].items()
        if name.startswith("cvae.")
    }
    try:
        config = _encoder_config(path, prior, loaded.get("hyper_parameters"), weights)
        names_y = srvdvae_names(config, prior)
    except ConfigError as error:
        raise WeightsError(f"{path}: {error}") from None
    _check_normalization(path, preset, weights)
    names = vdvae_names(prior)
    shapes = _shapes(lambda: HVAE(prior))
    shapes_y = _shapes(lambda: LREncoder(config, prior))
    both = names | {f"y:{o}": t for o, t in names_y.items()}
    _check(path, preset, weights, both, shapes | {f"y:{o}": s for o, s in shapes_y.items()})
    inner = folder / PRIOR_SUBFOLDER
    save_model(inner, PriorRecord("prior", prior), {o: weights[t] for o, t in names.items()})
    record = SuperResolutionRecord("lr-encoder", PRIOR_SUBFOLDER, digest(inner), config)
    save_model(folder, record, {o: weights[t] for o, t in names_y.items()})
    return "lr-encoder"


def _convert_flow(path: Path, loaded: dict[str, Any], preset: str, folder: Path) -> str:
    config = FLOW_PRESETS[preset]
    weights = {name.removeprefix("module."): value for name, value in loaded.items()}
    names, shapes = hcflow_names(config), _shapes(lambda: HCFlow(config))
    _check(path, preset, weights, names, shapes)
    flags = {name: torch.tensor(True) for name in shapes if name.endswith(FLAG)}
    save_model(
        folder, FlowRecord("hcflow", config), {o: weights[t] for o, t in names.items()} | flags
    )
    return "hcflow"


def vdvae_names(config: HVAEConfig) -> dict[str, str]:
    """Our name of every tensor of a prior → its name in openai/vdvae."""
    resolutions = [int(n.rsplit(".", 1)[1]) for n in _shapes(lambda: HVAE(config))
                   if n.startswith("top_down.biases.")]  # fmt: skip
    places = {str(r): i for i, r in enumerate(sorted(resolutions))}
    patterns: list[tuple[str, Callable[[re.Match[str]], str]]] = [
        (r"bottom_up\.in_conv\.(\w+)", lambda m: f"encoder.in_conv.{m[1]}"),
        (
            r"bottom_up\.blocks\.(\d+)\.conv(\d)\.(\w+)",
            lambda m: f"encoder.enc_blocks.{m[1]}.c{m[2]}.{m[3]}",
        ),
        (
            r"top_down\.blocks\.(\d+)\.posterior\.conv(\d)\.(\w+)",
            lambda m: f"decoder.dec_blocks.{m[1]}.enc.c{m[2]}.{m[3]}",
        ),
        (
            r"top_down\.blocks\.(\d+)\.(prior|resnet)\.conv(\d)\.(\w+)",
            lambda m: f"decoder.dec_blocks.{m[1]}.{m[2]}.c{m[3]}.{m[4]}",
        ),
        (
            r"top_down\.blocks\.(\d+)\.z_proj\.(\w+)",
            lambda m: f"decoder.dec_blocks.{m[1]}.z_proj.{m[2]}",
        ),
        (r"top_down\.biases\.(\d+)", lambda m: f"decoder.bias_xs.{places[m[1]]}"),
        (r"(gain|bias)", lambda m: f"decoder.{m[1]}"),
        (r"out_conv\.(\w+)", lambda m: f"decoder.out_net.out_conv.{m[1]}"),
    ]
    return {name: _translate(name, patterns) for name in _shapes(lambda: HVAE(config))}


def srvdvae_names(config: LREncoderConfig, prior: HVAEConfig) -> dict[str, str]:
    """Our name of every tensor of an LR encoder → its name in jprost76/srvdvae."""
    patterns: list[tuple[str, Callable[[re.Match[str]], str]]] = [
        (r"bottom_up\.in_conv\.(\w+)", lambda m: f"encoder_y.in_conv.{m[1]}"),
        (
            r"bottom_up\.blocks\.(\d+)\.conv(\d)\.(\w+)",
            lambda m: f"encoder_y.enc_blocks.{m[1]}.c{m[2]}.{m[3]}",
        ),
        (
            r"heads\.(\d+)\.conv(\d)\.(\w+)",
            lambda m: f"decoder.dec_blocks.{m[1]}.enc_y.c{m[2]}.{m[3]}",
        ),
    ]
    return {name: _translate(name, patterns) for name in _shapes(lambda: LREncoder(config, prior))}


def hcflow_names(config: HCFlowConfig) -> dict[str, str]:
    """Our name of every tensor of a flow → its name in JingyunLiang/HCFlow.

    Left out are the flags of actnorm, which the published weights do not hold.
    """
    step = {
        "actnorm.shift": "actnorm.bias",
        "actnorm.log_scale": "actnorm.logs",
        "permutation.weight": "permute.weight",
        "coupling.network.first.conv.weight": "affine.f.conv1.weight",
        "coupling.network.first.actnorm.shift": "affine.f.conv1.actnorm.bias",
        "coupling.network.first.actnorm.log_scale": "affine.f.conv1.actnorm.logs",
        "coupling.network.second.conv.weight": "affine.f.conv2.weight",
        "coupling.network.second.actnorm.shift": "affine.f.conv2.actnorm.bias",
        "coupling.network.second.actnorm.log_scale": "affine.f.conv2.actnorm.logs",
        "coupling.network.last.conv.weight": "affine.f.conv3.weight",
        "coupling.network.last.conv.bias": "affine.f.conv3.bias",
        "coupling.network.last.log_scale": "affine.f.conv3.logs",
    }

    def layer(level: str, k: str) -> int:
        # A level is a squeeze, its steps, and a split.
        return int(level) * (config.steps + 2) + 1 + int(k)

    patterns: list[tuple[str, Callable[[re.Match[str]], str]]] = [
        (
            r"levels\.(\d+)\.steps\.(\d+)\.(.+)",
            lambda m: f"flow.layers.{layer(m[1], m[2])}.{step[m[3]]}",
        ),
        (
            r"levels\.(\d+)\.detail\.steps\.(\d+)\.(.+)",
            lambda m: f"flow.level{m[1]}_condFlow.additional_flow_steps.{m[2]}.{step[m[3]]}",
        ),
        (
            r"levels\.(\d+)\.features\.trunk(\d)\.(\d+)\.blocks\.(\d)\.convs\.(\d)\.(\w+)",
            lambda m: (
                f"flow.level{m[1]}_condFlow.RRDB_trunk{m[2]}.{m[3]}."
                f"RDB{int(m[4]) + 1}.conv{int(m[5]) + 1}.{m[6]}"
            ),
        ),
        (
            r"levels\.(\d+)\.features\.first\.(\w+)",
            lambda m: f"flow.level{m[1]}_condFlow.conv_first.{m[2]}",
        ),
        (
            r"levels\.(\d+)\.features\.last\.(\w+)",
            lambda m: f"flow.level{m[1]}_condFlow.trunk_conv1.{m[2]}",
        ),
        (
            r"levels\.(\d+)\.detail\.base\.conv\.(\w+)",
            lambda m: f"flow.level{m[1]}_condFlow.f.{m[2]}",
        ),
        (
            r"levels\.(\d+)\.detail\.base\.log_scale",
            lambda m: f"flow.level{m[1]}_condFlow.f.logs",
        ),
    ]
    names = (n for n in _shapes(lambda: HCFlow(config)) if not n.endswith(FLAG))
    return {name: _translate(name, patterns) for name in names}


def _translate(name: str, patterns: list[tuple[str, Callable[[re.Match[str]], str]]]) -> str:
    for pattern, translation in patterns:
        match = re.fullmatch(pattern, name)
        if match:
            return translation(match)
    raise AssertionError(f"{name} has no name in the published code")


def _shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(t.shape) for name, t in build().state_dict().items()}


def _encoder_config(
    path: Path, prior: HVAEConfig, settings: object, weights: Mapping[str, object]
) -> LREncoderConfig:
    """The architecture, from the settings that Lightning saved and the shapes of the weights."""
    wanted = ("enc_blocks_y", "ky", "image_size_y")
    if not isinstance(settings, dict) or any(key not in settings for key in wanted):
        raise WeightsError(f"{path} lacks the settings {', '.join(wanted)} of its LR encoder")
    blocks, groups, lr_size = (settings[key] for key in wanted)
    whole = all(isinstance(n, int) and 0 <= n <= MAX_SIZE for n in (groups, lr_size))
    if not (isinstance(blocks, str) and whole):
        raise WeightsError(f"{path}: the settings {', '.join(wanted)} are of another kind or size")
    check_description({"bottom_up": blocks})
    first = weights.get("encoder_y.in_conv.weight")
    if not isinstance(first, Tensor) or first.ndim != 4:
        raise WeightsError(f"{path} holds no LR encoder (encoder_y)")
    widths: dict[int, int] = {}
    strides = strides_of_resolutions(blocks, prior.image_size)
    for i, spec in enumerate(parse_bottom_up(strides)):
        conv = weights.get(f"encoder_y.enc_blocks.{i}.c1.weight")
        if isinstance(conv, Tensor) and conv.ndim == 4:
            widths[prior.image_size // spec.stride] = conv.shape[1]
    width = first.shape[0]
    return LREncoderConfig.of_resolutions(
        prior.image_size,
        lr_size,
        blocks,
        width=width,
        widths={r: w for r, w in widths.items() if w != width},
        groups=groups,
        bottleneck=0.25,
        head_width=0.25,
        relative=False,
        activation="gelu",
    )


def _check_normalization(path: Path, preset: str, weights: dict[str, Any]) -> None:
    """The buffers of ``(255 x + shift) · scale`` must say what the preset says; take them out."""
    shift, scale = weights.pop("shift", None), weights.pop("scale", None)
    if not all(is_plain(t) and t.numel() == 1 and bool(t) for t in (shift, scale)):
        raise WeightsError(f"{path} lacks cvae.shift and cvae.scale, of one number each")
    config = PRESETS[preset]
    mean, std = -float(shift) / 255, 1 / (255 * float(scale))
    off = (abs(mean - config.input_mean), abs(std - config.input_std))
    if not all(one <= 1e-4 for one in off):  # NaN is no less
        raise WeightsError(
            f"{path} normalizes its input by {mean:.4f} and {std:.4f}, not by "
            f"{config.input_mean:.4f} and {config.input_std:.4f} as the preset {preset} does"
        )


def _check(
    path: Path,
    preset: str,
    weights: Mapping[str, object],
    names: dict[str, str],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    """Refuse a file whose tensors are not exactly those of the model."""
    expected = {theirs: shapes[ours] for ours, theirs in names.items()}
    plain = {k: v for k, v in weights.items() if is_plain(v)}
    found = {k: tuple(plain[k].shape) if k in plain else None for k in weights}
    used = {k: plain[k] for k in expected.keys() & plain.keys()}
    faults = {
        "missing": sorted(expected.keys() - found.keys()),
        "extra": sorted(found.keys() - expected.keys()),
        "misshapen": sorted(k for k in expected.keys() & found.keys() if expected[k] != found[k]),
        "no numbers": sorted(
            k for k, v in used.items() if v.dtype not in FLOATS or not bool(v.isfinite().all())
        ),
    }
    said = "; ".join(f"{kind}: {_some(names)}" for kind, names in faults.items() if names)
    if said:
        raise WeightsError(f"{path} does not hold a model of preset {preset}: {said}")


def _some(names: list[str]) -> str:
    rest = f", … ({len(names)} in all)" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + rest
