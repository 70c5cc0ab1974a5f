"""Measures against other libraries, closed forms, and what they must be by definition."""

import json
import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import skimage.color
import skimage.metrics
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from cvdvae.degradations.bicubic import BicubicDownscaling
from cvdvae.domains.faces import demo_photo
from cvdvae.errors import ConfigError, InputError, WeightsError
from cvdvae.evaluation.evaluate import Records, evaluate
from cvdvae.evaluation.measure import METRICS, Judges, columns, measure
from cvdvae.evaluation.method import Bicubic, Comparison
from cvdvae.evaluation.plan import Plan, Row
from cvdvae.evaluation.selection import Selection
from cvdvae.evaluation.table import as_markdown, as_text, best_rows, winners, write_tables
from cvdvae.imaging.io import to_bytes, to_tensor
from cvdvae.metrics.calibration import (
    LEVELS,
    Ranks,
    crps,
    energy_score,
    sparsification,
    uncertain,
)
from cvdvae.metrics.distortion import luma, psnr, psnr_y, ssim, ssim_y
from cvdvae.metrics.diversity import apd_lpips, apd_mse, ntire_diversity
from cvdvae.metrics.perceptual import BRISQUE, FEATURES, LPIPS
from cvdvae.metrics.realism import FaceDetector, detected, kernel_distance
from cvdvae.restoration.finish import finish

SHAPES = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


