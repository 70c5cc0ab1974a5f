"""Which program made a photograph small, as far as its spectrum tells."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from tiny import tiny_photos

from cvdvae.app.photos.explorer import Photos
from cvdvae.app.photos.text import made_small
from cvdvae.checkpoints.folder import save_model
from cvdvae.checkpoints.records import PriorRecord, SuperResolutionRecord
from cvdvae.checkpoints.shrinking import (
    FREQUENCIES,
    SHRINKING,
    Shrinking,
    read_shrinking,
    save_shrinking,
)
from cvdvae.checkpoints.weights import digest
from cvdvae.cli import main
from cvdvae.domains.photos import coffee
from cvdvae.domains.simulate import simulate_at_scale
from cvdvae.errors import InputError, WeightsError
from cvdvae.imaging.io import is_jpeg, save_png, to_pil
from cvdvae.input_check.shrinking import (
    CAUTION,
    PROGRAMS,
    SURE,
    Likely,
    Spectra,
    _spectra,
    fit_shrinking,
    likely,
    spectra_of,
    spectrum,
    stored,
    tell,
)
from cvdvae.restoration.load import load


def noise(height: int = 70, width: int = 90, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def seen(y: torch.Tensor) -> torch.Tensor:
    found = spectrum(y)
    assert found is not None
    return found


def test_a_spectrum_is_the_same_of_an_image_that_is_turned_or_mirrored() -> None:
    y = noise(80, 80)
    phi = seen(y)
    for same in (y.flip(1), y.flip(2), y.transpose(1, 2), torch.rot90(y, 1, (1, 2))):
        torch.testing.assert_close(seen(same), phi)
    odd = noise(171, 203)  # squares that do not fit leave a rim on one side
    assert float((seen(odd.flip(1, 2)) - seen(odd)).abs().mean()) < 0.1
    torch.testing.assert_close(seen(y / 2 + 0.1), phi, atol=0.02, rtol=0)  # contrast, brightness


def test_white_noise_has_a_flat_spectrum_and_a_smooth_image_a_falling_one() -> None:
    assert float(seen(noise(300, 300)).std()) < 0.3
    smooth = torch.nn.functional.avg_pool2d(noise(300, 300), 5, 1)
    phi = seen(smooth)
    assert phi[0] > phi[-1] + 2  # from (0, 0) to (½, ½)


def test_of_a_large_image_the_middle_is_looked_at() -> None:
    y = noise(600, 700)
    around = y.clone()
    around[:, :40], around[:, :, -90:] = 0, 1
    assert torch.equal(seen(around), seen(y))


@pytest.mark.parametrize("size", [(47, 200), (200, 47), (1, 1)])
def test_of_a_tiny_image_nothing_is_said(size: tuple[int, int]) -> None:
    assert spectrum(noise(*size)) is None
    assert _spectra(to_pil(noise(*size)), 1) == []
    assert likely(load("photos-x4").shrinking, noise(*size)) == []


def test_of_a_flat_image_nothing_is_said_and_flat_parts_change_nothing() -> None:
    assert spectrum(torch.full((3, 64, 64), 0.3)) is None
    with pytest.raises(InputError, match="shows something"):
        spectra_of([Image.new("RGB", (500, 500), "white")], 4)
    framed = torch.ones(3, 300, 300)
    framed[:, 80:208, 80:208] = noise(128, 128)
    first, second = torch.triu_indices(17, 17)
    for y in (noise(128, 128), framed):  # shares of the energy at pairs of frequencies
        shares = torch.where(first == second, 1, 2) * seen(y).exp()
        assert float(shares.sum()) == pytest.approx(1, abs=1e-4)


def test_an_image_of_one_channel_has_the_spectrum_of_a_grey_one() -> None:
    grey = noise()[:1]
    torch.testing.assert_close(seen(grey), seen(grey.expand(3, -1, -1)))


def gaussian_spectra(photos: int, seed: int, frequencies: int = 6) -> Spectra:
    """Spectra that are as the model has them: about a mean for every program, alike spread."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(len(PROGRAMS), frequencies, generator=torch.Generator().manual_seed(0))
    shape = (2, photos, 3, len(PROGRAMS), frequencies)
    spread = torch.randn(shape, generator=generator, dtype=torch.float64)
    return Spectra(2, means + spread[0, :, 0], means + 1.5 * spread[1])


def test_the_weights_are_the_ratio_of_the_likelihoods() -> None:
    spectra = gaussian_spectra(4000, 1)
    means = spectra.plain.mean(0)
    shrinking = fit_shrinking(spectra)
    phi = gaussian_spectra(5, 2).plain.flatten(0, 1)
    expected = CAUTION * -0.5 * (phi[:, None] - means).square().sum(-1)
    got = shrinking.probabilities(phi).log()
    torch.testing.assert_close(got, expected.log_softmax(-1), atol=0.1, rtol=0.05)


