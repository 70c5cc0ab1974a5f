"""What `cvdvae restore` takes, and what it says of it."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import run, terminal
from PIL import ExifTags, Image
from tiny import NUCLEI, saved_prior, saved_restorer, tiny_prior, tiny_restorer

import cvdvae
import cvdvae.restoration.posterior.chains as chains
from cvdvae.batch.happened import happened
from cvdvae.checkpoints.folder import recommend
from cvdvae.checkpoints.records import Recommended
from cvdvae.errors import InputError
from cvdvae.restoration.restoring import seen
from cvdvae.restoration.settings import Restoring

SIDE = 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder."""
    return saved_restorer(tmp_path / "model")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A smooth picture."""
    coarse = np.random.default_rng(0).integers(80, 170, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((SIDE, SIDE)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def hole(path: Path) -> Path:
    """A mask that is white in the middle."""
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[4:9, 4:9] = 255
    Image.fromarray(pixels).save(path)
    return path


class Restore:
    """The command with the tiny model, and what it said."""

    def __init__(
        self, out: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
    ) -> None:
        self.out, self.folder = out, folder
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: str | Path) -> int:
        given = ["restore", *map(str, arguments), "--out", str(self.out)]
        given += ["--model", str(self.folder), "-n", "2"]
        code = run(*given, monkeypatch=self.monkeypatch)
        said = self.capsys.readouterr()
        self.lines = said.out.splitlines()
        self.printed, self.errors = (" ".join(text.split()) for text in said)
        return code


@pytest.fixture
def restore(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Restore:
    """The command."""
    return Restore(tmp_path / "out", folder, monkeypatch, capsys)


@pytest.mark.parametrize("name", ["m.png", "a + b.png", "a,b=1.png", " x: y.png"])
def test_a_mask_may_have_any_name(name: str, restore: Restore, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    mask = hole(tmp_path / "masks" / name)
    assert restore(photo, "--mask", mask) == 0
    told = json.loads((restore.out / "a" / "result.json").read_text())
    assert [step["kind"] for step in told["degradation"]["steps"]] == ["mask"]


def test_a_file_of_steps_goes_with_a_mask_and_a_quality(tmp_path: Path) -> None:
    (tmp_path / "steps.yaml").write_text("- {kind: blur, sigma: 1}\n")
    said = happened(str(tmp_path / "steps.yaml"), hole(tmp_path / "m.png"), "70", None)
    assert [type(step).__name__ for step in said.description.steps] == [
        "GaussianBlur", "MaskFromFile", "JPEG",
    ]  # fmt: skip
    assert said.notes == ()
    assert not happened(None, None, None, "0.1").description.to_dict()["steps"][0].get("file")


def test_scripts_get_an_object_for_every_input_that_failed_too(
    restore: Restore, photo: Path
) -> None:
    (photo.parent / "in").mkdir()
    photo.rename(photo.parent / "in" / "a.png")
    (photo.parent / "in" / "bad.png").write_text("no image")
    arguments = (photo.parent / "in", "--degradation", "hole:side=4")
    assert restore(*arguments, "--json") == 1
    good, bad = (json.loads(line) for line in restore.lines)
    assert good["input"] == str(photo.parent / "in" / "a.png")
    assert good["folder"] == str(restore.out / "a")
    assert good["explains"] == [True, True]
    assert set(bad) == {"input", "error"}
    assert "is not an image" in bad["error"]
    assert restore(*arguments) == 1
    assert "1 of 2 inputs failed, 1 done" in restore.errors
    assert "Look at every grid.png" in restore.printed


def test_what_chains_were_too_short_for_is_null_in_json(restore: Restore, photo: Path) -> None:
    assert restore(photo, "--degradation", "hole:side=4", "--moves", "2", "--json") == 0
    recipe = restore.out / "a" / "result.json"
    for text in (restore.lines[0], recipe.read_text()):
        assert "NaN" not in text
        assert json.loads(text)["chains"]["r_hat"] is None
    assert restore(photo, "--degradation", "hole:side=4", "--moves", "2") == 0
    assert re.search(r"; chains accepted \d+%( Details|$)", restore.printed)
    again = ("replay", str(recipe), "--trust-model", "--out", str(restore.out / "again"))
    assert run(*again, monkeypatch=restore.monkeypatch) == 0


def test_chains_that_all_stand_still_are_said_to(
    restore: Restore, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "_log_uniform", lambda like, noise: torch.full_like(like, math.inf))
    assert restore(photo, "--degradation", "hole:side=4", "--moves", "8") == 0
    assert "; chains accepted 0%, R̂ inf" in restore.printed
    told = json.loads((restore.out / "a" / "result.json").read_text())["chains"]
    assert (told["acceptance"], told["r_hat"], told["effective"]) == ([0, 0], None, None)
    assert "no move was accepted" in restore.printed


@pytest.mark.parametrize("moves", [0, 3])
def test_a_bar_shows_how_far_a_restoration_is_also_when_it_is_drawn_again(
    moves: int, restore: Restore, photo: Path
) -> None:
    told = list[float]()
    what, how = seen(torch.full((3, SIDE, SIDE), 0.4), "noise", 0.02), Restoring(6, moves=moves)
    tiny_restorer().run(what, how, on_steps=told.append)
    assert sum(told) == pytest.approx(how.steps) == 6 * (moves + 1)
    assert min(told) > 0
    if moves:
        told.clear()
        replace(tiny_restorer(), encoder=None).run(what, how, on_steps=told.append)
        assert sum(told) == how.steps
    recipe = str(restore.out / "a" / "result.json")
    again = ("replay", recipe, "--trust-model", "--out", str(restore.out / "again"))
    screen = terminal(restore.monkeypatch)
    assert restore(photo, "--degradation", "hole:side=4", "--moves", str(moves)) == 0
    assert re.search("a.png ━+ 100 %", screen.getvalue())
    screen = terminal(restore.monkeypatch)
    assert run(*again, monkeypatch=restore.monkeypatch) == 0
    assert re.search("a ━+ 100 %", screen.getvalue())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--noise", "0.1", "--crop", "face"], "--crop goes with --simulate"),
        (["--jpeg", "auto"], "is no JPEG file but a PNG: name the quality"),
        (["--jpeg", "loud"], "a quality from 1 to 100, or auto"),
    ],
)
def test_what_would_do_nothing_is_refused(
    arguments: list[str], message: str, restore: Restore, photo: Path
) -> None:
    assert restore(photo, *arguments) == 1
    assert message in restore.errors


def test_what_is_smaller_than_the_model_is_no_truth(restore: Restore, photo: Path) -> None:
    Image.open(photo).resize((SIDE - 1, SIDE - 1)).save(photo)
    asked = ("--simulate", "--crop", "none", "--degradation", "hole:side=4")
    assert restore(photo, *asked) == 1
    said = "has 15×15 pixels, and the truth needs 16×16: an enlarged image is none"
    assert said in restore.errors
    Image.open(photo).resize((SIDE, SIDE)).save(photo)
    assert restore(photo, *asked) == 0


@pytest.mark.parametrize(
    ("words", "notes"),
    [
        ("blur", ["blur:sigma=2 was assumed, since nothing was said of it"]),
        ("blur:sigma=2", []),
        ("motion:angle=30 + grey", ["motion:length=9 was assumed, since nothing was said of it"]),
        ("steps.yaml", ["box:side=5 was assumed, since nothing was said of it"]),
        ("jpeg:quality=30", []),
    ],
)
def test_what_was_assumed_is_said(
    words: str, notes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "steps.yaml").write_text("steps: [{kind: box}, {kind: half, side: top}]\n")
    assert list(happened(words, None, None, None).notes) == notes


def test_where_nothing_fits_it_is_said_how_far_it_is_off_and_what_to_do(
    restore: Restore, photo: Path
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photo)
    assert restore(photo, "--degradation", "box") == 0
    assert "note: box:side=5 was assumed" in restore.errors
    assert "0 of 2 samples explain the image" in restore.printed
    said = "standard deviations of its noise: what you said happened does not fit the image"
    assert said in restore.printed
    assert "with --noise" in restore.printed
    assert restore(photo, "--degradation", "box", "--json") == 0
    notes = json.loads(restore.lines[0])["notes"]
    assert [note.split()[0] for note in notes] == ["box:side=5", "samples"]
    assert restore(photo, "--degradation", "box", "--noise", "0.9") == 0
    assert "does not fit" not in restore.printed


@pytest.mark.parametrize(
    "options",
    [
        ["--noise", "0.1"],
        ["--jpeg", "auto"],
        ["--noise", "0.1", "--simulate", "--crop", "none"],
    ],
)
def test_what_is_too_large_is_refused_before_anything_is_made_of_it(
    options: list[str], restore: Restore, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(*_: object) -> None:
        raise AssertionError("H was tried out")

    Image.open(photo).save(photo.with_suffix(".jpg"))
    monkeypatch.setattr("cvdvae.restoration.restoring.check_linear", made)
    monkeypatch.setattr("cvdvae.restoration.batches.MOST_PIXELS", SIDE * SIDE)
    assert restore(photo.with_suffix(".jpg"), *options) == 1
    assert "2 samples of 16×16 pixels do not fit into memory: ask for at most 1" in restore.errors


def test_a_picture_in_colours_is_no_mosaic_and_loses_them_knowingly(
    restore: Restore, photo: Path
) -> None:
    assert restore(photo, "--degradation", "bayer:pattern=RGGB") == 1
    assert "a.png is in colours: save the mosaic as one grey channel" in restore.errors
    assert restore(photo, "--degradation", "grey") == 0
    assert "its luma was taken" in restore.printed


def test_a_description_that_is_right_is_not_called_wrong(
    restore: Restore, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--grain` no sample need explain, and what was simulated did happen."""
    noise = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photo)
    assert restore(photo, "--degradation", "box:side=5", "--grain") == 0
    assert "standard deviations of its noise: --grain draws their pixels" in restore.printed
    assert "does not fit" not in restore.printed
    asked = ("--degradation", "blur:sigma=1", "--noise", "0.00001")
    monkeypatch.setattr("cvdvae.restoration.restoring.noise_in_8_bits", lambda sigma, *_: sigma)
    assert restore(photo, *asked, "--simulate", "--crop", "none") == 0
    assert "samples are off by" in restore.printed
    assert "does not fit" not in restore.printed


