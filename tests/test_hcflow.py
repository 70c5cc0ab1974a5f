"""The flow: inverses, log-determinants against autograd, densities in closed form."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from cvdvae.checkpoints.folder import zoo
from cvdvae.data.folder import DataConfig
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import BicubicDownscaling, upscale_bicubic
from cvdvae.domains.faces import crop_face, demo_photo
from cvdvae.domains.simulate import simulate
from cvdvae.errors import ConfigError
from cvdvae.gaussian.noise import GlobalNoise, SeededNoise
from cvdvae.hcflow import HCFlow, HCFlowConfig
from cvdvae.hcflow.affine import ActNorm, Affine
from cvdvae.hcflow.flow import Detail, Level, _haar, dequantize
from cvdvae.hcflow.networks import RRDB, DenseBlock, Features, NormalizedConv, ZeroConv
from cvdvae.hcflow.presets import PRESETS
from cvdvae.hcflow.transforms import AffineCoupling, FlowStep, InvertibleConv1x1, Steps
from cvdvae.restoration.flow import FlowResolver
from cvdvae.restoration.load import load
from cvdvae.restoration.result import psnr
from cvdvae.training import FlowTraining, OptimConfig
from cvdvae.training.flow import FlowModule

SMALL = HCFlowConfig(
    image_size=8, scale=4, steps=2, conditional_steps=2, hidden_channels=5, features=3, growth=2,
    trunks=(1, 1),
)  # fmt: skip


def shaken(module: nn.Module, seed: int = 0, by: float = 0.2) -> nn.Module:
    """Random weights in float64, of which none is zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    return module.eval().double()


