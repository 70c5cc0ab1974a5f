"""What a file has cut to [0, 1] is no error of the image behind it, with noise or without."""

import pytest
import torch
from torch import Tensor

from cvdvae.damage.described import parse
from cvdvae.degradations.base import cut_as
from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.degradations.downscaling import Downscaling
from cvdvae.restoration.posterior.measurement import Measurement
from cvdvae.restoration.restored import Restoration
from cvdvae.restoration.restoring import Seen
from cvdvae.restoration.round_trip import RoundTrip
from cvdvae.restoration.settings import Restoring
from cvdvae.restoration.tolerance import measured, misfit, nearest_explaining, within_noise

SIGMA = 0.01


def squares() -> Tensor:
    """Black and white, ``(1, 3, 64, 64)``: H of its edges leaves [0, 1] by a tenth."""
    x = torch.zeros(1, 3, 64, 64)
    x[:, :, 10:37, 6:51] = 1
    return x


def seen_of(x: Tensor, H: Downscaling) -> Tensor:
    """H of it with noise, as an 8-bit file holds it."""
    noise = torch.randn(H.A(x).shape, generator=torch.Generator().manual_seed(0))
    return ((H.A(x) + SIGMA * noise).clamp(0, 1) * 255).round() / 255


def test_hx_is_cut_as_y_was() -> None:
    y = torch.tensor([[0.0, 0.0, 0.4, 1.0, 1.0]])
    shadow = torch.tensor([[-0.2, 0.1, 1.3, 1.2, 0.7]])
    assert cut_as(y, shadow).tolist() == shadow.clamp(0, 1).tolist()
    noisy = torch.tensor([[0.0, 0.1, 1.3, 1.0, 0.7]])
    assert cut_as(y, shadow, SIGMA).tolist() == noisy.tolist()
    beyond = y + torch.tensor([0.0, 0.0, 0.0, 0.0, 0.1])  # this y was not cut
    assert cut_as(beyond, shadow).tolist() == cut_as(beyond, shadow, SIGMA).tolist()
    assert cut_as(beyond, shadow) is shadow


def test_a_true_image_explains_its_noisy_picture() -> None:
    x, H = squares(), BicubicDownscaling.of_scale((64, 64), 4)
    y = seen_of(x, H)
    assert bool((H.A(x) > 1 + 5 * SIGMA).any())
    restored = Restoration(
        samples=x, pixels=(255 * x).byte(), exploded=[False], restoring=Restoring(1, 1.0, 0),
        seconds=0.0, y=y[0], shown=x[0], degradation=H,
        description=parse("downscale:scale=4").to_dict(), sigma=SIGMA, model="none",
    )  # fmt: skip
    assert restored.explains == [True]
    assert restored.misfit[0] < 1.0
    trip = RoundTrip(y, H, sigma=SIGMA)
    trip.add((255 * x).byte())
    assert (trip.squares / trip.values) ** 0.5 / SIGMA == pytest.approx(restored.misfit[0], 1e-4)


def test_a_sample_keeps_the_contrast_that_was_cut() -> None:
    x, H = squares(), BicubicDownscaling.of_scale((64, 64), 4)
    y = seen_of(x, H)
    measurement = Measurement(y, H, 0.02, SIGMA)
    torch.testing.assert_close(measurement.draw(x), x, atol=0.02, rtol=0)
    count = Seen(y, H, SIGMA).count
    found = nearest_explaining(x, measurement, count)
    error = cut_as(y, H.A(found.clamp(0, 1)), SIGMA) - y
    assert bool(within_noise(misfit(error, count, SIGMA), count).all())
    assert bool(measured(H, y).all())


def test_the_gradient_of_the_fit_is_that_of_its_likelihood_where_y_is_cut() -> None:
    x, H = squares().double(), BicubicDownscaling.of_scale((64, 64), 4)
    measurement = Measurement(seen_of(x.float(), H).double(), H, 0.04, SIGMA)
    generator = torch.Generator().manual_seed(1)
    mean = x + 0.05 * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    along = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    step = 1e-6
    ends = [measurement.fit(mean + sign * step * along).log_likelihood for sign in (1, -1)]
    slope = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close(
        slope, (measurement.fit(mean).gradient * along).flatten(1).sum(1), rtol=1e-5, atol=1e-4
    )
