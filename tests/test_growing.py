"""A network that has grown is, at first, the function that it was."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny import (
    ENCODER,
    FLOW,
    PRIOR,
    RESTORING,
    SCALES,
    _shake,
    saved_prior,
    saved_resolver,
    saved_restorer,
    tiny_photos,
    tiny_prior,
)

from cvdvae.checkpoints.folder import read_record, save_model
from cvdvae.checkpoints.loading import load_encoder
from cvdvae.checkpoints.records import (
    SECOND,
    OneScaleRecord,
    PriorRecord,
    SuperResolutionRecord,
)
from cvdvae.checkpoints.weights import digest
from cvdvae.configs import to_yaml
from cvdvae.data.folder import DataConfig
from cvdvae.errors import ConfigError, WeightsError
from cvdvae.files import write_text
from cvdvae.gaussian import Conditional, DiagonalGaussian
from cvdvae.hvae import HVAE
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.hvae.growing import alignment
from cvdvae.hvae.lr_encoder import LREncoder
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.load import load, load_restorer
from cvdvae.training.config import EncoderTraining, FlowTraining, OptimConfig, PriorTraining
from cvdvae.training.encoder import EncoderModule
from cvdvae.training.flow import FlowModule
from cvdvae.training.prior import PriorModule

GROWN = replace(PRIOR, bottom_up="2x2,2d2,4x2,4d4,16x2", top_down="16x2,4m16,4x3,2m4,2x1,2r2")
NEW_GROUPS = {1, 4, 5, 7}  # of 0 … 7: 16x2, 4m16, 4x3, 2m4, 2x1
DATA, OPTIM = DataConfig("unread"), OptimConfig(1, warmup=0)


@pytest.fixture
def grown(model_folder: Path, tmp_path: Path) -> HVAE:
    start = str(model_folder / "prior")
    return PriorModule(PriorTraining(GROWN, DATA, OPTIM, start_from=start), tmp_path).trained


def test_blocks_are_matched_by_kind_and_in_order() -> None:
    assert alignment("aab", "aaabc") == [0, 1, None, 2, None]
    assert alignment("", "ab") == [None, None]
    assert alignment("aaabc", "aab") == [0, 1, 3]
    assert alignment("ab", "") == []
    for trained, new in (("aab", "abb"), ("ab", "ba"), ("abc", "acb")):
        with pytest.raises(ConfigError, match="and keeps their order"):
            alignment(trained, new)


def test_a_prior_that_has_grown_and_loses_the_same_blocks_is_the_one_it_was(
    grown: HVAE, resolver: HVAEResolver, tmp_path: Path
) -> None:
    save_model(tmp_path / "grown", PriorRecord("prior", GROWN), grown.state_dict())
    training = PriorTraining(PRIOR, DATA, OPTIM, start_from=str(tmp_path / "grown"))
    again = PriorModule(training, tmp_path / "run").trained.state_dict()
    before = resolver.prior.state_dict()
    assert again.keys() == before.keys()
    assert all(torch.equal(again[name], value) for name, value in before.items())


def test_an_encoder_goes_on_with_the_heads_of_a_lighter_prior(
    grown: HVAE, model_folder: Path, tmp_path: Path, resolver: HVAEResolver
) -> None:
    save_model(tmp_path / "grown", PriorRecord("prior", GROWN), grown.state_dict())
    first, more = str(tmp_path / "grown"), replace(ENCODER, groups=6)
    larger = EncoderTraining(more, first, DATA, OPTIM, start_from=str(model_folder))
    EncoderModule(larger, tmp_path / "first").export(tmp_path / "larger")
    prior = str(model_folder / "prior")
    lighter = EncoderTraining(ENCODER, prior, DATA, OPTIM, start_from=str(tmp_path / "larger"))
    again = EncoderModule(lighter, tmp_path / "second").trained.state_dict()
    before = resolver.encoder.state_dict()
    assert all(torch.equal(again[name], value) for name, value in before.items())


def test_a_second_block_that_enlarges_is_no_identity(model_folder: Path, tmp_path: Path) -> None:
    """It would add the coarse state once more."""
    twice = replace(PRIOR, top_down="16x1,4m16,4x1,2m4,2m4,2r1")
    start = str(model_folder / "prior")
    with pytest.raises(ConfigError, match="is no identity"):
        PriorModule(PriorTraining(twice, DATA, OPTIM, start_from=start), tmp_path)


def test_a_grown_prior_decodes_as_before_whatever_its_new_groups_say(
    grown: HVAE, resolver: HVAEResolver
) -> None:
    small = resolver.prior
    torch.manual_seed(1)
    new = [torch.randn(2, 3, 16 // s, 16 // s) for s in GROWN.group_strides]
    old = [z for group, z in enumerate(new) if group not in NEW_GROUPS]
    assert [z.shape[2] for z in old] == PRIOR.group_resolutions
    torch.testing.assert_close(grown.decode(new)[0], small.decode(old)[0])


def test_a_grown_prior_infers_as_before(grown: HVAE, resolver: HVAEResolver) -> None:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours = grown.infer(x, temperature=0)[1]
        theirs = resolver.prior.infer(x, temperature=0)[1]
    kept = [one for group, one in enumerate(ours) if group not in NEW_GROUPS]
    for mine, its in zip(kept, theirs, strict=True):
        torch.testing.assert_close(mine.posterior.mean, its.posterior.mean)
        torch.testing.assert_close(mine.prior.log_std, its.prior.log_std)
    for group in NEW_GROUPS:
        assert not ours[group].prior.mean.any()
        assert not ours[group].prior.log_std.any()


def test_every_new_weight_learns(grown: HVAE) -> None:
    """After two steps, since the first convolutions of a block wait for its last one."""
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    optimizer = torch.optim.SGD(grown.requires_grad_(True).parameters(), 1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        (
            -grown.elbo(
                x,
            ).nats.mean()
        ).backward()
        optimizer.step()
    still = [name for name, p in grown.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


@pytest.mark.parametrize(
    ("bottom_up", "top_down"),
    [("4x3,4d4,16x1", ""), (ENCODER.bottom_up, ""), (ENCODER.bottom_up, "4u16,4r1")],
)
def test_a_grown_encoder_says_what_it_said_and_nothing_of_new_groups(
    bottom_up: str,
    top_down: str,
    model_folder: Path,
    tmp_path: Path,
    grown: HVAE,
    resolver: HVAEResolver,
) -> None:
    save_model(tmp_path / "grown", PriorRecord("prior", GROWN), grown.state_dict())
    config = replace(ENCODER, bottom_up=bottom_up, top_down=top_down, groups=6)
    training = EncoderTraining(
        config, str(tmp_path / "grown"), DATA, OPTIM, start_from=str(model_folder)
    )
    module = EncoderModule(training, tmp_path / "run")
    large, small = module.trained.eval(), resolver.encoder
    y = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        met = module.prior.infer(x, temperature=0)[1]
        ours, theirs = large.terms(y), small.terms(y)
        old = 0
        for group in range(large.groups):
            stride = large.strides[group]
            h = torch.randn(2, module.prior.config.width_at(stride), 16 // stride, 16 // stride)
            prior = Conditional.known(met[group].prior)
            mine = large.posterior_of(group, h, prior, ours)()
            if group in NEW_GROUPS:
                expected = met[group].prior
            else:
                expected = small.posterior_of(old, h, prior, theirs)()
                old += 1
            torch.testing.assert_close(mine.mean, expected.mean)
            torch.testing.assert_close(mine.log_std, expected.log_std)


def test_a_head_that_says_all_itself_cannot_begin_as_a_prior_that_says_something(
    model_folder: Path, tmp_path: Path, grown: HVAE
) -> None:
    absolute = replace(ENCODER, relative=False, groups=2)
    small, large = str(model_folder / "prior"), str(tmp_path / "grown")
    save_model(tmp_path / "grown", PriorRecord("prior", GROWN), grown.state_dict())
    fewer = EncoderModule(EncoderTraining(absolute, small, DATA, OPTIM), tmp_path / "run")
    fewer.export(tmp_path / "fewer")

    def start(groups: int, prior: str) -> LREncoder:
        config = replace(absolute, groups=groups, bottom_up="4x3,4d4,16x1")
        training = EncoderTraining(config, prior, DATA, OPTIM, start_from=str(tmp_path / "fewer"))
        return EncoderModule(training, tmp_path / "more").trained

    for groups, prior in ((3, small), (4, large)):
        with pytest.raises(ConfigError, match="only where heads are relative"):
            start(groups, prior)
    assert start(3, large).groups == 3  # group 1 of the grown prior is new: N(0, I), as is its head


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"top_down": "16x3,4m16,2m4,2r1"}, "and keeps their order"),
        ({"top_down": "16x2,4m16,4x1,2m4,2r1", "width": 16}, "another shape"),
    ],
)
def test_a_network_grows_by_blocks_alone(
    model_folder: Path, tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    config = replace(PRIOR, **changed)  # type: ignore[arg-type]
    start = str(model_folder / "prior")
    with pytest.raises(ConfigError, match=said):
        PriorModule(PriorTraining(config, DATA, OPTIM, start_from=start), tmp_path)


def test_an_encoder_told_of_more_begins_as_the_one_that_was_told_of_colours(
    model_folder: Path, tmp_path: Path
) -> None:
    """One for several factors, asked for the factor 1, whose logarithm is 0."""
    prior = str(model_folder / "prior")
    blocks = {"bottom_up": "2x1,2d2,4x1,4d4,16x1", "width": 8, "patch_size": 2, "groups": 4}
    one = LREncoderConfig(scales=(1, 2), **blocks)  # type: ignore[arg-type]
    first = EncoderModule(EncoderTraining(one, prior, DATA, OPTIM), tmp_path / "first")
    first.export(tmp_path / "several")
    more = replace(one, scales=(1,), conditions=6, bottom_up="2x1,2d2,4x1,4d4,16x2")
    training = EncoderTraining(
        more, prior, DATA, OPTIM, degradations="any", start_from=str(tmp_path / "several")
    )
    module = EncoderModule(training, tmp_path / "run")
    large, several = module.trained, first.best
    assert isinstance(several, LREncoder)
    module.export(tmp_path / "any")
    assert load_restorer(str(tmp_path / "any")).second_estimate == SECOND
    assert module.identity()["second_estimate"] == SECOND
    generator = torch.Generator().manual_seed(3)
    y, told = (torch.rand(2, c, 16, 16, generator=generator) for c in (3, 6))
    with torch.no_grad():
        ours, theirs = large.terms(torch.cat([y, told], 1)), several.terms(y, 1)
    for mine, its in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, its)
    wrong = replace(training, model=replace(more, patch_size=4))
    with pytest.raises(ConfigError, match="another shape"):
        EncoderModule(wrong, tmp_path / "wrong")


@pytest.mark.parametrize("kind", ["lr-encoder", "restorer"])
def test_an_encoder_starts_from_one_whose_prior_was_trained_on(
    kind: str, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The prior has other weights now, and the old encoder its old digest."""
    old = model_folder if kind == "lr-encoder" else saved_restorer(tmp_path / "restorer")
    weights = load_file(old / "model.safetensors")
    prior = str(saved_prior(old / "prior", tiny_prior(seed=1)))
    training = EncoderTraining(ENCODER, prior, DATA, OPTIM, start_from=str(old))
    if kind == "restorer":
        training = replace(training, model=RESTORING, degradations="any")
    ours = EncoderModule(training, tmp_path / "run").trained.state_dict()
    assert all(torch.equal(ours[name], weights[name]) for name in weights)
    assert "other weights now" in capsys.readouterr().out
    with pytest.raises(WeightsError, match="was trained on other weights"):
        load_encoder(str(old)) if kind == "lr-encoder" else load_restorer(str(old))


