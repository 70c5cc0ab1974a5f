"""A model kind, an edit, a metric and a method from outside the package, used from end to end."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

import cvdvae
from cvdvae.checkpoints.folder import find, read_record, save_model
from cvdvae.checkpoints.records import RECORDS, Recommended
from cvdvae.checkpoints.weights import build
from cvdvae.cli.program import app
from cvdvae.degradations.bicubic import upscale_bicubic
from cvdvae.degradations.downscaling import Downscaling
from cvdvae.evaluation.measure import METRICS, Column, Judges, Metric
from cvdvae.evaluation.method import METHODS, Custom, Entry
from cvdvae.gaussian.noise import Inside, Noise
from cvdvae.restoration.bands import Drawer
from cvdvae.restoration.edits import EDITS, Edit, Moment
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import KINDS
from cvdvae.restoration.sampler import SuperResolver
from cvdvae.restoration.settings import Sampling

run = CliRunner().invoke


@dataclass(frozen=True)
class ToyConfig:
    """How far the toy's samples lie apart."""

    image_size: int
    spread: float


@dataclass(frozen=True)
class ToyRecord:
    """`config.yaml` of the toy."""

    kind: Literal["toy"]
    model: ToyConfig
    recommended: Recommended = field(default_factory=Recommended)


class Toy(SuperResolver):
    """Bicubic interpolation with noise."""

    def __init__(self, network: nn.Linear, record: ToyRecord, name: str) -> None:
        super().__init__(name, 4, record.recommended, record.model.image_size)
        self.network, self.config = network, record.model

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.network,)

    @property
    def largest_state(self) -> float:
        return 3.0

    def drawer(self, y: Tensor, sampling: Sampling, inside: Inside) -> Drawer:
        mean = upscale_bicubic(y, (self.config.image_size, self.config.image_size))

        def draw(noise: Noise, n: int) -> Tensor:
            wide = mean.expand(n, -1, -1, -1)
            x = wide + self.config.spread * sampling.temperature * noise.normal(wide)
            return x[..., *inside]

        return draw


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with a model of the toy kind."""

    def load(name: str, scale: int | None) -> Toy:
        folder = find(name)
        record: ToyRecord = read_record(folder)  # type: ignore[assignment]
        return Toy(build(folder, lambda: nn.Linear(1, 1)), record, name)

    monkeypatch.setitem(RECORDS, "toy", ToyRecord)
    monkeypatch.setitem(KINDS, "toy", load)
    record = ToyRecord("toy", ToyConfig(16, 0.02))
    save_model(tmp_path / "toy-x4", record, nn.Linear(1, 1).state_dict())  # type: ignore[arg-type]
    return str(tmp_path / "toy-x4")


@pytest.fixture
def y() -> Tensor:
    return torch.round(255 * (0.3 + 0.4 * torch.rand(3, 4, 4))) / 255


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(90, 160, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_a_kind_of_model(toy: str, y: Tensor, tmp_path: Path) -> None:
    model = cvdvae.load(toy)
    result = model.upscale(y, samples=3, seed=2)
    assert all(result.round_trip_exact)
    assert float(result.std.max()) > 0.005
    result.save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["weights"]
    again = cvdvae.replay(tmp_path / "out" / "result.json", trust=True)
    assert torch.equal(again.pixels, result.pixels)
    low = tmp_path / "y.png"
    Image.fromarray((255 * y).round().byte().permute(1, 2, 0).numpy()).save(low)
    ended = run(app, ["upscale", str(low), "--model", toy, "--out", str(tmp_path / "cli"),
                      "--samples", "3", "--seed", "2"])  # fmt: skip
    assert ended.exit_code == 0, ended.output
    drawn = np.asarray(Image.open(next((tmp_path / "cli").rglob("sample_02.png"))))
    assert np.array_equal(drawn, result.pixels[2].permute(1, 2, 0).numpy())


@dataclass(frozen=True)
class Opposite(Edit):
    """The antithetic twin of a sample: −ε in all groups."""

    sample: int
    kind: Literal["opposite"] = field(default="opposite", repr=False)

    @property
    def samples(self) -> tuple[int, ...]:
        return (self.sample,)

    def epsilon(self, at: Moment) -> Tensor:
        return -at.parents[0].expand_as(at.fresh)

    def describe(self) -> str:
        return f"the opposite of {self.sample}"


def test_an_edit(resolver: HVAEResolver, y: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EDITS, "opposite", Opposite)
    start = Sampling(samples=2, seed=1)
    once, twice = start.then(Opposite(1)), start.then(Opposite(1)).then(Opposite(0))
    first, opposite, back = (resolver.run(y, sampling) for sampling in (start, once, twice))
    assert not torch.equal(first.samples[1], opposite.samples[1])
    torch.testing.assert_close(back.samples[0], first.samples[1], atol=1e-5, rtol=0)
    from cvdvae.restoration.recipe import recipe_from_text

    assert recipe_from_text(opposite.recipe.to_text()).sampling == once


def test_a_metric_and_a_method(
    toy: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grey(name: str, degradation: Downscaling, model: SuperResolver | None) -> Custom:
        return Custom(name, lambda y, n, t, seed: torch.full((1, 3, 16, 16), 0.5), stochastic=False)

    monkeypatch.setitem(METHODS, "grey", Entry(grey))
    brightness = Metric(Column("brightness", "brightness", 100, 1), lambda s: float(s.saved.mean()))
    monkeypatch.setitem(METRICS, "brightness", brightness)
    monkeypatch.setattr(Judges, "load", lambda path: Judges(None, None, {}))
    out = tmp_path / "table"
    ended = run(app, ["evaluate", "--data", str(photos), "--out", str(out), "--scales", "4",
                      "--methods", "grey", "--methods", "cvdvae", "--samples", "2",
                      "--models", toy.replace("x4", "x{scale}")])  # fmt: skip
    assert ended.exit_code == 0, ended.output
    rows = json.loads((out / "table.json").read_text())["rows"]
    means = {row["method"]: row["brightness"]["mean"] for row in rows}
    assert means["grey"] == pytest.approx(128 / 255, abs=1e-3)
    assert means["cvdvae"] == pytest.approx(125 / 255, abs=0.03)
    assert "brightness" in (out / "table.md").read_text()
