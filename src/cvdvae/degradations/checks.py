"""Whether images and what was made of them belong to a degradation."""

from typing import cast

from torch import Tensor

from ..errors import InputError
from .base import Degradation, check_float
from .tiles import is_separable


def check_images(x: Tensor, y: Tensor, degradation: Degradation) -> None:
    """Refuse images, or their y, that a degradation does not take.

    Args:
        x: Images, ``(N, C, H, W)``.
        y: Low-resolution images, ``(N or 1, c, h, w)``.
        degradation: H, in float64.

    Raises:
        InputError: A value is not finite, x and y do not belong to H, or H takes no float64.
    """
    for given in (x, y):
        check_float(given)
    if x.ndim != 4 or y.ndim != 4 or len(y) not in (1, len(x)):
        raise InputError(
            f"images are (N, C, H, W), and as many or one of low resolution: "
            f"not {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if not (bool(x.isfinite().all()) and bool(y.isfinite().all())):
        raise InputError("an image to project, or its y, has values that are not finite")
    try:
        shadow = _shape_of(degradation, x)
    except InputError:
        raise
    except Exception as error:  # an operator of others says it in its own way
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"this degradation does not take these images in float64: {reason}"
        ) from None
    if shadow[1:] != y.shape[1:]:
        raise InputError(
            f"this degradation makes {tuple(shadow[1:])} of these images, not {tuple(y.shape[1:])}"
        )


def _shape_of(degradation: Degradation, x: Tensor) -> tuple[int, ...]:
    """That of what H makes of an image, by its matrices where it has some, else by trying."""
    sides = cast(object, degradation)
    if is_separable(sides) and x.shape[2:] == (sides.rows.shape[1], sides.columns.shape[1]):
        return 1, x.shape[1], sides.rows.shape[0], sides.columns.shape[0]
    return tuple(degradation.A(x[:1].double()).shape)