def test_an_encoder_takes_more_groups_than_the_one_it_starts_from(
    model_folder: Path, tmp_path: Path, resolver: HVAEResolver
) -> None:
    """On the same prior and with the same blocks: what is new says q_ψ = p."""
    prior, fewer = resolver.prior, replace(ENCODER, groups=2)
    small, old = _shake(LREncoder(fewer, prior.config)), tmp_path / "fewer"
    record = read_record(model_folder)
    assert isinstance(record, SuperResolutionRecord)
    saved_prior(old / "prior", prior)
    save_model(old, replace(record, model=fewer), small.state_dict())
    here = str(old / "prior")
    training = EncoderTraining(ENCODER, here, DATA, OPTIM, start_from=str(old))
    large = EncoderModule(training, tmp_path / "run").trained
    assert large.groups == 3
    ours = large.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in small.state_dict().items())
    h, y = torch.randn(2, PRIOR.width_at(4), 4, 4), torch.rand(2, 3, 4, 4)
    said = Conditional.known(DiagonalGaussian(*torch.randn(2, 2, 3, 4, 4)))
    with torch.no_grad():
        new = large.posterior_of(2, h, said, large.terms(y))()
    torch.testing.assert_close(new.mean, said().mean)
    torch.testing.assert_close(new.log_std, said().log_std)
    one = replace(training, model=replace(ENCODER, groups=1))
    lost = EncoderModule(one, tmp_path / "one").trained.state_dict()
    assert all(torch.equal(small.state_dict()[name], value) for name, value in lost.items())


