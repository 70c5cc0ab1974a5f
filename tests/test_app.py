"""The explorer without a browser: its handlers' logic, and its programming interface."""

import json
import threading
from collections.abc import Generator, Iterator
from copy import deepcopy
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from command import run
from gradio.processing_utils import save_file_to_cache
from PIL import Image
from test_photos import SETTINGS, wanted
from test_photos import handlers as handlers_of
from tiny import (
    ENCODER,
    FAINT,
    NUCLEI,
    PHOTONS,
    PHOTOS,
    RESTORING,
    saved_resolver,
    saved_restorer,
    tiny_flow,
    tiny_photo_restorer,
    tiny_photos,
    tiny_prior,
    tiny_resolver,
    tiny_restorer,
)

import cvdvae
from cvdvae.app import text as every
from cvdvae.app.archive import zip_of
from cvdvae.app.controls import UNCHANGED, Updates, seed_of
from cvdvae.app.faces import layout, showing
from cvdvae.app.faces import text as words
from cvdvae.app.faces.explorer import Explorer, FaceInput, Session, seed_after
from cvdvae.app.faces.framing import Framing
from cvdvae.app.faces.handlers import Handlers
from cvdvae.app.faces.inputs import Inputs
from cvdvae.app.faces.page import examples
from cvdvae.app.faces.text import command_of, python_of
from cvdvae.app.page import build, tabs_of
from cvdvae.app.painter import Painting, painted
from cvdvae.app.photos.explorer import Photos
from cvdvae.app.photos.whole import Whole
from cvdvae.app.pictures import rectangle, stored, to_paint
from cvdvae.app.recipes import read_result
from cvdvae.app.restoring.damage import KINDS, LABELS, described, image_in
from cvdvae.app.restoring.handlers import RestoringHandlers
from cvdvae.app.restoring.showing import Parts
from cvdvae.app.server import load_models, parse_auth, serve
from cvdvae.app.theme import SCRIPT
from cvdvae.checkpoints.records import Recommended
from cvdvae.damage.described import parse
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.degradations.bicubic import downscaling
from cvdvae.degradations.kernels import KERNELS
from cvdvae.domains.faces import demo_photo
from cvdvae.errors import InputError, WeightsError
from cvdvae.hvae.lr_encoder import LREncoder
from cvdvae.imaging.io import to_pil
from cvdvae.restoration.drawing import Drawing
from cvdvae.restoration.edits import Blend, Resample, ResampleRegion, pack_region
from cvdvae.restoration.hvae import HVAEResolver
from cvdvae.restoration.part import PartDrawing, PartSample
from cvdvae.restoration.recipe import BESIDE, recipe_from_dict, recipe_from_text
from cvdvae.restoration.restorer import Restorer
from cvdvae.restoration.restoring import degraded


def last(iterator):  # type: ignore[no-untyped-def]
    return list(iterator)[-1]


@pytest.fixture(scope="module")
def explorer() -> Explorer:
    return Explorer(["celeba64-x8"])


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    demo_photo().save(path)
    return path


@pytest.fixture(scope="module")
def seen(explorer: Explorer, photo: Path) -> FaceInput:
    """What a model sees of it, where the face was found."""
    return explorer.look(photo, "photo", explorer.model(8, "hvae"), Framing())


def test_a_picture_is_stored_once_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser may be reading it when the gallery that it is in grows."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    picture = demo_photo().resize((64, 64))
    path = Path(stored(picture))
    before = path.stat().st_ino
    assert stored(picture) == str(path)
    assert path.stat().st_ino == before
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
    assert Image.open(path).tobytes() == picture.tobytes()
    # Where Gradio would put it: no second copy is made.
    assert save_file_to_cache(path, str(tmp_path)) == str(path)
    assert stored(picture.rotate(90)) != str(path)


def test_a_photo_is_framed_and_its_frame_gives_the_same_again(
    explorer: Explorer, photo: Path
) -> None:
    model = explorer.model(8, "hvae")
    seen = explorer.look(photo, "photo", model, Framing())
    again = explorer.look(photo, "photo", model, seen.framing)
    assert torch.equal(seen.y, again.y)
    moved = explorer.look(photo, "photo", model, replace(seen.framing, x=0.1))
    assert not torch.equal(seen.y, moved.y)


def test_a_photo_is_shrunk_as_its_samples_are_told(explorer: Explorer, photo: Path) -> None:
    model = explorer.model(8, "hvae")
    by = {name: explorer.look(photo, "photo", model, Framing(), name) for name in KERNELS}
    assert not torch.equal(by["bicubic"].y, by["pillow-lanczos"].y)
    for name, seen in by.items():
        H = model.degradation_of((model.lr_size, model.lr_size), name)
        assert seen.truth is not None
        assert torch.equal(seen.y, shrink_to_8_bits(seen.truth[None], H)[0])


def test_images_of_every_kind_are_taken(explorer: Explorer, tmp_path: Path) -> None:
    model = explorer.model(8, "hvae")
    photo = demo_photo()
    clear = photo.convert("RGBA")
    clear.putalpha(200)
    kinds = {
        "grey.png": photo.convert("L"),
        "clear.png": clear,
        "huge.jpg": photo.resize((2000, 2000)),
    }
    notes = {"grey.png": "greyscale", "clear.png": "transparent", "huge.jpg": ""}
    for name, picture in kinds.items():
        picture.save(tmp_path / name)
        seen = explorer.look(tmp_path / name, "photo", model, Framing())
        assert seen.y.shape == (3, 8, 8)
        assert notes[name] in "".join(seen.notes)
        assert bool((seen.y[0] == seen.y[1]).all()) == (name == "grey.png")
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[274] = 3
    photo.rotate(180).save(turned, exif=exif, quality=95)
    upright = explorer.look(turned, "photo", model, Framing(0.5, 0.5, 1))
    plain = tmp_path / "plain.png"
    photo.save(plain)
    straight = explorer.look(plain, "photo", model, Framing(0.5, 0.5, 1))
    torch.testing.assert_close(upright.y, straight.y, atol=0.02, rtol=0)


def test_a_picture_without_a_face_is_answered_with_a_note(
    explorer: Explorer, tmp_path: Path
) -> None:
    Image.new("RGB", (300, 200), (90, 140, 60)).save(tmp_path / "grass.png")
    seen = explorer.look(tmp_path / "grass.png", "photo", explorer.model(8, "hvae"), Framing())
    assert any("no face was found" in note for note in seen.notes)
    assert seen.framing.side == 1


@pytest.mark.parametrize(
    ("size", "kind", "message"),
    [
        ((5, 5), "low", "the model takes 8×8: celeba64-x16 would take it"),
        ((3, 9), "low", "no model of faces takes fewer than 4×4"),
        ((600, 600), "low", "more than 512 a side"),
        ((40, 40), "photo", "widen the frame"),
        ((9000, 9000), "photo", "over 60 megapixels"),
    ],
)
def test_what_cannot_be_used_is_said(
    explorer: Explorer, tmp_path: Path, size: tuple[int, int], kind: str, message: str
) -> None:
    path = tmp_path / "picture.png"
    Image.new("1", size).save(path)
    with pytest.raises(InputError, match=message):
        explorer.look(path, kind, explorer.model(8, "hvae"), Framing())  # type: ignore[arg-type]