def test_another_quality_is_advised_only_where_one_was_named(restore: Restore, photo: Path) -> None:
    hard = (np.indices((SIDE, SIDE)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(hard).convert("RGB").save(photo.with_suffix(".jpg"), quality=100, subsampling=0)
    for quality, end in (("auto", "as in blur:sigma=1.5"), ("99", "or another quality")):
        given = ("--degradation", "blur:sigma=1.2", "--jpeg", quality, "--json")
        assert restore(photo.with_suffix(".jpg"), *given) == 0
        (note,) = (one for one in json.loads(restore.lines[0])["notes"] if "does not fit" in one)
        assert note.endswith(end)


def test_a_photograph_given_as_a_mask_is_asked_about(
    restore: Restore, photo: Path, tmp_path: Path
) -> None:
    shades = np.linspace(0, 255, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint8)
    Image.fromarray(shades).save(tmp_path / "shades.png")
    assert restore(photo, "--mask", tmp_path / "shades.png") == 0
    assert "many shades of grey" in restore.errors
    assert "50% of the pixels are missing" in restore.errors
    assert restore(photo, "--mask", hole(tmp_path / "hole.png")) == 0
    assert restore.errors == ""


def test_a_mask_that_hides_most_of_an_image_is_told_of(
    restore: Restore, photo: Path, tmp_path: Path
) -> None:
    inverse = Image.eval(Image.open(hole(tmp_path / "hole.png")).convert("L"), lambda v: 255 - v)
    inverse.save(tmp_path / "inverse.png")
    assert restore(photo, "--mask", tmp_path / "inverse.png") == 0
    assert "of the pixels: what is white is missing" in restore.errors


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--degradation", "random:keep=0.5"], "which pixels are missing was drawn"),
        (["--degradation", "blur:sigma=1"], "the blur is not quite this one"),
        (["--degradation", "blur:sigma=1", "--noise", "0.01"], ""),
        (["--degradation", "blur:sigma=1", "--simulate", "--crop", "none"], ""),
    ],
)
def test_what_samples_explain_may_still_be_wrong(
    options: list[str], said: str, restore: Restore, photo: Path
) -> None:
    smooth = np.linspace(90, 160, SIDE * SIDE * 3).reshape(SIDE, SIDE, 3).astype(np.uint8)
    Image.fromarray(smooth).save(photo)
    assert restore(photo, *options, "--json") == 0
    told = json.loads(restore.lines[0])
    assert any(told["explains"])
    assert any(said in note for note in told["notes"]) if said else told["notes"] == []