@pytest.mark.parametrize(("key", "value"), [("relative", False), ("activation", "gelu")])
def test_an_encoder_does_not_start_from_what_its_weights_mean_something_else_for(
    key: str, value: object, model_folder: Path, tmp_path: Path
) -> None:
    prior = str(model_folder / "prior")
    for groups in (0, 4):  # as it is, and grown
        changed: dict[str, object] = {"groups": groups, key: value}
        config = replace(ENCODER, bottom_up="2x1,2d2,4x1,4d4,16x1", **changed)  # type: ignore[arg-type]
        config = config if groups else replace(config, bottom_up=ENCODER.bottom_up)
        training = EncoderTraining(config, prior, DATA, OPTIM, start_from=str(model_folder))
        with pytest.raises(ConfigError, match=f"{key} .*{value}"):
            EncoderModule(training, tmp_path / "run")


@pytest.mark.parametrize(
    ("key", "value"),
    [("activation", "gelu"), ("likelihood", "gaussian"), ("input_mean", 0.07), ("input_std", 0.12)],
)
def test_a_prior_does_not_start_from_what_its_weights_mean_something_else_for(
    key: str, value: object, model_folder: Path, tmp_path: Path
) -> None:
    for described in (PRIOR, GROWN):
        config = replace(described, **{key: value})  # type: ignore[arg-type]
        training = PriorTraining(config, DATA, OPTIM, start_from=str(model_folder / "prior"))
        with pytest.raises(ConfigError, match=f"{key} .*{value}"):
            PriorModule(training, tmp_path / "run")