def images(n: int, size: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def photo() -> torch.Tensor:
    """The bundled face, 3×96×96."""
    return to_tensor(demo_photo().crop((160, 40, 352, 232)).resize((96, 96)))


@pytest.fixture(scope="module")
def lpips(tmp_path_factory: pytest.TempPathFactory) -> LPIPS:
    """LPIPS with the real linear heads on random features: its algebra, without a download."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for i in FEATURES:
        out, channels, kernel = SHAPES[i]
        weight = torch.randn(out, channels, kernel, kernel, generator=generator)
        state[f"features.{i}.weight"] = weight / (channels * kernel**2) ** 0.5
        state[f"features.{i}.bias"] = torch.zeros(out)
    path = tmp_path_factory.mktemp("alexnet") / "features.safetensors"
    save_file(state, path)
    return LPIPS(path)


def test_psnr_and_ssim_are_those_of_scikit_image() -> None:
    truth = photo()
    x = (truth + 0.1 * (images(1, 96)[0] - 0.5)).clamp(0, 1)
    a, b = x.numpy(), truth.numpy()
    expected = skimage.metrics.peak_signal_noise_ratio(b, a, data_range=1)
    assert float(psnr(x[None], truth)) == pytest.approx(expected, abs=1e-4)
    expected = skimage.metrics.structural_similarity(
        b, a, channel_axis=0, gaussian_weights=True, use_sample_covariance=False, data_range=1
    )
    assert float(ssim(x[None], truth)) == pytest.approx(expected, abs=1e-5)
    assert float(psnr(x[None], x)) == math.inf
    assert float(ssim(x[None], x)) == pytest.approx(1)


def test_luma_is_that_of_matlab_and_of_scikit_image() -> None:
    """MATLAB's documentation: black is 16, white 235; primaries by the standard's formula."""
    colours = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    y = luma(colours.T[:, None]) * 255
    assert y.flatten().tolist() == pytest.approx([16, 235, 81.481, 144.553, 40.966])
    x = photo()
    expected = skimage.color.rgb2ycbcr(x.double().permute(1, 2, 0).numpy())[..., 0]
    np.testing.assert_allclose(luma(x)[0].numpy() * 255, expected, atol=1e-4)
    assert luma(x[None].expand(2, -1, -1, -1)).shape == (2, 1, 96, 96)


@pytest.mark.parametrize("border", [0, 4])
def test_psnr_and_ssim_of_luma_are_the_formula_and_scikit_image(border: int) -> None:
    truth = photo()
    noisy = (truth + 0.1 * (images(2, 96) - 0.5)).clamp(0, 1)
    inner = slice(border, 96 - border)
    r, g, b = (noisy[1] - truth).double()[:, inner, inner] * 255
    difference = (65.481 * r + 128.553 * g + 24.966 * b) / 255
    expected = 10 * math.log10(255**2 / float(difference.square().mean()))
    got = psnr_y(noisy, truth, border)
    assert got.shape == (2,)
    assert float(got[1]) == pytest.approx(expected, abs=1e-6)
    a, b = (
        skimage.color.rgb2ycbcr(one.double().permute(1, 2, 0).numpy())[inner, inner, 0]
        for one in (noisy[1], truth)
    )
    expected = skimage.metrics.structural_similarity(
        b, a, gaussian_weights=True, use_sample_covariance=False, data_range=255
    )
    assert float(ssim_y(noisy, truth, border)[1]) == pytest.approx(expected, abs=1e-5)
    assert float(psnr_y(truth[None], truth, border)) == math.inf


@pytest.mark.parametrize("measured", ["maps", "distances", "features", "embedded"])
def test_lpips_computes_where_the_images_are(measured: str, lpips: LPIPS) -> None:
    """On the device without numbers, from which the network does not come back."""
    moved, x = deepcopy(lpips), images(2, 40).to("meta")
    found = getattr(moved, measured)(*[x, x[0]][: 2 if measured in ("maps", "distances") else 1])
    assert all(one.is_meta for one in found)
    assert all(one.is_meta for one in moved.model.parameters())


def test_scores_compute_where_the_samples_are() -> None:
    """What they make by themselves does not go where new tensors go by default."""
    samples, ranks = images(4), Ranks.empty(4, 32, 32)
    ranks.add(samples, samples[0])
    here = (crps(samples, samples[0]), ranks.histogram().tolist())
    ranks = Ranks.empty(4, 32, 32)
    with torch.device("meta"):
        ranks.add(samples, samples[0])
        assert (crps(samples, samples[0]), ranks.histogram().tolist()) == here


def test_lpips_is_a_symmetric_distance_and_its_map_averages_to_about_it(lpips: LPIPS) -> None:
    x, y = photo()[None], (photo()[None] + 0.2 * (images(1, 96) - 0.5)).clamp(0, 1)
    d = lpips.distances(x, y)
    assert float(d) > 1e-3
    torch.testing.assert_close(d, lpips.distances(y, x))
    assert float(lpips.distances(x, x)) == 0
    assert lpips.maps(x, y).shape == (1, 96, 96)
    assert float(lpips.maps(x, y).mean()) == pytest.approx(float(d), rel=0.2)
    parts = [
        (u - v).square().sum(1).mean()
        for u, v in zip(lpips.embedded(x), lpips.embedded(y), strict=True)
    ]
    assert float(sum(parts)) == pytest.approx(float(d), rel=1e-4)  # type: ignore[arg-type]
    moved = y.clone().requires_grad_(True)
    lpips.embedded(moved)[0].sum().backward()
    assert moved.grad is not None
    # One reference for many, on the path from [0, 1] to what the features take; never trained.
    with torch.enable_grad():
        assert lpips.distances(torch.cat([x, y]), x[0]).tolist() == [
            pytest.approx(0, abs=1e-9),
            pytest.approx(float(d), rel=1e-3),
        ]
        assert not lpips.maps(torch.cat([x, y]), x[0]).requires_grad
    torch.testing.assert_close(lpips.model(2 * x - 1, 2 * y - 1)[:, 0], lpips.maps(x, y))
    assert not any(p.requires_grad for p in lpips.model.parameters())


@pytest.mark.parametrize("size", [(30, 40), (31, 31)])
def test_images_too_small_for_lpips_are_measured_by_all_else(
    lpips: LPIPS, size: tuple[int, int]
) -> None:
    H = BicubicDownscaling.of_scale(size, 2)
    truth = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    y = H.A(truth[None])[0]
    done = finish(torch.stack([truth, truth / 2]), y[None], H, consistent=True)
    judges = Judges(lpips, None, {})
    scores = measure(done, y, truth, H, judges)
    columns = [scores[key] for key in ("lpips", "apd_lpips", "ntire_diversity")]
    assert scores["psnr"] is not None
    if min(size) < 31:
        assert columns == [None] * 3
        assert judges.missing == {"LPIPS": "it needs images of at least 31×31 pixels, not of 40×30"}
    else:
        assert None not in columns
        assert not judges.missing


@pytest.mark.parametrize(("side", "small"), [(4, True), (10, True), (12, False)])
def test_why_a_measure_has_nothing_to_say_is_told_with_the_table(
    side: int, small: bool, lpips: LPIPS, tmp_path: Path
) -> None:
    """And once more when nothing is left to measure, and where another task has it."""
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos" / "0.png")
    plan, out = Plan(Selection(tmp_path / "photos"), (0.8,), 1), tmp_path / "out"

    def task(scale: int, size: int) -> Comparison:
        return Comparison(
            scale, BicubicDownscaling.of_scale((size, size), scale), (Bicubic((size, size)),)
        )

    def written(*tasks: Comparison) -> str:
        judges = Judges(lpips, BRISQUE(), {})
        records, _ = evaluate(plan, tasks, judges, out)
        write_tables(records, judges.missing, out, plan.samples)
        return (out / "table.md").read_text()

    little, large = task(2, side), task(4, 32)
    first = written(little)
    of = f"pixels, not of {side}×{side}."
    assert f"\nLPIPS: not measured, because it needs images of at least 31×31 {of}" in first
    assert (f"SSIM: not measured, because it needs images of at least 11×11 {of}" in first) == small
    assert f"BRISQUE: not measured, because it needs images of at least 32×32 {of}" in first
    assert written(little) == first
    both = written(little, large)
    assert f"\nLPIPS at ×2: not measured, because it needs images of at least 31×31 {of}" in both
    assert "LPIPS:" not in both


def test_samples_that_are_the_truth_leave_the_others_their_psnr() -> None:
    H = BicubicDownscaling.of_scale((32, 32), 2)
    truth = to_bytes(images(1)[0]).float() / 255
    y = H.A(truth[None])[0].clamp(0, 1)
    done = finish(torch.stack([truth, truth / 2]), y[None], H, consistent=False)
    alone = finish((truth / 2)[None], y[None], H, consistent=False)
    both, other = (measure(d, y, truth, H, Judges(None, None, {})) for d in (done, alone))
    assert both["psnr"] == other["psnr"]
    assert both["psnr"] is not None


def rows_of(key: str, **values: list[float | None]) -> Records:
    """Records of one measure: its values over images for every method."""
    return {
        (Row(4, method, None, False), f"{i}.png"): {key: value}
        for method, each in values.items()
        for i, value in enumerate(each)
    }


def test_nobody_wins_by_what_float32_rounds() -> None:
    column = METRICS["lr_psnr_float"].column
    records = rows_of(column.key, seen=[157, 156, 157], model=[150, 149, 149])
    assert best_rows(records, column) == set()
    assert winners(records) == ["×4, won by none: LR-PSNR, float."]
    records |= rows_of(column.key, plain=[34, 35, 34])
    assert {row.method for row in best_rows(records, column)} == {"seen", "model"}
    assert "150" in as_markdown(rows_of(column.key, model=[150, 150]))
    saved = rows_of("lr_psnr", one=[157, 156, 157], other=[150, 149, 149])
    assert {row.method for row in best_rows(saved, METRICS["lr_psnr"].column)} == {"one"}


def test_nobody_wins_a_column_in_which_values_are_missing() -> None:
    """What is missing may be infinite; an image whose samples all exploded has nothing at all."""
    column, proper = METRICS["psnr"].column, METRICS["crps"].column
    whole = rows_of("psnr", a=[30, 31, 30], b=[20, 21, 20])
    assert {row.method for row in best_rows(whole, column)} == {"a"}
    assert best_rows(whole | rows_of("psnr", b=[20, None, 20]), column) == set()
    assert best_rows(whole | rows_of("psnr", c=[None, None, None]), column) == set()
    spread = rows_of("crps", a=[3, 3.1, 3], b=[2, 2.1, 2], one=[None, None, None])
    assert {row.method for row in best_rows(spread, proper)} == {"b"}  # which one answer lacks
    exploded = {(Row(4, "b", None, False), "1.png"): {"psnr": None, "exploded": 100.0}}
    assert {row.method for row in best_rows(whole | exploded, column)} == {"a"}
    keys = ("psnr", "psnr_of_mean", "lr_psnr_float", "lr_psnr", "lr_psnr_worst")
    for key in keys:
        records = rows_of(key, truth=[None] * 3, a=[30, 31, 30], b=[20, 21, 20])
        assert best_rows(records, METRICS[key].column) == set()
    assert [c.key for c in columns() if c.unbounded] == list(keys)


def test_names_that_look_like_markup_are_printed_as_they_are() -> None:
    row = Row(1, "[red]mine", None, False, "mask:file=loch [neu].png")
    text = as_text({(row, "0.png"): {"psnr": 20.0}}, 1)
    assert "mask:file=loch [neu].png: 1 image, 1 sample" in text
    assert "mask:file=loch [neu].png: [red]mine" in text


def test_a_file_has_every_digit_however_many_rows_there_are() -> None:
    records: Records = {
        (Row(8, method, temperature / 20, projected), f"{i}.png"): {"psnr": 20 + temperature + i}
        for method in ("cvdvae", "hcflow")
        for temperature in range(20)
        for projected in (False, True)
        for i in range(3)
    }
    lines = as_text(records, 8).splitlines()
    assert not any("…" in line for line in lines)
    (cells,) = [line for line in lines if "PSNR" in line]
    assert [cells.count(f"{21 + t}.00 ± 0.58") for t in range(20)] == [4] * 20
    assert len(lines) == 6  # a title, a frame, the header, and the measure


def test_vectors_are_computed_where_the_images_are(lpips: LPIPS) -> None:
    elsewhere = deepcopy(lpips).embedded(images(1).to("meta"))
    assert {vectors.device.type for vectors in elsewhere} == {"meta"}


SHARED = Path(__file__).parents[2] / "shared" / "data" / "alexnet_features.safetensors"


@pytest.mark.skipif(not SHARED.exists(), reason="AlexNet's weights are not on this machine")
def test_lpips_with_its_weights_is_that_of_the_package() -> None:
    """Torchvision's weights, loaded into the package by hand, on images in [−1, 1]."""
    import lpips as package
    from safetensors.torch import load_file

    model = package.LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = load_file(SHARED)
    names = [n for n in model.net.state_dict() if n.startswith("slice")]
    places = {n: f"features.{n.split('.')[1]}.{n.split('.')[2]}" for n in names}
    model.net.load_state_dict({n: state[t] for n, t in places.items()})
    x = photo()[None]
    y = torch.nn.functional.avg_pool2d(x, 5, stride=1, padding=2)
    with torch.no_grad():
        expected = model(2 * x - 1, 2 * y - 1).flatten()
    got = LPIPS(SHARED).distances(x, y)
    torch.testing.assert_close(got, expected)
    assert float(got) > 0.1


def test_lpips_without_its_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read"):
        LPIPS(tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="no regular file"):
        LPIPS(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="five convolutions"):
        LPIPS(tmp_path / "other.safetensors")


def test_what_has_no_brisque_costs_others_none() -> None:
    pytest.importorskip("brisque")
    score = BRISQUE()
    for shape in ((2, 3, 1, 1), (2, 3, 31, 31), (2, 4, 32, 32), (2, 2, 32, 32)):
        assert bool(score(torch.zeros(shape, dtype=torch.uint8)).isnan().all())


def test_brisque_prefers_a_photo_to_its_noisy_and_blurred_versions() -> None:
    sharp = photo()[None]
    noisy = (sharp + 0.3 * (images(1, 96) - 0.5)).clamp(0, 1)
    blurred = torch.nn.functional.avg_pool2d(sharp, 5, stride=1, padding=2)
    scores = BRISQUE()(to_bytes(torch.cat([sharp, noisy, blurred])))
    assert float(scores[0]) < min(float(scores[1]), float(scores[2]))
    # What the package itself gives for this photo, in the version that this was written with.
    assert float(scores[0]) == pytest.approx(18.64, abs=0.05)


def test_distances_of_two_networks_do_not_meet_in_one_folder(lpips: LPIPS, tmp_path: Path) -> None:
    """A folder from before the network was told goes on, and tells it from then on."""
    (tmp_path / "photos").mkdir()
    for i in range(2):
        Image.new("RGB", (40, 40), (99 * i, 9, 9)).save(tmp_path / "photos" / f"{i}.png")
    other, same = deepcopy(lpips), deepcopy(lpips)
    next(iter(other.model.net.parameters())).data[0, 0, 0, 0] += 1
    assert lpips.digest() == same.digest() != other.digest()
    task = Comparison(4, BicubicDownscaling.of_scale((32, 32), 4), (Bicubic((32, 32)),))
    out, settings = tmp_path / "out", tmp_path / "out" / "settings.json"

    def measured(judge: LPIPS, images: int) -> int:
        plan = Plan(Selection(tmp_path / "photos", count=images), (0.8,), 1)
        return len(evaluate(plan, [task], Judges(judge, None, {}), out)[0])

    assert measured(lpips, 1) == 1
    told = json.loads(settings.read_text())
    with pytest.raises(ConfigError, match="with another network of LPIPS: choose another folder"):
        measured(other, 2)
    assert told.pop("alexnet") == lpips.digest()
    settings.write_text(json.dumps(told))
    assert measured(same, 2) == 2
    assert json.loads(settings.read_text())["alexnet"] == lpips.digest()


def test_average_pairwise_distance(lpips: LPIPS) -> None:
    samples = torch.stack([torch.full((3, 32, 32), v) for v in (0.0, 0.5, 1.0)])
    assert apd_mse(samples) == pytest.approx((0.25 + 1 + 0.25) / 3)
    x = images(3)
    mean = torch.cat([lpips.distances(x[[i]], x[[j]]) for i, j in ((0, 1), (0, 2), (1, 2))]).mean()
    assert apd_lpips(x, lpips) == pytest.approx(float(mean), rel=1e-4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cvdvae.metrics.diversity.PAIRS", 2)
        assert apd_lpips(x, lpips) == pytest.approx(float(mean), rel=1e-4)
    assert apd_mse(x[:2]) == pytest.approx(float((x[0] - x[1]).square().mean()))
    for distance in (apd_mse, lambda one: apd_lpips(one, lpips)):
        with pytest.raises(InputError, match="at least two"):
            distance(samples[:1])


def test_ntire_diversity_by_hand() -> None:
    """G = 3 (the second map), B = (1 + 2) / 2."""
    maps = torch.tensor([[[1.0, 6.0]], [[4.0, 2.0]]])
    assert ntire_diversity(maps) == pytest.approx(100 * (3 - 1.5) / 3)
    assert ntire_diversity(maps[[0, 0]]) == 0
    with pytest.raises(InputError, match="at least two"):
        ntire_diversity(maps[:1])


def test_crps_of_a_normal_distribution() -> None:
    """σ [z (2Φ(z) − 1) + 2φ(z) − 1/√π] with z = (t − μ)/σ (Gneiting & Raftery 2007, eq. 21)."""
    generator = torch.Generator().manual_seed(0)
    samples = 0.5 + 0.1 * torch.randn(400, 3, 16, 16, generator=generator)
    for t in (0.5, 0.62):
        z = (t - 0.5) / 0.1
        phi = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        expected = 0.1 * (z * math.erf(z / math.sqrt(2)) + 2 * phi - 1 / math.sqrt(math.pi))
        got = crps(samples, torch.full((3, 16, 16), t))
        assert got == pytest.approx(expected, rel=0.01)


def test_crps_and_energy_score_by_their_definitions() -> None:
    samples, truth = images(4, 5).double(), images(1, 5, seed=1)[0].double()
    between = [(samples[i] - samples[j]) for i in range(4) for j in range(4) if i != j]
    first = (samples - truth).abs().mean()
    expected = first - torch.stack(between).abs().mean() / 2
    assert crps(samples, truth) == pytest.approx(float(expected))
    norms = torch.stack([b.norm() for b in between]).mean()
    expected = (samples - truth).flatten(1).norm(dim=1).mean() - norms / 2
    assert energy_score(samples, truth) == pytest.approx(float(expected) / 75**0.5)


def test_the_energy_score_of_many_samples_that_are_nearly_the_same_is_no_round_off() -> None:
    samples = 0.5 + 1e-6 * images(30, 32).double()
    truth = 0.5 + 1e-6 * images(1, 32, seed=1)[0].double()
    small = energy_score(samples, truth)
    assert small == pytest.approx(1e-6 * energy_score(1e6 * samples, 1e6 * truth), rel=1e-6)
    assert small == pytest.approx(1e-6 * energy_score(images(30, 32), images(1, 32, seed=1)[0]))


@pytest.mark.parametrize("score", [crps, energy_score])
def test_proper_scores_of_one_sample_are_refused(
    score: Callable[[torch.Tensor, torch.Tensor], float],
) -> None:
    with pytest.raises(InputError, match="at least two"):
        score(images(1), images(1)[0])


def test_proper_scores_prefer_the_distribution_that_the_truth_comes_from() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = torch.randn(3, 40, 40, generator=generator)
    draws = torch.randn(64, 3, 40, 40, generator=generator)
    for score in (crps, energy_score):
        right = score(draws, truth)
        assert all(right < score(draws * f, truth) for f in (0.3, 2.0))


@given(st.integers(2, 12), st.integers(0, 5))
def test_ranks_are_uniform_when_the_truth_is_one_more_draw(n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ranks = Ranks.empty(n, 12, 12)
    for _ in range(20):
        draws = torch.rand(n + 1, 3, 12, 12, generator=generator)
        ranks.add(draws[1:], draws[0])
    assert float(ranks.histogram().sum()) == pytest.approx(1)
    assert float((ranks.histogram() * (n + 1) - 1).abs().max()) < 0.15
    for level in LEVELS:
        covered = ranks.coverage(level)
        if level > (n - 1) / (n + 1):
            assert covered is None  # no interval of so few samples is so wide
        else:
            assert covered == pytest.approx(level, abs=0.03)
    regions = ranks.coverage_map(0.3, 3)
    assert [len(row) for row in regions] == [3, 3, 3]


def test_too_narrow_samples_cover_too_little_and_too_wide_ones_too_much() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(3, 30, 30, generator=generator)
    draws = torch.randn(19, 3, 30, 30, generator=generator)
    for factor, wide in ((0.3, False), (3.0, True)):
        ranks = Ranks.empty(19, 30, 30)
        ranks.add(factor * draws, truth)
        assert all(((ranks.coverage(level) or 0) > level) == wide for level in LEVELS)


def test_the_rank_counts_the_samples_below() -> None:
    ranks = Ranks.empty(4, 1, 1)
    samples = torch.tensor([0.1, 0.2, 0.3, 0.9]).view(4, 1, 1, 1).expand(-1, 3, -1, -1)
    ranks.add(samples, torch.full((3, 1, 1), 0.5))
    assert ranks.histogram().tolist() == [0, 0, 0, 1, 0]


def test_a_truth_that_equals_samples_shares_its_count() -> None:
    ranks = Ranks.empty(4, 2, 2)
    ranks.add(torch.zeros(4, 3, 2, 2), torch.zeros(3, 2, 2))
    torch.testing.assert_close(ranks.histogram(), torch.full((5,), 0.2, dtype=torch.float64))


def test_values_that_all_samples_share_with_the_truth_do_not_count() -> None:
    """Those on which they agree and are wrong do; so ranks of equals remain uniform."""
    samples = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.2, 0.2, 0.2 + 3e-7, 0.3]]).view(2, 1, 1, 4)
    truth = torch.tensor([0.2, 0.9, 0.2, 0.2]).view(1, 1, 4)
    counted = uncertain(samples, truth)
    assert counted.flatten().tolist() == [False, True, False, True]
    ranks = Ranks.empty(2, 1, 4)
    ranks.add(samples, truth, counted)
    assert ranks.counts[:, 0].T.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0], [0.5, 0.5, 0]]
    assert Ranks.empty(2, 1, 4).coverage(0.3) is None
    generator = torch.Generator().manual_seed(0)
    few, many = Ranks.empty(4, 30, 30), torch.randint(0, 2, (40, 5, 3, 30, 30), generator=generator)
    for drawn in many / 255:
        few.add(drawn[1:], drawn[0], uncertain(drawn[1:], drawn[0]))
    assert few.counts.sum() < 0.95 * 40 * 3 * 900
    assert float((5 * few.histogram() - 1).abs().max()) < 0.03


