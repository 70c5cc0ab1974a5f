"""Temperatures of their own for coarse and fine latent groups: the profile for looking."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command import run
from PIL import Image
from tiny import (
    saved_resolver,
    saved_restorer,
    tiny_flow,
    tiny_photo_restorer,
    tiny_photos,
    tiny_resolver,
    tiny_restorer,
)

from cvdvae.app.faces.text import python_of
from cvdvae.app.recipes import settings_for
from cvdvae.app.text import drawn_before
from cvdvae.batch.finding import NOTE
from cvdvae.batch.happened import happened
from cvdvae.batch.run import local, run_batch
from cvdvae.batch.settings import Settings
from cvdvae.batch.sources import open_source
from cvdvae.checkpoints.folder import CONFIG, read_record, recommend
from cvdvae.checkpoints.loading import load_encoder, load_restoring
from cvdvae.checkpoints.records import Recommended, SuperResolutionRecord
from cvdvae.configs import to_yaml
from cvdvae.damage.described import parse
from cvdvae.errors import ConfigError, InputError
from cvdvae.evaluation.damaged import Damaged, Restored
from cvdvae.evaluation.method import Resolver
from cvdvae.gaussian.noise import SeededNoise
from cvdvae.hvae.lr_encoder import drawn_mean
from cvdvae.restoration.edits import Resample
from cvdvae.restoration.restorer import Restorer
from cvdvae.restoration.restoring import degraded
from cvdvae.restoration.settings import Restoring, Sampling


def drawn(model: Restorer, profile: tuple[float, ...], temperature: float = 0.8) -> torch.Tensor:
    assert model.encoder is not None
    told = torch.rand(1, 9, 16, 16, generator=torch.Generator().manual_seed(0))
    terms = model.encoder.terms(told, 1)
    of = (model.prior, model.encoder, terms, 2, (16, 16), SeededNoise(0, [0, 1]))
    with torch.no_grad():
        return drawn_mean(*of, temperature, temperature, profile)


def test_a_profile_multiplies_the_temperature_of_every_stride() -> None:
    model = tiny_restorer()
    strides = list(dict.fromkeys(model.prior.config.group_strides))
    assert strides == sorted(strides, reverse=True)
    count = len(strides)
    assert torch.equal(drawn(model, (1.0,) * count), drawn(model, ()))
    assert torch.equal(drawn(model, (0.5,) * count), drawn(model, (), 0.4))
    assert torch.equal(drawn(model, (0.0,) * count), drawn(model, (), 0.0))
    # Coarse groups at 0 are the same in all samples, though the fine ones are not.
    apart = [(drawn(model, one)[0] - drawn(model, one)[1]).abs().mean() for one in (
        (0.0,) * (count - 1) + (1.0,), (1.0,) * count
    )]  # fmt: skip
    assert 0 < apart[0] < apart[1]


def test_what_is_no_profile_is_refused() -> None:
    for wrong, words in (
        ({"profile": (-1.0,)}, "must be numbers from 0"),
        ({"profile": ("a",)}, "a profile's factor must be a number"),
        ({"profile": 0.5}, r"a profile is some factors, as in \(0.5, 1.0\), not 0.5"),
        ({"profile": (1.0,), "moves": 2}, "leave the profile or moves out"),
    ):
        with pytest.raises(InputError, match=words):
            Restoring(2, **wrong)  # type: ignore[arg-type]
    model, x = tiny_restorer(), torch.full((3, 16, 16), 0.5)
    with pytest.raises(InputError, match=r"a factor for each of the model's \d strides, not 9"):
        model.run(degraded(x, parse("noise"), 0.1), Restoring(2, profile=(1.0,) * 9))
    enlarging, y = tiny_resolver(), torch.full((3, 4, 4), 0.5)
    with pytest.raises(InputError, match=r"a factor for each of the model's \d strides, not 9"):
        enlarging.run(y, Sampling(2, profile=(1.0,) * 9))
    with pytest.raises(InputError, match="must be numbers from 0"):
        Sampling(2, profile=(float("nan"),))
    flow = tiny_flow()
    with pytest.raises(InputError, match="no groups of several strides: leave"):
        flow.run(torch.full((3, flow.lr_size, flow.lr_size), 0.5), Sampling(2, profile=(1.0,)))
    for kind in ("profile", "look_profile"):
        with pytest.raises(ConfigError, match="a number from 0 upwards"):
            Recommended(**{kind: (-0.1,)})  # type: ignore[arg-type]


def test_a_profile_of_another_length_is_refused_where_it_is_loaded(tmp_path: Path) -> None:
    recommend(str(folder := saved_resolver(tmp_path / "x4")), Recommended(look_profile=(1.0,) * 9))
    with pytest.raises(ConfigError, match=r"^look_profile .* 9 factors: it needs one for each of"):
        load_encoder(str(folder))
    recommend(str(folder), Recommended(profile=(1.0,) * 9))
    with pytest.raises(ConfigError, match=r"^profile .* 9 factors: it needs one for each of"):
        load_encoder(str(folder))
    recommend(str(folder := saved_restorer(tmp_path / "any")), Recommended(look_profile=(1.0,) * 9))
    with pytest.raises(ConfigError, match="9 factors"):
        load_restoring(str(folder))


def test_looking_has_a_profile_and_is_drawn_again_by_its_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_photo_restorer()
    count = len(set(model.prior.config.group_strides))
    profile = tuple(0.5 + 0.25 * i for i in range(count))
    folder = saved_restorer(tmp_path / "restorer", model)
    recommend(str(folder), Recommended(look=0.6, look_profile=profile))
    slope = np.linspace(40, 200, 24 * 20 * 3).reshape(24, 20, 3).astype(np.uint8)
    Image.fromarray(slope).save(tmp_path / "x.png")

    def restored(out: str, *options: str) -> Path:
        given = (str(tmp_path / "x.png"), "--model", str(folder), "--degradation", "blur:sigma=1")
        where = tmp_path / out
        drawn = ("--samples", "2", "--out", str(where), *options)
        assert run("restore", *given, *drawn, monkeypatch=monkeypatch) == 0
        return next(where.rglob("result.json"))

    tame, named = restored("tame", "--look"), restored("named", "-t", "0.6")
    said = json.loads(tame.read_text())
    assert (said["temperature"], tuple(said["profile"])) == (0.6, profile)
    assert json.loads(named.read_text())["profile"] == []
    sample = "sample_01.png"
    assert (tame.parent / sample).read_bytes() != (named.parent / sample).read_bytes()
    again = tmp_path / "again"
    replay = ("replay", str(tame), "--out", str(again), "--trust-model")
    assert run(*replay, monkeypatch=monkeypatch) == 0
    assert (again / sample).read_bytes() == (tame.parent / sample).read_bytes()


def test_enlarged_images_have_it_likewise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_photos(2)
    count = len(set(model.prior.config.group_strides))
    y = torch.rand(3, 12, 10, generator=torch.Generator().manual_seed(1))
    how = Sampling(2, 0.8, 3, 0.8)
    at_half = model.run(y, how.at(0.4, 0.4)).samples
    assert torch.equal(model.run(y, replace(how, profile=(0.5,) * count)).samples, at_half)
    profile = tuple(0.5 + 0.25 * i for i in range(count))
    tame = Recommended(look=0.6, look_profile=profile)

    folder = saved_resolver(tmp_path / "model", model)
    record = read_record(folder)
    assert isinstance(record, SuperResolutionRecord)
    (folder / CONFIG).write_text(to_yaml(replace(record, recommended=tame)))
    Image.fromarray((255 * y).byte().permute(1, 2, 0).numpy()).save(tmp_path / "y.png")
    given = (str(tmp_path / "y.png"), "--model", str(folder), "--scale", "2", "-n", "2")
    assert (
        run("upscale", *given, "--look", "--out", str(tmp_path / "a"), monkeypatch=monkeypatch) == 0
    )
    (told,) = (tmp_path / "a").rglob("result.json")
    assert json.loads(told.read_text())["profile"] == list(profile)
    again = ("replay", str(told), "--out", str(tmp_path / "b"), "--trust-model")
    assert run(*again, monkeypatch=monkeypatch) == 0
    one = "sample_01.png"
    assert (tmp_path / "b" / one).read_bytes() == (told.parent / one).read_bytes()

    (tmp_path / "in").mkdir()
    (tmp_path / "y.png").rename(tmp_path / "in" / "y.png")
    source = open_source(str(tmp_path / "in"))
    run_batch(
        source,
        tmp_path / "c",
        str(folder),
        Settings(samples=2, look=True, scale=2),
        engine=local(1),
    )
    (batch,) = (tmp_path / "c").rglob(one)
    assert batch.read_bytes() == (told.parent / one).read_bytes()


def test_steering_keeps_the_profile() -> None:
    model = tiny_resolver()
    count = len(set(model.prior.config.group_strides))
    y = torch.rand(3, model.lr_size, model.lr_size, generator=torch.Generator().manual_seed(2))
    how = Sampling(2, profile=(0.0,) * (count - 1) + (1.0,))
    first = model.run(y, how).samples
    kept = model.run(y, how.then(Resample(0, model.prior.groups, 5))).samples
    assert torch.equal(kept[0], first[0])
    assert torch.equal(kept[1], first[0])


def test_the_python_of_a_result_has_its_profile() -> None:
    model = tiny_resolver()
    profile = (0.5,) * len(set(model.prior.config.group_strides))
    y = torch.full((3, model.lr_size, model.lr_size), 0.5)
    for how in (Sampling(1), Sampling(1, profile=profile)):
        written = python_of(model.run(y, how).recipe)
        start, end = written.index("sampling = "), written.index("result = ")
        names: dict[str, object] = {"model": model}
        exec(written[start:end], names)
        assert names["sampling"] == how


def test_what_is_drawn_for_looking_has_it() -> None:
    model = tiny_resolver()
    profile = (0.5,) * len(set(model.prior.config.group_strides))
    model.recommended = Recommended(look=0.6, look_profile=profile)
    looking = Sampling(2, 0.6, 0, 0.6, profile=profile)
    assert Settings(samples=2, look=True).sampling(model) == looking
    assert Settings(samples=2, temperature=0.6).sampling(model).profile == ()
    y = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(1))
    assert model.upscale(y, 2, look=True).sampling == looking
    with pytest.raises(InputError, match="has temperatures of its own: name none beside"):
        model.upscale(y, 2, temperature=0.6, look=True)


def test_what_is_not_for_looking_has_the_other_profile_at_any_temperature() -> None:
    model, restorer = tiny_photos(2), tiny_restorer()
    count = len(set(model.prior.config.group_strides))
    fine = (*(1.0,) * (count - 1), 1.5)
    model.recommended = Recommended(1.1, 1.1, 0.6, (0.5,) * count, fine)
    assert model.sampling(2) == Sampling(2, 1.1, 0, 1.1, profile=fine)
    assert model.sampling(2, temperature=0.9).profile == fine
    assert model.sampling(2, look=True).profile == (0.5,) * count
    assert model.sampling(2, profile=()).profile == ()
    y = torch.rand(3, 12, 10, generator=torch.Generator().manual_seed(1))
    scored = Resolver(model, "ours")
    of = scored.own.temperature
    unprojected = model.sampling(2, consistent=False)
    assert torch.equal(scored.draw(y, 2, of, 0), model.draw(y, unprojected))
    plain = replace(unprojected, profile=())
    assert not torch.equal(scored.draw(y, 2, of, 0), model.draw(y, plain))
    before = scored.fingerprint
    assert settings_for(model, {"samples": 2}) == model.sampling(2)
    assert settings_for(model, {"temperature": 0.9}).profile == fine
    assert settings_for(model, {"profile": []}).profile == ()
    model.recommended = replace(model.recommended, profile=())
    assert scored.fingerprint != before  # what was scored with it is not what would be now

    strides = len(set(restorer.prior.config.group_strides))
    restorer.recommended = Recommended(profile=(1.2,) * strides)
    assert restorer.restoring(2).profile == (1.2,) * strides
    assert restorer.restoring(2, moves=3).profile == ()
    subject = Damaged(restorer, parse("noise"), 0.1)
    assert subject.recommended.profile == (1.2,) * strides
    assert replace(subject, moves=3).recommended.profile == ()
    with_it = restorer_draws(subject)
    restorer.recommended = Recommended()
    assert not torch.equal(with_it, restorer_draws(subject))


def restorer_draws(subject: Damaged) -> torch.Tensor:
    """Two samples of a tiny restorer, as an evaluation has them."""
    y = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))
    return Restored(subject, "ours").draw(y, 2, 1.0, 0)


def test_an_evaluation_of_damage_draws_with_it() -> None:
    restorer = tiny_restorer()
    subject = Damaged(restorer, parse("noise"), 0.1)
    profile = (0.5,) * len(set(restorer.prior.config.group_strides))
    assert subject.how(Sampling(2, profile=profile)).profile == profile


def test_the_page_says_what_its_settings_have_not() -> None:
    tame = Recommended(look=0.7, look_profile=(0.5, 2.0))
    plain = Sampling(2, 0.7, 0, 0.7)
    looking = replace(plain, profile=(0.5, 2.0))
    assert drawn_before(looking, tame) == ""
    assert drawn_before(plain.at(0.9, 0.7), tame) == ""
    other = "with other temperatures of coarse and fine groups"
    assert drawn_before(plain, tame) == drawn_before(plain.at(0.5, 0.5), tame) == other
    turned = replace(looking.at(0.9, 0.9), self_ensemble=True)
    assert drawn_before(turned, tame) == f"in several orientations and {other}"
    wild = drawn_before(plain.at(1.6, 1.6), Recommended())
    assert wild == "at a higher temperature"
    by = replace(looking, shrunk_by="pillow-lanczos")
    assert drawn_before(by, tame) == "for another program's shrinking"
    alone = replace(by, samples=1)
    assert drawn_before(alone, tame, least=2) == "as one sample and for another program's shrinking"
    assert drawn_before(alone, tame) == "for another program's shrinking"
    assert drawn_before(by, tame, programs=["bicubic", "pillow-lanczos"]) == ""


def test_the_profile_of_looking_is_had_up_to_its_temperature() -> None:
    suits = Recommended(look=0.7, look_profile=(0.5, 2.0))
    assert [suits.profile_at(t) for t in (0.0, 0.7, 0.71)] == [(0.5, 2.0), (0.5, 2.0), ()]
    assert replace(suits, profile=(1.0, 3.0)).profile_at(0.71) == (1.0, 3.0)


def test_the_settings_for_looking_are_those_of_the_model() -> None:
    restorer = tiny_restorer()
    profile = (0.5,) * len(set(restorer.prior.config.group_strides))
    restorer.recommended = Recommended(look=0.4, look_profile=profile)
    how = Restoring(3, 0.4, seed=4, antithetic=True, profile=profile)
    assert restorer.restoring(3, seed=4, antithetic=True, look=True) == how
    y = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert restorer.restore(y, noise=0.1, samples=2, look=True).restoring.profile == profile
    for beside, message in (
        ({"temperature": 0.7}, "name none beside"),
        ({"moves": 3}, "leave moves out"),
    ):
        with pytest.raises(InputError, match=message):
            restorer.restoring(3, look=True, **beside)  # type: ignore[arg-type]


def test_a_folder_from_before_goes_on(tmp_path: Path) -> None:
    folder = saved_restorer(tmp_path / "restorer")
    (tmp_path / "in").mkdir()
    Image.new("RGB", (16, 16), (90, 120, 60)).save(tmp_path / "in" / "a.png")
    source, out = open_source(str(tmp_path / "in")), tmp_path / "out"
    settings = Settings(samples=2, happened=happened(None, None, None, "0.05"))
    assert run_batch(source, out, str(folder), settings, engine=local(1)).drawn == 1
    note = json.loads((out / NOTE).read_text())
    assert note.pop("profile") == []
    (out / NOTE).write_text(json.dumps(note))
    assert run_batch(source, out, str(folder), settings, engine=local(1)).before == 1
