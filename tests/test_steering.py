"""Steering: what stays stays, what varies gives the input back."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny import PHOTOS, PRIOR
from torch import Tensor

from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.errors import ConfigError, InputError
from cvdvae.gaussian.noise import SeededNoise, Window
from cvdvae.restoration.edit_noise import noise_of
from cvdvae.restoration.edits import (
    MAX_REGIONS,
    MAX_STEPS,
    Blend,
    Edit,
    Moment,
    Resample,
    ResampleRegion,
    edit_from_dict,
    pack_region,
    slerp,
    unpack_region,
)
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import load
from cvdvae.restoration.settings import Sampling
from cvdvae.restoration.taper import set_in, taper

START = Sampling(samples=6, temperature=0.8, seed=3)


@pytest.fixture
def y() -> Tensor:
    return torch.round(255 * (0.2 + 0.6 * torch.rand(3, 4, 4))) / 255


def latents(resolver: HVAEResolver, y: Tensor, sampling: Sampling) -> list[Tensor]:
    """z_0 … z_{L−1} of all samples, as the top-down pass picks them."""
    batches: list[list[Tensor]] = []
    top_down = resolver.prior.top_down.forward

    def spy(pick, batch, groups=None, size=None, inside=None):  # type: ignore[no-untyped-def]
        drawn: list[Tensor] = []
        batches.append(drawn)

        def watched(group, h, prior):  # type: ignore[no-untyped-def]
            drawn.append(pick(group, h, prior))
            return drawn[-1]

        return top_down(watched, batch, groups, size, inside)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cvdvae.restoration.workers.usable_processors", lambda: 1)  # one by one
        patch.setattr(resolver.prior.top_down, "forward", spy)
        resolver.run(y, sampling)
    # The sample around a region is drawn before the last batches.
    count = -(-sampling.samples // len(batches[-1][0]))
    groups = zip(*batches[-count:], strict=True)
    return [torch.cat(parts)[: sampling.samples] for parts in groups]


@pytest.mark.parametrize("groups", [0, 2, 4])
def test_others_share_the_first_groups_and_no_other(
    resolver: HVAEResolver, y: Tensor, groups: int
) -> None:
    first = latents(resolver, y, START)
    others = latents(resolver, y, START.then(Resample(2, groups, seed=11)))
    for group, (z, kept) in enumerate(zip(others, first, strict=True)):
        if group < groups:
            torch.testing.assert_close(z, kept[2:3].expand_as(z), atol=1e-5, rtol=1e-5)
        else:
            assert float(z.std(0).min()) > 0
            assert not torch.allclose(z, kept[2:3].expand_as(z), atol=1e-3)


def test_all_groups_kept_is_the_sample_itself(resolver: HVAEResolver, y: Tensor) -> None:
    first = resolver.run(y, START)
    again = resolver.run(y, START.then(Resample(4, resolver.prior.groups, seed=11)))
    torch.testing.assert_close(
        again.samples, first.samples[4:5].expand_as(again.samples), atol=1e-5, rtol=0
    )


def test_no_group_kept_are_the_samples_of_that_seed(resolver: HVAEResolver, y: Tensor) -> None:
    others = resolver.run(y, START.then(Resample(1, 0, seed=11)))
    fresh = resolver.run(y, replace(START, seed=11))
    torch.testing.assert_close(others.samples, fresh.samples, atol=1e-6, rtol=0)


def test_a_blend_begins_and_ends_with_its_samples(resolver: HVAEResolver, y: Tensor) -> None:
    first = resolver.run(y, START)
    blend = resolver.run(y, START.then(Blend(1, 4)))
    torch.testing.assert_close(blend.samples[0], first.samples[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(blend.samples[-1], first.samples[4], atol=1e-5, rtol=0)
    steps = (blend.samples[1:] - blend.samples[:-1]).flatten(1).norm(dim=1)
    assert float(steps.max()) < 2.5 * float(steps.mean())


@given(st.floats(0, 1), st.integers(0, 10))
def test_slerp_keeps_the_length_and_moves_evenly(place: float, seed: int) -> None:
    a, b = SeededNoise(seed, [0, 1]).normal(torch.empty(2, 50, dtype=torch.float64))
    a, b = a / a.norm(), b / b.norm()
    c = slerp(a, b, place)
    assert float(c.norm()) == pytest.approx(1, abs=1e-6)
    angle = torch.acos((a * b).sum())
    assert float(torch.acos((a * c).sum().clamp(-1, 1))) == pytest.approx(
        float(place * angle), abs=1e-6
    )
    torch.testing.assert_close(slerp(a, a, place), a)


@pytest.mark.parametrize("rows", [slice(4, 9), slice(0, 2), slice(15, 16)])
def test_a_region_varies_alone_and_gives_the_input_back(
    resolver: HVAEResolver, y: Tensor, rows: slice
) -> None:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[rows, 3:12] = True
    first = resolver.run(y, START)
    step = ResampleRegion(5, pack_region(mask), seed=8)
    varied = resolver.run(y, START.then(step))
    outside = ~mask.expand(6, 3, -1, -1)
    assert torch.equal(varied.pixels[outside], first.pixels[5].expand(6, -1, -1, -1)[outside])
    assert float(varied.pixels[:, :, mask].float().std(0).mean()) > 0.3
    assert all(first.round_trip_exact)
    assert all(varied.round_trip_exact)
    assert float(varied.samples.min()) >= 0
    assert float(varied.samples.max()) <= 1


def test_a_region_in_a_region_keeps_what_was_kept(resolver: HVAEResolver, y: Tensor) -> None:
    left = torch.zeros(16, 16, dtype=torch.bool)
    left[:, :8] = True
    once = START.then(ResampleRegion(0, pack_region(left), seed=1))
    twice = once.then(ResampleRegion(3, pack_region(~left), seed=2))
    a, b = resolver.run(y, once), resolver.run(y, twice)
    assert torch.equal(b.pixels[:, :, left], a.pixels[3:4, :, left].expand(6, -1, -1))
    assert all(b.round_trip_exact)


def test_after_a_region_others_start_from_the_latent_groups(
    resolver: HVAEResolver, y: Tensor
) -> None:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[:, :8] = True
    varied = START.then(ResampleRegion(0, pack_region(mask), seed=1))
    a = latents(resolver, y, varied)
    others = varied.then(Resample(3, resolver.prior.groups, seed=2))
    for z, kept in zip(latents(resolver, y, others), a, strict=True):
        torch.testing.assert_close(z, kept[3:4].expand_as(z), atol=1e-5, rtol=1e-5)
    assert all(resolver.run(y, others).round_trip_exact)


def test_a_parent_at_hand_saves_drawing_it_again(resolver: HVAEResolver, y: Tensor) -> None:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[3:9, 2:9] = True
    step = START.then(ResampleRegion(4, pack_region(mask), seed=1))
    parent = resolver.run(y, START).pixels[4]
    *_, given = resolver.stream(y, step, parent=parent)
    assert torch.equal(given.pixels, resolver.run(y, step).pixels)


def test_samples_do_not_depend_on_how_many_there_are(resolver: HVAEResolver, y: Tensor) -> None:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[2:9, 2:9] = True
    for step in (Resample(1, 2, 7), ResampleRegion(1, pack_region(mask), 7)):
        few = resolver.run(y, replace(START, samples=3).then(step))
        many = resolver.run(y, replace(START, samples=12).then(step))
        torch.testing.assert_close(many.samples[:3], few.samples, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "steps",
    [
        (Blend(0, 7), Blend(3, 4)),
        (Blend(0, 7), Blend(1, 6), Blend(7, 5)),
        (Blend(0, 7), Blend(2, 2), Blend(0, 1)),
        (Blend(0, 7), Blend(3, 4), Resample(2, 1, 9), Blend(0, 5)),
    ],
)
def test_a_walk_between_samples_of_a_walk_is_as_wild_as_they_are(steps: tuple[Edit, ...]) -> None:
    """At any size, too, where the noise of a position must follow from that position alone."""
    of = Sampling(samples=8, seed=3, steps=steps)
    noise = noise_of(PHOTOS, of, range(8), Window(0, 0, 96, 96))
    for stride in PHOTOS.group_strides:
        side = 96 // stride
        epsilon = noise.normal(torch.empty(8, PHOTOS.z_channels, side, side))
        spread = epsilon.flatten(1).std(1)
        assert spread.tolist() == pytest.approx([1.0] * 8, abs=0.1)


@pytest.mark.parametrize("share", [0.75, 0.25, 0.0625])
def test_a_walk_between_samples_varied_in_a_region_is_as_wild_as_they_are(share: float) -> None:
    """Of faces, too, where the angle is measured: of what differs, not of what both share."""
    side = int(16 * share**0.5)
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[:side, :side] = True
    of = Sampling(samples=7, seed=3, steps=(ResampleRegion(2, pack_region(mask), 8), Blend(1, 5)))
    config = replace(PRIOR, z_channels=400)  # enough of them to measure a spread in a small region
    noise = noise_of(config, of, range(7), Window(0, 0, 16, 16))
    start = noise_of(config, replace(of, steps=()), [2], Window(0, 0, 16, 16))
    for stride in config.group_strides:
        shape = (config.z_channels, 16 // stride, 16 // stride)
        epsilon, kept = (of.normal(torch.empty(n, *shape)) for n, of in ((7, noise), (1, start)))
        inside = F.adaptive_avg_pool2d(mask[None].float(), shape[1:])[0] >= 0.5
        assert torch.equal(epsilon[:, :, ~inside], kept.expand_as(epsilon)[:, :, ~inside])
        if bool(inside.any()):
            spread = epsilon[:, :, inside].flatten(1).std(1)
            assert spread.tolist() == pytest.approx([1.0] * 7, abs=0.1)


def test_a_long_walk_of_blends_is_quick(resolver: HVAEResolver) -> None:
    """Each names two samples of the one before: without memory 2³² would be drawn."""
    steps: tuple[Edit, ...] = tuple(Blend(0, 1) for _ in range(MAX_STEPS))
    noise = noise_of(resolver.prior.config, replace(START, steps=steps), [2], Window(0, 0, 16, 16))
    assert noise.normal(torch.empty(1, 3, 1, 1)).shape == (1, 3, 1, 1)


def test_steps_that_cannot_be_taken_are_refused(resolver: HVAEResolver, y: Tensor) -> None:
    with pytest.raises(InputError, match="sample 6, but there are only samples 0 to 5"):
        START.then(Resample(6, 1, 0))
    with pytest.raises(InputError, match="4 latent groups: 5 of them cannot stay"):
        resolver.run(y, START.then(Resample(0, 5, 0)))
    region = pack_region(torch.ones(8, 8, dtype=torch.bool))
    with pytest.raises(InputError, match="8×8 pixels, not 16×16"):
        resolver.run(y, START.then(ResampleRegion(0, region, 0)).then(Resample(0, 1, 0)))
    with pytest.raises(InputError, match="paint over"):
        pack_region(torch.zeros(8, 8, dtype=torch.bool))
    with pytest.raises(InputError, match="1×4097 pixels is too large"):
        pack_region(torch.ones(4097, 1, dtype=torch.bool))
    with pytest.raises(InputError, match="more than 32"):
        replace(START, steps=(Blend(0, 1),) * (MAX_STEPS + 1))
    with pytest.raises(InputError, match="at most 8 regions"):
        replace(START, steps=(ResampleRegion(0, region, 0),) * (MAX_REGIONS + 1))
    with pytest.raises(InputError, match="must not be negative"):
        START.then(Resample(0, 1, -1))
    for text in ("", "8x8", "8x8:!!", "8x8:AAAA", "9999x9999:AAAA", region.replace("8x8", "9x9")):
        with pytest.raises(InputError, match="region to vary is damaged"):
            unpack_region(text)


REGION = torch.eye(4) > 0


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Resample(1.0, 2, 7), r"sample must be a whole number, not 1\.0"),  # type: ignore[arg-type]
        (lambda: Resample(1, 2.5, 7), r"groups must be a whole number, not 2\.5"),  # type: ignore[arg-type]
        (lambda: Resample(1, 2, None), "seed must be a whole number, not None"),  # type: ignore[arg-type]
        (lambda: Blend(0, True), "last must be a whole number, not True"),
        (lambda: ResampleRegion(0, "", "1"), "seed must be a whole number, not '1'"),  # type: ignore[arg-type]
        (lambda: ResampleRegion(0, REGION, 1), "region .* pack_region writes it, not a Tensor"),  # type: ignore[arg-type]
        (lambda: pack_region(REGION.float()), r"of shape \(H, W\), not torch.float32 \(4, 4\)"),
        (lambda: pack_region(REGION[None]), r"not torch.bool \(1, 4, 4\)"),
        (lambda: pack_region(REGION.numpy()), r"is a ndarray, no tensor"),  # type: ignore[arg-type]
        (lambda: Sampling(3, steps=("x",)), r"steps are edits, .* not \('x',\)"),  # type: ignore[arg-type]
        (lambda: Sampling(3, steps=Blend(0, 1)), r"not Blend\(first=0, last=1\)"),  # type: ignore[arg-type]
    ],
)
def test_steps_of_another_type_are_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()


def test_numbers_of_tensors_in_steps_are_stored_as_plain_ones() -> None:
    one = Resample(torch.tensor(1), np.int64(2), np.uint8(7))  # type: ignore[arg-type]
    assert one == Resample(1, 2, 7)
    assert {type(value) for value in (one.sample, one.groups, one.seed)} == {int}
    assert Sampling(3, steps=[one]) == Sampling(3, steps=(one,))  # type: ignore[arg-type]


def test_vary_on_the_bundled_model_agrees_elsewhere() -> None:
    """The mouth of a grey ramp at ×8: a region that covers no cell of the input alone."""
    model = load("celeba64-x8")
    y = torch.linspace(0.2, 0.7, 64).reshape(1, 8, 8).expand(3, -1, -1)
    y = torch.round(255 * y) / 255
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[40:50, 22:43] = True
    sampling = model.sampling(samples=4)
    first = model.run(y, sampling)
    varied = model.run(y, sampling.then(ResampleRegion(2, pack_region(mask), seed=1)))
    assert torch.equal(varied.pixels[:, :, ~mask], first.pixels[2:3, :, ~mask].expand(4, -1, -1))
    assert all(varied.round_trip_exact)
    assert len({one.numpy().tobytes() for one in varied.pixels}) == 4


def test_a_region_is_set_in_without_a_seam_and_without_changing_the_shadow() -> None:
    degradation = BicubicDownscaling((64, 64), (8, 8))
    generator = torch.Generator().manual_seed(0)
    x, stays = torch.rand(2, 3, 64, 64, generator=generator), torch.full((1, 3, 64, 64), 0.5)
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[20:44, 30:] = True  # to the right it ends with the image, where nothing is to be joined
    weights = taper(mask)
    assert bool((weights[~mask] == 0).all())
    assert weights[30, 29:37].tolist() == pytest.approx([i / 7 for i in range(8)])
    assert float(weights[30, 63]) == 1
    joined = set_in(x, stays, weights[None, None], degradation)
    assert torch.equal(joined[..., ~mask], stays.expand(2, -1, -1, -1)[..., ~mask])
    shadow = degradation.A(stays)
    assert float((degradation.A(joined) - shadow).abs().max()) < 1e-3
    assert float((joined - stays)[..., mask].std()) > 0.15


def test_every_edit_is_read_back_by_its_kind() -> None:
    edits = (Resample(0, 2, 5), Blend(0, 1), ResampleRegion(0, pack_region(torch.eye(4) > 0), 3))
    for one in edits:
        assert edit_from_dict(asdict(one), "here") == one
    with pytest.raises(ConfigError, match="must be one of"):
        edit_from_dict({"kind": "none of them"}, "here")


def test_without_a_degradation_a_region_is_blended() -> None:
    generator = torch.Generator().manual_seed(0)
    x, stays = torch.rand(2, 3, 8, 8, generator=generator), torch.rand(1, 3, 8, 8)
    weights = torch.rand(1, 1, 8, 8, generator=generator)
    joined = set_in(x, stays, weights, None)
    torch.testing.assert_close(joined, (1 - weights) * stays + weights * x)


def test_an_edit_is_told_in_a_few_words() -> None:
    quarter = torch.zeros(16, 16, dtype=torch.bool)
    quarter[:8, 8:] = True
    steps = (Resample(3, 2, 0), Blend(1, 4), ResampleRegion(5, pack_region(quarter), 0))
    assert [step.describe() for step in steps] == [
        *("others like 3, 2 groups stay", "from 1 to 4", "5, varied in 25% of it")
    ]


@pytest.mark.parametrize("size", [(4096, 1), (1, 4096), (1, 1), (7, 9)])
def test_a_region_survives_as_text(size: tuple[int, int]) -> None:
    mask = torch.rand(size, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[0, 0] = True
    assert torch.equal(unpack_region(pack_region(mask)), mask)


def test_a_walk_of_two_samples_is_of_the_two_it_leads_between() -> None:
    like, window = torch.empty(2, 3, 1, 1), Window(0, 0, 16, 16)
    of = Sampling(samples=2, seed=3)
    fresh = noise_of(PRIOR, of, range(2), window).normal(like)
    walk = noise_of(PRIOR, of.then(Blend(1, 0)), range(2), window)
    torch.testing.assert_close(walk.normal(like), fresh.flip(0), atol=1e-6, rtol=0)
    alone = noise_of(PRIOR, of, [0], window).normal(like[:1])
    begun = noise_of(PRIOR, replace(of, samples=1).then(Blend(0, 0)), [0], window)
    assert torch.equal(begun.normal(like[:1]), alone)


def test_what_is_no_latent_is_drawn_anew_by_the_seed_of_the_step() -> None:
    like = torch.empty(2, 3, 4, 4)
    for steps, seed in (((), 3), ((Resample(0, 1, 11),), 11), ((Blend(0, 1),), 3)):
        of = Sampling(samples=2, seed=3, steps=steps)
        noise = noise_of(PRIOR, of, range(2), Window(0, 0, 16, 16))
        assert torch.equal(noise.uniform(like), SeededNoise(seed, range(2)).uniform(like))


@pytest.mark.parametrize(("columns", "fresh"), [(1, False), (2, True), (3, True)])
def test_a_cell_is_drawn_anew_where_the_region_covers_half_of_it(columns: int, fresh: bool) -> None:
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:8, 8 : 8 + columns] = True
    step, window = ResampleRegion(0, pack_region(mask), 8), Window(0, 0, 16, 16)
    start = Sampling(samples=1, seed=3)
    noises = [noise_of(PRIOR, of, [0], window) for of in (start, start.then(step))]
    for side in (1, 4):
        kept, varied = (noise.normal(torch.empty(1, 3, side, side)) for noise in noises)
        other = (kept != varied).all(1)[0].nonzero().tolist()
        assert other == ([[1, 2]] if fresh and side == 4 else [])


def test_opposite_samples_are_counted_as_the_pairs_that_they_are() -> None:
    pairs = Sampling(samples=4, antithetic=True)
    assert [pairs.ddof(kept) for kept in ([0, 1, 2, 3], [0, 1, 2], [0, 2])] == [0, 1 / 3, 1]
    assert Sampling(samples=4).ddof([0, 1, 2, 3]) == 1
    walk = pairs.then(Blend(1, 2))
    assert walk.ddof([0, 1, 2, 3]) == 1  # a walk between two of them is none of pairs
    assert [one.steps for one in walk.history] == [(), (Blend(1, 2),)]
    assert walk.then(Blend(0, 1)).pairs is False
    assert pairs.then(Resample(3, 0, 0)).pairs is True
    for first, last in ((0, 1), (3, 2)):
        with pytest.raises(InputError, match="opposite, and halfway between them is none"):
            pairs.then(Blend(first, last))
    assert pairs.then(Blend(2, 2)).steps


def test_angles_of_edits_are_those_of_what_they_draw() -> None:
    a, b = torch.randn(2, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0)).unbind()
    assert Resample(0, 1, 2).angle(0.5, 1.0) == math.pi / 2
    assert Blend(0, 1).angle(0.5, 1.0) == 0.5
    assert repr(Blend(0, 1)) == "Blend(first=0, last=1)"
    assert repr(Resample(0, 1, 2)) == "Resample(sample=0, groups=1, seed=2)"
    assert repr(ResampleRegion(0, "r", 2)) == "ResampleRegion(sample=0, region='r', seed=2)"
    window = Window(0, 0, 16, 16)
    between = Blend(0, 1).epsilon(Moment(0, a, [a, b], [0.0, 0.5, 1.0], window))
    torch.testing.assert_close(between, torch.cat([a, (a + b) * 0.5**0.5, b]), atol=1e-6, rtol=0)
    third = Blend(0, 1).epsilon(Moment(0, a, [a, b], [1 / 3], window, math.pi / 4))
    sines = [math.sin(share * math.pi / 4) / math.sin(math.pi / 4) for share in (2 / 3, 1 / 3)]
    torch.testing.assert_close(third, sines[0] * a + sines[1] * b)
    for angle in (0.0, math.pi):  # where there is no circle
        torch.testing.assert_close(slerp(a, b, 0.3, angle), 0.7 * a + 0.3 * b)
    torch.testing.assert_close(slerp(a / 100, b / 100, 0.3) * 100, slerp(a, b, 0.3))
    assert torch.equal(slerp(0 * a, 0 * b, 0.3), 0 * a)