def test_no_order_sparsifies_better_than_the_error_itself() -> None:
    rng = np.random.default_rng(0)
    error = torch.from_numpy(rng.exponential(size=(20, 20)))
    by_std, best = sparsification(torch.from_numpy(rng.random((20, 20))), error)
    assert float(by_std[0]) == float(best[0]) == pytest.approx(1)
    assert bool((best <= by_std + 1e-12).all())
    assert bool((best.diff() <= 1e-12).all())
    assert len(best) == 20
    same, _ = sparsification(error.sqrt(), error)
    torch.testing.assert_close(same, best)


def test_sparsification_by_hand() -> None:
    std, error = torch.tensor([[4.0, 3.0, 2.0, 1.0]]), torch.tensor([[9.0, 4.0, 1.0, 0.0]])
    by_std, best = sparsification(std, error, steps=4)
    expected = [(mean / 3.5) ** 0.5 for mean in (14 / 4, 5 / 3, 1 / 2, 0)]
    assert by_std.tolist() == best.tolist() == pytest.approx(expected)
    assert sparsification(std, 1e-8 * error, 4)[0].tolist() == pytest.approx(expected)
    wrong, _ = sparsification(-std, error, steps=4)
    assert wrong.tolist() == pytest.approx([(m / 3.5) ** 0.5 for m in (3.5, 14 / 3, 6.5, 9)])
    one, _ = sparsification(std[:, :1], error[:, :1], steps=3)  # a pixel is always left
    assert one.tolist() == [1, 1, 1]
    assert sparsification(std, 0 * error)[0].tolist() == [1] * 20