def test_steps_can_be_walked_back_and_reopened(explorer: Explorer, seen: FaceInput) -> None:
    model = explorer.model(8, "hvae")
    first = last(explorer.start(seen, model, model.sampling(4)))
    second = last(explorer.steer(first, Resample(2, 9, seed_after(first))))
    stayed = explorer.what_stays(first, 2, 9)
    torch.testing.assert_close(stayed, second.result.mean, atol=1e-5, rtol=0)
    mask = rectangle((0.6, 0.3, 0.8, 0.7), 64)
    third = last(explorer.steer(second, ResampleRegion(1, pack_region(mask), seed_after(second))))
    assert len(third.history) == 3
    assert all(third.result.round_trip_exact)
    back = last(explorer.walk(third, 1))
    assert torch.equal(back.result.pixels, second.result.pixels)
    assert back.history == third.history
    elsewhere = last(explorer.steer(back, Blend(0, 3)))
    assert len(elsewhere.history) == 3

    address = recipe_from_text(third.result.recipe.to_text())
    report = recipe_from_dict(json.loads(json.dumps(third.result.report())), "a file")
    for recipe in (address, report):
        reopened = last(explorer.reopen(recipe))
        assert torch.equal(reopened.result.pixels, third.result.pixels)
        assert reopened.history == third.history


