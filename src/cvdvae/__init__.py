"""CVD-VAE: every plausible high-resolution image behind a low-resolution one.

Example:
    >>> import cvdvae
    >>> import torch
    >>> y = torch.full((3, 8, 8), 0.4)
    >>> result = cvdvae.load("celeba64-x8").upscale(y, samples=2, temperature=0.8)
    >>> tuple(result.samples.shape), result.round_trip_exact
    ((2, 3, 64, 64), [True, True])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoints.folder import bundled_names
    from .checkpoints.loading import load_prior
    from .checkpoints.published import import_checkpoint
    from .checkpoints.pushing import push_to_hub
    from .domains.simulate import simulate
    from .errors import CVDVAEError
    from .imaging.io import load_image
    from .restoration.flow import FlowResolver
    from .restoration.hvae import HVAEResolver
    from .restoration.load import load, load_restorer, replay
    from .restoration.recipe import read_recipe
    from .restoration.restored import Restoration
    from .restoration.restorer import Restorer
    from .restoration.result import SuperResolution
    from .restoration.sampler import SuperResolver

__version__ = "0.1.0"

__all__ = [
    "CVDVAEError",
    "FlowResolver",
    "HVAEResolver",
    "Restoration",
    "Restorer",
    "SuperResolution",
    "SuperResolver",
    "bundled_names",
    "import_checkpoint",
    "load",
    "load_image",
    "load_prior",
    "load_restorer",
    "push_to_hub",
    "read_recipe",
    "replay",
    "simulate",
]

_HOMES = {
    "CVDVAEError": ".errors",
    "FlowResolver": ".restoration.flow",
    "HVAEResolver": ".restoration.hvae",
    "Restoration": ".restoration.restored",
    "Restorer": ".restoration.restorer",
    "SuperResolution": ".restoration.result",
    "SuperResolver": ".restoration.sampler",
    "bundled_names": ".checkpoints.folder",
    "import_checkpoint": ".checkpoints.published",
    "load": ".restoration.load",
    "load_image": ".imaging.io",
    "load_prior": ".checkpoints.loading",
    "load_restorer": ".restoration.load",
    "push_to_hub": ".checkpoints.pushing",
    "read_recipe": ".restoration.recipe",
    "replay": ".restoration.load",
    "simulate": ".domains.simulate",
}


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    """Import the public names at first use, so that ``cvdvae --help`` does not wait for PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cvdvae' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name], __name__), name)