def test_pixels_that_are_as_uncertain_as_each_other_have_no_order() -> None:
    rng = np.random.default_rng(0)
    error = torch.from_numpy(rng.exponential(size=(20, 20))) * torch.linspace(0, 1, 20)[:, None]
    for levels in (1, 4):
        std = torch.from_numpy(rng.integers(0, levels, (20, 20)))
        curves = [sparsification(a, b)[0] for a, b in ((std, error), (std.flip(0), error.flip(0)))]
        torch.testing.assert_close(*curves)
    same, _ = sparsification(torch.zeros(20, 20), error)
    torch.testing.assert_close(same, torch.ones(20, dtype=same.dtype))


def test_coverage_by_hand() -> None:
    """Four samples have intervals of 1/5 and 3/5; between them it is interpolated."""
    ranks = Ranks.empty(4, 2, 2)
    ranks.counts[:, 0, 0] = torch.tensor([1.0, 2, 4, 2, 1])
    nominal, observed = ranks.reliability()
    assert nominal.tolist() == pytest.approx([0, 0.2, 0.6])
    assert observed.tolist() == pytest.approx([0, 0.4, 0.8])
    for level, covered in ((0, 0), (0.1, 0.2), (0.2, 0.4), (0.3, 0.5), (0.6, 0.8)):
        assert ranks.coverage(level) == pytest.approx(covered, abs=1e-5)
    assert ranks.coverage(0.6 + 1e-4) is None
    ranks.counts[:, 0, 1] = torch.tensor([5.0, 0, 0, 0, 5])
    ranks.counts[:, 1, :] = torch.tensor([0.0, 0, 1, 0, 0])[:, None]
    assert ranks.coverage_map(0.6, 2) == [
        [pytest.approx(0.8, abs=1e-5), pytest.approx(0, abs=1e-5)],
        [pytest.approx(1, abs=1e-5), pytest.approx(1, abs=1e-5)],
    ]
    even = Ranks(torch.ones(4, 1, 1))  # of three samples: the middle half, and no wider one
    assert even.reliability()[0].tolist() == [0, 0.5]


