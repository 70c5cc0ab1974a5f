"""Networks on a device, in a precision, whatever PyTorch makes by default."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import (
    saved_resolver,
    tiny_flow,
    tiny_nuclei,
    tiny_photo_restorer,
    tiny_photos,
    tiny_prior,
    tiny_resolver,
    tiny_restorer,
)

import cvdvae
from cvdvae.damage.described import parse
from cvdvae.degradations.base import Degradation
from cvdvae.degradations.damped import solve
from cvdvae.errors import InputError
from cvdvae.gaussian.noise import AntitheticNoise, SeededNoise
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.input_check import jpeg, shrinking
from cvdvae.input_check.examine import examine
from cvdvae.input_check.jpeg import lattice, subsampling
from cvdvae.input_check.screen import doubts_of, fit_proper, odd
from cvdvae.input_check.shrinking import spectrum
from cvdvae.restoration import finish, tiles, workers
from cvdvae.restoration.edits import Blend, ResampleRegion, pack_region
from cvdvae.restoration.networks import Networks
from cvdvae.restoration.restoring import degraded
from cvdvae.restoration.settings import Sampling

Y = torch.full((3, 4, 4), 0.4)


@contextmanager
def made_by_default(kind: torch.dtype | str) -> Iterator[None]:
    """New tensors are of this dtype, or on this device."""
    dtype = torch.get_default_dtype()
    try:
        if isinstance(kind, torch.dtype):
            torch.set_default_dtype(kind)
        else:
            torch.set_default_device(kind)
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_default_device(None)


kinds = pytest.mark.parametrize("kind", [torch.float64, "meta"], ids=["float64", "meta"])


@kinds
def test_noise_is_the_same_whatever_is_made_by_default(kind: torch.dtype | str) -> None:
    like = torch.empty(2, 3)

    def drawn() -> list[torch.Tensor]:
        pairs = AntitheticNoise(lambda indices: SeededNoise(1, indices), range(2))
        return [one for noise in (SeededNoise(0, range(2)), pairs)
                for one in (noise.normal(like), noise.uniform(like))]  # fmt: skip

    usual = drawn()
    with made_by_default(kind):
        unusual = drawn()
    assert all(map(torch.equal, unusual, usual))


@kinds
def test_samples_are_the_same_whatever_is_made_by_default(
    kind: torch.dtype | str, tmp_path: Path
) -> None:
    folder = saved_resolver(tmp_path / "tiny")
    usual = cvdvae.load(str(folder)).upscale(Y, samples=2)
    with made_by_default(kind):
        model = cvdvae.load(str(folder))
        assert (model.dtype, model.device.type) == (torch.float32, "cpu")
        unusual = model.upscale(Y, samples=2)
    assert torch.equal(unusual.samples, usual.samples)
    assert torch.equal(unusual.pixels, usual.pixels)


def smooth(height: int, width: int, channels: int = 3) -> torch.Tensor:
    corners = torch.rand(1, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    image = F.interpolate(corners, (height, width), mode="bicubic").clamp(0.1, 0.9)
    return torch.round(255 * image[0]) / 255


Result = cvdvae.SuperResolution | cvdvae.Restoration | finish.Finished


def told(result: Result) -> list[object]:
    """All numbers of a result, and what they are."""
    tensors, rest = [result.pixels], list[object]()
    if isinstance(result, finish.Finished):
        tensors.append(result.x)
    else:
        tensors += [result.samples, result.mean_pixels, result.std]
        rest += [result.misfit, result.exploded]
    return [*((one.dtype, one.tolist()) for one in tensors), *rest]


MODES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "float64": lambda: made_by_default(torch.float64),
    "meta": lambda: made_by_default("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference": torch.inference_mode,
}


def test_results_are_the_same_in_every_mode_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one processor: modes are a matter of the thread, and others do not have them."""
    monkeypatch.setattr(workers, "usable_processors", lambda: 1)
    y, seen, photo, grey = smooth(4, 4), smooth(16, 16), smooth(30, 12), smooth(8, 8, 1)
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[3:11, 5:14] = True
    first = Sampling(3, seed=2)
    region = first.then(ResampleRegion(1, pack_region(mask), seed=7))
    faces, photos, nuclei, flow = tiny_resolver(), tiny_photos(2), tiny_nuclei(), tiny_flow()
    restorer, of_photos = tiny_restorer(), tiny_photo_restorer()

    def restored(words: str, noise: float | None = None, moves: int = 0) -> Result:
        return restorer.restore(seen, words, samples=2, noise=noise, moves=moves)

    def in_pieces(draw: Callable[[], Result]) -> Result:
        """In tiles and strips."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(finish, "STRIP_PIXELS", 1000)
            for name, value in (("WHOLE_PIXELS", 1000), ("CORE", 24), ("HALO", 16)):
                patch.setattr(tiles, name, value)
            return draw()

    cases: dict[str, Callable[[], Result]] = {
        "region": lambda: faces.run(y, region, truth=seen),
        "walk": lambda: faces.run(y, first.then(Blend(0, 1))),
        "answers": lambda: photos.answers(photo, Sampling(2)),
        "nuclei": lambda: nuclei.upscale(grey, samples=2),
        "flow": lambda: flow.upscale(y, samples=2),
        "hole": lambda: restored("hole:side=6"),
        "half": lambda: restored("half:side=left"),
        "blur": lambda: restored("blur:sigma=1", 0.02),
        "JPEG": lambda: restored("jpeg:quality=50"),
        "moves": lambda: restored("random:keep=0.5", moves=2),
        "small": lambda: restorer.restore(y, "blur:sigma=0.5 + downscale:scale=4", 2, 0.02),
        "nuclei, turned": lambda: nuclei.upscale(grey, samples=3, self_ensemble=True),
        "flow, mirrored": lambda: flow.upscale(y, samples=3, self_ensemble=True),
        "grain, mirrored": lambda: restorer.restore(
            seen, "noise", 3, 0.1, grain=True, self_ensemble=True
        ),
        "restored, turned": lambda: of_photos.restore(
            photo, "blur:sigma=1", samples=3, self_ensemble=True
        ),
        "tiles": lambda: in_pieces(lambda: photos.upscale(photo, samples=1)),
        "restored tiles": lambda: in_pieces(
            lambda: of_photos.restore(photo, "hole:side=9", samples=1)
        ),
    }
    for name, draw in cases.items():
        usual = told(draw())
        for mode, within in MODES.items():
            with within():
                unusual = told(draw())
            assert unusual == usual, (name, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("words", ["downscale:scale=4", "downscale:scale=2 + jpeg:quality=50"])
def test_what_is_seen_is_the_same_in_every_mode_of_pytorch(words: str, mode: str) -> None:
    x = smooth(32, 32)
    usual = degraded(x, parse(words)).y
    with MODES[mode]():
        assert torch.equal(degraded(x, parse(words)).y, usual)


@pytest.mark.parametrize("words", ["downscale:scale=3", "blur:sigma=1", "jpeg:quality=50"])
def test_what_is_kept_in_inference_mode_serves_gradients_later(words: str) -> None:
    """Of matrices that all operators of a size share, and of an operator that both modes use."""
    x = smooth(33, 27)[None].double()
    H = parse(words).operator((33, 27))
    with torch.inference_mode():
        y = back_and_forth(x, H)
        back_and_forth(x, parse(words).operator((33, 27)))  # by another one, too
    wanted = x.clone().requires_grad_()
    found = back_and_forth(wanted, H)
    found.sum().backward()
    assert torch.equal(found.detach(), y)
    assert bool(wanted.grad.isfinite().all())  # type: ignore[union-attr]


def back_and_forth(x: torch.Tensor, H: Degradation) -> torch.Tensor:
    y = H.A(x)
    return H.A_adjoint(solve(H, y, 0.1)) if y.ndim == 4 else H.A_adjoint(y)


def test_doubts_are_the_same_in_every_mode_of_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is expected, too, which is fitted within; and nothing that is kept spoils it later."""
    monkeypatch.setattr(workers, "usable_processors", lambda: 1)
    sharp, photo = (
        torch.rand(3, n, n, generator=torch.Generator().manual_seed(0)) for n in (8, 64)
    )
    proper = [smooth(8, 8).roll(i, 2) for i in range(20)]
    model = tiny_resolver(LREncoderConfig.of_resolutions(16, 8, "8x1,8d2,4x1,4d4,1x1", width=8))

    def glanced() -> list[object]:
        seen = spectrum(photo)
        assert seen is not None
        return [odd(model, sharp), lattice(sharp), subsampling(sharp), seen.tolist()]

    def found() -> list[object]:
        model.proper = fit_proper(proper, proper)
        assert model.proper is not None
        model.expected = model.proper.expected
        return [model.expected, examine(model, sharp), *glanced()]

    expected, examined, *usual = found()
    assert doubts_of(model, sharp) == examine(model, sharp).doubts != []
    for mode, within in MODES.items():
        for kept in (jpeg._steps, jpeg._onto_half, shrinking._window):
            kept.cache_clear()
        with within():
            assert found() == [expected, examined, *usual], mode
        assert glanced() == usual, mode


