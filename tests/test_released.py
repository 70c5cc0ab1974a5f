"""Released checkpoints: what is imported, and what is refused without a trace."""

import errno
import os
import pickle
import re
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from torch import Tensor

from cvdvae.checkpoints.loading import load_flow, load_prior
from cvdvae.checkpoints.published import hcflow_names, import_checkpoint, srvdvae_names, vdvae_names
from cvdvae.configs import load_yaml
from cvdvae.data.images import open_images
from cvdvae.errors import ConfigError, OutputError, WeightsError
from cvdvae.hcflow import HCFlow, HCFlowConfig
from cvdvae.hcflow.presets import PRESETS as FLOW_PRESETS
from cvdvae.hvae import HVAE, HVAEConfig, presets
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.hvae.lr_encoder import LREncoder
from cvdvae.hvae.notation import parse_top_down
from cvdvae.hvae.presets import PRESETS
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import load
from cvdvae.training import EncoderTraining

ROOT = Path(__file__).parents[1]
COMPARISON = runpy.run_path(str(ROOT / "benchmarks" / "published.py"))
PRIOR = HVAEConfig.of_resolutions(
    image_size=16,
    encoder="16x1,16d4,4x1,4d4,1x1",
    decoder="1x1,4m1,4x2,16m4,16x1",
    width=16,
    widths={16: 8},
    z_channels=3,
    mixtures=2,
    bits=5,
    levels="floored",
    bias_max_resolution=4,
)
BLOCKS_Y = "4x2,4d4,1x1"
MANY = f"4x{'9' * 5000}"
"""A block list with a number that Python does not read."""
ENCODER = LREncoderConfig.of_resolutions(
    16, 4, BLOCKS_Y, width=16, groups=4, head_width=0.25, relative=False,
    activation="gelu",
)  # fmt: skip


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """A tiny prior as openai/vdvae would save it."""
    monkeypatch.setitem(PRESETS, "tiny", PRIOR)
    torch.manual_seed(0)
    state = HVAE(PRIOR).state_dict()
    return {t: torch.randn_like(state[o]) / 9 for o, t in vdvae_names(PRIOR).items()}


@pytest.fixture
def lightning(weights: dict[str, Tensor]) -> dict[str, object]:
    """A tiny LR encoder as jprost76/srvdvae would save it."""
    state = LREncoder(ENCODER, PRIOR).state_dict()
    names = srvdvae_names(ENCODER, PRIOR)
    both = weights | {t: torch.randn_like(state[o]) / 9 for o, t in names.items()}
    both["shift"] = torch.tensor(-255 * PRIOR.input_mean).view(1, 1, 1)
    both["scale"] = torch.tensor(1 / (255 * PRIOR.input_std)).view(1, 1, 1)
    return {
        "state_dict": {f"cvae.{name}": value for name, value in both.items()},
        "hyper_parameters": {"enc_blocks_y": BLOCKS_Y, "ky": 4, "image_size_y": 4, "lr": 1e-4},
        "epoch": 3,
    }


