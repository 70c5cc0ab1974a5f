"""Descriptions of models as they were written before strides, in resolutions: read, never written.

An old description counts resolutions of images of one size; the present one counts strides. The
weights are the same.
"""

from typing import Any

from ..errors import ConfigError
from ..hvae import HVAEConfig
from ..hvae.config import LREncoderConfig

OLD_PRIOR, OLD_ENCODER = {"encoder", "decoder"}, {"lr_size", "encoder"}
BIASES, UP_TO = "bias_max_resolution", 64


def upgrade_prior(model: Any) -> Any:
    """The description of a prior in strides; what is not an old one is returned as it is.

    Raises:
        ConfigError: Block lists that do not fit the size of the images, or words for numbers.
    """
    if not isinstance(model, dict) or not model.keys() >= OLD_PRIOR:
        return model
    size: Any = model.get("image_size")
    patch = model.get("patch_size", 1)
    _check_numbers(image_size=size, patch_size=patch, **{BIASES: model.get(BIASES, UP_TO)})
    made = HVAEConfig.of_resolutions(
        size,
        str(model["encoder"]),
        str(model["decoder"]),
        {},
        model.get(BIASES, UP_TO),
        width=1_000_000,
        bottleneck=1.0,
        patch_size=patch,
    )
    rest = {k: v for k, v in model.items() if k not in OLD_PRIOR | {BIASES}}
    return {
        **rest,
        "bottom_up": made.bottom_up,
        "top_down": made.top_down,
        "widths": _by_stride(model.get("widths", {}), size),
        "biases": list(made.biases),
    }


def upgrade_encoder(model: Any, image_size: int) -> Any:
    """The description of an LR encoder in strides; what is not an old one is returned as it is.

    Raises:
        ConfigError: Block lists that do not fit the size of the prior's images.
    """
    if not isinstance(model, dict) or not model.keys() >= OLD_ENCODER:
        return model
    _check_numbers(lr_size=model["lr_size"])
    made = LREncoderConfig.of_resolutions(
        image_size, model["lr_size"], str(model["encoder"]), width=1
    )
    rest = {k: v for k, v in model.items() if k not in OLD_ENCODER}
    return {
        **rest,
        "scales": list(made.scales),
        "bottom_up": made.bottom_up,
        "widths": _by_stride(model.get("widths", {}), image_size),
    }


def _by_stride(widths: Any, image_size: int) -> Any:
    if not isinstance(widths, dict) or not all(isinstance(r, int) and r > 0 for r in widths):
        return widths
    return {image_size // resolution: width for resolution, width in widths.items()}


def _check_numbers(**values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{name} must be a whole number from 1 upwards, not {value!r}")