def test_chains_of_a_model_without_gradients_are_refused() -> None:
    with torch.inference_mode():
        model = tiny_restorer()
    assert len(model.restore(smooth(16, 16), "hole:side=6", samples=1).pixels) == 1
    with pytest.raises(InputError, match="inference mode: moves need gradients"):
        model.restore(smooth(16, 16), "hole:side=6", samples=1, moves=1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int8, "bf16"])
def test_networks_compute_in_float32_or_bfloat16(dtype: torch.dtype) -> None:
    for model in (tiny_resolver(), tiny_restorer()):
        with pytest.raises(InputError, match=r"torch\.float32 or torch\.bfloat16, not"):
            model.to("cpu", dtype)
    with pytest.raises(InputError, match="computes in fp32: not in"):
        tiny_flow().to("cpu", dtype)


def test_why_networks_cannot_be_converted_is_true() -> None:
    rounded = tiny_resolver().to("cpu", torch.bfloat16)
    with pytest.raises(InputError, match="rounded to bf16"):
        rounded.to("cpu", torch.float32)
    wider = tiny_resolver()
    wider.prior.double()
    wider.encoder.double()
    with pytest.raises(InputError, match=r"computes in torch\.float64"):
        wider.upscale(Y, samples=1)
    assert wider.to("cpu", torch.float32).dtype == torch.float32


