"""What PyTorch compiles: in one process, for its compiler takes seconds to import."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training import OPTIM
from test_training import photos as photos
from tiny import ENCODER, PRIOR, saved_prior, tiny_prior, tiny_resolver

from cvdvae.bench import bench
from cvdvae.data.folder import DataConfig
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.training import EncoderTraining, PriorTraining
from cvdvae.training.data import TrainingData
from cvdvae.training.encoder import EncoderModule
from cvdvae.training.module import Training
from cvdvae.training.prior import PriorModule
from cvdvae.training.run import fit

SHORT = replace(PRIOR, bottom_up="2d2,4x1", top_down="4x2,2m4,2r1", biases=(4,))
"""Every kind of block of `PRIOR`, in half as many: tracing takes its time for each."""


@pytest.mark.parametrize("kind", ["prior", "encoder"])
def test_the_loss_can_be_compiled(
    photos: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced in one graph, and the same gradients; the code generator is PyTorch's affair."""
    prior = saved_prior(tmp_path / "prior", tiny_prior(SHORT))
    compile_ = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda f: compile_(f, backend="aot_eager", fullgraph=True)
    )
    data = DataConfig(folder=str(photos), validation=4)
    ends = []
    for compiled in (False, True):
        optim = replace(OPTIM, steps=4, warmup=0, compile=compiled)
        module: Training
        if kind == "prior":
            module = PriorModule(PriorTraining(SHORT, data, optim), tmp_path / str(compiled))
        else:
            encoder = replace(ENCODER, bottom_up="4x1")
            settings = EncoderTraining(encoder, str(prior), data, optim)
            module = EncoderModule(settings, tmp_path / str(compiled))
        fit(module, TrainingData(data, optim, 16), precision="32-true")
        ends.append(module.trained.state_dict())
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, atol=1e-4, rtol=1e-3)


def test_a_compiled_model_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced by the compiler and run without its code generator, which is PyTorch's affair."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **kw: compile_(f, backend="aot_eager", **kw))
    plain, compiled = tiny_resolver(), tiny_resolver().compile()
    y = torch.randint(40, 216, (3, 4, 4)).float() / 255
    block = compiled.prior.bottom_up.blocks[0]
    assert "inner" in vars(block)  # the compiled function stands before the method
    torch.testing.assert_close(
        compiled.upscale(y, samples=2).samples,
        plain.upscale(y, samples=2).samples,
        atol=1e-4,
        rtol=0,
    )


def test_bench_times_what_is_compiled(
    resolver: HVAEResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts the operations must not be there when a block is first called."""
    graphs = list[Any]()

    def backend(graph: Any, _: object) -> Any:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    monkeypatch.setattr(HVAEResolver, "networks", property(lambda model: [model.encoder]))
    (plain,) = bench(resolver, (1,), 1)
    (compiled,) = bench(resolver.compile(), (1,), 1)
    assert graphs
    assert compiled.gflops == plain.gflops