def log_det_by_autograd(f, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    jacobian = torch.autograd.functional.jacobian(lambda v: f(v)[0].flatten(), x)
    log_det: Tensor = torch.linalg.slogdet(jacobian.reshape(x.numel(), x.numel()))[1]
    return log_det


MAPS = {
    "actnorm": (lambda: ActNorm(5), 5, 0),
    "1x1": (lambda: InvertibleConv1x1(5), 5, 0),
    "coupling": (lambda: AffineCoupling(5, 0, 4), 5, 0),
    "conditional coupling": (lambda: AffineCoupling(5, 3, 4), 5, 3),
    "step": (lambda: FlowStep(6, 0, 4), 6, 0),
    "conditional step": (lambda: FlowStep(5, 2, 4), 5, 2),
    "steps": (lambda: Steps(FlowStep(4, 2, 3) for _ in range(3)), 4, 2),
}


@pytest.mark.parametrize("name", MAPS)
def test_every_map_is_undone_by_its_inverse_and_knows_its_volume(name: str) -> None:
    build, channels, condition = MAPS[name]
    torch.manual_seed(0)
    module = shaken(build())
    x = torch.randn(2, channels, 3, 3, dtype=torch.float64)
    u = torch.randn(2, condition, 3, 3, dtype=torch.float64) if condition else None
    z, log_det = module(x, u)
    assert float((z - x).abs().max()) > 0.1
    torch.testing.assert_close(module.inverse(z, u), x)  # type: ignore[operator]
    for i in range(2):
        one = None if u is None else u[i : i + 1]
        expected = log_det_by_autograd(lambda v, one=one: module(v, one), x[i : i + 1])
        torch.testing.assert_close(log_det[i], expected)


@given(st.integers(0, 20))
def test_affine_maps_invert(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shift, log_scale, x = torch.randn(3, 2, 4, 3, 3, generator=generator, dtype=torch.float64)
    affine = Affine(shift, log_scale)
    torch.testing.assert_close(affine.inverse(affine.forward(x)[0]), x)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_whole_flow_is_invertible_and_knows_its_volume(scale: int) -> None:
    config = HCFlowConfig(
        image_size=8, scale=scale, steps=1, conditional_steps=1, hidden_channels=3, features=2,
        growth=2, trunks=(1, 0),
    )  # fmt: skip
    torch.manual_seed(0)
    flow = shaken(HCFlow(config))
    assert isinstance(flow, HCFlow)
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    z, _, details, log_det = flow.encode(x)
    assert z.shape == (1, 3, 8 // scale, 8 // scale)
    assert sum(d.numel() for d in details) + z.numel() == x.numel()
    torch.testing.assert_close(flow.decode(z, details), x)

    def everything(v: Tensor) -> tuple[Tensor]:
        z, _, details, _ = flow.encode(v)
        return (torch.cat([t.flatten() for t in [z, *details]]),)

    torch.testing.assert_close(log_det[0], log_det_by_autograd(everything, x))


@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_forward_and_inverse_agree_in_float32(spread: float) -> None:
    torch.manual_seed(0)
    flow = HCFlow(SMALL).eval()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(spread * 0.2 * torch.randn_like(parameter))
        x = torch.rand(3, 3, 16, 24)
        z, _, details, _ = flow.encode(x)
        assert float((flow.decode(z, details) - x).abs().max()) < 1e-4


@pytest.mark.parametrize("scale", [4, 8])
def test_sampling_is_the_inverse_of_the_density(scale: int) -> None:
    """Encoding a sample gives y back, and the base values of its details are the noise drawn."""
    torch.manual_seed(0)
    flow = shaken(HCFlow(replace(SMALL, scale=scale)), by=0.4 / scale)
    assert isinstance(flow, HCFlow)
    y = torch.rand(2, 3, 8 // scale, 8 // scale, dtype=torch.float64)
    x = flow.sample(y, SeededNoise(3, range(2)), temperature=0.7)
    as_it_is = flow.sample(y, SeededNoise(3, range(2)))
    assert torch.equal(as_it_is, flow.sample(y, SeededNoise(3, range(2)), temperature=1.0))
    z, kept, details, _ = flow.encode(x)
    torch.testing.assert_close(z, y)
    noise, features = SeededNoise(3, range(2)), list[Tensor]()
    for level, part, a in zip(
        reversed(flow.levels), reversed(kept), reversed(details), strict=True
    ):
        assert isinstance(level, Level)
        u = level.features_of(part, features)
        features.insert(0, u)
        base = level.detail.gaussian(u)
        got = (level.detail.steps(a, u)[0] - base.mean) / (0.7 * base.log_std.exp())
        torch.testing.assert_close(got, noise.normal(got), atol=1e-5, rtol=1e-4)


def test_features_of_coarser_levels_come_nearest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    flow, seen = HCFlow(replace(SMALL, scale=8)), list[list[int]]()
    features_of = Level.features_of

    def spy(level: Level, z: Tensor, coarser: list[Tensor]) -> Tensor:
        seen.append([u.shape[2] for u in coarser])
        return features_of(level, z, coarser)

    monkeypatch.setattr(Level, "features_of", spy)
    x, y = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 1, 1)
    for use in (lambda: flow.log_prob(x, y), lambda: flow.sample(y, GlobalNoise())):
        seen.clear()
        use()
        assert seen == [[], [1], [2, 1]]


def test_shift_and_scale_of_a_coupling_lie_side_by_side_and_its_scale_is_bounded() -> None:
    coupling = AffineCoupling(4, 2, 4)
    x, u = torch.randn(1, 4, 3, 3), torch.randn(1, 2, 3, 3)
    out = 3 * torch.randn(1, 4, 3, 3)
    coupling.network.forward = lambda x: out  # type: ignore[method-assign]
    z, log_det = coupling(x, u)
    scale = 0.318 * torch.atan(2 * out[:, [1, 3]])
    torch.testing.assert_close(
        z, torch.cat((x[:, :2], (x[:, 2:] + out[:, [0, 2]]) * scale.exp()), 1)
    )
    torch.testing.assert_close(log_det, scale.flatten(1).sum(1))
    assert float(scale.abs().max()) < 0.5


def test_means_and_differences_of_four_neighbours_are_orthogonal() -> None:
    haar = _haar(12)
    products = haar @ haar.T
    assert torch.equal(products, products.diagonal().diag())
    assert products.diagonal().tolist() == [*[0.25] * 3, *[1.0] * 9]


def test_published_flows_of_photographs_take_any_size() -> None:
    assert PRESETS["hcflow-general-x4"].any_size
    assert not PRESETS["hcflow-celeba-x8"].any_size


def test_at_temperature_zero_there_is_one_answer() -> None:
    flow = shaken(HCFlow(SMALL)).float()
    assert isinstance(flow, HCFlow)
    y = torch.rand(1, 3, 2, 2).expand(2, -1, -1, -1)
    a, b = flow.sample(y, GlobalNoise(), temperature=0)
    torch.testing.assert_close(a, b)


def test_log_prob_by_its_parts() -> None:
    torch.manual_seed(0)
    flow = shaken(HCFlow(SMALL))
    assert isinstance(flow, HCFlow)
    x, y = torch.rand(2, 3, 8, 8, dtype=torch.float64), torch.rand(2, 3, 2, 2, dtype=torch.float64)
    z, kept, details, log_det = flow.encode(x)
    sigma = math.exp(SMALL.lr_log_std)
    total = log_det + torch.distributions.Normal(y, sigma).log_prob(z).flatten(1).sum(1)
    coarse, fine = flow.levels[1], flow.levels[0]
    assert isinstance(coarse, Level)
    assert isinstance(fine, Level)
    u1 = coarse.features(kept[1])
    enlarged = u1.repeat_interleave(2, 2).repeat_interleave(2, 3)
    u0 = fine.features(torch.cat([kept[0], enlarged], 1))
    for level, a, u in ((coarse, details[1], u1), (fine, details[0], u0)):
        v, more = level.detail.steps(a, u)
        out = level.detail.base(u)
        normal = torch.distributions.Normal(out[:, 0::2].float(), out[:, 1::2].float().exp())
        total = total + more + normal.log_prob(v).flatten(1).sum(1)
    torch.testing.assert_close(flow.log_prob(x, y), total, rtol=1e-5, atol=1e-4)


def test_the_density_of_a_detail_integrates_to_one() -> None:
    """One channel, one pixel: the density over a fine grid."""
    torch.manual_seed(0)
    detail = shaken(Detail(2, 2, SMALL))
    assert isinstance(detail, Detail)
    grid = torch.linspace(-8, 8, 321, dtype=torch.float64)
    a = torch.cartesian_prod(grid, grid).view(-1, 2, 1, 1)
    u = torch.randn(1, 2, 1, 1, dtype=torch.float64).expand(len(a), -1, -1, -1)
    area = (16 / 320) ** 2
    assert float(detail.log_prob(a, u).exp().sum() * area) == pytest.approx(1, abs=0.01)


def test_bits_per_dim_of_a_known_gaussian() -> None:
    """Without steps the flow is N(y, σ²) on the kept channels and N(0, 1) on the others."""
    config = HCFlowConfig(8, 2, steps=0, conditional_steps=0, features=2, growth=2, trunks=(0, 0))
    flow = HCFlow(config).eval()
    x = torch.randint(0, 256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(0)) / 255
    y = torch.rand(4, 3, 4, 4)
    v = dequantize(x, SeededNoise(0, range(4)))
    squeezed = torch.nn.functional.pixel_unshuffle(v, 2)
    nats = -torch.distributions.Normal(y, math.exp(-6)).log_prob(squeezed[:, :3]).flatten(1).sum(1)
    nats = nats - torch.distributions.Normal(0, 1).log_prob(squeezed[:, 3:]).flatten(1).sum(1)
    expected = nats / (192 * math.log(2)) + math.log2(255)
    torch.testing.assert_close(flow.bits_per_dim(x, y, SeededNoise(0, range(4))), expected)


def test_dequantizing_fills_every_grey_level_evenly_and_on_both_sides() -> None:
    """So neighbours meet without a gap, and on average nothing is added."""
    x = torch.tensor([0, 7, 8, 255]).view(4, 1, 1, 1).expand(-1, 3, 64, 64) / 255
    levels = 255 * (dequantize(x, SeededNoise(0, range(4))) - x)
    assert 0.49 < float(levels.max()) <= 0.5
    assert -0.5 <= float(levels.min()) < -0.49
    assert float(levels.mean()) == pytest.approx(0, abs=4 * (1 / 12 / levels.numel()) ** 0.5)
    assert float(levels.var()) == pytest.approx(1 / 12, rel=0.02)


def test_actnorm_starts_from_the_first_batch_and_remembers_that_it_has() -> None:
    x = 3 + 2 * torch.randn(16, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    actnorm = ActNorm(4)
    z, _ = actnorm(x)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.var((0, 2, 3), correction=0), torch.ones(4), atol=1e-4, rtol=0)
    again = ActNorm(4)
    again.load_state_dict(actnorm.state_dict())
    torch.testing.assert_close(again(10 * x)[0], actnorm(10 * x)[0])
    assert float(again(10 * x)[0].var()) > 10
    fresh = ActNorm(4).eval()
    assert torch.equal(fresh(x)[0], x)


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    flow = shaken(HCFlow(SMALL)).float()
    assert isinstance(flow, HCFlow)
    flow.log_prob(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 2, 2)).sum().backward()
    assert [n for n, p in flow.named_parameters() if p.grad is None or not bool(p.grad.any())] == []


def test_the_pixel_loss_reaches_every_parameter_and_lowers_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the likelihood's in one step, times its weight."""
    torch.manual_seed(0)
    flow = shaken(HCFlow(SMALL), seed=1, by=0.05).float()  # where no inverse explodes
    assert isinstance(flow, HCFlow)
    x = torch.randint(0, 256, (8, 3, 8, 8), generator=torch.Generator().manual_seed(0)) / 255
    y = shrink_to_8_bits(x, BicubicDownscaling((8, 8), (2, 2)))

    def error() -> Tensor:
        return (flow.sample(y, GlobalNoise(), temperature=0) - x).abs().mean()

    losses = []
    for weight in (0.0, 10.0):
        config = FlowTraining(SMALL, DataConfig("unread"), OptimConfig(1, warmup=0), weight)
        module = FlowModule(config, tmp_path)
        module.trained = flow
        monkeypatch.setattr(module, "training_noise", lambda: SeededNoise(0, range(8)))
        monkeypatch.setattr(module, "log", lambda *_, **__: None)
        losses.append(float(module.training_step(x, 0).detach()))
    before = float(error().detach())
    assert losses[1] - losses[0] == pytest.approx(10 * before, rel=1e-3)

    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)
    for step in range(10):
        optimizer.zero_grad()
        error().backward()
        if step == 0:
            grads = {n: p.grad for n, p in flow.named_parameters()}
            assert [n for n, g in grads.items() if g is None or not bool(g.any())] == []
        optimizer.step()
    assert float(error().detach()) < 0.8 * before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scale": 3}, "power of two"),
        ({"image_size": 10}, "does not divide"),
        ({"features": 0}, "features must be at least 1"),
        ({"steps": -1}, "must not be negative"),
        ({"conditional_steps": -1}, "must not be negative"),
        ({"trunks": (0, -1)}, "must not be negative"),
        ({"scale": 1}, "power of two"),
        ({"scale": 128, "image_size": 128}, "power of two from 2 to 64"),
        ({"image_size": 0}, "does not divide"),
        ({"hidden_channels": 0}, "hidden_channels must be at least 1"),
        ({"growth": 0}, "growth must be at least 1"),
        ({"steps": 1001}, "at most 1000"),
        ({"trunks": (1001, 0)}, "at most 1000"),
        ({"lr_log_std": math.inf}, "lr_log_std must be a number"),
    ],
)
def test_impossible_flows_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        HCFlowConfig(**({"image_size": 8, "scale": 4} | changes))  # type: ignore[arg-type]


