"""CVD-VAE: every plausible high-resolution image behind a low-resolution one.

Example:
    >>> import cvdvae
    >>> model = cvdvae.load("celeba64-x8")                     # doctest: +SKIP
    >>> result = model.upscale(y, samples=8, temperature=0.8)  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import CVDVAEError
    from .recipe import read_recipe
    from .released import import_checkpoint
    from .resolver import SuperResolver
    from .result import SuperResolution
    from .simulation import simulate
    from .store import bundled_names, load_prior, push_to_hub
    from .superres import FlowResolver, HVAEResolver, load, replay

__version__ = "0.1.0"

__all__ = [
    "CVDVAEError",
    "FlowResolver",
    "HVAEResolver",
    "SuperResolution",
    "SuperResolver",
    "bundled_names",
    "import_checkpoint",
    "load",
    "load_prior",
    "push_to_hub",
    "read_recipe",
    "replay",
    "simulate",
]

_HOMES = {
    "CVDVAEError": ".errors",
    "FlowResolver": ".superres",
    "HVAEResolver": ".superres",
    "SuperResolution": ".result",
    "SuperResolver": ".resolver",
    "bundled_names": ".store",
    "import_checkpoint": ".released",
    "load": ".superres",
    "load_prior": ".store",
    "push_to_hub": ".store",
    "read_recipe": ".recipe",
    "replay": ".superres",
    "simulate": ".simulation",
}


def __getattr__(name: str) -> Any:
    """Import the public names at first use, so that ``cvdvae --help`` does not wait for PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cvdvae' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name], __name__), name)
