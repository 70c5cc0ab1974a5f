"""Stripes and speckles: the measure of them, and that default samples of photographs have none."""

from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import Tensor

import cvdvae
from cvdvae.domains.simulate import simulate_at_scale
from cvdvae.metrics.artefacts import PATCH, RATIO, excess

DARK_CONTRASTS = {"cat": skimage.data.chelsea, "cup": skimage.data.coffee}
"""Free pictures of scikit-image whose default samples had coloured stripes at ×4."""


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_twice_the_contrast_of_the_true_image_holds_four_times_its_energy() -> None:
    truth = noise(0, 3, 45, 61) / 2
    found = excess(torch.stack([truth, 2 * truth]), truth)
    for ratios in vars(found).values():
        assert ratios.shape == (2, 45 // PATCH, 61 // PATCH)
        torch.testing.assert_close(ratios[0], torch.ones_like(ratios[0]), rtol=1e-3, atol=0)
        torch.testing.assert_close(ratios[1], 4 * ratios[0], rtol=1e-3, atol=0)


@pytest.mark.parametrize("across", [False, True], ids=["rows", "columns"])
@pytest.mark.parametrize("grey", [False, True], ids=["chroma", "luma"])
def test_a_stripe_counts_in_its_own_patch_direction_and_channel(across: bool, grey: bool) -> None:
    truth = 0.45 + 0.02 * noise(1, 1, 60, 60).expand(3, -1, -1) + 0.02 * noise(2, 3, 60, 60)
    striped = truth.clone()
    weights = torch.tensor([1.0, 1.0, 1.0] if grey else [1.0, -0.299 / 0.587, 0.0])
    striped[:, 21:39:2, 22:38] += 0.3 * weights[:, None, None]
    if across:
        truth, striped = truth.mT, striped.mT
    found = excess(striped[None], truth)
    name = f"{'luma' if grey else 'chroma'}_{'columns' if across else 'rows'}"
    beyond = vars(found)[name][0] > RATIO
    assert beyond[1, 1]
    assert beyond.sum() == 1
    assert found.shares()[name] == pytest.approx(100 / 9)
    other = "chroma" if grey else "luma"
    assert found.shares()[other] == 0


def test_rounding_a_flat_surface_is_no_artefact() -> None:
    truth = torch.full((3, 40, 40), 0.5)
    rounded = truth + (noise(0, 3, 40, 40) - 0.5) / 255
    assert max(excess(rounded[None], truth).shares().values()) == 0


@pytest.mark.parametrize("picture", DARK_CONTRASTS)
def test_default_samples_of_a_photograph_have_no_coloured_stripes(picture: str) -> None:
    part: np.ndarray = DARK_CONTRASTS[picture]()[40:232, 200:392]
    model = cvdvae.load("photos-x4")
    y, truth = simulate_at_scale(Image.fromarray(part), 4)
    settings = model.sampling(2)

    def share(profile: tuple[float, ...]) -> float:
        x = model.run(y, replace(settings, profile=profile)).pixels.float() / 255
        return excess(x, truth).shares()["chroma"]

    assert share(settings.profile) == 0
    assert share((1.1, 1.1, 1.4, 1.4)) > 1  # the factors of before: the measure sees the stripes
