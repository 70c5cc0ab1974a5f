"""docs/microscopy.md, block by block, on a tiny set and with tiny networks."""

import json
import re
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import yaml
from command import run
from PIL import Image
from test_one_channel import cells
from tiny import FAINT, NUCLEI

from cvdvae.checkpoints.folder import read_record
from cvdvae.checkpoints.records import SuperResolutionRecord
from cvdvae.configs import from_dict
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.settings import Grids
from cvdvae.training import EncoderTraining, PriorTraining
from cvdvae.training.data import TrainingData
from cvdvae.training.prior import PriorModule
from cvdvae.training.run import fit

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "microscopy.md").read_text()
TINY = {"steps": 2, "decay": 1, "warmup": 1, "batch_size": 8, "validate_every": 2}
FEWER = {"--start": "-1", "--samples": "2"}


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def commands() -> list[list[str]]:
    lines = re.findall(r"^    cvdvae (.*)$", PAGE, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def smaller(block: str, model: dict[str, Any], image_size: int) -> dict[str, Any]:
    """A configuration of the page with a tiny network, two steps and one validation image."""
    plain = yaml.safe_load(block)
    plain["optim"] = {**plain["optim"], **TINY}
    plain["data"] = {**plain["data"], "validation": 1}
    if "image_size" in plain:
        plain["image_size"] = image_size
    return {**plain, "model": model}


def lists(config: Any) -> Any:
    return yaml.safe_load(yaml.safe_dump(_plain(asdict(config))))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (tuple, list)) else value


def test_the_page_is_walked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # Tiny: it is slower.
    monkeypatch.setattr("cvdvae.training.run.has_fast_bf16", lambda device: False)
    monkeypatch.setattr(HVAEResolver, "grids", Grids((0.8, 1.0), (0.8, 1.0)))
    monkeypatch.setattr("cvdvae.analysis.calibration.FEW", 1)  # of its 30 images one is here
    for folder, side, number in (("tiffs", 192, 2), ("measurements", 8, 1)):
        Path(folder).mkdir()
        for i in range(number):
            values = 100 + 20 * cells(i, side).astype(np.uint16)
            suffix = "TIF" if i else "tif"
            tifffile.imwrite(f"{folder}/m{i}.{suffix}", np.minimum(values, 2100))
    exec(blocks("python")[0], {})
    assert len(list(Path("images").glob("*.png"))) == 2
    told = "{} images or more, of whole files: only 2 in all"
    assert capsys.readouterr().out.splitlines() == [told.format(wanted) for wanted in (30, 60)]

    prior, encoder = blocks("yaml")
    from_dict(PriorTraining, yaml.safe_load(prior), "the page")  # as they stand, they are valid
    from_dict(EncoderTraining, yaml.safe_load(encoder), "the page")
    Path("my-prior.yaml").write_text(yaml.safe_dump(smaller(prior, lists(NUCLEI), 24)))
    Path("my-x4.yaml").write_text(yaml.safe_dump(smaller(encoder, lists(FAINT), 24)))
    for arguments in commands():
        for option, value in FEWER.items():
            if option in arguments:
                arguments[arguments.index(option) + 1] = value
        assert run(*arguments, monkeypatch=monkeypatch) == 0, arguments
    record = read_record(Path("runs/my-x4/model"))
    assert isinstance(record, SuperResolutionRecord)
    assert record.photons == 1000
    drawn, lower = (tifffile.imread(f"results/m0/{n}.tif") for n in ("sample_00", "lower"))
    assert (drawn.dtype, drawn.shape) == (np.dtype(np.uint16), (32, 32))
    assert (lower <= tifffile.imread("results/m0/upper.tif")).all()
    assert np.array_equal(tifffile.imread("again/sample_00.tif"), drawn)


def configured_in_the_notebook() -> str:
    """The prior of the notebook, as its cell writes it."""
    cells = json.loads((DOCS / "notebooks" / "your_own_data.ipynb").read_text())["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    (text,) = (text for text in texts if '"prior.yaml"' in text and "write_text" in text)
    written = re.search(r'prior\.yaml"\)\.write_text\(f"""(.*?)"""', text, re.DOTALL)
    assert written is not None
    return written[1].replace("{folder}", "folder").replace("{{", "{").replace("}}", "}")


@pytest.mark.parametrize("written", [blocks("yaml")[0], configured_in_the_notebook()])
def test_documented_priors_learn_from_their_first_step(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they stand, but for fewer images: a step beyond `skip_norm` would change nothing."""
    monkeypatch.setattr("cvdvae.training.run.has_fast_bf16", lambda device: False)
    plain = yaml.safe_load(written)
    plain["data"] |= {"folder": str(tmp_path), "validation": 1}
    plain["optim"] |= TINY | {"batch_size": 2}
    config = from_dict(PriorTraining, plain, "the docs")
    for i in range(3):
        Image.fromarray(cells(i, 64)).save(tmp_path / f"{i}.png")
    module = PriorModule(config, tmp_path / "run")
    before = {name: value.clone() for name, value in module.trained.state_dict().items()}
    size, channels = config.model.image_size, config.model.channels
    images = TrainingData(config.data, config.optim, size, channels)
    fit(module, images, limit_val_batches=0)
    assert int(module.skipped) == 0
    after = module.trained.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
