"""What a file or an image tells of what happened to it."""

from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms, ImageDraw
from skimage.restoration import estimate_sigma
from torch import Tensor

from cvdvae.batch.happened import happened
from cvdvae.batch.restore import SMOOTHED, degrade, read_seen
from cvdvae.damage.described import Description, description_from_dict, parse
from cvdvae.damage.estimates import estimate_noise, noise_behind
from cvdvae.damage.jpeg_file import (
    CUT,
    JPEGFile,
    quality_of,
    read_jpeg,
    to_the_end_of_its_blocks,
)
from cvdvae.damage.jpeg_pixels import _whole, of_decoded
from cvdvae.damage.mask_kinds import Masked
from cvdvae.damage.step import Size
from cvdvae.degradations.block_dct import (
    MIDDLE,
    ROUNDING,
    BlockDCT,
    before_enlargement,
    steps_at,
    transformed,
    transformed_back,
)
from cvdvae.degradations.damped import estimate
from cvdvae.domains import PHOTOS
from cvdvae.errors import CVDVAEError, InputError
from cvdvae.imaging.io import LUMA, to_pil, to_tensor
from cvdvae.restoration.restoring import degraded, seen, seen_in_jpeg
from cvdvae.restoration.tolerance import misfit

jpeglib = pytest.importorskip("jpeglib")


