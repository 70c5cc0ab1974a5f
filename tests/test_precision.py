"""Weights in fewer bits: what is read differs from what was written by half a step at most."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_flow

from cvdvae.checkpoints.folder import read_record, save_model
from cvdvae.checkpoints.loading import load_encoder, load_flow
from cvdvae.checkpoints.precision import STEP, StoredBits, pack, unpack
from cvdvae.checkpoints.records import FlowRecord, SuperResolutionRecord
from cvdvae.errors import WeightsError
from cvdvae.hvae import HVAE


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    kernel = (
        torch.randn(6, 5, 3, 3, generator=generator)
        * 10.0 ** torch.arange(-4, 2)[:, None, None, None]
    )
    kernel[2] = 0  # a channel that training has not touched yet
    state = torch.randn(1, 4, 8, 8, generator=generator)
    return {
        "kernel": kernel,
        "bottom_up.in_conv.weight": torch.randn(4, 3, 3, 3, generator=generator),
        "out_conv.weight": torch.randn(5, 4, 1, 1, generator=generator),
        "state": state,
        "bias": torch.randn(6, generator=generator),
        "started": torch.tensor(True),
    }


def test_a_kernel_in_8_bits_is_half_a_step_from_itself() -> None:
    given = weights()
    read = unpack(pack(given, 8))
    assert list(read) == list(given)
    moved = (read["kernel"] - given["kernel"]).abs().amax((1, 2, 3))
    bound = given["kernel"].abs().amax((1, 2, 3)) / 254
    assert (moved <= bound * (1 + 1e-5)).all()
    assert (moved[bound > 0] > bound[bound > 0] / 2).all()  # it is in 8 bits, not in more
    assert not read["kernel"][2].any()
    again = unpack(pack(read, 8))
    torch.testing.assert_close(again["kernel"], read["kernel"], rtol=1e-6, atol=0)


def test_what_is_no_kernel_stays_in_16_bits() -> None:
    given, packed = weights(), pack(weights(), 8)
    assert packed["kernel"].dtype == torch.int8
    for name in ("state", "bias"):
        assert packed[name].equal(given[name].half())
    for name in ("bottom_up.in_conv.weight", "out_conv.weight"):  # next to the pixels
        assert packed[name].equal(given[name].half())
    assert packed["started"].dtype == torch.bool


@pytest.mark.parametrize(("bits", "bytes_of_a_weight"), [(8, 1), (16, 2), (32, 4)])
def test_a_model_is_as_large_as_its_bits_say_and_loads(
    model_folder: Path, bits: StoredBits, bytes_of_a_weight: int
) -> None:
    loaded = load_encoder(str(model_folder))
    trained = load_file(model_folder / "model.safetensors")
    record = read_record(model_folder)
    assert isinstance(record, SuperResolutionRecord)
    save_model(model_folder, record, trained, bits)
    size = (model_folder / "model.safetensors").stat().st_size
    kernels = sum(value.numel() for value in trained.values() if value.dim() == 4)
    rest = sum(value.numel() for value in trained.values()) - kernels
    expected = kernels * bytes_of_a_weight + rest * (4 if bits == 32 else 2)
    assert expected < size < expected + 30_000  # names, shapes and steps
    again = load_encoder(str(model_folder)).encoder.state_dict()
    for name, value in loaded.encoder.state_dict().items():
        torch.testing.assert_close(
            again[name], value, rtol=1e-2, atol=float(value.abs().max()) / 100
        )


def test_steps_that_do_not_belong_are_refused(model_folder: Path) -> None:
    path = model_folder / "model.safetensors"
    good = pack(load_file(path), 8)
    step = next(name for name in good if name.endswith(STEP))
    for broken in (
        {k: v for k, v in good.items() if k != step[: -len(STEP)]},
        {k: v for k, v in good.items() if k != step},
        {**good, step: good[step][:-1]},
        {**good, step: good[step] * torch.nan},
    ):
        save_file(broken, path)
        with pytest.raises(WeightsError):
            load_encoder(str(model_folder))


@pytest.mark.parametrize("shape", [(), (60,), (60, 1), (60, 1, 1), (60, 1, 1, 1, 1)])
def test_what_is_no_kernel_has_no_steps(shape: tuple[int, ...], model_folder: Path) -> None:
    """A file of kilobytes makes no array of gigabytes, n×1×1×n: it is refused."""
    path, values = model_folder / "model.safetensors", torch.ones(shape, dtype=torch.int8)
    stored = {"bias": values, "bias" + STEP: torch.ones(shape[:1])}
    assert {name: value.shape for name, value in unpack(stored).items()} == {
        name: value.shape for name, value in stored.items()
    }
    save_file(load_file(path) | stored, path)
    with pytest.raises(WeightsError, match=r"do not fit their configuration: bias, bias\.step"):
        load_encoder(str(model_folder))


def test_loading_a_model_leaves_the_random_numbers_of_others_as_they_are(
    model_folder: Path,
) -> None:
    flow = tiny_flow().flow
    save_model(model_folder / "flow", FlowRecord("hcflow", flow.config), flow.state_dict())
    before = torch.get_rng_state()
    loaded = load_encoder(str(model_folder))
    load_flow(str(model_folder / "flow"))
    assert torch.equal(torch.get_rng_state(), before)
    HVAE(loaded.prior.config)  # one that is to be trained begins at random
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_not_stored(bits: StoredBits, value: float) -> None:
    for shape in ((4,), (4, 2, 3, 3)):
        weight = torch.ones(shape)
        weight.view(-1)[0] = value
        with pytest.raises(WeightsError, match=f"a.weight holds what {bits} bits cannot store"):
            pack({"a.weight": weight}, bits)
    with pytest.raises(WeightsError, match="what 16 bits cannot"):
        pack({"a.weight": torch.full((4,), 1e5)}, 16)