def test_the_error_of_coverage_is_how_far_it_strays_with_other_images() -> None:
    """Values of one image hang together: it is of images, however many values they have."""
    generator = torch.Generator().manual_seed(0)

    def drawn(images: int, seen: float = 1.0) -> Ranks:
        ranks = Ranks.empty(19, 8, 8)
        for _ in range(images):
            samples, truth = torch.randn(20, 3, 8, 8, generator=generator).split([19, 1])
            samples = samples + torch.randn(1, generator=generator)  # far off in the whole image
            share = torch.rand(1, generator=generator) ** (1 - seen)
            counted = torch.rand(3, 8, 8, generator=generator) < share
            ranks.add(samples, truth[0], counted)
        return ranks

    for seen in (1.0, 0.0):  # all values count, or of every image another share
        many = [drawn(20, seen) for _ in range(60)]
        strays = torch.tensor([ranks.coverage(0.8) for ranks in many]).std()
        told = torch.tensor([ranks.coverage_error(0.8) for ranks in many]).square().mean().sqrt()
        assert float(told) == pytest.approx(float(strays), rel=0.25)
        assert float(told) > 0.03  # that of values that do not hang together is 0.006
    assert drawn(1).coverage_error(0.8) is None
    assert drawn(3).coverage_error(0.95) is None
    assert Ranks.empty(19, 8, 8).coverage_error(0.8) is None


