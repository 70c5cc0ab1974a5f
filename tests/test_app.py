"""The explorer without a browser: its handlers' logic, and its programming interface."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import run
from gradio.processing_utils import save_file_to_cache
from PIL import Image
from tiny import tiny_photo_restorer

import cvdvae
from cvdvae.app.explorer import Explorer, seed_after
from cvdvae.app.framing import Framing
from cvdvae.app.inputs import UNCHANGED
from cvdvae.app.pictures import rectangle, stored, to_paint
from cvdvae.app.restoring.damage import KINDS
from cvdvae.app.restoring.handlers import Parts, RestoringHandlers
from cvdvae.app.server import parse_auth
from cvdvae.app.text import command_of, python_of
from cvdvae.domains.faces import demo_photo
from cvdvae.errors import InputError
from cvdvae.imaging.io import to_pil
from cvdvae.restoration.edits import Blend, Resample, ResampleRegion, pack_region
from cvdvae.restoration.recipe import recipe_from_dict, recipe_from_text


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


def test_a_picture_is_stored_once_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser may be reading it when the gallery that it is in grows."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    picture = demo_photo().resize((64, 64))
    path = Path(stored(picture))
    before = path.stat()
    assert stored(picture) == str(path)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
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


def test_images_of_every_kind_are_taken(explorer: Explorer, tmp_path: Path) -> None:
    model = explorer.model(8, "hvae")
    photo = demo_photo()
    clear = photo.convert("RGBA")
    clear.putalpha(200)
    kinds = {
        "grey.png": photo.convert("L"),
        "clear.png": clear,
        "huge.jpg": photo.resize((4000, 4000)),
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


def test_steps_can_be_walked_back_and_reopened(explorer: Explorer, photo: Path) -> None:
    model = explorer.model(8, "hvae")
    seen = explorer.look(photo, "photo", model, Framing())
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
    explorer: Explorer, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = explorer.model(8, "hvae")
    seen = explorer.look(photo, "photo", model, Framing())
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


def test_an_input_without_8_bit_values_cannot_be_stored(explorer: Explorer) -> None:
    result = explorer.model(8, "hvae").upscale(torch.full((3, 8, 8), 0.3337), samples=1)
    assert result.report()["input"] is None


def test_credentials_are_a_pair() -> None:
    assert parse_auth(None) is None
    assert parse_auth("anna:a:b") == ("anna", "a:b")
    for text in ("anna", "anna:", ":x"):
        with pytest.raises(InputError, match="name:password"):
            parse_auth(text)


# The tab that restores.


@pytest.fixture(scope="module")
def restoring() -> RestoringHandlers:
    parts = Parts(*range(7), shown=tuple(range(7, 14)))  # type: ignore[arg-type]
    models = {"A photograph": tiny_photo_restorer(), "Another": tiny_photo_restorer()}
    return RestoringHandlers(models, parts)


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    """Two pictures as files."""
    for level in (80, 90):
        to_pil(torch.full((3, 16, 24), level, dtype=torch.uint8)).save(tmp_path / f"{level}.png")
    return str(tmp_path / "80.png"), str(tmp_path / "90.png")


STROKES = [{"size": 3, "points": [[12, 8]]}]
HOLE = (next(iter(KINDS)), "A hole: paint over it", 50, 0.0, 4, 1, 3, False)


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
    (late,) = restoring.draw(two[0], subject, *HOLE, given, STROKES)
    assert late == UNCHANGED  # it was begun before the other came


def test_what_is_still_being_read_is_not_taken_for_the_image_before(
    restoring: RestoringHandlers, two: tuple[str, str]
) -> None:
    parts, subject = restoring.parts, "A photograph"
    given = restoring.arrive(two[0], subject, None)[parts.given]
    (early,) = restoring.draw(two[1], subject, *HOLE, given, STROKES)
    assert early.keys() == {parts.said}
    assert "Your image is still being read" in early[parts.said]
    (other,) = restoring.draw(two[0], "Another", *HOLE, given, STROKES)
    assert "Paint over what is missing" in other[parts.said]  # of it nothing was painted over


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