@pytest.mark.parametrize("kind", ["lr-encoder", "restorer"])
@pytest.mark.parametrize(("key", "value"), [("input_mean", 0.07), ("input_std", 0.12)])
def test_an_encoder_does_not_start_from_one_that_saw_its_input_in_another_scale(
    key: str, value: float, kind: str, model_folder: Path, tmp_path: Path
) -> None:
    """It sees y as its prior sees images."""
    restores = kind == "restorer"
    start = saved_restorer(tmp_path / "old") if restores else model_folder
    for described in (PRIOR, GROWN):  # as it is, and grown
        changed = replace(described, **{key: value})  # type: ignore[arg-type]
        training = EncoderTraining(
            RESTORING if restores else ENCODER,
            str(saved_prior(tmp_path / "prior", HVAE(changed))),
            DATA,
            OPTIM,
            degradations="any" if restores else "shrinking",
            start_from=str(start),
        )
        said = f"the prior of {start} has {key} {getattr(PRIOR, key)}, and this model {key} {value}"
        with pytest.raises(ConfigError, match=said):
            EncoderModule(training, tmp_path / "run")


def test_a_start_of_another_kind_or_shape_is_told_as_that(
    tmp_path: Path, model_folder: Path
) -> None:
    """And not as a damaged file."""
    prior, encoder = str(model_folder / "prior"), str(model_folder)
    wide = replace(PRIOR, width=16)
    flow = FlowTraining(FLOW, DATA, OPTIM, start_from=prior)
    starts: list[tuple[Callable[[], object], str]] = [
        (lambda: PriorModule(PriorTraining(PRIOR, DATA, OPTIM, start_from=encoder), tmp_path),
         "is no prior, but of the kind lr-encoder"),
        (lambda: EncoderModule(EncoderTraining(ENCODER, prior, DATA, OPTIM, start_from=prior),
                               tmp_path), "is no LR encoder, but of the kind prior"),
        (lambda: FlowModule(flow, tmp_path), "is no flow, but of the kind prior"),
        (lambda: PriorModule(PriorTraining(wide, DATA, OPTIM, start_from=prior), tmp_path),
         f"do not fit: it has width {PRIOR.width}, and not 16"),
    ]  # fmt: skip
    for start, said in starts:
        with pytest.raises((ConfigError, WeightsError), match=f"start_from: .*{said}"):
            start()


