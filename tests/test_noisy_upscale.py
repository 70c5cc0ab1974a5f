"""Small images with noise, or from JPEG files: the restorer on the same prior enlarges them."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from command import run
from PIL import Image, ImageCms, ImageFilter
from tiny import ENCODER, RESTORING, copied, tiny_resolver, tiny_restorer

from cvdvae.checkpoints.folder import save_model
from cvdvae.checkpoints.records import PriorRecord, RestorerRecord, SuperResolutionRecord
from cvdvae.checkpoints.weights import digest
from cvdvae.degradations.block_dct import ROUNDING
from cvdvae.domains import DOMAINS
from cvdvae.errors import InputError
from cvdvae.imaging.io import to_pil
from cvdvae.restoration.beside import restorer_beside


def save_zoo(folder: Path) -> None:
    """A prior with an LR encoder and a restorer on it."""
    small, any_ = tiny_resolver(), tiny_restorer()
    assert any_.encoder is not None
    save_model(folder / "tiny", PriorRecord("prior", small.prior.config), small.prior.state_dict())
    of = digest(folder / "tiny")
    record = SuperResolutionRecord("lr-encoder", "tiny", of, ENCODER)
    save_model(folder / "tiny-x4", record, small.encoder.state_dict())
    restoring = RestorerRecord("restorer", "tiny", of, RESTORING)
    save_model(folder / "tiny-restore", restoring, any_.encoder.state_dict())


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """These, bundled."""
    folder = copied(tmp_path / "zoo", save_zoo)
    monkeypatch.setattr("cvdvae.checkpoints.folder.zoo", lambda: folder)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    pixels = torch.randint(90, 160, (3, 4, 4), generator=torch.Generator().manual_seed(0)).byte()
    to_pil(pixels).save(tmp_path / "small.png")
    to_pil(pixels).save(tmp_path / "small.jpg", quality=70)
    return tmp_path / "small.png"


def test_consistency_is_softened_to_the_noise_and_said_so(
    zoo: Path,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def told_of(path: Path, *options: str) -> dict[str, object]:
        out = tmp_path / "-".join(options).replace("/", "")
        given = [str(path), "--model", "tiny-x4", "-n", "2", "--out", str(out), *options]
        assert run("upscale", *given, monkeypatch=monkeypatch) == 0
        told: dict[str, object] = json.loads(next(out.glob("*/result.json")).read_text())
        return told

    told = told_of(small, "--noise", "0.1")
    assert told["model"] == "tiny-restore"
    assert told["noise"] == 0.1
    assert told["size"] == [16, 16]
    assert len(told["explains"]) == 2  # type: ignore[arg-type]
    said = " ".join(capsys.readouterr().out.split())
    assert "explained within its noise, by tiny-restore" in said
    told = told_of(small, "--noise", "0")
    assert told["explains"] == [True, True]
    assert "within its noise" not in capsys.readouterr().out
    told = told_of(small.with_suffix(".jpg"), "--jpeg", "auto", "--shrunk-by", "box")
    assert told["noise"] == pytest.approx(ROUNDING, rel=0.01)
    steps = told["degradation"]["steps"]  # type: ignore[index]
    assert [step["kind"] for step in steps] == ["downscale", "jpeg"]
    assert steps[0]["by"] == "box"
    assert steps[1]["quality"] == 70
    assert "quality 70" in capsys.readouterr().out
    (again,) = tmp_path.glob("*jpeg*/small/result.json")
    replayed = ["replay", str(again), "--out", str(tmp_path / "again")]
    assert run(*replayed, monkeypatch=monkeypatch) == 0
    first, second = (folder / "sample_00.png" for folder in (again.parent, tmp_path / "again"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("options", [["--jpeg", "auto"], ["--jpeg", "70"], ["--noise", "0.02"]])
def test_a_grey_picture_gets_grey_samples(
    options: list[str],
    zoo: Path,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.open(small).convert("L").save(tmp_path / "grey.jpg", quality=70)
    given = [str(tmp_path / "grey.jpg"), "--model", "tiny-x4", "-n", "2", *options]
    assert run("upscale", *given, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    assert "so are its samples" in " ".join(capsys.readouterr().out.split())
    drawn = np.asarray(Image.open(tmp_path / "out" / "grey" / "sample_00.png").convert("RGB"))
    assert bool((drawn == drawn[..., :1]).all())


@pytest.mark.parametrize("options", [["--jpeg", "auto"], ["--jpeg", "70"], ["--noise", "0.02"]])
def test_profile_and_exif_are_handed_on(
    options: list[str],
    zoo: Path,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """But for a profile that goes with no RGB picture, which is said."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a maker", 1
    with Image.open(small) as image:
        image.save(tmp_path / "rgb.jpg", quality=70, icc_profile=profile, exif=exif)
        other = profile[:16] + b"GRAY" + profile[20:]
        image.convert("L").save(tmp_path / "grey.jpg", quality=70, icc_profile=other)
    given = [str(tmp_path / name) for name in ("rgb.jpg", "grey.jpg")]
    given += ["--model", "tiny-x4", "-n", "1", "--out", str(tmp_path / "out"), *options]
    assert run("upscale", *given, monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("its colour profile is not one of RGB") == 1
    for name in ("sample_00", "mean", "seen"):
        with Image.open(tmp_path / "out" / "rgb" / f"{name}.png") as image:
            assert image.info["icc_profile"] == profile
            assert image.getexif().get(0x010F) == "a maker"
            assert 0x0112 not in image.getexif()
        with Image.open(tmp_path / "out" / "grey" / f"{name}.png") as image:
            assert "icc_profile" not in image.info


def hard(contrast: int, darkest: int) -> Image.Image:
    """Squares that no image shrinks to."""
    squares = np.indices((4, 4)).sum(0) // 2 % 2 * contrast + darkest
    return Image.fromarray(squares.astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize("has_restorer", [True, False])
def test_what_explains_an_impossible_input_is_advised_only_where_it_is_taken(
    has_restorer: bool,
    zoo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hard(205, 25).save(tmp_path / "hard.png")
    if not has_restorer:
        shutil.rmtree(zoo / "tiny-restore")
    given = ["upscale", str(tmp_path / "hard.png"), "--model", "tiny-x4", "-n", "1"]
    given += ["--out", str(tmp_path / "out")]
    assert run(*given, monkeypatch=monkeypatch) == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert "no image shrinks to it" in said
    advised = re.search(r"(--noise) (\S+) explains it", said)
    assert (advised is not None) == has_restorer
    if advised is not None:
        assert run(*given, *advised.groups(), monkeypatch=monkeypatch) == 0
        said = " ".join("".join(capsys.readouterr()).split())
        assert "1 of 1 samples explain the image" in said
        assert "explained within its noise" in said


@pytest.mark.parametrize(
    ("name", "image", "advised"),
    [
        ("contrast.png", hard(255, 0), None),
        ("wide.png", hard(205, 25).crop((0, 0, 5, 4)), None),
        ("grey.jpg", hard(205, 25).convert("L"), "--jpeg auto"),
        ("print.jpg", hard(205, 25).convert("CMYK"), "--noise"),
    ],
)
def test_nothing_is_advised_that_would_be_refused_or_explain_nothing(
    name: str,
    image: Image.Image,
    advised: str | None,
    zoo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image.save(tmp_path / name, quality=100)
    given = ["upscale", str(tmp_path / name), "--model", "tiny-x4", "-n", "1"]
    assert run(*given, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert "no image shrinks to it" in said
    found = re.search(r"(--noise|--jpeg auto).* explains it", said)
    assert (found[1] if found else None) == advised


def test_what_explains_nothing_is_not_said_to_be_explained(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hard(255, 0).save(tmp_path / "hard.png")
    given = [str(tmp_path / "hard.png"), "--model", "tiny-x4", "-n", "1", "--noise", "0.001"]
    assert run("upscale", *given, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "does not fit" in said
    assert "explained within its noise" not in said


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (["--noise", "0.01"], "--shrunk-by, or how noisy the image is, with --noise$"),
        (["--noise", "0.001"], "--shrunk-by; and the noise given, 0.001, is smaller than what"),
        (["--jpeg", "98"], "--shrunk-by, or another quality$"),
        (["--jpeg", "auto"], "--shrunk-by$"),
    ],
)
def test_where_nothing_fits_what_upscale_takes_is_advised(
    options: list[str],
    advice: str,
    zoo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And nothing that the file itself says, nor what `restore` takes."""
    hard(255, 0).save(tmp_path / "hard.jpg", quality=100, subsampling=0)
    given = [str(tmp_path / "hard.jpg"), "--model", "tiny-x4", "-n", "1", "--json", *options]
    assert run("upscale", *given, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    (note,) = (one for one in notes if "does not fit" in one)
    assert re.search(rf"does not fit the image; say what made it small, with {advice}", note)


@pytest.mark.parametrize(("noise", "rounding_alone"), [("0.0003", True), ("0.01", False)])
def test_noise_below_that_of_rounding_is_not_blamed_on_what_happened(
    noise: str,
    rounding_alone: bool,
    zoo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One that would do explains an image where rounding is all that is missed."""
    tone = (np.indices((16, 16)).sum(0) * 2 + 90).astype(np.uint8)
    image = Image.fromarray(tone).convert("RGB").filter(ImageFilter.GaussianBlur(1))
    image.save(tmp_path / "a.png")
    given = ["restore", str(tmp_path / "a.png"), "--model", "tiny-restore", "-n", "1"]
    given += ["--degradation", "blur:sigma=1", "--out", str(tmp_path / "out"), "--noise"]
    assert run(*given, noise, monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "does not fit" not in said
    advised = re.search(
        r"than what the rounding .* makes, 0.00113: give --noise (\S+) or more", said
    )
    assert (advised is not None) == rounding_alone
    if advised is not None:
        assert run(*given, advised[1], monkeypatch=monkeypatch) == 0
        assert "1 of 1 samples explain" in " ".join(capsys.readouterr().out.split())


def test_another_size_is_refused_in_pixels_of_the_input(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    to_pil(torch.zeros(3, 4, 5)).save(tmp_path / "wide.png")
    given = [str(tmp_path / "wide.png"), "--model", "tiny-x4", "--noise", "0.1"]
    assert run("upscale", *given, "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "tiny-restore takes inputs of 4×4 pixels here, not 5×4" in said


def test_arrays_are_kept_but_where_they_were_a_jpeg(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.arange(16, dtype=np.uint16).reshape(4, 4) * 1000 + 20000
    tifffile.imwrite(tmp_path / "deep.tif", values)
    np.save(tmp_path / "a.npy", values)
    given = ["upscale", "--model", "tiny-x4", "-n", "1", "--out", str(tmp_path / "out")]
    noisy = [*given, "--noise", "0.1", "--values", "0,40000"]
    assert run(*noisy, str(tmp_path / "a.npy"), monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the noise of 0.1 is 4e+03 in the file's unit" in said
    drawn = np.load(tmp_path / "out" / "a" / "sample_00.npy")
    assert (drawn.dtype, drawn.shape) == (np.dtype(np.uint16), (16, 16))
    given += ["--jpeg", "75"]
    assert run(*given, str(tmp_path / "deep.tif"), monkeypatch=monkeypatch) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "its values, axes and place are not handed on" in said
    assert "cvdvae upscale and restore hand them on" in said
    assert run(*given, str(tmp_path / "a.npy"), monkeypatch=monkeypatch) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "holds arrays and no picture: cvdvae upscale and restore take it, but with" in said


def test_intact_photos_are_shrunk_and_made_noisy_first(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_pil(torch.randint(0, 256, (3, 40, 50)).byte()).save(tmp_path / "photo.png")
    options = ["--simulate", "--crop", "centre", "--jpeg", "40", "-n", "1"]
    given = [str(tmp_path / "photo.png"), "--model", "tiny-x4", "--out", str(tmp_path / "out")]
    assert run("upscale", *given, *options, monkeypatch=monkeypatch) == 0
    told = json.loads((tmp_path / "out" / "photo" / "result.json").read_text())
    assert told["truth"] is not None
    assert told["degradation"]["steps"][1]["quality"] == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "tiny-restore", "--noise", "0.1"], "restores: cvdvae restore draws with it"),
        (["--model", "tiny-x4", "--scale", "8", "--noise", "0.1"], "enlarges by 4, not by 8"),
        (["--model", "tiny-x4", "--noise", "0.1", "--jpeg", "30"], "leave --noise out"),
        (["--model", "tiny-x4", "--noise", "0.1", "--jpeg", "auto"], "leave --noise out"),
        (["--model", "tiny-x4", "--noise", "loud"], "--noise is a number"),
        (["--model", "tiny-x4", "--noise", "0.1", "--animation", "webp"], "do not"),
        (["--model", "tiny-x4", "--noise", "0.1", "--look", "-t", "1"], "of its own"),
        (["--model", "tiny-x4", "--jpeg", "auto"], "no JPEG"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    zoo: Path,
    small: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(small), "--out", str(tmp_path / "out"), *arguments]
    assert run("upscale", *given, monkeypatch=monkeypatch) == 1
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_the_restorer_of_the_domain_is_found_where_its_prior_is_another(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tiny_resolver(seed=5)
    save_model(zoo / "lighter", PriorRecord("prior", other.prior.config), other.prior.state_dict())
    record = SuperResolutionRecord("lr-encoder", "lighter", digest(zoo / "lighter"), ENCODER)
    for name in ("cats-x4", "dogs-x4"):  # dogs stand on the prior of cats, and are bundled alone
        save_model(zoo / name, record, other.encoder.state_dict())
    with pytest.raises(InputError, match="restores what 'cats-x4' enlarges, and there is none"):
        restorer_beside("cats-x4")
    cats = replace(
        DOMAINS["photos"], name="cats", models="cats-x{scale}", scales=(4,), restorer="tiny-restore"
    )
    monkeypatch.setitem(DOMAINS, "cats", cats)
    assert restorer_beside("cats-x4") == restorer_beside("dogs-x4") == ("tiny-restore", 4)
    assert restorer_beside("tiny-x4") == ("tiny-restore", 4)


def test_the_restorer_on_the_same_prior_is_found() -> None:
    assert restorer_beside("celeba64-x8") == ("celeba64-restore", 8)
    assert restorer_beside("celeba64-x8", 8) == ("celeba64-restore", 8)
    assert restorer_beside("photos-x3") == ("photos-restore", 3)
    assert restorer_beside("photos-x3", 3) == ("photos-restore", 3)
    assert restorer_beside("photos-sr", 4) == ("photos-restore", 4)
    for name, scale, words in [
        ("celeba64-x8", 4, "enlarges by 8, not by 4"),
        ("photos-x2", 4, "'photos-x2' enlarges by 2, not by 4$"),
        ("photos-sr", None, "enlarges by 2, 3, 4, not by None: say which, with --scale"),
        ("photos-sr", 5, "not by 5: say which, with --scale"),
        ("nuclei-x4", None, "there is none"),
    ]:
        with pytest.raises(InputError, match=words):
            restorer_beside(name, scale)