def save(checkpoint: object, path: Path) -> Path:
    torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize(
    ("preset", "groups", "millions"),
    [
        ("cifar10", 43, 39),
        ("imagenet32", 78, 119),
        ("imagenet64", 75, 125),
        ("ffhq256", 66, 115),
        ("ffhq1024", 70, 109),
    ],
)
def test_presets_have_the_published_depths_and_sizes(
    preset: str, groups: int, millions: int
) -> None:
    """Groups and millions of parameters, counted on the published classes."""
    with torch.device("meta"):
        model = HVAE(PRESETS[preset])
    assert model.groups == groups
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == millions
    biases = {int(r) for r in model.top_down.biases}
    config = PRESETS[preset]
    everywhere = {config.image_size // s.stride for s in parse_top_down(config.top_down)}
    assert biases == {r for r in everywhere if r <= 64}


@pytest.mark.parametrize("preset", PRESETS)
def test_comparisons_tell_the_published_code_its_own_settings(preset: str) -> None:
    told = vars(presets)[f"_{preset.upper()}"]
    theirs = COMPARISON["hyperparameters"](preset, PRESETS[preset])
    assert (theirs.enc_blocks, theirs.dec_blocks) == (told["encoder"], told["decoder"])
    widths = (f"{r}:{w}" for r, w in told.get("widths", {}).items())
    assert theirs.custom_width_str == ",".join(widths)
    assert theirs.no_bias_above == min(64, told["image_size"])  # the largest that has a bias


@pytest.mark.parametrize(("scale", "groups"), [(4, 57), (8, 43), (16, 21)])
def test_comparisons_tell_the_lr_encoder_its_own_settings(scale: int, groups: int) -> None:
    config = load_yaml(EncoderTraining, ROOT / "configs" / f"ffhq256-x{scale}.yaml").model
    theirs = COMPARISON["lr_hyperparameters"](config, PRESETS["ffhq256"])
    side, blocks = 256 // scale, presets._FFHQ256["encoder"]
    assert theirs["enc_blocks_y"] == blocks[blocks.index(f"{side}x") :]  # the prior's, from y's on
    assert (theirs["ky"], theirs["image_size_y"], theirs["width_y"]) == (groups, side, 512)
    assert theirs["custom_width_str_y"] == ""


def test_every_tensor_has_one_name_on_either_side() -> None:
    names = vdvae_names(PRIOR)
    assert len(set(names.values())) == len(names)
    assert names["top_down.biases.4"] == "decoder.bias_xs.1"
    assert names["top_down.blocks.1.posterior.conv3.bias"] == "decoder.dec_blocks.1.enc.c3.bias"


@pytest.mark.parametrize("prefix", ["", "module."])
def test_an_imported_prior_has_the_weights_of_the_file(
    weights: dict[str, Tensor], tmp_path: Path, prefix: str
) -> None:
    file = save({prefix + name: value for name, value in weights.items()}, tmp_path / "a.th")
    assert import_checkpoint(file, "tiny", tmp_path / "model") == "prior"
    prior = load_prior(str(tmp_path / "model"))
    assert prior.config == PRIOR
    state = prior.state_dict()
    assert all(torch.equal(state[o], weights[t]) for o, t in vdvae_names(PRIOR).items())
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "config.yaml",
        "model.safetensors",
    ]


def test_an_imported_lr_encoder_super_resolves(
    lightning: dict[str, object], tmp_path: Path
) -> None:
    file = save(lightning, tmp_path / "a.ckpt")
    assert import_checkpoint(file, "tiny", tmp_path / "model") == "lr-encoder"
    model = load(str(tmp_path / "model"))
    assert isinstance(model, HVAEResolver)
    assert model.encoder.config == ENCODER
    result = model.upscale(torch.full((3, 4, 4), 128 / 255), samples=2)
    assert all(result.round_trip_exact)