def test_what_is_no_device_is_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = str(saved_resolver(tmp_path / "tiny"))
    prior = f"{folder}/prior"
    for device in (None, 1.5, "gpu", "meta"):
        for load, name in ((cvdvae.load, folder), (cvdvae.load_prior, prior)):
            with pytest.raises(InputError, match="cannot use the device"):
                load(name, device=device)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot use the device"):
        tiny_resolver().to(None)  # type: ignore[arg-type]
    assert next(cvdvae.load_prior(prior, device="cpu").parameters()).device.type == "cpu"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (tiny_resolver, "<HVAEResolver tiny: ×4 to 16×16, float32 on cpu>"),
        (tiny_flow, "<FlowResolver tiny flow: ×4 to 16×16, float32 on cpu>"),
        (lambda: tiny_photos(3), "<HVAEResolver tiny photos: ×3 to any size, float32 on cpu>"),
        (tiny_restorer, "<Restorer tiny: 16×16, float32 on cpu>"),
    ],
)
def test_a_model_says_in_a_line_what_it_is(model: type[Networks], said: str) -> None:
    assert repr(model()) == said


def test_a_prior_is_as_it_was(tmp_path: Path) -> None:
    """Its numbers do not depend on the device that it is loaded for."""
    folder = str(saved_resolver(tmp_path / "tiny") / "prior")
    loaded, made = cvdvae.load_prior(folder).state_dict(), tiny_prior().state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in made.items())