def test_the_probabilities_can_be_believed() -> None:
    shrinking, fresh = fit_shrinking(gaussian_spectra(500, 1)), gaussian_spectra(500, 2)
    for compressed, part in ((False, fresh.plain), (True, fresh.compressed.flatten(0, 1))):
        probability, found = shrinking.probabilities(part, compressed).max(-1)
        right = (found == torch.arange(len(PROGRAMS))).double().mean()
        # Cautious: never surer than it is right, and not by far less sure.
        assert float(probability.mean()) <= float(right) <= float(probability.mean()) + 0.2
        told = tell(shrinking, fresh, compressed)
        assert told.right == pytest.approx(float(right))
        assert told.confusion.sum(1) == pytest.approx(np.ones(len(PROGRAMS)))
        assert told.right_when_sure > told.right
        assert 0 < told.sure < 1
        assert told.given_when_sure >= SURE
    with pytest.raises(InputError, match="other programs"):
        tell(replace(shrinking, programs=PROGRAMS[::-1]), fresh)


def test_few_photographs_are_refused() -> None:
    with pytest.raises(InputError, match="at least 20 photographs are needed to fit on, and 19"):
        fit_shrinking(gaussian_spectra(19, 0))
    with pytest.raises(InputError, match="no photograph has 192 pixels"):
        spectra_of([Image.new("RGB", (500, 191))], 4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_bundled_models_name_what_shrank_a_photograph(scale: int) -> None:
    model, first = load(f"photos-x{scale}"), 0
    for program in ("pillow-lanczos", "box", "nearest"):
        y, _ = simulate_at_scale(coffee(), scale, shrunk_by=program)
        found = likely(model.shrinking, y)
        assert program in (found[0].program, found[1].program)
        first += found[0].program == program
        assert sum(one.probability for one in found) == pytest.approx(1)
        assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    assert first >= 2


def test_what_is_kept_with_a_model_is_what_was_fitted(tmp_path: Path) -> None:
    shrinking = fit_shrinking(gaussian_spectra(30, 0, FREQUENCIES))
    assert read_shrinking(tmp_path, 2) is None
    path = save_shrinking(tmp_path, shrinking)
    assert read_shrinking(tmp_path, 3) is None
    again = read_shrinking(tmp_path, 2)
    assert again is not None
    assert again.scale == 2
    assert again.programs == shrinking.programs
    assert torch.equal(again.weights, shrinking.weights)
    assert torch.equal(again.biases, shrinking.biases)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(WeightsError, match="damaged or foreign"):
        read_shrinking(tmp_path, 2)


def zeros(*programs: str, frequencies: int = FREQUENCIES) -> Shrinking:
    count = len(programs)
    return Shrinking(2, programs, torch.zeros(2, count, frequencies), torch.zeros(2, count))


@pytest.mark.parametrize(
    "wrong",
    [
        zeros("bicubic", "gimp"),
        zeros("bicubic"),
        zeros("box", "box"),
        zeros("bicubic", "box", frequencies=6),
        replace(zeros("bicubic", "box"), biases=torch.zeros(2, 3)),
        replace(zeros("bicubic", "box"), biases=torch.full((2, 2), torch.nan)),
    ],
)
def test_what_is_no_such_thing_is_refused(wrong: Shrinking, tmp_path: Path) -> None:
    save_shrinking(tmp_path, wrong)
    with pytest.raises(WeightsError, match="holds no spectra"):
        read_shrinking(tmp_path, 2)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["cvdvae", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_a_user_calibrates_and_examines_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    resolver, folder = tiny_photos(2), tmp_path / "tiny-x2"
    save_model(
        folder / "prior", PriorRecord("prior", resolver.prior.config), resolver.prior.state_dict()
    )
    record = SuperResolutionRecord(
        "lr-encoder", "prior", digest(folder / "prior"), resolver.encoder.config
    )
    save_model(folder, record, resolver.encoder.state_dict())
    model = ["--model", str(folder), "--scale", "2"]
    large = tmp_path / "photos"
    large.mkdir()
    whole = coffee()
    for i in range(41):
        left, top = 11 * i, 7 * i
        whole.crop((left, top, left + 100, top + 100)).save(large / f"{i:02d}.png")
    y, _ = simulate_at_scale(whole, 4, shrunk_by="nearest")
    save_png(tmp_path / "small.png", to_pil(y))
    to_pil(y).save(tmp_path / "small.jpg", quality=90)
    save_png(tmp_path / "tiny.png", to_pil(y[:, :40]))
    small = [str(tmp_path / name) for name in ("small.png", "small.jpg", "tiny.png")]

    assert run(monkeypatch, "examine", *small, *model) == 1
    assert "does not know what to expect" in capsys.readouterr().err
    calibrate = ["calibrate-doubt", *model, "--data", str(large)]
    assert run(monkeypatch, *calibrate) == 0
    assert not (folder / SHRINKING).exists()
    assert run(monkeypatch, *calibrate, "--crop", "64") == 1
    assert "--crop goes with models of one size" in capsys.readouterr().err
    assert run(monkeypatch, *calibrate, "--images", "30") == 1
    assert "at least 40 photographs" in capsys.readouterr().err.replace("\n", " ")
    (large / "zz.png").write_bytes(b"no picture")
    assert run(monkeypatch, *calibrate, "--save") == 1
    said, wrong = capsys.readouterr()
    assert "zz.png" in wrong
    assert "20 others" in said
    assert str(folder) in said.replace("\n", "")
    assert load(str(folder), scale=2).shrinking is not None
    assert load(str(folder), scale=3).shrinking is None
    kept = (folder / SHRINKING).read_bytes()
    assert run(monkeypatch, *calibrate, "--save", "--scale", "3") == 1
    assert "is of another scale than ×3" in " ".join(capsys.readouterr().err.split())
    assert (folder / SHRINKING).read_bytes() == kept

    assert run(monkeypatch, "examine", *small, *model) == 0
    png, compressed, guess, tiny = capsys.readouterr().out.strip().splitlines()
    assert "probably OpenCV's INTER_NEAREST" in png
    assert "--shrunk-by nearest" in png
    assert "small.jpg: JPEG compressed it" in compressed
    assert "made it small" in guess
    assert "too small or too flat" in tiny

    assert run(monkeypatch, "examine", small[0], "--model", "nuclei-x4") == 1
    assert "photon noise" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["photos-x4", "celeba64-x8"])
def test_where_a_picture_is_only_examined_nothing_is_said_of_samples(
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey, path = profile[:16] + b"GRAY" + profile[20:], tmp_path / "grey.png"
    to_pil(noise(32, 32)).convert("L").save(path, icc_profile=grey)
    assert run(monkeypatch, "examine", str(path), "--model", model) == 0
    said = capsys.readouterr().out
    assert "a greyscale image: it is examined as such" in said
    assert "its colour profile is not one of RGB: the colours are examined" in said
    assert ("it was shrunk from 32×32 to 8×8" in said) == (model == "celeba64-x8")
    assert "samples" not in said


@pytest.mark.parametrize("scale", [[], ["--scale", "4"]])
def test_of_an_encoder_of_several_scales_those_that_can_be_examined_with_are_named(
    scale: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    to_pil(noise()).save(tmp_path / "a.png")
    given = ["examine", str(tmp_path / "a.png"), "--model", "photos-sr"]
    assert run(monkeypatch, *given, *scale) == 1
    assert "--model, of photos-x2, photos-x3, photos-x4" in " ".join(
        capsys.readouterr().err.split()
    )


def test_files_are_jpeg_by_what_they_hold(tmp_path: Path) -> None:
    to_pil(noise()).save(tmp_path / "a.png", "JPEG")
    to_pil(noise()).save(tmp_path / "b.jpg", "PNG")
    (tmp_path / "c.jpg").write_bytes(b"nothing")
    assert [is_jpeg(tmp_path / name) for name in ("a.png", "b.jpg", "c.jpg")] == [
        True,
        False,
        False,
    ]
    assert float((stored(noise(), 30) - noise()).abs().mean()) > 0.02


def test_the_page_names_another_program_only_where_it_is_sure(tmp_path: Path) -> None:
    photos = Photos([load("photos-x4")], threading.Lock())
    y, _ = simulate_at_scale(coffee(), 2, shrunk_by="nearest")
    save_png(tmp_path / "picked.png", to_pil(y))
    photo = photos.look(tmp_path / "picked.png", "enlarge", 4)
    (remark,) = made_small(photo.made_by, "bicubic")
    assert "probably OpenCV's INTER_NEAREST" in remark
    assert made_small(photo.made_by, "nearest") == ()
    assert photos.look(tmp_path / "picked.png", "shrink", 4).made_by == ()

    box = (Likely("box", 0.8), Likely("bicubic", 0.2))
    assert made_small(box, "bicubic") != ()
    assert made_small(box, "canvas") == ()
    assert made_small((Likely("box", 0.6), Likely("bicubic", 0.4)), "bicubic") == ()
    assert made_small((), "bicubic") == ()