class Malicious:
    """Runs a command where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("by_torch", [True, False])
def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, by_torch: bool) -> None:
    trace, file = tmp_path / "trace", tmp_path / "evil.th"
    if by_torch:
        torch.save({"a": Malicious(trace)}, file)
    else:
        file.write_bytes(pickle.dumps({"a": Malicious(trace)}))
    with pytest.raises(WeightsError, match="could run code"):
        import_checkpoint(file, "cifar10", tmp_path / "model")
    assert not trace.exists()
    assert not (tmp_path / "model").exists()


def faults() -> list[tuple[str, str]]:
    return [
        ("missing", "missing: decoder.gain"),
        ("extra", "extra: decoder.spare"),
        ("misshapen", "misshapen: decoder.bias_xs.0"),
        ("empty", "misshapen: decoder.bias_xs.0"),
        ("whole", "no numbers: decoder.bias_xs.0"),
        ("nan", "no numbers: decoder.bias_xs.0"),
        ("quantized", "misshapen: decoder.bias_xs.0"),
        ("list", "no dictionary"),
        ("tensor", "no dictionary"),
    ]


@pytest.mark.parametrize(("fault", "words"), faults())
def test_wrong_tensors_are_listed_by_name_and_nothing_is_written(
    weights: dict[str, Tensor], tmp_path: Path, fault: str, words: str
) -> None:
    bad: object = dict(weights)
    assert isinstance(bad, dict)
    if fault == "missing":
        del bad["decoder.gain"]
    elif fault == "extra":
        bad["decoder.spare"] = torch.zeros(1)
    elif fault == "misshapen":
        bad["decoder.bias_xs.0"] = torch.zeros(1, 7, 1, 1)
    elif fault == "empty":
        bad["decoder.bias_xs.0"] = bad["decoder.bias_xs.0"].to("meta")
    elif fault == "whole":
        bad["decoder.bias_xs.0"] = bad["decoder.bias_xs.0"].long()
    elif fault == "nan":
        bad["decoder.bias_xs.0"] = bad["decoder.bias_xs.0"] * torch.nan
    elif fault == "quantized":
        plain = bad["decoder.bias_xs.0"]
        bad["decoder.bias_xs.0"] = torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8)
    else:
        bad = list(weights) if fault == "list" else torch.ones(3)
    with pytest.raises(WeightsError, match=words):
        import_checkpoint(save(bad, tmp_path / "a.th"), "tiny", tmp_path / "model")
    assert not list((tmp_path / "model").glob("*"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hyper_parameters": None}, "settings"),
        ({"hyper_parameters": {"enc_blocks_y": BLOCKS_Y, "ky": "4", "image_size_y": 4}}, "kind"),
        (
            {"hyper_parameters": {"enc_blocks_y": "4x9999999999", "ky": 4, "image_size_y": 4}},
            "more",
        ),
        ({"hyper_parameters": {"enc_blocks_y": MANY, "ky": 4, "image_size_y": 4}}, "more than"),
        ({"hyper_parameters": {"enc_blocks_y": "4d3", "ky": 4, "image_size_y": 4}}, "a.ckpt: "),
        ({"hyper_parameters": {"enc_blocks_y": BLOCKS_Y, "ky": -1, "image_size_y": 4}}, "a.ckpt: "),
        ({"hyper_parameters": {"enc_blocks_y": BLOCKS_Y, "ky": 4, "image_size_y": 0}}, "a.ckpt: "),
        ({"state_dict": {}}, "no LR encoder"),
        ({"state_dict": ["a"]}, "no dictionary"),
        ({"state_dict": {3: 4}}, "no text"),
    ],
)
def test_incomplete_lightning_checkpoints_are_refused(
    lightning: dict[str, object], tmp_path: Path, change: dict[str, object], words: str
) -> None:
    with pytest.raises(WeightsError, match=words):
        import_checkpoint(save(lightning | change, tmp_path / "a.ckpt"), "tiny", tmp_path / "model")
    assert not list((tmp_path / "model").glob("*"))


def test_another_normalization_is_refused(lightning: dict[str, object], tmp_path: Path) -> None:
    state = lightning["state_dict"]
    assert isinstance(state, dict)
    state["cvae.shift"] += 10
    with pytest.raises(WeightsError, match="normalizes"):
        import_checkpoint(save(lightning, tmp_path / "a.ckpt"), "tiny", tmp_path / "model")


def test_a_full_disk_leaves_nothing(
    weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: bytes) -> None:
        with path.open("wb") as stream:
            stream.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    checkpoint = save(weights, tmp_path / "a.th")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        import_checkpoint(checkpoint, "tiny", tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".importing*"))


def test_an_existing_model_is_not_overwritten(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="already holds something"):
        import_checkpoint(tmp_path / "a.th", "ffhq256", model_folder)


def test_the_command_says_what_is_wrong_in_one_line(
    weights: dict[str, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = save(weights, tmp_path / "whole.th")
    (tmp_path / "half.th").write_bytes(whole.read_bytes()[:3000])
    for file, preset, words in [
        ("half.th", "ffhq256", "truncated"),
        ("whole.th", "cifar10", "missing: decoder.bias_xs"),
        ("whole.th", "ffhq512", "choose one of cifar10"),
        ("none.th", "ffhq256", "no checkpoint"),
    ]:
        command = ["import", str(tmp_path / file), "--preset", preset]
        code = run(*command, "--out", str(tmp_path / "model"), monkeypatch=monkeypatch)
        said = capsys.readouterr().err
        assert code == 1
        assert words in said
        assert len(said.strip().splitlines()) == 1
        assert not list((tmp_path / "model").glob("*"))


def test_an_unknown_preset_lists_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ffhq1024, hcflow-celeba-x8, hcflow-general-x4"):
        import_checkpoint(tmp_path / "a.th", "ffhq", tmp_path / "model")


def test_an_imported_flow_has_the_weights_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = HCFlowConfig(
        16, 4, steps=1, conditional_steps=1, hidden_channels=4, features=3, growth=2, trunks=(1, 1)
    )
    monkeypatch.setitem(FLOW_PRESETS, "tiny", config)
    torch.manual_seed(0)
    state, names = HCFlow(config).state_dict(), hcflow_names(config)
    assert len(set(names.values())) == len(names)
    assert names["levels.1.steps.0.permutation.weight"] == "flow.layers.4.permute.weight"
    weights = {t: torch.randn_like(state[o]) / 9 for o, t in names.items()}
    file = save(weights, tmp_path / "a.pth")
    assert import_checkpoint(file, "tiny", tmp_path / "model") == "hcflow"
    flow, _ = load_flow(str(tmp_path / "model"))
    assert all(torch.equal(flow.state_dict()[o], weights[t]) for o, t in names.items())
    assert all(bool(v) for n, v in flow.state_dict().items() if n.endswith("initialized"))
    del weights["flow.level0_condFlow.f.logs"]
    with pytest.raises(WeightsError, match=r"missing: flow\.level0_condFlow\.f\.logs"):
        import_checkpoint(save(weights, tmp_path / "a.pth"), "tiny", tmp_path / "other")


PUBLISHED = """
levels.0.steps.0.actnorm.shift = flow.layers.1.actnorm.bias
levels.0.steps.12.actnorm.log_scale = flow.layers.13.actnorm.logs
levels.1.steps.0.permutation.weight = flow.layers.16.permute.weight
levels.2.steps.12.coupling.network.last.conv.bias = flow.layers.43.affine.f.conv3.bias
levels.0.features.first.weight = flow.level0_condFlow.conv_first.weight
levels.1.features.trunk0.0.blocks.0.convs.0.bias = flow.level1_condFlow.RRDB_trunk0.0.RDB1.conv1.bias
levels.1.features.trunk1.4.blocks.2.convs.4.weight = flow.level1_condFlow.RRDB_trunk1.4.RDB3.conv5.weight
levels.1.features.last.bias = flow.level1_condFlow.trunk_conv1.bias
levels.2.detail.base.conv.weight = flow.level2_condFlow.f.weight
levels.2.detail.base.conv.bias = flow.level2_condFlow.f.bias
levels.2.detail.base.log_scale = flow.level2_condFlow.f.logs
levels.2.detail.steps.12.actnorm.shift = STEP.actnorm.bias
levels.2.detail.steps.12.actnorm.log_scale = STEP.actnorm.logs
levels.2.detail.steps.12.permutation.weight = STEP.permute.weight
levels.2.detail.steps.12.coupling.network.first.conv.weight = STEP.affine.f.conv1.weight
levels.2.detail.steps.12.coupling.network.first.actnorm.shift = STEP.affine.f.conv1.actnorm.bias
levels.2.detail.steps.12.coupling.network.first.actnorm.log_scale = STEP.affine.f.conv1.actnorm.logs
levels.2.detail.steps.12.coupling.network.second.conv.weight = STEP.affine.f.conv2.weight
levels.2.detail.steps.12.coupling.network.second.actnorm.shift = STEP.affine.f.conv2.actnorm.bias
levels.2.detail.steps.12.coupling.network.second.actnorm.log_scale = STEP.affine.f.conv2.actnorm.logs
levels.2.detail.steps.12.coupling.network.last.conv.weight = STEP.affine.f.conv3.weight
levels.2.detail.steps.12.coupling.network.last.conv.bias = STEP.affine.f.conv3.bias
levels.2.detail.steps.12.coupling.network.last.log_scale = STEP.affine.f.conv3.logs
"""  # noqa: E501
"""Our names = those in the state dict of the published class at ×8, one or more of every kind."""


def test_the_published_names_are_these() -> None:
    step = "flow.level2_condFlow.additional_flow_steps.12"
    literal = dict(
        line.split(" = ") for line in PUBLISHED.replace("STEP", step).strip().splitlines()
    )
    names = hcflow_names(FLOW_PRESETS["hcflow-celeba-x8"])
    assert literal.items() <= names.items()
    assert len(names) == 1857
    assert len(hcflow_names(FLOW_PRESETS["hcflow-general-x4"])) == 1478


@pytest.mark.parametrize(
    ("preset", "millions"), [("hcflow-celeba-x8", 27.018), ("hcflow-general-x4", 23.233)]
)
def test_flow_presets_have_the_published_sizes(preset: str, millions: float) -> None:
    """Counted on the published classes."""
    with torch.device("meta"):
        flow = HCFlow(FLOW_PRESETS[preset])
    assert sum(p.numel() for p in flow.parameters()) / 1e6 == pytest.approx(millions, abs=1e-3)


def test_held_out_images_are_those_that_no_encoder_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/ffhq256.md, on 9 images, of which 3 are kept aside."""
    page = (ROOT / "docs" / "ffhq256.md").read_text(encoding="utf-8")
    script = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[1]
    config = load_yaml(EncoderTraining, ROOT / "configs" / "ffhq256-x8.yaml").data
    assert f"validation={config.validation}, split_seed={config.split_seed}" in script
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    grey = np.arange(9, dtype=np.uint8)[:, None, None, None]
    np.save(config.folder, np.broadcast_to(grey, (9, 16, 16, 3)))
    exec(script.replace(str(config.validation), "3"), {})
    _, kept = open_images(replace(config, validation=3), 16)
    written = [np.asarray(Image.open(path)) for path in sorted(Path("held-out").iterdir())]
    assert [image[0, 0, 0] for image in written] == [
        round(255 * float(kept[i].mean())) for i in range(len(kept))
    ]