def test_a_folder_that_names_itself_is_one_sentence(tmp_path: Path) -> None:
    old, one = tmp_path / "old", saved_prior(tmp_path / "one")
    model = "model: {lr_size: 4, encoder: '8x1', width: 4}"
    write_text(old / "config.yaml", f"kind: lr-encoder\nprior: {old}\n{model}\n")
    itself = OneScaleRecord("one-scale", str(one), digest(one), 3)
    write_text(one / "config.yaml", to_yaml(itself))
    for folder, words in ((old, "its prior is a lr-encoder"), (one, "names is a one-scale")):
        with pytest.raises((ConfigError, WeightsError), match=words):
            load(str(folder))
    with pytest.raises(WeightsError, match=r"no model 'x+': File name too long"):
        load("x" * 5000)


def test_an_encoder_starts_from_one_scale_of_several(tmp_path: Path) -> None:
    """Named as one scale, and as the encoder: the same function, but for the border, where the
    convolution met no constant."""
    several = tiny_photos(3)
    folder = saved_resolver(tmp_path / "sr", several)
    one = OneScaleRecord("one-scale", str(folder), digest(folder), 3)
    (tmp_path / "x3").mkdir()
    write_text(tmp_path / "x3" / "config.yaml", to_yaml(one))
    y = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(3))
    for name in ("x3", "sr"):
        training = EncoderTraining(
            replace(SCALES, scales=(3,)),
            str(folder / "prior"),
            DATA,
            OPTIM,
            start_from=str(tmp_path / name),
        )
        alone = EncoderModule(training, tmp_path / "run").trained.eval()
        with torch.no_grad():
            for mine, its in zip(alone.terms(y), several.encoder.terms(y, 3), strict=True):
                inner = slice(mine.shape[2] // 3, -mine.shape[2] // 3)
                torch.testing.assert_close(mine[..., inner, inner], its[..., inner, inner])
