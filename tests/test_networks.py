"""Networks on a device, in a precision, whatever PyTorch makes by default."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tiny import saved_resolver, tiny_flow, tiny_photos, tiny_prior, tiny_resolver, tiny_restorer

import cvdvae
from cvdvae.errors import InputError
from cvdvae.gaussian import AntitheticNoise, SeededNoise
from cvdvae.restoration.networks import Networks

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