def picture(height: int = 96, width: int = 112) -> Image.Image:
    """Edges, texture, colour; nothing near black or white."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:height, :width] / 24.0
    waves = [
        np.sin(2 * row + 3 * column * k) + np.sign(np.sin(row * k - column)) for k in (1, 2, 3)
    ]
    values = 128 + 25 * np.stack(waves, -1) + rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def right(file: JPEGFile, path: Path) -> Tensor:
    """Which of the coefficients of the image's own blocks are those of the file."""
    truth = jpeglib.read_dct(str(path))
    H = file.operator
    grey = H.A(torch.full((1, 3, *H.size), MIDDLE / 255, dtype=torch.float64))
    found = torch.round(file.y.double() - grey).split([h * w for h, w in H.planes], 1)
    equal = []
    planes = (truth.Y, truth.Cb, truth.Cr)[: len(H.planes)]
    for mine, theirs, (h, w) in zip(found, planes, H.planes, strict=True):
        blocks = torch.from_numpy(np.asarray(theirs).astype(np.int64))
        mine = mine.view(h // 8, w // 8, 8, 8)[: blocks.shape[0], : blocks.shape[1]]
        equal.append((mine == blocks[: h // 8, : w // 8]).flatten())
    return torch.cat(equal)


@pytest.mark.parametrize(
    ("quality", "subsampling"), [(30, 0), (75, 0), (30, 1), (75, 1), (30, 2), (75, 2), (90, 2)]
)
def test_the_coefficients_of_a_file_come_back(
    tmp_path: Path, quality: int, subsampling: int
) -> None:
    path = tmp_path / "picture.jpg"
    picture().save(path, quality=quality, subsampling=subsampling)
    file = read_jpeg(path)
    assert file.quality == quality
    assert file.operator.subsampling == ((1, 1), (1, 2), (2, 2))[subsampling]
    words = (1, "4:2:2", 2)[subsampling]
    assert str(file.description) == f"jpeg:quality={quality},subsampling={words}"
    assert parse(str(file.description)) == file.description
    assert bool(right(file, path).all())


@pytest.mark.parametrize("own", [False, True])
def test_a_grey_file_tells_of_luma_alone(tmp_path: Path, own: bool) -> None:
    path = tmp_path / "grey.jpg"
    tables = [[int(v) + 1 for v in steps_at(50)[0].flatten()]]
    options: dict[str, object] = {"qtables": tables} if own else {"quality": 60}
    picture().convert("L").save(path, **options)  # type: ignore[arg-type]
    file = read_jpeg(path)
    assert file.operator.planes == [(96, 112)]
    assert bool(right(file, path).all())
    again = description_from_dict(file.description.to_dict())
    assert again == file.description
    x = to_tensor(picture())[None]
    y = again.operator((96, 112)).A(x)
    assert torch.equal(y, file.operator.A(x))
    assert float((y - file.y).abs().max()) < 0.75  # half a step, and luma's rounding before it
    assert any("grey" in note for note in file.notes)


@pytest.mark.parametrize("size", [(24, 40), (40, 24), (75, 100)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_of_luma_no_more_blocks_are_measured_than_a_file_holds(
    tmp_path: Path, size: tuple[int, int], subsampling: int
) -> None:
    """Where chroma is averaged its blocks reach further, over what nobody has seen."""
    path = tmp_path / "picture.jpg"
    picture(*size).save(path, quality=50, subsampling=subsampling)
    file, truth = read_jpeg(path), jpeglib.read_dct(str(path))
    held = [plane.shape[:2] for plane in (truth.Y, truth.Cb, truth.Cr)]
    assert [(h // 8, w // 8) for h, w in file.operator.planes] == held
    assert file.y.shape == (1, sum(64 * h * w for h, w in held))
    assert bool(right(file, path).all())
    off = file.operator.A(to_tensor(picture(*size))[None]) - file.y
    assert float(off.abs().max()) < 0.6


@pytest.mark.parametrize("size", [(24, 40), (40, 24), (18, 34), (25, 39), (32, 48)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_file_holds_what_h_says_rounded(
    tmp_path: Path, size: tuple[int, int], subsampling: int
) -> None:
    """To the last rows and columns, which are continued to whole blocks as libjpeg does."""
    path, kind = tmp_path / "picture.jpg", ((1, 1), (1, 2), (2, 2))[subsampling]
    x = to_tensor(picture(*size))[None].double()
    picture(*size).save(path, quality=50, subsampling=subsampling)
    H, truth = BlockDCT.of_quality(size, 50, kind), jpeglib.read_dct(str(path))
    held = [truth.Y, truth.Cb, truth.Cr]
    wanted = torch.cat([torch.from_numpy(plane.astype(np.float64)).flatten() for plane in held])
    assert float((H.A(x)[0] - H.middle[0] - wanted).abs().max()) < 0.6


@pytest.mark.parametrize("before", ["", "downscale:scale=2 + "])
@pytest.mark.parametrize(("quality", "subsampling"), [(75, 2), (90, 2), (75, 1), (75, 0)])
def test_a_decoded_picture_of_known_quality_tells_as_much_as_its_file(
    tmp_path: Path, quality: int, subsampling: int, before: str
) -> None:
    """Its chroma was enlarged, by ¾ and ¼; what it was decoded from were whole numbers."""
    path, png = tmp_path / "picture.jpg", tmp_path / "picture.png"
    picture().save(path, quality=quality, subsampling=subsampling)
    Image.open(path).convert("RGB").save(png)
    file = read_jpeg(path)
    y = to_tensor(Image.open(png))
    told = seen(y, f"{before}{file.description}")
    assert torch.equal(told.y, file.y)
    if subsampling == 2:
        what = happened(before.removesuffix(" + ") or None, None, str(quality), None)
        assert torch.equal(read_seen(png, what).seen.y, file.y)
    with pytest.raises(InputError, match="to 3 colours, or to 1, not to 2"):
        seen(y[:2], str(file.description))


def test_a_decoded_picture_in_grey_stays_grey(tmp_path: Path) -> None:
    path, png = tmp_path / "picture.jpg", tmp_path / "picture.png"
    picture().convert("L").save(path, quality=75)
    Image.open(path).save(png)
    file = read_jpeg(path)
    for words in ("jpeg:quality=75", "jpeg:quality=75,subsampling=4:0:0"):
        for y in (to_tensor(Image.open(png)), to_tensor(Image.open(png))[:1]):
            told = seen(y, words)
            assert told.is_grey
            assert torch.equal(told.y[:, : file.y.shape[1]], file.y)
    assert read_seen(png, happened(None, None, "75", None)).seen.is_grey


@pytest.mark.parametrize(
    ("name", "words", "jpeg"),
    [("a.png", "grey", None), ("a.png", "grey", "80"), ("a.jpg", "grey", "80"),
     ("a.png", "blur:sigma=1 + grey", "80"), ("a.jpg", "grey", "auto")],
)  # fmt: skip
def test_of_colours_that_grey_takes_the_luma_is_said_to_be_taken(
    name: str, words: str, jpeg: str | None, tmp_path: Path
) -> None:
    for image, times in ((picture(), 1), (picture().convert("L").convert("RGB"), 0)):
        image.save(tmp_path / name, quality=80)
        notes = read_seen(tmp_path / name, happened(words, None, jpeg, None)).notes
        assert notes.count(LUMA) == times


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(1, 1), (3, 9), (37, 50), (61, 61), (75, 101)])
def test_what_lies_beyond_the_image_is_read_with_its_blocks(
    tmp_path: Path, size: tuple[int, int], subsampling: int, progressive: bool
) -> None:
    """A decoder throws it away; guessed at, the true image would seem to be none of the file's."""
    path, image = tmp_path / "picture.jpg", picture(*size)
    image.save(path, quality=85, subsampling=subsampling, progressive=progressive)
    file = read_jpeg(path)
    held = right(file, path).double().mean()
    assert held == 1 or (progressive and subsampling and held > 0.99)
    H, x = file.operator, to_tensor(image)[None].double()
    assert float((H.A(x) - file.y).square().mean().sqrt()) < ROUNDING


@pytest.mark.parametrize("size", [(61, 61), (75, 101)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_cut_blocks_of_a_decoded_picture_are_filled_in_likely(
    tmp_path: Path, size: tuple[int, int], subsampling: int
) -> None:
    path = tmp_path / "picture.jpg"
    picture(*size).save(path, quality=75, subsampling=subsampling)
    file, decoded = read_jpeg(path), to_tensor(Image.open(path))
    told = of_decoded(decoded[None], file.operator)
    assert float((told == file.y).double().mean()) > 0.99
    off = file.operator.A(to_tensor(picture(*size))[None]) - told
    assert float(off.square().mean().sqrt()) < ROUNDING


def test_a_file_is_continued_to_the_end_of_its_blocks_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    for colours, options, unit in [
        ("RGB", {"subsampling": 2}, (16, 16)),
        ("RGB", {"subsampling": 1}, (8, 16)),
        ("RGB", {"subsampling": 0}, (8, 8)),
        ("RGB", {"subsampling": 2, "progressive": True}, (8, 8)),
        ("L", {}, (8, 8)),
    ]:
        picture(37, 50).convert(colours).save(path, **options)  # type: ignore[arg-type]
        longer = Image.open(BytesIO(to_the_end_of_its_blocks(path.read_bytes())))
        assert longer.size == (-(-50 // unit[1]) * unit[1], -(-37 // unit[0]) * unit[0])
        inner = np.asarray(longer)[:32, :40].astype(int)  # colours at the cut were enlarged anew
        assert np.abs(inner - np.asarray(Image.open(path))[:32, :40]).max() <= 1
        again = to_the_end_of_its_blocks(path.read_bytes())
        assert to_the_end_of_its_blocks(again) == again


@pytest.mark.parametrize("quality", [75, 85, 90])
def test_where_a_file_was_cropped_what_lies_beyond_counts_for_nothing(
    tmp_path: Path, quality: int
) -> None:
    """It is another part of the picture, as behind ``jpegtran -crop``, and no continuation."""
    path, image = tmp_path / "picture.jpg", picture(64, 96)
    image.save(path, quality=quality, subsampling=2)
    whole, size = path.read_bytes(), (61, 90)
    at = whole.index(b"\xff\xc0") + 5
    cropped = whole[:at] + b"".join(side.to_bytes(2) for side in size) + whole[at + 4 :]
    path.write_bytes(cropped)
    file = read_jpeg(path)
    assert CUT in file.notes
    x = to_tensor(image)[None, :, : size[0], : size[1]].double()
    off = file.operator.A(x) - file.y
    assert float(off.square().mean().sqrt()) < 1.7 * ROUNDING
    assert float(off.abs().max()) < 8
    path.write_bytes(whole)
    assert CUT not in read_jpeg(path).notes


def test_cut_blocks_of_black_on_white_are_not_taken_at_their_word(tmp_path: Path) -> None:
    """Where ringing was cut off at white nobody knows by how much."""
    path, image = tmp_path / "text.jpg", Image.new("RGB", (62, 61), "white")
    for row in range(0, 60, 6):
        ImageDraw.Draw(image).text((row % 5, row), "plausible", fill="black")
    for quality in (20, 50, 75):
        image.save(path, quality=quality, subsampling=2)
        file = read_jpeg(path)
        told = of_decoded(to_tensor(Image.open(path))[None], file.operator)
        for y, most in ((file.y, 1.0), (told, 1.2)):
            off = file.operator.A(to_tensor(image)[None]) - y
            assert float(off.square().mean().sqrt()) < most * ROUNDING


def test_what_has_no_header_of_a_jpeg_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    picture(37, 50).save(path)
    whole = path.read_bytes()
    for end in range(700):
        cut = whole[:end]
        assert len(to_the_end_of_its_blocks(cut)) == end
    for other in (b"", b"\xff", bytes(100), b"\xff" * 100, whole[:2] + bytes(100)):
        assert to_the_end_of_its_blocks(other) == other


def test_all_but_a_few_come_back_where_steps_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    picture().save(path, quality=98, subsampling=2)
    assert float(right(read_jpeg(path), path).double().mean()) > 0.9


def test_what_black_and_white_cut_off_is_filled_in_from_the_coefficients() -> None:
    x = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = 400 * F.interpolate(x, (64, 64), mode="bicubic")[0] - 70
    steps = steps_at(50)[0].double()
    wanted = torch.round(transformed(x - MIDDLE, steps))
    decoded = transformed_back(wanted, 1 / steps, (64, 64)) + MIDDLE
    decoded = decoded.clamp(0, 255).round()
    plain = torch.round(transformed(decoded - MIDDLE, steps))
    found = _whole(decoded[0], steps, (64, 64))
    assert int((found != wanted).sum()) < 0.92 * int((plain != wanted).sum())


def test_what_explains_the_coefficients_is_the_decoded_picture(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    picture().save(path, quality=40, subsampling=0)
    file = read_jpeg(path)
    found = estimate(file.operator, file.y, 1e-4)[0].clamp(0, 1)
    decoded = to_tensor(Image.open(path).convert("RGB"))
    assert float((found - decoded).abs().mean()) < 0.6 / 255


def test_own_tables_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "own.jpg"
    tables = [[int(v) for v in (steps_at(50)[i] + i + 1).flatten()] for i in range(2)]
    picture().save(path, qtables=tables, subsampling=0)
    file = read_jpeg(path)
    assert torch.equal(file.operator.tables[0], steps_at(50)[0] + 1)
    assert torch.equal(file.operator.tables[1], steps_at(50)[1] + 2)
    assert abs(file.quality - 50) < 3
    again = description_from_dict(file.description.to_dict())
    assert again == file.description
    x = torch.rand(1, 3, *file.operator.size)
    assert torch.equal(again.operator(file.operator.size).A(x), file.operator.A(x))
    assert bool(right(file, path).all())


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 16, 17, 102])
@pytest.mark.parametrize("dim", [1, 2])
def test_chroma_is_taken_back_as_by_the_pseudo_inverse(
    side: int, dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ¾ and ¼, by the solution of a band: a dense one takes seconds where a side has 1500."""
    half = (side + 1) // 2
    enlargement = torch.zeros(side, half, dtype=torch.float64)
    for i in range(side):
        enlargement[i, i // 2] += 0.75
        enlargement[i, min(max(i // 2 + (1 if i % 2 else -1), 0), half - 1)] += 0.25
    planes = torch.rand(2, *((side, 5) if dim == 1 else (5, side)), dtype=torch.float64)
    back = torch.linalg.pinv(enlargement)
    expected = back @ planes if dim == 1 else planes @ back.T
    monkeypatch.setattr(torch.linalg, "pinv", pytest.fail)
    found = before_enlargement(planes, dim)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_what_a_file_says_is_asked_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture.jpg"
    picture().save(path, quality=60, subsampling=1)
    told = read_jpeg(path).description
    asked = list[object]()

    def refuses(description: Description, size: Size) -> NoReturn:
        asked.extend([description, size])
        raise InputError("too much")

    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"^too much$"):
        read_jpeg(path, check=refuses)
    assert asked == [told, (96, 112)]
    for words, message in (("blur:sigma=1", "too much"), ("bayer", "needs 3 colours")):
        what = happened(words, None, "auto", None)
        with pytest.raises(CVDVAEError, match=message):
            read_seen(path, what, check=refuses)
    assert [str(one) for one in asked[2:]] == [
        f"blur:boundary=reflect,sigma=1 + {told}",
        "(96, 112)",
    ]


def test_what_is_no_jpeg_of_ours_is_refused_in_a_sentence(tmp_path: Path) -> None:
    picture().save(tmp_path / "half.jpg", subsampling=1)
    picture().save(tmp_path / "colours.jpg", keep_rgb=True)
    picture().convert("CMYK").save(tmp_path / "ink.jpg")
    picture().save(tmp_path / "other.png")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "half.jpg").read_bytes()[:300])
    for name, words in [
        ("colours.jpg", "no luma and chroma"),
        ("ink.jpg", "in CMYK"),
        ("other.png", "no JPEG"),
        ("cut.jpg", "no JPEG"),
        ("none.jpg", "does not exist"),
    ]:
        with pytest.raises(InputError, match=words):
            read_jpeg(tmp_path / name)


def test_colours_that_are_named_by_their_components_alone_are_no_luma(tmp_path: Path) -> None:
    """As libjpeg takes a file that says nothing else."""
    picture().save(tmp_path / "marked.jpg", keep_rgb=True)
    held = (tmp_path / "marked.jpg").read_bytes()
    at = held.index(b"\xff\xee")
    length = int.from_bytes(held[at + 2 : at + 4])
    (tmp_path / "bare.jpg").write_bytes(held[:at] + held[at + 2 + length :])
    with pytest.raises(InputError, match=r"no luma and chroma \(it is RGB\)"):
        read_jpeg(tmp_path / "bare.jpg")
    assert quality_of(tmp_path / "bare.jpg") is None


@pytest.mark.parametrize("quality", [90, 96, 98])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_the_true_image_explains_a_file_of_any_quality(
    tmp_path: Path, quality: int, subsampling: int
) -> None:
    """Where steps are small, whole levels of luma, chroma and colours weigh as much as they do."""
    path, truth = tmp_path / "picture.jpg", PHOTOS.example()
    truth.save(path, quality=quality, subsampling=subsampling)
    told, _ = seen_in_jpeg(path, ())
    error = told.degradation.A(to_tensor(truth)[None]) - told.y
    assert 0.5 < float(misfit(error, told.count, told.sigma)) < 1
    named = seen(to_tensor(Image.open(path))[None], f"jpeg:quality={quality}")
    assert named.sigma > ROUNDING
    if subsampling:
        assert named.sigma == pytest.approx(told.sigma)


def test_what_is_hidden_belongs_to_the_image_that_a_model_is_bound_to() -> None:
    """A third of 256 pixels is 85, of which 255 would have come."""
    what = parse("random:keep=0.9 + downscale:scale=3")
    y = torch.rand(3, 85, 85)
    told = seen(y / 10, what, "auto", check=lambda *_: (256, 256))
    hidden = what.hidden((85, 85), (256, 256))
    assert told.sigma == estimate_noise(y / 10, hidden)
    assert not torch.equal(hidden, what.hidden((85, 85)))


def test_a_grey_file_of_adobe_s_has_luma(tmp_path: Path) -> None:
    """Its marker says that colours were not transformed: there is only one."""
    marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    for mode in ("L", "RGB"):
        picture().convert(mode).save(tmp_path / f"{mode}.jpg", quality=60)
        held = (tmp_path / f"{mode}.jpg").read_bytes()
        (tmp_path / f"adobe {mode}.jpg").write_bytes(held[:2] + marker + held[2:])
    assert Image.open(tmp_path / "adobe L.jpg").info["adobe_transform"] == 0
    assert torch.equal(read_jpeg(tmp_path / "adobe L.jpg").y, read_jpeg(tmp_path / "L.jpg").y)
    with pytest.raises(InputError, match="no luma and chroma"):
        read_jpeg(tmp_path / "adobe RGB.jpg")


def test_too_large_a_jpeg_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture().save(tmp_path / "large.jpg")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"is over 0\.001 megapixels"):
        read_jpeg(tmp_path / "large.jpg", 1000)


def test_a_turned_photo_is_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().save(tmp_path / "turned.jpg", exif=exif)
    (note,) = read_jpeg(tmp_path / "turned.jpg").notes
    assert "its file says to turn it" in note


def test_a_file_that_is_not_what_it_is_said_to_be_says_so(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    picture().save(tmp_path / "as_said.jpg", quality=40)
    picture().save(tmp_path / "turned.jpg", quality=40, exif=exif)
    exif[0x0112] = 0
    picture().save(tmp_path / "upright.jpg", quality=40, exif=exif)
    picture().save(tmp_path / "another.jpg", quality=60)
    picture().save(tmp_path / "fine.jpg", quality=40, subsampling="4:4:4")
    picture().save(tmp_path / "own.jpg", qtables=[[7] * 64, [9] * 64])
    picture().convert("CMYK").save(tmp_path / "refused.jpg", quality=60)
    picture().save(tmp_path / "decoded.png")
    what = happened("blur:sigma=1", None, "40", None)
    said = {path.stem: read_seen(path, what).notes for path in tmp_path.iterdir()}
    assert said.pop("as_said") == said.pop("decoded") == said.pop("upright") == []
    *_, turned = said.pop("turned")
    assert turned.startswith("its blocks lie as it is stored")
    (fine,) = said.pop("fine")
    assert fine.startswith("its colours are as coarse as it says itself")
    (own,) = said.pop("own")
    assert own.startswith("it is a JPEG with tables of its own, near to quality")
    assert not any("JPEG" in note for note in said.pop("refused"))
    assert said.pop("another") == [
        "it is a JPEG of quality 60, by its own tables: --jpeg auto goes by those"
    ]
    assert read_seen(tmp_path / "another.jpg", happened("blur", None, None, None)).notes == []


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1])
def test_noise_is_estimated(sigma: float) -> None:
    row, column = torch.meshgrid(*(torch.linspace(0, 6, 128),) * 2, indexing="ij")
    smooth = (0.5 + 0.3 * torch.sin(row) * torch.cos(column)).expand(3, -1, -1)
    noise = torch.randn(3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert estimate_noise(smooth + sigma * noise) == pytest.approx(sigma, rel=0.05)
    with pytest.raises(InputError, match="too few"):
        estimate_noise(torch.rand(3, 4, 4))


def noisy(sigma: float, side: int = 128) -> Tensor:
    """A smooth picture in colour, with noise."""
    row, column = torch.meshgrid(*(torch.linspace(0, 6, side),) * 2, indexing="ij")
    wave = 0.2 * torch.sin(row) * torch.cos(column)
    noise = torch.randn(3, side, side, generator=torch.Generator().manual_seed(0))
    return torch.stack([0.3 + wave, 0.5 + wave, 0.6 - wave]) + sigma * noise


@pytest.mark.parametrize("height", [8, 47])
def test_the_estimate_is_that_of_scikit_image(height: int) -> None:
    """Where nothing is hidden and no colour is flat."""
    x = np.random.default_rng(height).random((3, height, 61))
    theirs = estimate_sigma(x, average_sigmas=True, channel_axis=0)
    assert estimate_noise(torch.from_numpy(x)) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("words", ["noise", "blur:sigma=1", "hole:side=8"])
def test_noise_is_estimated_in_python_where_it_is_asked_for(words: str) -> None:
    """As the command does; where a degradation is no words, and of a JPEG, it is as without."""
    draw = torch.Generator().manual_seed(0)
    y = 0.5 + 0.05 * torch.randn(3, 32, 40, generator=draw)
    what = parse(words)
    known = torch.ones(32, 40, dtype=torch.bool)
    for step in what.steps:
        known = step.known((32, 40)) if isinstance(step, Masked) else known
    wanted = estimate_noise(y, ~known)
    assert seen(y, what, "auto").sigma == pytest.approx(wanted)
    assert wanted == pytest.approx(0.05, rel=0.15)
    jpeg = "jpeg:quality=50"
    assert seen(y.clamp(0, 1), jpeg, "auto").sigma == seen(y.clamp(0, 1), jpeg).sigma
    with pytest.raises(InputError, match="behind a degradation in words: name σ"):
        seen(y, what.operator((32, 40)), "auto")


@pytest.mark.parametrize(
    "words", ["random:keep=0.98", "random:keep=0.9", "random:keep=0.8", "hole:side=90"]
)
def test_white_dust_is_no_noise(words: str, tmp_path: Path) -> None:
    step = parse(words).steps[0]
    assert isinstance(step, Masked)
    known = step.known((128, 128))
    to_pil(torch.where(known, noisy(0.02), 1.0)).save(tmp_path / "dust.png")
    to_pil((~known)[None].float()).save(tmp_path / "mask.png")
    for what in (happened(words, None, None, "auto"),
                 happened(None, tmp_path / "mask.png", None, "auto")):  # fmt: skip
        told, notes, _ = read_seen(tmp_path / "dust.png", what)
        assert told.sigma == pytest.approx(0.02, rel=0.1)
        assert f"{told.sigma:.4f}" in notes[0]


@pytest.mark.parametrize("simulated", [False, True])
def test_what_a_picture_carries_comes_with_it_at_one_reading(
    simulated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path, opened = tmp_path / "seen.png", list[object]()
    to_pil(noisy(0.02)).save(path, icc_profile=profile)
    really = Image.open

    def counted(*arguments: Any, **options: Any) -> Any:
        opened.append(arguments)
        return really(*arguments, **options)

    monkeypatch.setattr(Image, "open", counted)
    what = happened(None, None, None, "0.02")
    read = degrade(path, what, None, "none", 0) if simulated else read_seen(path, what)
    assert read.extras.icc_profile == profile
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("random:keep=0.5", "too few pixels are left"),
        ("bayer:pattern=RGGB", "neighbouring pixels of a mosaic"),
    ],
)
def test_noise_that_cannot_be_estimated_is_asked_for(
    words: str, message: str, tmp_path: Path
) -> None:
    told = degraded(noisy(0.02), parse(words))
    to_pil(told.y[0].clamp(0, 1)).save(tmp_path / "seen.png")
    with pytest.raises(InputError, match=message):
        read_seen(tmp_path / "seen.png", happened(words, None, None, "auto"))
    assert read_seen(tmp_path / "seen.png", happened(words, None, None, "0.02"))[0].sigma == 0.02


@pytest.mark.parametrize(
    "words",
    [
        "hole:side=40 + downscale:scale=2",
        "hole:side=80 + downscale:scale=2",
        "hole:top=16,left=16,height=32,width=32 + downscale:scale=4,by=box",
        "downscale:scale=2,by=nearest + hole:side=30",
        "hole:side=40 + grey",
        "random:keep=0.95 + blur:sigma=1",
        "hole:side=60 + blur:sigma=3",
    ],
)
def test_a_hole_is_where_it_is_once_the_image_is_smaller(words: str) -> None:
    told = parse(words)
    x = 0.5 + 0.2 * torch.rand(1, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    y, other = (told.operator((192, 192)).A(one) for one in (x, 1 - x))
    same = (y == other).all(1)[0]  # nothing of the image is left
    hidden = told.hidden((y.shape[2], y.shape[3]))
    assert bool((hidden | ~same).all())
    assert float(hidden.float().mean()) < 0.75
    noise = 0.03 * torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
    flat = told.operator((192, 192)).A(torch.full_like(x, 0.5))[0]
    assert noise_behind((flat + noise[0]).clamp(0, 1), told) == pytest.approx(0.03, rel=0.1)


def test_more_than_any_image_has_is_no_estimate() -> None:
    board = (torch.arange(32)[:, None] + torch.arange(32)) % 2
    with pytest.raises(InputError, match="more than any image has: name how noisy"):
        noise_behind(board.float().expand(3, -1, -1), parse("noise"))


def flat_but_for_a_quarter() -> Tensor:
    """White, as a scan is, with something noisy in a quarter of it."""
    x = torch.ones(3, 128, 128)
    x[:, :64, :64] = noisy(0.02)[:, :64, :64]
    return x


def without_red() -> Tensor:
    x = noisy(0.02)
    x[0] = 0
    return x


@pytest.mark.parametrize("x", [flat_but_for_a_quarter(), without_red()])
def test_what_is_flat_says_nothing_of_noise(x: Tensor) -> None:
    assert estimate_noise(x) == pytest.approx(0.02, rel=0.15)


@pytest.mark.parametrize("level", [0.0, 0.5, 200 / 255, 1.0])
def test_a_picture_that_is_flat_all_over_has_the_noise_of_its_rounding(
    level: float, tmp_path: Path
) -> None:
    flat = torch.full((3, 32, 32), level)
    assert estimate_noise(flat) == 0
    to_pil(flat).save(tmp_path / "flat.png")
    what = happened("blur:sigma=1", None, None, "auto")
    assert read_seen(tmp_path / "flat.png", what)[0].sigma == pytest.approx(ROUNDING / 255)


def test_what_a_jpeg_smoothed_is_said_where_its_noise_is_estimated(tmp_path: Path) -> None:
    """Its blocks round the noise away: what is left is an estimate of less than there was."""
    what, sigma = happened(None, None, None, "auto"), 0.05
    picture = to_pil(noisy(sigma))
    picture.save(tmp_path / "grainy.png")
    picture.save(tmp_path / "grainy.jpg", quality=75)
    kept, smoothed = (read_seen(tmp_path / name, what) for name in ("grainy.png", "grainy.jpg"))
    assert kept.seen.sigma == pytest.approx(sigma, rel=0.15)
    assert smoothed.seen.sigma < sigma / 2
    assert [SMOOTHED in one.notes for one in (kept, smoothed)] == [False, True]


def test_noise_is_estimated_from_a_hundred_and_fifty_wavelets_or_more() -> None:
    """The finest ones of 22×24 pixels are 12×13; a hidden pixel takes four, its second neighbour
    two more."""
    x, hidden = noisy(0.02)[:, :22, :24], torch.zeros(22, 24, dtype=torch.bool)
    assert estimate_noise(x, hidden) == estimate_noise(x)
    hidden[10, [10, 12]] = True
    beside = estimate_noise(x, hidden)
    assert beside == pytest.approx(0.02, rel=0.3)
    x[:, hidden] = 9
    assert estimate_noise(x, hidden) == beside
    hidden[10, 14] = True
    with pytest.raises(InputError, match="too few pixels are left beside what is hidden"):
        estimate_noise(x, hidden)
    assert estimate_noise(noisy(0.02)[:, :8, :30]) > 0
    with pytest.raises(InputError, match="30×7 pixels are too few"):
        estimate_noise(noisy(0.02)[:, :7, :30])