def test_limits_themselves_are_taken_and_the_rest_is_as_published() -> None:
    least = HCFlowConfig(2, 2, 0, 0, hidden_channels=1, features=1, growth=1, trunks=(0, 0))
    assert (least.levels, least.lr_size, least.channels_of(0)) == (1, 1, (3, 9))
    most = HCFlowConfig(64, 64, 1000, 1000, trunks=(1000, 1000))
    assert [most.channels_of(i) for i in (0, 1, 5)] == [(6, 6), (12, 12), (3, 381)]
    published = HCFlowConfig(160, 8)
    assert (published.steps, published.conditional_steps) == (13, 13)
    assert (published.hidden_channels, published.features, published.growth) == (64, 64, 32)
    assert (published.trunks, published.lr_log_std, published.any_size) == ((5, 5), -6, False)


def test_dense_blocks_add_a_fifth_of_what_they_make() -> None:
    x = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    block, rrdb, zero = (shaken(m) for m in (DenseBlock(4, 3), RRDB(4, 3), ZeroConv(4, 3)))
    assert isinstance(block, DenseBlock)
    assert isinstance(rrdb, RRDB)
    assert isinstance(zero, ZeroConv)
    parts = [x]
    for conv in block.convs[:4]:
        h = conv(torch.cat(parts, 1))
        parts.append(torch.where(h > 0, h, h / 5))
    torch.testing.assert_close(block(x), x + block.convs[4](torch.cat(parts, 1)) / 5)
    assert len(rrdb.blocks) == 3
    torch.testing.assert_close(rrdb(x), x + rrdb.blocks(x) / 5)
    torch.testing.assert_close(zero(x), zero.conv(x) * zero.log_scale.exp() ** 3)
    features = shaken(Features(4, 3, 2, (1, 2)))
    assert isinstance(features, Features)
    first = features.first(x)
    middle = features.trunk0(first)
    halves = torch.cat([middle, first + features.last(features.trunk1(middle))], 1)
    torch.testing.assert_close(features(x), halves)
    assert [len(trunk) for trunk in (features.trunk0, features.trunk1)] == [1, 2]