def test_the_code_that_is_shown_draws_the_same(
    explorer: Explorer, seen: FaceInput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = explorer.model(8, "hvae")
    sampling = model.sampling(3, 0.812345678, 7, 1.1, shrunk_by="pillow-lanczos")
    session = last(explorer.start(seen, model, sampling))
    session = last(explorer.steer(session, Resample(2, 9, 1)))
    session = last(explorer.steer(session, Blend(0, 2)))
    session.result.save(tmp_path)
    monkeypatch.chdir(tmp_path)
    held: dict[str, Any] = {}
    exec(python_of(session.result.recipe), held)
    assert held["result"].sampling == session.sampling
    shown = command_of(session.result.recipe)
    assert run(*shown.split()[1:-1], "command", monkeypatch=monkeypatch) == 0
    for folder in ("results", "command"):
        for i, one in enumerate(session.result.pixels):
            drawn = np.array(Image.open(tmp_path / folder / f"sample_{i:02d}.png"))
            assert np.array_equal(drawn, one.permute(1, 2, 0).numpy()), (folder, i)


def test_a_recipe_of_other_weights_or_another_dtype_is_refused(explorer: Explorer) -> None:
    recipe = explorer.model(8, "hvae").upscale(torch.full((3, 8, 8), 0.2), samples=1).recipe
    assert recipe.weights
    for changed, message in (
        (replace(recipe, weights="0" * 64), "has other weights than when"),
        (replace(recipe, dtype="bf16"), "was computed in bf16"),
    ):
        with pytest.raises(InputError, match=message):
            next(explorer.reopen(changed))
    assert last(explorer.reopen(replace(recipe, weights=""))).result.model == "celeba64-x8"


def test_the_command_for_a_model_that_is_not_bundled_trusts_it(explorer: Explorer) -> None:
    recipe = explorer.model(8, "hvae").upscale(torch.full((3, 8, 8), 0.2), samples=1).recipe
    assert "--trust-model" not in command_of(recipe)
    assert "--trust-model" in command_of(replace(recipe, model="runs/my-x8/model"))


def test_recipes_that_are_none_are_refused(tmp_path: Path) -> None:
    for text in ("", "x", "AAAA", "eJw"):
        with pytest.raises(InputError, match=r"address is damaged|no result"):
            recipe_from_text(text)
    path = tmp_path / "result.json"
    for content, message in (
        ("hello", "no result.json"),
        ("[]", "no result.json"),
        ('{"model": "celeba64-x8"}', "does not hold the input"),
        ('{"model": "celeba64-x8", "input": "!!"}', "damaged input"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            cvdvae.read_recipe(path)


def test_an_input_without_8_bit_values_is_left_to_the_command(
    explorer: Explorer, tmp_path: Path
) -> None:
    result = explorer.model(8, "hvae").upscale(torch.full((3, 8, 8), 0.3337), samples=1)
    (tmp_path / "result.json").write_text(json.dumps(result.report()))
    with pytest.raises(InputError, match=r"8 bits do not hold: .* cvdvae replay"):
        read_result(tmp_path / "result.json", 10**6)
    assert torch.equal(recipe_from_text(result.recipe.to_text()).y, result.y)


def test_the_example_of_a_face_is_large_enough_for_every_model(tmp_path: Path) -> None:
    """The astronaut's has 138 pixels a side."""
    model = tiny_resolver()
    model.degradation, model.lr_size = downscaling((256, 256), (64, 64), "bicubic"), 64
    paths = examples(Explorer([model]), tmp_path)
    sizes = {path.stem: Image.open(path).size for path in paths}
    assert sizes["64 by 64 pixels"] == (64, 64)


def test_a_model_of_several_scales_is_opened_at_each(tmp_path: Path) -> None:
    prior = tiny_prior()
    encoder = LREncoder(
        replace(ENCODER, scales=(2, 4), patch_size=2, groups=3), prior.config
    ).eval()
    folder = str(saved_resolver(tmp_path, HVAEResolver(prior, encoder, "")))
    loaded, _ = load_models([folder])
    explorer = Explorer(loaded)
    assert explorer.scales == [2, 4]
    for one, other in zip(*(model.networks for model in loaded), strict=True):
        assert one is other
    for scale in (2, 4):  # steered, reopened and told as what it is
        model, side = explorer.model(scale, "hvae"), 16 // scale
        seen = FaceInput(torch.full((3, side, side), 0.2), None, Framing(), None, (), None)
        session = last(explorer.start(seen, model, model.sampling(2)))
        steered = last(explorer.steer(session, Resample(1, 2, 1)))
        again = last(explorer.reopen(steered.result.recipe))
        assert torch.equal(again.result.pixels, steered.result.pixels)
        assert f'load("{folder}", scale={scale})' in python_of(again.result.recipe)


def test_models_whose_images_the_page_would_misjudge_are_refused(tmp_path: Path) -> None:
    grey, colour = tiny_prior(NUCLEI), tiny_prior(PHOTOS)
    restoring = replace(RESTORING, bottom_up=FAINT.bottom_up, conditions=4, groups=3)
    one_channel = saved_resolver(
        tmp_path / "a", HVAEResolver(grey, LREncoder(FAINT, grey.config), "")
    )
    restorer = saved_restorer(tmp_path / "b", Restorer(grey, LREncoder(restoring, grey.config), ""))
    faint = saved_resolver(
        tmp_path / "c", HVAEResolver(colour, LREncoder(FAINT, colour.config), "")
    )
    record = faint / "config.yaml"
    record.write_text(f"{record.read_text()}photons: {PHOTONS}\n".replace("photons: 0.0\n", ""))
    for folder, message in (
        (one_channel, "in colour, and .* has 1 channel: draw its samples with cvdvae upscale"),
        (restorer, "in colour, and .* has 1 channel: draw its samples with cvdvae restore"),
        (faint, "those of .* explain it within its noise: draw them with cvdvae upscale"),
    ):
        with pytest.raises(InputError, match=message):
            load_models([str(folder)])


def test_credentials_are_a_pair() -> None:
    assert parse_auth(None) is None
    assert parse_auth("anna:a:b") == ("anna", "a:b")
    for text in ("anna", "anna:", ":x"):
        with pytest.raises(InputError, match="name:password"):
            parse_auth(text)


# The tab of faces.


def named(kind: Any, name: str) -> Any:
    """Parts of the page that are called what they are."""
    return kind(*(f"{name}.{field.name}" for field in fields(kind)))


def numbered() -> Parts:
    """Parts of the tab that restores, which are called by numbers."""
    return Parts(*range(13), settings=(13, 14, 15, 16), shown=tuple(range(17, 24)))  # type: ignore[arg-type, misc]


@pytest.fixture
def on(explorer: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handlers:
    """The handlers of a page."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return handlers_with(explorer)


WAYS = {"input.kind", "input.scale", "settings.method"}
"""What decides in which way an image is looked at; it waits while that is found."""


def handlers_with(explorer: Explorer) -> Handlers:
    """The handlers of a page with these models."""
    shown, settings = named(layout.Input, "input"), named(layout.Settings, "settings")
    figures = {name: named(layout.Figure, name) for name in ("mean", "heat", "truth")}
    answers = replace(named(layout.Answers, "answers"), **figures)
    steering, take = named(layout.Steering, "steering"), named(layout.Take, "take")
    states = ("session", "chosen", "strokes", "given", "drawing")
    known: dict[str, Any] = {name: name for name in states}
    parts = showing.Parts(**known, settings=settings, answers=answers, steering=steering, take=take)
    inputs = Inputs(explorer, shown, settings, parts.given)
    return Handlers(explorer, inputs, parts)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handlers:
    """The handlers of a page with a model that draws in a moment."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return handlers_with(Explorer([tiny_resolver()]))


@pytest.fixture
def begun(explorer: Explorer, seen: FaceInput) -> Any:
    """A session of four samples, and a walk between two of them that was stopped."""
    model = explorer.model(8, "hvae")
    session = last(explorer.start(seen, model, model.sampling(4)))
    walk = last(explorer.steer(session, Blend(0, 3)))
    drawn = replace(walk.result, pixels=walk.result.pixels[:2], exploded=walk.result.exploded[:2])
    return session, replace(walk, result=drawn)


def test_an_image_that_comes_while_another_is_drawn_waits_with_its_button(
    on: Handlers, begun: Any, page: Any
) -> None:
    """A press would be skipped, and what is drawn would seem to be of the image that came. It may
    have begun to be looked at before the other began to be drawn: what it ends with is decided
    when it ends."""
    assert on.busy()["drawing"] is True
    assert on.arrived(begun[0], "other.png", True, None).keys() == WAYS
    for session in (None, begun[0]):
        assert on.arrived(session, "other.png", False, None)["settings.draw"]["interactive"]
    (photo,) = (one for part, event, one in events(page) if (part, event) == ("photo", "change"))
    (arrive,) = (one for _, _, one in events(page) if one["trigger_after"] == photo["id"])
    ends = [one for _, _, one in events(page) if one["trigger_after"] == arrive["id"]]
    assert [one["trigger_only_on_failure"] for one in ends] == [False, True]
    for end in ends:
        told, (*asked, _) = page.fns[end["id"]].outputs, page.fns[end["id"]].inputs
        assert [part.elem_id for part in told] == ["kind", "scale", "method", "draw", "status"]
        both = {part.elem_id for part in told if part._id in arrive["outputs"]}
        assert both == {"kind", "scale"}, "of which one tells the value, and the other the rest"
        assert all(isinstance(part, gr.State) for part in asked)  # a file may have gone by then


def test_a_wilder_result_than_the_page_draws_is_opened_at_its_wildest(
    on: Handlers, explorer: Explorer
) -> None:
    model = explorer.model(8, "hvae")
    recipe = model.run(torch.full((3, 8, 8), 0.2), model.sampling(2, 2.0, 0, 1.9)).recipe
    opened = last(on.arrive_by_link(recipe.to_text()))
    for slider in ("settings.temperature", "settings.encoder_temperature"):
        assert opened[slider]["value"] == 1.5
    assert opened["session"].sampling.temperature == 2


def test_how_a_growing_gallery_was_drawn_before_is_still_said_at_its_end(
    on: Handlers, explorer: Explorer
) -> None:
    model = explorer.model(8, "hvae")
    how = replace(model.sampling(9), self_ensemble=True)
    recipe = model.run(torch.full((3, 8, 8), 0.2), how).recipe
    told = list(on.arrive_by_link(recipe.to_text()))
    assert len([one for one in told if "session" in one]) > 1
    assert all("in several orientations" in one["settings.said"] for one in told)


def test_what_is_reopened_sets_the_controls_once(
    on: Handlers, explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its samples are drawn, a visitor may give another image."""
    model = explorer.model(8, "hvae")
    recipe = model.run(torch.full((3, 8, 8), 0.2), model.sampling(1)).recipe
    (whole,) = explorer.reopen(recipe)
    grown = replace(whole, history=(replace(whole.sampling, samples=3),))

    def growing(_: object) -> Iterator[Session]:
        yield from (grown, grown, whole)

    monkeypatch.setattr(explorer, "reopen", growing)
    first, *others = on.arrive_by_link(recipe.to_text())
    assert first["settings.samples"] == 3
    assert len(others) == 2
    for updates in others:
        assert not {"input.photo", "input.scale", "settings.samples"} & updates.keys()


def test_what_is_shown_of_another_image_is_said_to_be(tmp_path: Path, tiny: Handlers) -> None:
    """What it promises of “your image” is not so of the one that came."""
    y, path = torch.full((3, 4, 4), 0.2), tmp_path / "same.png"
    to_pil(y).save(path)
    low = (every.label(words.KINDS, "low"), "×4", "Hierarchical VAE", 50, 50, 0)
    same = tiny.inputs.look(str(path), *low)["given"]
    to_pil(y + 0.2).save(path)
    other = tiny.inputs.look(str(path), *low)["given"]
    model = tiny.explorer.model(4, "hvae")
    session = last(tiny.arrive_by_link(model.upscale(y, samples=2).recipe.to_text()))["session"]
    for says in (partial(tiny.arrived, status=words.BEFORE), tiny.ready):
        for given in (other, None):
            assert "Of the image before" in says(session, given, False)["answers.status"]
        said = says(session, same, False)["answers.status"]  # as where it was reopened
        assert "gives your image back" in said
    still = tiny.arrived(session, other, False, every.STILL)  # which promises nothing
    assert still.keys() == {"settings.draw", *WAYS}


def test_before_anything_is_drawn_the_page_says_whether_the_image_is_there(tiny: Handlers) -> None:
    for given, words_now in ((None, words.FIRST), ("some image", words.READY)):
        for says in (tiny.arrived, tiny.looked):
            assert says(None, given, False, words.NOTHING)["answers.status"] == words_now
        ended = words.UNDRAWN if given else words.NOTHING
        assert tiny.ready(None, given, True)["answers.status"] == ended
    assert "once your image is there" not in words.UNDRAWN
    assert tiny.inputs.forget()["settings.said"] == "", "it was of the image before"


def test_what_is_drawn_of_the_image_before_promises_nothing_of_the_one_that_came(
    tmp_path: Path, tiny: Handlers
) -> None:
    """Whether it came before the samples, while they are drawn, or before they were stopped."""
    first, other = tmp_path / "first.png", tmp_path / "other.png"
    for path, level in ((first, 60), (other, 90)):
        Image.new("RGB", (4, 4), (level, 120, 150)).save(path)
    what = (every.label(words.KINDS, "low"), "×4", "Hierarchical VAE", 50, 50, 0)
    draw = tiny.draw(str(first), *what, 2, 0.8, 0.8, "0", True, False)

    def shown(drawing: Iterator[Any]) -> tuple[Session, Any]:
        updates = last(drawing)
        assert "gives your image back" not in updates["answers.status"]  # not known yet
        return updates["session"], updates["drawing"]

    session, drawing = shown(draw)
    others, _ = shown(tiny.others(session, 0, 1))
    cut = replace(session.result, pixels=session.result.pixels[:1])
    stopped = replace(session, result=replace(cut, exploded=cut.exploded[:1]))
    for one, still in ((session, drawing), (others, drawing), (stopped, True)):
        status = {
            path.name: tiny.ready(one, seen["given"], still)["answers.status"]
            for path in (first, other)
            if (seen := tiny.inputs.look(str(path), *what))
        }
        assert "Of the image before" in status["other.png"]
        assert "back" in status["first.png"]
        assert "Of the image before" not in status["first.png"]


def test_a_reopened_image_is_known_before_the_page_tells_of_it(tiny: Handlers) -> None:
    """Samples may be drawn by then."""
    recipe = tiny_resolver().upscale(torch.full((3, 4, 4), 0.2), samples=2).recipe
    updates = list(tiny.arrive_by_link(recipe.to_text()))
    assert updates[-1]["session"].shows(updates[0]["given"])
    low = (every.label(words.KINDS, "low"), "×4", "Hierarchical VAE", 50, 50, 0)
    arrived = tiny.inputs.look(updates[0]["input.photo"], *low)
    assert arrived["given"] == updates[0]["given"]
    forgotten = tiny.inputs.forget()
    assert forgotten["given"] is None
    assert not any(forgotten[one]["interactive"] for one in WAYS), "what it is found to be counts"


def test_a_flow_has_one_temperature_and_claims_no_spread_that_was_not_found(on: Handlers) -> None:
    flow = tiny_flow()
    on = handlers_with(Explorer([on.explorer.model(8, "hvae"), flow]))
    for scale, method in (("×8", "Hierarchical VAE"), ("×4", "Flow (HCFlow)")):
        updates, found = on.inputs.recommend(scale, method), scale == "×8"
        assert updates["settings.encoder_temperature"]["visible"] == found
        assert ("as large as the doubt" in updates["settings.temperature"]["info"]) == found
    recipe = flow.run(torch.full((3, 4, 4), 0.2), flow.sampling(1)).recipe
    opened, *_ = on.arrive_by_link(recipe.to_text())
    assert not opened["settings.encoder_temperature"]["visible"]
    assert every.suited(flow) == "0.6 pleases the eye"
    flow.recommended = Recommended(0.8, calibrated=True)
    assert every.suited(flow).endswith("; at 0.8 the spread is as large as the doubt")
    flow.recommended = Recommended(0.5)  # as in older folders
    assert every.suited(flow).endswith("; at 0.5 the spread is as large as the doubt")
    photos = tiny_photos(2)
    for temperatures, claimed in (((0.8, 1.0), False), ((1.1, 1.1), True), ((1.1, 1.2), False)):
        photos.recommended = Recommended(*temperatures)
        assert ("spread" in every.suited(photos, together=True)) == claimed  # one slider for both


def test_where_nothing_new_was_drawn_the_trail_says_what_is_shown(on: Handlers, begun: Any) -> None:
    session, _ = begun
    session = replace(session, history=(session.sampling, session.sampling.then(Blend(0, 1))))
    updates = on.ready(session, None, True)
    assert updates["answers.status"] == every.STILL
    assert updates["drawing"] is False
    trail = updates["steering.trail"]
    assert trail["interactive"]
    assert trail["value"] == words.trail(session.history)[0]


def test_what_was_not_drawn_lacks_no_image(on: Handlers) -> None:
    """It was stopped, or failed: the image is there."""
    said = on.ready(None, None, True)["answers.status"]
    assert "Nothing was drawn" in said
    assert "image comes first" not in said


def test_an_error_after_a_stopped_walk_stays(on: Handlers, begun: Any) -> None:
    """A walk that was stopped has fewer samples than were asked for, also later."""
    _, walk = begun
    updates = on.ready(walk, None, True)
    assert updates["answers.gallery"]["value"]
    assert not updates.keys() & set(on.parts.said)


@pytest.fixture(scope="module")
def page(explorer: Explorer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The whole page, laid out and connected."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        photos = Photos([tiny_photos(2)], threading.Lock())
        yield build(explorer, photos, folder, [tiny_photo_restorer()])


def events(page: Any) -> list[tuple[Any, str, dict[str, Any]]]:
    """What the page listens to: the part by its name, the event, and how."""
    config = page.get_config_file()
    names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
    return [
        (names.get(part), event, one)
        for one in config["dependencies"]
        for part, event in one["targets"]
    ]


def test_the_address_of_a_gallery_is_where_the_browser_is(
    on: Handlers, begun: Any, page: Any
) -> None:
    """Behind a server that passes its own name on, what a request is for is none."""
    session, _ = begun
    told = next(on.pack(session, "https://faces.example.org/here/"))["take.link"]
    assert told == f"https://faces.example.org/here/?r={session.result.recipe.to_text()}"
    packs = [one for one in page.get_config_file()["dependencies"] if one["api_name"] == "pack"]
    assert packs
    assert all("location.origin + location.pathname" in one["js"] for one in packs)


def test_no_stroke_or_press_is_lost_while_the_one_before_is_on_its_way(page: Any) -> None:
    """By default Gradio drops it; and where the last is to count, it sends the first again."""
    told = {
        (part, event): one["trigger_mode"]
        for part, event, one in events(page)
        if event in ("paint", "select")
    }
    assert told.keys() >= {("painter", "paint"), ("restore-painter", "paint")}
    assert told.keys() >= {("framed", "select"), ("gallery", "select")}
    assert set(told.values()) == {"multiple"}
    (damage,) = (one for part, event, one in events(page) if (part, event) == ("damage", "input"))
    assert damage["trigger_mode"] == "always_last"  # a value, which is read anew
    for part in ("framed", "gallery"):  # one after the other
        (one,) = (one for name, event, one in events(page) if (name, event) == (part, "select"))
        function = page.fns[one["id"]]
        assert function.concurrency_limit == 1
        assert [
            other.fn.__name__
            for other in page.fns.values()
            if other.concurrency_id == function.concurrency_id
        ] == [function.fn.__name__]


def test_the_frame_that_was_pressed_is_what_is_drawn(
    on: Handlers, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sliders show tenths of a percent, and a draw reads them."""
    looked, look = list[Framing](), on.explorer.look

    def watched(path: Path, kind: Any, model: Any, framing: Framing) -> Any:
        looked.append(framing)
        return look(path, kind, model, framing)

    monkeypatch.setattr(on.explorer, "look", watched)
    what = (
        str(photo),
        every.label(words.KINDS, "photo"),
        "×8",
        "Hierarchical VAE",
        50,
        50,
        40,
    )
    pressed = gr.SelectData(None, {"index": [221, 107], "value": None})
    shown = on.inputs.centre(*what, pressed)
    sliders = (shown["input.x"], shown["input.y"], shown["input.side"])
    assert sliders == (46.0, 22.3, 40)
    assert looked[-1] == Framing(*(value / 100 for value in sliders))


def test_every_seed_that_can_be_typed_reaches_what_answers_it(
    page: Any, photo: Path, on: Handlers
) -> None:
    """What Gradio refuses ends before a handler could say why, beside the hand."""
    seeds = [part for part in page.blocks.values() if getattr(part, "label", "") == "Seed"]
    assert len(seeds) == 3
    assert [part.preprocess("-1") for part in seeds] == ["-1"] * 3
    what = (
        str(photo),
        every.label(words.KINDS, "photo"),
        "×8",
        "Hierarchical VAE",
        50,
        50,
        0,
    )
    for typed, said in (("-1", "The seed must not be negative"), ("x", "must be a whole number")):
        (told,) = on.draw(*what, 2, 0.8, 0.8, typed, True, False)
        assert said in told["settings.said"]


def test_no_tab_takes_a_seed_of_more_than_64_bits(
    page: Any, photo: Path, small: Path, on: Handlers, photos: Photos, tmp_path: Path
) -> None:
    large, said = str(2**64), "A seed must be below 2⁶⁴ here"
    what = (
        str(photo),
        every.label(words.KINDS, "photo"),
        "×8",
        "Hierarchical VAE",
        50,
        50,
        0,
    )
    (faces,) = on.draw(*what, 2, 0.8, 0.8, large, True, False)
    assert said in faces["settings.said"]
    told = handlers_of(photos).arrive(None, str(small), "×2", *SETTINGS[:2], large, *SETTINGS[3:])
    assert said in told["viewer"]["text"]
    parts = numbered()
    restoring = RestoringHandlers({"A photograph": tiny_photo_restorer()}, parts)
    given = restoring.arrive(str(small), "A photograph", None)[parts.given]
    asked = (str(small), "A photograph", *HOLE[:6], large, False, given, STROKES)
    (restored,) = restoring.draw(*asked)
    assert said in restored[parts.said]
    assert seed_of(str(2**64 - 1)) == 2**64 - 1


def test_a_seed_of_63_bits_comes_back_from_the_page_as_it_was(
    page: Any, tiny: Handlers, photos: Photos, small: Path
) -> None:
    """A browser's numbers have 53 bits, its texts any."""
    seed = 2**63 - 1
    field = next(part for part in page.blocks.values() if part.elem_id == "seed")
    assert isinstance(field.postprocess(seed), str)
    recipe = tiny_resolver().upscale(torch.full((3, 4, 4), 0.2), samples=1, seed=seed).recipe
    shown = field.postprocess(last(tiny.arrive_by_link(recipe.to_text()))["settings.seed"])
    assert seed_of(field.preprocess(shown)) == seed
    settings = (*SETTINGS[:2], shown, *SETTINGS[3:])
    session = handlers_of(photos).arrive(None, str(small), "×2", *settings)["session"]
    assert session.history[0].seed == seed
    wrong = (*SETTINGS[:2], "x", *SETTINGS[3:])
    said = handlers_of(photos).arrive(None, str(small), "×2", *wrong)["viewer"]["text"]
    assert "The seed must be a whole number" in said


# The tab of photographs.


@pytest.fixture(scope="module")
def photos() -> Photos:
    return Photos([tiny_photos(2)], threading.Lock())


@pytest.fixture
def small(tmp_path: Path) -> Path:
    noise = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(0))
    to_pil(0.3 + 0.4 * noise).save(tmp_path / "small.png")
    return tmp_path / "small.png"


def test_a_program_that_gives_up_a_photograph_frees_its_place(page: Any, small: Path) -> None:
    """Between two strips: the queue looks for who listens after each that is yielded."""
    (enlarge,) = (one.fn for one in page.fns.values() if one.api_name == "enlarge")
    drawing = enlarge(str(small), "enlarge", 2, {"samples": 2})
    (first, *between, (files, result)) = drawing
    assert first == (gr.skip(), gr.skip())
    assert all(one == first for one in between)
    assert len(between) >= 1  # one for each sample
    assert [Path(file).name for file in files][-1] == "result.json"
    assert result["round_trip_exact"] == [True, True]


def whole_of(photos: Photos, path: Path, which: str) -> str:
    """What is said of the whole that was drawn."""
    on = handlers_of(photos)
    session = on.arrive(None, str(path), "×2", *SETTINGS)["session"]
    *_, ready = on.whole(session, wanted(session, which))
    return str(ready["said"])


@pytest.mark.parametrize(
    ("most", "which", "told"),
    [(100, "all", True), (100, "", False), (10**6, "all", False)],
)
def test_a_zip_that_cannot_be_opened_here_is_said_to_be_none(
    photos: Photos, small: Path, monkeypatch: pytest.MonkeyPatch, most: int, which: str, told: bool
) -> None:
    monkeypatch.setattr("cvdvae.app.photos.handlers.MAX_FILE", most)
    assert ("take the settings alone, too" in whole_of(photos, small, which)) == told


def test_a_sample_that_exploded_is_called_so(
    photos: Photos, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strips = Drawing.strips

    def exploding(drawing: Drawing, index: int, *how: Any) -> Any:
        for strip in strips(drawing, index, *how):
            yield strip._replace(exploded=torch.tensor([index == 1]))

    assert "exploded" not in whole_of(photos, small, "all")
    monkeypatch.setattr(Drawing, "strips", exploding)
    assert "1 exploded and is no answer: lower the temperature." in whole_of(photos, small, "all")
    session = handlers_of(photos).arrive(None, str(small), "×2", *SETTINGS)["session"]
    mask = torch.zeros(40, 48, dtype=torch.bool)
    mask[10:30, 10:30] = True

    def quick(part: PartDrawing, index: int) -> PartSample:
        pixels = torch.zeros(3, part.core.height, part.core.width, dtype=torch.uint8)
        return PartSample(pixels, index == 1, True)

    monkeypatch.setattr(PartDrawing, "sample", quick)
    for parent, found in ((0, [False, True]), (1, [True, True])):
        (folder := tmp_path / str(parent)).mkdir()
        varied = photos.vary(session, 0, parent, pack_region(mask))
        whole = Whole(photos, varied, 1, [0, 1], folder)
        assert list(whole.draw())[-1] == 1
        assert whole.report()["exploded"] == found


def test_what_is_too_large_to_paint_on_gets_advice_that_works(photos: Photos, small: Path) -> None:
    """What is shrunk first has the same size whatever the factor."""
    on, strokes = handlers_of(photos), [{"size": 3, "points": [[12, 8]]}]
    session = on.arrive(None, str(small), "×2", *SETTINGS)["session"]
    event = gr.EventData(None, {"key": session.keys[0], "sample": 0, "strokes": strokes})
    for truth, advice in ((None, "choose a smaller factor, or give a part of it"), (small, "give")):
        photo = replace(session.photo, lr_size=(20, 2500), truth=truth)
        said = on.vary(replace(session, photo=photo), None, event)["viewer"]["text"]
        assert "up to 4096 pixels a side" in said
        assert "5000×40" in said
        assert advice in said
        assert ("factor" in said) == (truth is None)
    with pytest.raises(InputError, match="100×5000: give a part of it") as refused:
        described("hole", 0, strokes, (5000, 100))
    assert "becomes" not in str(refused.value)


def test_nothing_is_drawn_or_opened_while_a_photograph_is_read(page: Any, photos: Photos) -> None:
    """It would be of the photograph before."""
    on, held = handlers_of(photos), {"kind", "scale", "again", "reopen"}
    for updates, may in ((on.fixed(), False), (on.fixed(False), True)):
        assert updates.keys() == held
        assert all(update["interactive"] == may for update in updates.values())
    config = page.get_config_file()
    names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
    (fixed,) = (one for part, _, one in events(page) if (part, one["queue"]) == ("picture", False))
    assert {names[part] for part in fixed["outputs"]} == {"what", "by", "again", "photo-reopen"}


def test_what_is_said_is_read_aloud(page: Any) -> None:
    script = SCRIPT.read_text("utf-8")
    ids = {part.elem_id for part in page.blocks.values() if isinstance(part, gr.HTML)}
    said = {one for one in ids if one and one.endswith(("said", "told", "notes", "doubts"))}
    assert said >= {"draw-said", "restore-said", "restore-told", "notes", "doubts"}
    assert not [one for one in said if f'"{one}"' not in script]


def test_what_never_began_to_be_drawn_is_told_to_the_viewer(page: Any, photos: Photos) -> None:
    """The queue was full: the viewer would wait for good."""
    (ask,) = (one for part, event, one in events(page) if (part, event) == ("viewer", "ask"))
    lost = [one for _, _, one in events(page) if one["trigger_after"] == ask["id"]]
    assert [(one["trigger_only_on_failure"], one["outputs"]) for one in lost] == [
        (True, ask["outputs"])
    ]
    told = handlers_of(photos).lost()["viewer"]
    assert told["kind"] == "lost"
    assert "try again" in told["text"]


def test_a_result_of_the_tab_restore_is_called_one(tmp_path: Path) -> None:
    model, x = tiny_photo_restorer(), torch.rand(3, 16, 24)
    archive = zip_of(model.run(degraded(x, parse("blur:sigma=1")), model.restoring(2)), tmp_path)
    for path in (archive, tmp_path / "result.json"):
        with pytest.raises(
            InputError, match=r"is of a restored image: open it in the tab Restore$"
        ) as refused:
            read_result(path, 10**6)
        assert path.name in str(refused.value)


@pytest.mark.parametrize(
    ("model", "domain", "tab"),
    [("photos-x4", "faces", "Photographs"), ("celeba64-x8", "photos", "Faces"),
     ("celeba64-hcflow-x8", "photos", "Faces")],
)  # fmt: skip
def test_a_result_of_another_tab_is_told_where_it_belongs(
    tmp_path: Path, model: str, domain: str, tab: str
) -> None:
    """Before its picture is read, which may be too large, or lie beside it."""
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"model": model, "input": BESIDE}))
    with pytest.raises(InputError, match=f"is of a .*: open it in the tab {tab}$"):
        read_result(path, 10**6, domain)
    path.write_text(json.dumps({"model": "runs/mine", "input": ""}))
    with pytest.raises(InputError, match="damaged input"):
        read_result(path, 10**6, domain)


@pytest.mark.parametrize("tab", ["Faces", "Photographs"])
def test_each_tab_tells_of_the_other(
    on: Handlers, photos: Photos, tmp_path: Path, tab: str
) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({"model": "photos-x4" if tab == "Photographs" else "celeba64-x8"}))
    if tab == "Photographs":
        said = last(on.reopen(str(path)))["take.said"]
    else:
        said = handlers_of(photos).reopen(None, str(path))["viewer"]["text"]
    assert f"open it in the tab {tab}." in said


def test_no_tab_is_named_that_is_not_there(photos: Photos, tmp_path: Path) -> None:
    """As where the page was started with models of one kind."""
    path = tmp_path / "result.json"
    for model, explorer, tab in (
        ("photos-x4", Explorer([tiny_resolver()]), Photos([], threading.Lock())),
        ("celeba64-x8", Explorer([]), photos),
    ):
        page = build(explorer, tab, tmp_path)
        path.write_text(json.dumps({"model": model}))
        (reopen,) = (one.fn.__self__ for one in page.fns.values() if one.name == "reopen")
        if model == "photos-x4":
            (told,) = reopen.reopen(str(path))
            said = told[reopen.parts.take.said]
        else:
            said = reopen.reopen(None, str(path))[reopen.parts.viewer]["text"]
        assert "cvdvae replay draws it again" in said
        assert "open it in the tab" not in said


# The tab that restores.


def test_a_face_that_is_too_small_is_no_truth(photo: Path, tmp_path: Path) -> None:
    """As `cvdvae restore --simulate` says; damage that was painted on it can still be undone."""
    path, words = tmp_path / "small.png", "needs 64×64: an enlarged image is none"
    demo_photo().resize((200, 200)).save(path)
    parts = numbered()
    on, given = RestoringHandlers({"A face": tiny_restorer()}, parts), image_in(path, 64, "A face")
    intact, damaged = KINDS
    for what, kind, refused in (
        (given, intact, True),
        (given, damaged, False),
        (image_in(photo, 64, "A face"), intact, False),
    ):
        (told,) = on.draw(str(what.path), "A face", kind, *HOLE[1:], what, STROKES)
        assert (words in told[parts.said]) == refused
        assert refused or "restores images of 16×16" in told[parts.said]  # which it is handed


@pytest.fixture(scope="module")
def restoring() -> RestoringHandlers:
    parts = numbered()
    models = {"A photograph": tiny_photo_restorer(), "Another": tiny_photo_restorer()}
    return RestoringHandlers(models, parts)


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    """Two pictures as files."""
    for level in (80, 90):
        to_pil(torch.full((3, 16, 24), level, dtype=torch.uint8)).save(tmp_path / f"{level}.png")
    return str(tmp_path / "80.png"), str(tmp_path / "90.png")


STROKES = Painting(strokes=[{"size": 3, "points": [[12, 8]]}])
HOLE = (next(iter(KINDS)), "A hole: paint over it", 50, 0.0, 4, 1, "3", False)


def with_noise(noise: float) -> tuple[str, str, int, float, int, int, str, bool]:
    """A hole, and noise beside."""
    return (*HOLE[:3], noise, *HOLE[4:])


def test_another_image_empties_what_is_shown_of_the_one_before(
    restoring: RestoringHandlers, two: tuple[str, str]
) -> None:
    parts, subject = restoring.parts, "A photograph"
    given = restoring.arrive(two[0], subject, None)[parts.given]
    (drawn,) = restoring.draw(two[0], subject, *HOLE, given, STROKES)
    assert drawn.keys() >= set(parts.shown)
    assert "4 of 4 answers explain" in drawn[parts.shown[0]]
    assert drawn[parts.shown[-1]]["visible"]
    for path in (two[1], None, str(Path(two[0]).parent)):  # another, none, and one that is no image
        updates = restoring.arrive(path, subject, given)
        assert not any(updates[part] for part in parts.shown[:-1])
        assert not updates[parts.shown[-1]]["visible"]
    (late,) = restoring.draw(two[0], subject, *with_noise(0.1), given, STROKES)
    assert late == UNCHANGED  # it was begun before the other came


def test_what_is_still_being_read_is_not_taken_for_the_image_before(
    restoring: RestoringHandlers, two: tuple[str, str]
) -> None:
    parts, subject = restoring.parts, "A photograph"
    given = restoring.arrive(two[0], subject, None)[parts.given]
    for path, about, known in (
        (two[1], subject, given), (two[0], "Another", given), (two[0], subject, None)
    ):  # fmt: skip
        (early,) = restoring.draw(path, about, *HOLE, known, STROKES)
        assert early.keys() == {parts.said}  # its answer could be shown of another
        assert "Your image is still being read" in early[parts.said]


def test_why_an_image_cannot_be_read_is_still_said_when_it_is_drawn(
    restoring: RestoringHandlers, tmp_path: Path
) -> None:
    parts, subject, path = restoring.parts, "A photograph", tmp_path / "text.png"
    path.write_text("I am no picture")
    arrived = restoring.arrive(str(path), subject, None)
    (drawn,) = restoring.draw(str(path), subject, *HOLE, arrived[parts.given], Painting())
    for updates in (arrived, drawn):
        assert "“text.png” is not an image" in updates[parts.said]


def test_an_image_that_is_no_longer_kept_is_asked_for_again(
    restoring: RestoringHandlers, two: tuple[str, str]
) -> None:
    parts, subject = restoring.parts, "A photograph"
    (gone,) = restoring.draw(two[0], subject, *HOLE, None, STROKES)
    assert "or is no longer kept" in gone[parts.said]


def test_a_double_click_restores_once(restoring: RestoringHandlers, two: tuple[str, str]) -> None:
    """The second press is done after the first: what it asks for is shown already."""
    parts, subject = restoring.parts, "A photograph"
    given = restoring.arrive(two[0], subject, None)[parts.given]

    def pressed(noise: float, strokes: Painting) -> Any:
        (updates,) = restoring.draw(two[0], subject, *with_noise(noise), given, strokes)
        return updates

    assert parts.shown[0] in pressed(0.0, STROKES)
    assert pressed(0.0, deepcopy(STROKES)) == UNCHANGED
    assert parts.shown[0] in pressed(0.1, STROKES)
    assert parts.shown[0] in pressed(0.0, STROKES)
    assert "Paint over" in pressed(0.0, Painting())[parts.said]
    assert pressed(0.0, STROKES)[parts.said] == ""  # what went wrong is no longer said


def test_what_was_painted_stays_in_view_and_in_force_together(restoring: RestoringHandlers) -> None:
    """What is not laid out at all forgets it, and what was told of it would still count."""
    painter = restoring.parts.painter
    for damage, visible in (("Blurred", "hidden"), ("A hole: paint over it", True)):
        updates = restoring.parts.chosen(damage, next(iter(KINDS)))
        assert updates[painter]["visible"] == visible
        assert restoring.parts.strokes not in updates


@pytest.mark.parametrize("kind", KINDS)
def test_noise_without_any_is_no_damage(
    restoring: RestoringHandlers, two: tuple[str, str], kind: str
) -> None:
    """The page offers it: its slider begins there."""
    parts, subject = restoring.parts, "A photograph"
    given = restoring.arrive(two[0], subject, None)[parts.given]
    (told,) = restoring.draw(two[0], subject, kind, "Noisy", 50, 0.0, *HOLE[4:], given, Painting())
    assert "Say how noisy it is, such as 0.01" in told[parts.said]
    (drawn,) = restoring.draw(two[0], subject, kind, "Noisy", 50, 0.1, *HOLE[4:], given, Painting())
    assert "4 of 4 answers explain" in drawn[parts.shown[0]]


def test_what_was_changed_to_read_an_image_is_said(
    restoring: RestoringHandlers, tmp_path: Path
) -> None:
    clear = Image.new("RGBA", (24, 16), (90, 120, 150, 100))
    clear.save(tmp_path / "clear.png")
    clear.resize((900, 800)).save(tmp_path / "large.png")
    for name, notes in (("clear.png", 1), ("large.png", 2)):
        said = restoring.arrive(str(tmp_path / name), "A photograph", None)[restoring.parts.said]
        assert "Transparent pixels were put on white" in said
        assert ("Your photograph has 900×800 pixels" in said) == (notes == 2)
        assert said.count("callout") == notes
    Image.new("L", (24, 16), 90).save(tmp_path / "grey.png")
    grey = restoring.arrive(str(tmp_path / "grey.png"), "A photograph", None)
    assert grey[restoring.parts.said] == ""  # what its samples are depends on what happens to it


def test_a_standard_deviation_is_called_one(
    restoring: RestoringHandlers, two: tuple[str, str]
) -> None:
    given = restoring.arrive(two[0], "A photograph", None)[restoring.parts.given]
    (drawn,) = restoring.draw(two[0], "A photograph", *HOLE, given, STROKES)
    told = drawn[restoring.parts.shown[0]]
    assert "Their standard deviation is up to" in told
    assert "differ by" not in told


def test_a_picture_that_comes_again_is_painted_on_anew() -> None:
    """The browser takes equal values for the same one, and would keep what was painted."""
    picture = torch.zeros(3, 16, 16, dtype=torch.uint8)
    assert to_paint(picture) != to_paint(picture)


def test_strokes_that_come_late_are_of_the_picture_before(
    restoring: RestoringHandlers, two: tuple[str, str]
) -> None:
    parts, subject, strokes = restoring.parts, "A photograph", STROKES.strokes
    told = restoring.arrive(two[0], subject, None)
    of_first = gr.EventData(None, {"number": told[parts.painter]["number"], "strokes": strokes})
    assert painted(told[parts.strokes], of_first).strokes == strokes
    other = restoring.arrive(two[1], subject, told[parts.given])
    assert painted(other[parts.strokes], of_first) == other[parts.strokes]
    (said,) = restoring.draw(two[1], subject, *HOLE, other[parts.given], other[parts.strokes])
    assert "Paint over" in said[parts.said]
    gone = restoring.arrive(None, subject, other[parts.given])
    assert painted(gone[parts.strokes], of_first).strokes == []


def test_a_movement_goes_at_the_angle_that_is_said(
    restoring: RestoringHandlers, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, intact = restoring.parts, next(iter(KINDS))
    for damage in LABELS:
        visible = restoring.parts.chosen(damage, intact)[parts.angle]["visible"]
        assert visible == (damage == "Moved")
    assert described("motion", 9, [], (16, 24)) == parse("motion:length=9")
    given = restoring.arrive(two[0], "A photograph", None)[parts.given]

    def moved(angle: float) -> Iterator[Updates]:
        asked = (two[0], "A photograph", intact, "Moved", 5, 0.1, *HOLE[4:])
        return restoring.draw(*asked, given, Painting(), angle)

    drawing = moved(70)
    assert isinstance(drawing, Generator)
    file = next(drawing)[parts.shown[-1]]["value"]
    (step,) = json.loads(Path(file).with_name("result.json").read_text())["degradation"]["steps"]
    assert (step["kind"], step["length"], step["angle"]) == ("motion", 5, 70)
    drawing.close()

    def begun(*_: Any) -> Any:
        raise InputError("begun")

    monkeypatch.setattr(Restorer, "stream", begun)
    for angle, again in ((70, False), (20, True)):  # the first is a double click
        (updates,) = moved(angle)
        assert (updates != UNCHANGED) == again


def test_what_restores_is_told_the_angle_and_what_the_image_is(page: Any) -> None:
    config = page.get_config_file()
    names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
    found = {
        key: ([names[i] for i in one["inputs"]], [names[i] for i in one["outputs"]])
        for part, event, one in events(page)
        if (key := (part, event)) in {("restore-kind", "change"), ("restore-photo", "change")}
    }
    (begun,) = (one for part, event, one in events(page) if (part, event) == ("restore", "click"))
    (draw,) = (one for _, _, one in events(page) if one["trigger_after"] == begun["id"])
    assert names[draw["inputs"][-1]] == "angle"
    assert found["restore-photo", "change"][0][-1] == "restore-kind"
    assert found["restore-kind", "change"] == (["damage", "restore-kind"], ["strength", "estimate"])


def test_the_strength_is_asked_for_only_where_it_is_used(restoring: RestoringHandlers) -> None:
    """A JPEG that is one has its own tables; which pixels are missing is refused."""
    parts, (intact, damaged) = restoring.parts, KINDS
    for damage in LABELS:
        before, after = (restoring.parts.chosen(damage, kind)[parts.strength] for kind in KINDS)
        own = damage in ("JPEG", "Missing pixels")
        assert after["visible"] == (before["visible"] and not own)
        for kind, updates in ((intact, before), (damaged, after)):
            told = restoring.parts.judged(damage, kind)
            assert told.get(parts.strength) == (
                gr.update(visible=updates["visible"]) if own else None
            )


def test_the_noise_of_what_is_damaged_already_can_be_estimated(
    restoring: RestoringHandlers, tmp_path: Path
) -> None:
    """It is offered, and only where there may be some; the slider says what it can."""
    parts = restoring.parts
    for damage in LABELS:
        for kind, damaged in KINDS.items():
            for updates in (
                restoring.parts.judged(damage, kind),
                restoring.parts.chosen(damage, kind),
            ):
                assert updates[parts.estimate]["visible"] == (damage != "JPEG" and damaged)
    noisy = np.random.default_rng(0).normal(128, 0.05 * 255, (48, 56, 3)).clip(0, 255)
    Image.fromarray(noisy.astype(np.uint8)).save(tmp_path / "noisy.png")
    path = str(tmp_path / "noisy.png")
    given = restoring.arrive(path, "A photograph", None)[parts.given]
    told = restoring.estimated(path, given, "Noisy", Painting())
    assert told[parts.noise] == pytest.approx(0.05, abs=0.006)
    assert "seems to have σ = 0.0" in told[parts.said]
    assert "texture counts" in told[parts.said]
    Image.open(path).save(tmp_path / "noisy.jpg", quality=40)
    smoothed = str(tmp_path / "noisy.jpg")
    given_as_jpeg = restoring.arrive(smoothed, "A photograph", None)[parts.given]
    told = restoring.estimated(smoothed, given_as_jpeg, "Noisy", Painting())
    assert "its JPEG has smoothed it" in told[parts.said]
    unpainted = restoring.estimated(path, given, "A hole: paint over it", Painting())
    assert "paint over what is missing" in unpainted[parts.said].lower()
    assert parts.noise not in unpainted
    assert "comes first" in restoring.estimated(None, None, "Noisy", Painting())[parts.said]


def test_what_a_face_was_taken_for_is_not_said_of_the_photograph_behind_it(tmp_path: Path) -> None:
    """The page says of a face of the model's size that it is damaged already."""
    parts = numbered()
    models = {"A face": tiny_restorer(), "A photograph": tiny_photo_restorer()}
    on = RestoringHandlers(models, parts)
    intact, damaged = KINDS
    face, photo = str(tmp_path / "face.png"), str(tmp_path / "photo.png")
    to_pil(torch.full((3, 16, 16), 90, dtype=torch.uint8)).save(face)
    to_pil(torch.full((3, 16, 24), 90, dtype=torch.uint8)).save(photo)

    def arrive(path: str | None, subject: str, before: Any, kind: str) -> tuple[Any, str]:
        updates = on.arrive(path, subject, before, kind)
        return updates[parts.given], updates.get(parts.kind, kind)

    for said in KINDS:  # by the visitor, before
        given, now = arrive(face, "A face", None, said)
        assert now == damaged
        assert arrive(photo, "A photograph", given, now)[1] == said
        assert arrive(None, "A face", given, now)[1] == said
        assert arrive(str(tmp_path), "A photograph", given, now)[1] == said  # no image
        assert arrive(photo, "A photograph", given, intact)[1] == intact  # the visitor said so
        to_pil(torch.full((3, 16, 16), 80, dtype=torch.uint8)).save(tmp_path / "other.png")
        other, now = arrive(str(tmp_path / "other.png"), "A face", given, now)
        assert arrive(photo, "A photograph", other, now)[1] == said
    given, now = arrive(photo, "A photograph", None, damaged)
    assert arrive(str(tmp_path / "other.png"), "A photograph", given, now)[1] == damaged


def test_what_restores_waits_for_its_turn_and_says_what_nobody_foresaw(
    two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, turn = numbered(), threading.Lock()
    model = tiny_photo_restorer()
    on = RestoringHandlers({"A photograph": model}, parts, turn)
    given = on.arrive(two[0], "A photograph", None)[parts.given]
    held, stream = list[bool](), Restorer.stream

    def watched(*what: Any) -> Any:
        held.append(turn.locked())
        if len(held) > 1:
            raise RuntimeError("no memory")
        yield from stream(*what)

    monkeypatch.setattr(Restorer, "stream", watched)
    (drawn,) = on.draw(two[0], "A photograph", *HOLE, given, STROKES)
    assert "4 of 4 answers explain" in drawn[parts.shown[0]]
    (failed,) = on.draw(two[0], "A photograph", *with_noise(0.1), given, STROKES)
    assert failed[parts.said] == every.FAILED
    assert held == [True, True]
    assert not turn.locked()
    assert not given.answered.asked  # what failed may be asked for again


def test_all_tabs_draw_in_one_turn(photos: Photos, tmp_path: Path) -> None:
    with gr.Blocks() as blocks:
        tabs = gr.Tabs()
        shown = tabs_of(blocks, tabs, Explorer([]), photos, [tiny_photo_restorer()], tmp_path)
        (restore,) = (tab for tab in shown if tab.name == "restore")
        restore.lay_out()
    (draw,) = (one.fn for one in blocks.fns.values() if one.fn and one.fn.__name__ == "draw")
    assert draw.__self__.turn is photos.turn


def test_the_page_is_announced_once_its_models_are_found() -> None:
    announced = list[str]()
    with pytest.raises(WeightsError, match="unknown model 'nothere'"):
        serve(port=0, models=["nothere"], on_listening=lambda: announced.append("open it"))
    assert not announced