def test_a_face_is_found_where_there_is_one() -> None:
    face = photo()
    upside_down, flat = face.flip(1), torch.full_like(face, 0.5)
    scores = FaceDetector()(torch.stack([face, upside_down, flat]))
    assert scores.dtype == torch.float64
    assert scores[0] > 0.99 > scores[1]
    assert scores[2] == 0


def test_the_share_of_detected_faces_is_measured_against_real_ones() -> None:
    real = torch.linspace(0.5, 1, 101, dtype=torch.float64)
    share, _ = detected(real, real)
    assert share == pytest.approx(0.99, abs=0.01)
    assert detected(torch.zeros(10, dtype=torch.float64), real) == (0, 0)
    mixed = torch.tensor([0.0, 1.0] * 50, dtype=torch.float64)
    share, error = detected(mixed, real)
    assert share == 0.5
    assert error == pytest.approx(0.05)


@given(st.integers(1, 400), st.integers(0, 5))
def test_as_sure_as_of_99_percent_of_the_real_ones(n: int, seed: int) -> None:
    """However few they are; and one more that does not pass would be too many."""
    generator = torch.Generator().manual_seed(seed)
    real = torch.rand(n, generator=generator, dtype=torch.float64) + 0.1
    share, _ = detected(real, real)
    assert share > 0.99 - 1e-9 > share - 1 / n
    real[: n // 100] = 0  # 1 % of them at most: those that may be missed
    assert detected(real, real)[0] == pytest.approx(1 - n // 100 / n)
    real[n // 100] = 0
    with pytest.raises(InputError, match="no face is found in over 1%"):
        detected(real, real)


def test_the_kernel_distance_is_that_of_all_pairs_and_unbiased() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a @ b / 4 + 1) ** 3)

    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    terms = [k(x[i], x[j]) + k(y[i], y[j]) - k(x[i], y[j]) - k(x[j], y[i]) for i, j in pairs]
    assert kernel_distance(x, y)[0] == pytest.approx(sum(terms) / len(terms))
    estimates = torch.tensor(
        [kernel_distance(*torch.randn(2, 30, 4, generator=generator)) for _ in range(200)]
    )
    mean, spread = estimates[:, 0].mean(), estimates[:, 0].std()
    assert abs(mean) < 4 * spread / 200**0.5
    assert spread < estimates[:, 1].mean() < 2 * spread  # √2 of it in theory
    apart, error = kernel_distance(x.repeat(20, 1) + 1, y.repeat(20, 1))
    assert apart > 4 * error
    with pytest.raises(InputError, match="as many in both"):
        kernel_distance(x, y[:4])
    assert math.isfinite(kernel_distance(x[:3], y[:3])[1])
    with pytest.raises(InputError, match="at least 3"):
        kernel_distance(x[:2], y[:2])


def test_features_are_alexnets_last_and_follow_no_position(lpips: LPIPS) -> None:
    x = images(2)
    features = lpips.features(x)
    assert features.shape == (2, 256)
    large = F.interpolate(x, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    *_, last = lpips.model.net(lpips.model.scaling_layer(2 * large - 1))
    torch.testing.assert_close(features, last.mean((2, 3)))
    assert (features >= 0).all()
    torch.testing.assert_close(lpips.features(x[:1, :1].expand(-1, 3, -1, -1)),
                               lpips.features(x[:1, :1]))  # fmt: skip


def test_damaged_weights_in_the_cache_of_lpips_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for content in (b"\x12nothing of the kind", b""):
        (checkpoints / "alexnet-owt-7be5be79.pth").write_bytes(content)
        with pytest.raises(WeightsError, match="in torchvision's cache are damaged"):
            LPIPS()
