"""What a super-resolver owes those who judge it: finished answers, and the noise in y."""

from abc import ABC, abstractmethod

from torch import Tensor

from ..degradations.downscaling import Downscaling
from .finish import Finished, finish
from .settings import WIDE_TEMPERATURES, Grids, Sampling
from .tolerance import PhotonNoise, Tolerance


class Answering(ABC):
    """A model that draws behind images of one size.

    Attributes:
        degradation: H at the size on which it is judged.
        photon_noise: The noise of the low-resolution images that it knows; None where they have
            none.
    """

    degradation: Downscaling
    photon_noise: PhotonNoise | None

    @abstractmethod
    def draw(self, y: Tensor, sampling: Sampling) -> Tensor:
        """What the network gives, before `finish`: ``(samples, C, H, W)`` on the CPU."""

    def tolerance(self, y: Tensor) -> Tolerance | None:
        """What the noise of an image ``(1, C, h, w)`` leaves open; None where it has none."""
        return None if self.photon_noise is None else self.photon_noise.tolerance(y)

    @property
    def truth_size(self) -> tuple[int, int]:
        """Height and width of the images that `degradation` shrinks."""
        return self.degradation.hr_size

    @property
    def grids(self) -> Grids:
        """Temperatures that calibration tries."""
        return Grids(WIDE_TEMPERATURES, ())

    def answers(self, y: Tensor, sampling: Sampling) -> Finished:
        """Samples behind y, ``(C, h, w)`` in [0, 1], as they would be saved."""
        drawn, tolerance = self.draw(y, sampling), self.tolerance(y[None])
        return finish(drawn, y[None], self.degradation, sampling.consistent, tolerance=tolerance)

    def noise_of(self, y: Tensor) -> float:
        """σ of the noise in y, ``(C, h, w)``; 0 where it has none."""
        tolerance = self.tolerance(y[None])
        return 0.0 if tolerance is None else tolerance.sigma