def test_networks_start_small_and_couplings_as_the_identity() -> None:
    torch.manual_seed(0)
    convs = [*DenseBlock(32, 16).convs, NormalizedConv(32, 32, 3).conv]
    for conv in convs:
        _, _, height, width = conv.weight.shape
        fans = (conv.weight.shape[0] + conv.weight.shape[1]) * height * width
        assert float(conv.weight.detach().std()) == pytest.approx(0.1 * (2 / fans) ** 0.5, rel=0.1)
        assert conv.bias is None or not bool(conv.bias.any())
    x = torch.randn(2, 6, 4, 4)
    coupling = AffineCoupling(6, 0, 8)
    assert torch.equal(coupling(x)[0], x)
    assert isinstance(coupling.network.last.conv.bias, Tensor)
    with torch.no_grad():
        for tau, log_scale in ((1e9, 0.159 * math.pi), (-1e9, -0.159 * math.pi), (0.01, 0.00636)):
            coupling.network.last.conv.bias[1::2] = tau
            got = coupling.affine(x[:, :3], None).log_scale
            torch.testing.assert_close(got, torch.full_like(got, log_scale), rtol=1e-3, atol=0)


def test_the_volume_of_a_mixing_counts_every_position() -> None:
    module = shaken(InvertibleConv1x1(3))
    assert isinstance(module, InvertibleConv1x1)
    _, log_det = module(torch.randn(2, 3, 2, 5, dtype=torch.float64))
    expected = 10 * float(torch.linalg.slogdet(module.weight.detach())[1])
    assert log_det.tolist() == pytest.approx([expected] * 2)