def test_a_jpeg_that_is_not_explained_is_said_to_be_one(restore: Restore, photo: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photo.with_suffix(".jpg"))
    assert restore(photo.with_suffix(".jpg"), "--degradation", "blur:sigma=1") == 0
    assert "its file is a JPEG, which --jpeg auto undoes, too" in restore.printed


@pytest.mark.parametrize(
    "options",
    [
        ["--mask", "hole.png", "--jpeg", "75"],
        ["--degradation", "mask:file=hole.png", "--jpeg", "auto"],
        ["--degradation", "hole:side=4 + blur:sigma=1"],
        ["--degradation", "half:side=top + grey + downscale:scale=2"],
    ],
)
def test_what_lay_in_a_hole_and_went_into_what_came_after_is_refused(
    options: list[str], restore: Restore, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    hole(Path("hole.png"))
    Image.open(photo).save("a.jpg", quality=75)
    assert restore("a.jpg", *options) == 1
    assert "lay in the hole" in restore.errors
    assert "--mask" in restore.errors
    if "auto" not in options:  # what is simulated was black there
        assert restore(photo, "--simulate", "--crop", "none", *options) == 0


@pytest.mark.parametrize(
    "words", ["hole:side=4 + grey", "blur:sigma=1 + hole:side=4 + random:keep=0.9", "box + noise"]
)
def test_what_lay_in_a_hole_and_went_nowhere_does_no_harm(
    words: str, restore: Restore, photo: Path
) -> None:
    assert restore(photo, "--degradation", words, "--noise", "0.02") == 0


@pytest.mark.parametrize(
    ("name", "options", "grey"),
    [
        ("a.png", ["--jpeg", "75"], True),
        ("a.jpg", ["--jpeg", "auto"], True),
        ("a.jpg", ["--jpeg", "75"], True),
        ("a.png", ["--noise", "0.02"], True),
        ("a.png", ["--degradation", "grey"], False),
        ("a.png", ["--degradation", "bayer:pattern=RGGB"], False),
        ("a.png", ["--degradation", "grey", "--simulate", "--crop", "none"], False),
    ],
)
def test_what_is_said_of_a_grey_picture_is_so(
    name: str, options: list[str], grey: bool, restore: Restore, photo: Path
) -> None:
    Image.open(photo).convert("L").save(photo.parent / name, quality=75)
    assert restore(photo.parent / name, *options, "--json") == 0
    (note,) = (note for note in json.loads(restore.lines[0])["notes"] if "grey" in note)
    assert ("so are its samples" in note) == grey
    drawn = np.asarray(Image.open(restore.out / "a" / "sample_00.png").convert("RGB"))
    assert bool((drawn == drawn[..., :1]).all()) == grey


@pytest.mark.parametrize(
    "options",
    [["--noise", "0.05"], ["--noise", "auto"], ["--noise", "0.05", "--simulate", "--crop", "none"]],
)
@pytest.mark.parametrize("coloured", [False, True])
def test_a_model_of_one_channel_restores_grey_and_takes_the_luma_of_colours(
    coloured: bool, options: list[str], restore: Restore, photo: Path
) -> None:
    restore.folder = saved_prior(photo.parent / "grey", tiny_prior(NUCLEI))
    given = Image.open(photo).resize((24, 24))
    (given if coloured else given.convert("L")).save(photo)
    assert restore(photo, *options, "--moves", "1", "--json") == 0
    notes = " ".join(json.loads(restore.lines[0])["notes"])
    assert ("its luma was taken" in notes) == coloured
    assert ("so are its samples" in notes) == (not coloured)
    assert Image.open(restore.out / "a" / "sample_00.png").mode == "L"


@pytest.mark.parametrize(
    ("options", "tamer"), [((), True), (("--look",), False), (("--moves", "2"), False)]
)
def test_that_samples_to_look_at_are_tamer_is_said_of_wild_ones(
    options: tuple[str, ...], tamer: bool, restore: Restore, photo: Path
) -> None:
    recommend(str(restore.folder), Recommended(0.3, 1.0, 0.7, calibrated=True))
    assert restore(photo, "--degradation", "hole:side=4", *options) == 0
    assert ("--look draws tamer samples" in restore.printed) is tamer


def test_pictures_that_are_drawn_again_lie_as_the_first_did(
    restore: Restore, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    turned = photo.with_suffix(".jpg")
    Image.open(photo).save(turned, exif=exif)
    assert restore(turned, "--jpeg", "auto") == 0
    result = restore.out / "a" / "result.json"
    assert json.loads(result.read_text())["orientation"] == 6
    again = ["replay", str(result), "--out", str(tmp_path / "again"), "--trust-model"]
    assert run(*again, monkeypatch=monkeypatch) == 0
    python = cvdvae.replay(result, trust=True)
    python.save(tmp_path / "python")
    for folder in (result.parent, tmp_path / "again", tmp_path / "python"):
        assert Image.open(folder / "sample_00.png").getexif()[ExifTags.Base.Orientation] == 6
    told = json.loads(result.read_text())
    result.write_text(json.dumps(told | {"orientation": 9}))
    with pytest.raises(InputError, match="from 1 to 8, not 9"):
        cvdvae.replay(result, trust=True)


def test_counts_as_floats_are_not_taken_for_16_bits(
    restore: Restore, photo: Path, tmp_path: Path
) -> None:
    counts = np.random.default_rng(0).uniform(94, 1342, (SIDE, SIDE)).astype(np.float32)
    for scale in (1, 254 / counts.max(), np.nan):
        Image.fromarray(counts * np.float32(scale)).save(tmp_path / "f.tif")
        assert restore(tmp_path / "f.tif", "--degradation", "grey", "--noise", "0.1") == 1
        assert "floating-point values have no known range" in restore.errors
    assert not restore.out.exists() or not (restore.out / "f").exists()


def test_a_mask_of_fractions_is_told_of_masks(tmp_path: Path) -> None:
    Image.fromarray(np.ones((SIDE, SIDE), np.float32)).save(tmp_path / "m.tif")
    with pytest.raises(InputError, match="save the mask in 8 or 16 bits"):
        happened(None, tmp_path / "m.tif", None, None)


def test_pages_of_arrays_are_no_animation(restore: Restore, tmp_path: Path) -> None:
    page = Image.fromarray(np.zeros((SIDE, SIDE), np.uint8))
    page.save(tmp_path / "p.tif", save_all=True, append_images=[page, page])
    assert restore(tmp_path / "p.tif", "--simulate", "--noise", "0.1") == 1
    assert "holds 3 pages of arrays: cvdvae upscale and restore take it" in restore.errors


def test_a_mask_for_a_photograph_that_is_turned_is_painted_upright(tmp_path: Path) -> None:
    Image.open(hole(tmp_path / "m.png")).crop((0, 0, 16, 12)).save(tmp_path / "m.png")
    (step,) = happened(None, tmp_path / "m.png", None, None).description.steps
    with pytest.raises(
        InputError, match=r"but the image has 12×16: turn it \(images are taken upright"
    ):
        step.operator((16, 12))
    with pytest.raises(InputError, match=r"but the image has 12×17$"):
        step.operator((17, 12))
