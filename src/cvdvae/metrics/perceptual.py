"""LPIPS and BRISQUE: distances and a quality that follow what people see.

Explained in docs/explanation/lr_encoder.md.
"""

import sys
import threading
import warnings
from contextlib import redirect_stdout
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import WeightsError

FEATURES = {0: "slice1.0", 3: "slice2.3", 6: "slice3.6", 8: "slice4.8", 10: "slice5.10"}
"""AlexNet's convolutions: their numbers in torchvision → their names in the package lpips."""
BUILDING = threading.Lock()
"""Held while one is built: what that redirects belongs to the process."""
LEAST = 31
"""Side of the smallest images of which AlexNet leaves anything."""


class LPIPS:
    """Learned perceptual distance on AlexNet features (Zhang et al. 2018, version 0.1).

    Args:
        features: A safetensors file with torchvision's ``features.{0,3,6,8,10}.{weight,bias}``; by
            default torchvision's own weights, from its cache or its server.

    Raises:
        WeightsError: The weights are not there, or the file is not one of them.
    """

    def __init__(self, features: Path | None = None) -> None:
        import lpips

        try:
            # torch says on stdout what it fetches.
            with BUILDING, warnings.catch_warnings(), redirect_stdout(sys.stderr):
                warnings.simplefilter("ignore")  # torchvision renames an argument
                self.model = lpips.LPIPS(
                    net="alex", spatial=True, pnet_rand=features is not None, verbose=False
                )
        except OSError as error:
            raise WeightsError(
                f"the AlexNet weights of LPIPS are not in torchvision's cache and cannot be "
                f"fetched ({error}); a local file of them can be named"
            ) from None
        except (RuntimeError, EOFError, UnpicklingError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise WeightsError(
                f"the AlexNet weights in torchvision's cache are damaged ({reason}): remove them"
            ) from None
        if features is not None:
            self._load(features)
        self.model.requires_grad_(False)

    def _load(self, path: Path) -> None:
        if path.exists() and not path.is_file():
            raise WeightsError(f"cannot read the AlexNet features {path}: it is no regular file")
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"cannot read the AlexNet features {path}: {error}") from None
        try:
            named = {
                f"{name}.{kind}": state[f"features.{i}.{kind}"]
                for i, name in FEATURES.items()
                for kind in ("weight", "bias")
            }
            self.model.net.load_state_dict(named)
        except (KeyError, RuntimeError):
            raise WeightsError(f"{path} does not hold AlexNet's five convolutions") from None

    def digest(self) -> str:
        """Tells AlexNet's features from others, whichever file they come from."""
        found = sha256()
        for name, part in sorted(self.model.net.state_dict().items()):
            found.update(f"{name} {tuple(part.shape)}".encode())
            found.update(part.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()[:16]

    @torch.no_grad()
    def maps(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance at every pixel, ``(N, H, W)``, of images in [0, 1], ``(N, 1 or 3, H, W)``."""
        distances: Tensor = self._beside(x)(*_in_colour(x, y), normalize=True)
        return distances[:, 0]

    @torch.no_grad()
    def distances(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of whole images, ``(N,)``: the mean over each layer's own positions."""
        self.model.spatial = False
        try:
            distances: Tensor = self._beside(x)(*_in_colour(x, y), normalize=True)
        finally:
            self.model.spatial = True
        return distances.flatten()

    def embedded(self, x: Tensor) -> list[Tensor]:
        """Vectors at the positions of each layer whose squared distance LPIPS adds up.

        AlexNet's activations, of length 1 at every position, times the root of LPIPS' weights.

        Args:
            x: Images in [0, 1], ``(N, 1 or 3, H, W)``; the vectors are differentiable in them.

        Returns:
            One tensor for each of the five layers, ``(N, C_l, h_l, w_l)``.
        """
        from lpips import normalize_tensor

        colour, _ = _in_colour(x, x)
        model = self._beside(x)
        layers = model.net(model.scaling_layer(2 * colour - 1))
        return [
            lin.model[-1].weight.clamp(min=0).sqrt().view(1, -1, 1, 1) * normalize_tensor(layer)
            for lin, layer in zip(model.lins, layers, strict=True)
        ]

    @torch.no_grad()
    def features(self, x: Tensor, side: int = 224) -> Tensor:
        """AlexNet's last activations, averaged over positions: ``(N, 256)``.

        Args:
            x: Images in [0, 1], ``(N, 1 or 3, H, W)``.
            side: What their height and width are made before.
        """
        colour, _ = _in_colour(x, x)
        large = F.interpolate(colour, (side, side), mode="bicubic", antialias=True)
        model = self._beside(x)
        layers = model.net(model.scaling_layer(2 * large.clamp(0, 1) - 1))
        last: Tensor = layers[-1]
        return last.mean((2, 3))

    def _beside(self, x: Tensor) -> Any:
        """The network on the device of the images, where it stays."""
        return self.model.to(x.device)


def unseen(channels: int, height: int, width: int) -> str:
    """Why LPIPS has nothing to say of images of this size; empty where it has."""
    if channels not in (1, 3):
        return f"it needs images of 1 or 3 channels, not of {channels}"
    if min(height, width) < LEAST:
        return f"it needs images of at least {LEAST}×{LEAST} pixels, not of {width}×{height}"
    return ""


def _in_colour(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Images and their reference as the network takes them: grey is a colour, too."""
    colour = x.float().expand(-1, 3, -1, -1)
    return colour, y.float().expand_as(colour)


BRISQUE_LEAST = 32
"""Side of the smallest images that it has a value for: of smaller ones its regressor often knows
nothing, and gives the same number for all."""


class BRISQUE:
    """Quality without a reference (Mittal et al. 2012), lower is better; from the package brisque.

    Its own trained regressor comes with that package. For 64×64 images it is far outside of the
    sizes that it was trained on: compare only like with like.
    """

    def __init__(self) -> None:
        from brisque import BRISQUE as Package

        class Flat(Package):  # type: ignore[misc]
            """Features as plain numbers: the package mixes in arrays of one, which NumPy 2 ends."""

            def calculate_brisque_features(self, *args: Any, **kwargs: Any) -> np.ndarray:
                features = super().calculate_brisque_features(*args, **kwargs)
                return np.array([float(np.ravel(f)[0]) for f in features], dtype=object)

        self.package = Flat(url=False)

    def __call__(self, x: Tensor) -> Tensor:
        """Scores of images as saved, uint8, ``(N, C, H, W)``: ``(N,)``, float64; NaN of what is
        flat, smaller than `BRISQUE_LEAST`, or has not 1 or 3 channels."""
        if min(x.shape[2:]) < BRISQUE_LEAST or x.shape[1] not in (1, 3):
            return torch.full((len(x),), torch.nan, dtype=torch.float64)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            colour = x.expand(-1, 3, -1, -1)
            scores = [self.package.score(one.permute(1, 2, 0).cpu().numpy()) for one in colour]
        return torch.tensor(scores, dtype=torch.float64)