def test_actnorm_survives_a_channel_without_variance() -> None:
    actnorm = ActNorm(2)
    z, _ = actnorm(torch.full((3, 2, 4, 4), 0.7))
    assert float(z.abs().max()) < 1
    expected = torch.full_like(actnorm.log_scale, 6 * math.log(10))
    torch.testing.assert_close(actnorm.log_scale.detach(), expected, rtol=0.01, atol=0)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("steps", [1, 3])
def test_the_low_resolution_end_starts_as_the_mean_of_patches(scale: int, steps: int) -> None:
    config = HCFlowConfig(8, scale, steps=steps, conditional_steps=1, features=2, growth=2,
                          trunks=(0, 0))  # fmt: skip
    x = torch.rand(2, 3, 8, 8)
    z, _, _, _ = HCFlow(config).encode(x)
    torch.testing.assert_close(z, torch.nn.functional.avg_pool2d(x, scale), atol=1e-5, rtol=0)


def test_autocasting_does_not_touch_the_mixing_of_channels() -> None:
    module, x = InvertibleConv1x1(6), torch.randn(2, 6, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        z, _ = module(x)
        torch.testing.assert_close(module.inverse(z), x)
    assert z.dtype == torch.float32


@pytest.mark.parametrize("scale", [4, 8, 16])
def test_the_bundled_flows_invert_and_beat_bicubic(scale: int) -> None:
    """Forward and inverse agree to 1e-4 with trained weights, from both ends."""
    model = load(f"celeba64-hcflow-x{scale}")
    assert isinstance(model, FlowResolver)
    assert model.group_resolutions == []  # so it cannot be steered
    flow = model.flow
    y, x = simulate(crop_face(demo_photo()), model.degradation, crop="none")
    x, y = x[None], y[None]
    with torch.no_grad():
        z, _, details, _ = flow.encode(x)
        torch.testing.assert_close(flow.decode(z, details), x, atol=1e-4, rtol=0)
        torch.testing.assert_close(z, y, atol=0.08, rtol=0)
        drawn = flow.sample(y, SeededNoise(0, [0]), temperature=0.8)
        torch.testing.assert_close(flow.encode(drawn)[0], y, atol=1e-4, rtol=0)
        answer = flow.sample(y, SeededNoise(0, [0]), temperature=0)[0]
    assert psnr(answer, x[0]) > psnr(upscale_bicubic(y, (64, 64))[0], x[0])


def test_the_bundled_flows_are_small() -> None:
    sizes = [p.stat().st_size for p in zoo().glob("celeba64-hcflow-*/*.safetensors")]
    assert len(sizes) == 3
    assert sum(sizes) < 20e6
