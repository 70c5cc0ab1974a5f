"""Degradations in words, in YAML, and as plain data."""

import base64
import json
import re
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cvdvae.damage.described import Description, description_from_dict, named_in, parse
from cvdvae.damage.kinds import KINDS
from cvdvae.damage.packed import pack, unpack
from cvdvae.degradations.composed import as_jpeg, jpeg_at_end
from cvdvae.degradations.mask import Mask, luminance
from cvdvae.errors import CVDVAEError, InputError
from cvdvae.restoration.restoring import degraded, seen
from cvdvae.restoration.tolerance import measured

Y_SIZE = (16, 20)
TEXTS = [
    "noise",
    "blur:sigma=0.8,boundary=valid",
    "blur:sigma=1.23456789",
    "box:side=3,boundary=zero",
    "motion:length=5,angle=-30",
    "kernel:file={folder}/k.npy,boundary=valid",
    "kernel:file={folder}/a, b + c.png",
    "mask:file={folder}/hole.png",
    "random:keep=0.3,seed=7",
    "hole:side=6",
    "hole:top=0,left=2,height=16,width=3",
    "half:side=top",
    "downscale:scale=3,by=box",
    "grey",
    "bayer:pattern=GBRG",
    "jpeg:quality=30,subsampling=1",
    "blur:sigma=0.6 + downscale:scale=2 + jpeg:quality=80",
    "random:keep=0.9 + grey",
    "grey + downscale:scale=2 + jpeg:quality=50",
    "grey + jpeg:quality=50,subsampling=4:0:0",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "k.npy", np.arange(15.0).reshape(3, 5))
    painted = np.zeros(Y_SIZE, np.uint8)
    painted[3:9, 4:11] = 255
    Image.fromarray(painted).save(tmp_path / "hole.png")
    Image.fromarray(painted[:9, :9]).save(tmp_path / "a, b + c.png")
    return tmp_path


@pytest.mark.parametrize("text", TEXTS)
def test_words_and_plain_data_say_the_same(text: str, folder: Path) -> None:
    if " + c" in text:
        what = description_from_yaml(folder, f"- {{kind: kernel, file: '{folder}/a, b + c.png'}}")
    else:
        what = parse(text.format(folder=folder))
        assert parse(str(what)) == what
    kept = json.loads(json.dumps(what.to_dict()))
    for file in folder.iterdir():
        file.unlink()
    again = description_from_dict(kept)
    assert again == what
    size = what.hr_size(Y_SIZE)
    x = torch.rand(1, 3, *size)
    y = what.operator(size).A(x)
    assert torch.equal(again.operator(size).A(x), y)
    if what.pictures:
        assert y.shape[2:] == Y_SIZE
    else:
        assert y.ndim == 2


def description_from_yaml(folder: Path, text: str) -> Description:
    path = folder / "steps.yaml"
    path.write_text(text)
    return parse(path)


def test_a_yaml_file_says_it_too_and_its_files_lie_beside_it(folder: Path) -> None:
    text = "- {kind: blur, sigma: 1}\n- {kind: mask, file: hole.png}\n"
    what = description_from_yaml(folder, text)
    said = parse(f"blur:sigma=1 + mask:file={folder}/hole.png")
    x = torch.rand(1, 3, *Y_SIZE)
    assert torch.equal(what.operator(Y_SIZE).A(x), said.operator(Y_SIZE).A(x))


@pytest.mark.parametrize("word", ["4:4:4", "4:2:0", "4:2:2", "4:0:0", "1", "2", "'4:2:0'"])
@pytest.mark.parametrize("form", ["- {one}\n", "steps: [{one}]\n"])
def test_a_subsampling_needs_no_quotes_in_a_yaml_file(word: str, form: str, folder: Path) -> None:
    """YAML 1.1 takes 4:2:0 for a number in base 60."""
    one = f"{{kind: jpeg, quality: 60, subsampling: {word}}}"
    what = description_from_yaml(folder, form.format(one=one))
    assert what == parse(f"jpeg:quality=60,subsampling={word.strip(chr(39))}")


@pytest.mark.parametrize(
    "step",
    [
        "{kind: jpeg, quality: '50', subsampling: '2'}",
        "{kind: hole, side: '3'}",
        "{kind: blur, sigma: '2'}",
    ],
)
def test_a_number_may_be_quoted_in_a_yaml_file(step: str, folder: Path) -> None:
    bare = description_from_yaml(folder, f"- {step.replace(chr(39), '')}")
    assert description_from_yaml(folder, f"- {step}") == bare


@pytest.mark.parametrize("value", ["14521", "[4, 2, 0]", "4:1:1"])
def test_another_subsampling_in_a_yaml_file_is_refused(value: str, folder: Path) -> None:
    with pytest.raises(CVDVAEError, match="subsampling"):
        description_from_yaml(folder, f"- {{kind: jpeg, quality: 60, subsampling: {value}}}")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("{kind: blur, sgma: 2}", "'blur' has no 'sgma'"),
        ("{sigma: 2}", "every step needs its kind, one of "),
        ("{kind: spell}", "there is no kind 'spell'"),
    ],
)
def test_a_wrong_step_of_a_yaml_file_is_named(step: str, message: str, folder: Path) -> None:
    (folder / "steps.yaml").write_text(f"steps: [{step}]\n")
    with pytest.raises(CVDVAEError, match=message):
        parse(str(folder / "steps.yaml"))


def test_a_jpeg_s_own_tables_stand_in_a_yaml_file(folder: Path) -> None:
    table = ", ".join(["3"] * 64)
    what = description_from_yaml(folder, f"- {{kind: jpeg, subsampling: 4:0:0, luma: [{table}]}}")
    assert what == description_from_dict(what.to_dict())
    with pytest.raises(CVDVAEError, match="luma of 'jpeg' is a list of whole numbers"):
        description_from_yaml(folder, "- {kind: jpeg, subsampling: 4:0:0, luma: [three]}")
    (jpeg,) = what.steps
    assert jpeg.operator((8, 8)).A(torch.full((1, 3, 8, 8), 3 / 255))[0, 0] == pytest.approx(8)


def test_white_is_missing_and_so_is_every_named_part(folder: Path) -> None:
    def known(text: str) -> torch.Tensor:
        operator = parse(text).operator(Y_SIZE)
        assert isinstance(operator, Mask)
        return operator.known

    painted = known(f"mask:file={folder}/hole.png")
    assert not painted[3:9, 4:11].any()
    assert int((~painted).sum()) == 6 * 7
    assert not known("half:side=left")[:, :10].any()
    assert known("half:side=left")[:, 10:].all()
    assert not known("half:side=bottom")[8:].any()
    assert not known("hole:side=4")[6:10, 8:12].any()
    assert int((~known("hole:side=4")).sum()) == 16
    assert int(known("random:keep=0.25,seed=1").sum()) == 80
    assert torch.equal(known("random:seed=1"), known("random:seed=1"))
    assert not torch.equal(known("random:seed=1"), known("random:seed=2"))
    assert known("noise").all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("blr:sigma=1", "no kind 'blr'"),
        ("", "no kind"),
        ("blur:sgma=2", "no 'sgma'"),
        ("blur:sigma=-1", "sigma"),
        ("blur:sigma=nan", "NaN"),
        ("blur:sigma=much", "sigma"),
        ("blur:sigma", "key=value"),
        ("blur:sigma=1,sigma=2", "is told its sigma twice"),
        ("blur:kind=box", "key=value"),
        ("blur:boundary=soft", "one of reflect"),
        ("box:side=2.5", "side"),
        ("box:side=100000", "side"),
        ("motion:length=0", "length"),
        ("jpeg:quality=30 + grey", "come last"),
        ("grey + blur:sigma=1 + bayer", "3 colours, but 1"),
        ("bayer + jpeg:quality=30", "3 colours, but 1"),
        ("jpeg", "quality"),
        ("jpeg:quality=101", "quality"),
        ("jpeg:luma=3,quality=5", "the luma of 'jpeg' is a list of whole numbers"),
        ("jpeg:chroma=1 2 3", "the chroma of 'jpeg' is a list of whole numbers"),
        ("random:keep=0", "share"),
        ("random:seed=-1", "seed"),
        ("mask", "needs a file"),
        ("mask:file=none.png", "does not exist"),
        ("kernel:file=none.npy", "cannot read"),
        ("hole", "top, left"),
        ("hole:side=3,top=1", "top, left"),
        ("hole:top=-1,left=0,height=1,width=1", "within"),
        ("half:side=up", "one of left"),
        ("downscale:scale=0", "scale"),
        ("downscale:scale=2,by=magic", "no kernel"),
        ("bayer:pattern=RGB", "no mosaic"),
        ("none.yaml", "cannot read"),
        (" + ".join(["grey"] * 17), "1 to 16"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(CVDVAEError, match=re.escape(words)) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("{kind: jpeg, quality: yes}", "the quality of 'jpeg' is a whole number, not True"),
        ("{kind: jpeg, quality: 9, subsampling: on}", "the subsampling of 'jpeg'"),
        ("{kind: blur, sigma: yes}", "the sigma of 'blur' is a number, not True"),
        ("{kind: blur, sigma: much}", "the sigma of 'blur' is a number, not much"),
        ("{kind: random, seed: no}", "the seed of 'random' is a whole number, not False"),
        ("{kind: hole, side: yes}", "the side of 'hole' is a whole number, not True"),
        ("{kind: downscale, by: no}", "the by of 'downscale' is text, not False"),
    ],
)
def test_yes_and_no_are_no_numbers(step: str, words: str, folder: Path) -> None:
    with pytest.raises(CVDVAEError, match=words):
        description_from_yaml(folder, f"- {step}")
    assert description_from_yaml(folder, "- {kind: blur, sigma: 2e-1}") == parse("blur:sigma=0.2")


@pytest.mark.parametrize(
    "text",
    [
        "blur:sigma=1+downscale:scale=2",
        "grey+jpeg:quality=50",
        "blur:sigma=1 +noise",
        "downscale:scale=2,by=box+ noise",
        "half:side=left+noise",
    ],
)
def test_who_forgets_the_blanks_between_steps_is_told(text: str) -> None:
    with pytest.raises(CVDVAEError, match=r"joined by ' \+ ', a blank on either side\)$"):
        parse(text)
    for whole in ("grey + bayer", "blur:sigma=-1 + noise"):
        with pytest.raises(CVDVAEError) as caught:
            parse(whole)
        assert "joined" not in str(caught.value)


def test_what_does_not_fit_an_image_is_refused(folder: Path) -> None:
    for text, words in [
        (f"mask:file={folder}/hole.png", "has 20×16 pixels"),
        ("blur:sigma=8", "larger than the image"),
        ("hole:side=30", "not within"),
        ("downscale:scale=64", "cannot shrink"),
    ]:
        with pytest.raises(CVDVAEError, match=re.escape(words)):
            parse(text).operator((24, 24))


def test_files_of_no_use_are_refused(folder: Path) -> None:
    Image.new("L", (8, 8)).save(folder / "black.png")
    Image.new("L", (8, 8), 255).save(folder / "white.png")
    np.save(folder / "cube.npy", np.ones((2, 2, 2)))
    np.save(folder / "complex.npy", np.full((2, 2), 1 + 1j))
    np.save(folder / "objects.npy", np.array([{}]), allow_pickle=True)
    (folder / "text.npy").write_text("no matrix")
    Image.fromarray(np.full((3, 3), 4095, np.uint16)).save(folder / "deep.png")
    Image.fromarray(np.full((3, 3), 1 / 9, np.float32)).save(folder / "float.tif")
    Image.fromarray(np.full((3, 3), -7000, np.int32)).save(folder / "signed.tif")
    for text, words in [
        ("mask:file={}/black.png", "hides nothing"),
        ("mask:file={}/white.png", "hides everything"),
        ("kernel:file={}/black.png", "nought"),
        ("kernel:file={}/deep.png", "more than 8 bits: save them as .npy"),
        ("kernel:file={}/float.tif", "more than 8 bits: save them as .npy"),
        ("kernel:file={}/signed.tif", "more than 8 bits: save them as .npy"),
        ("kernel:file={}/cube.npy", "no matrix"),
        ("kernel:file={}/objects.npy", "no matrix"),
        ("kernel:file={}/complex.npy", "complex.npy holds complex numbers: a kernel has real ones"),
        ("kernel:file={}/text.npy", "no matrix"),
    ]:
        with pytest.raises(CVDVAEError, match=words):
            parse(text.format(folder))


def test_a_jpeg_at_the_end_makes_whole_coefficients(folder: Path) -> None:
    operator = parse("downscale:scale=2 + jpeg:quality=50").operator((32, 32))
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    y = as_jpeg(operator, x)
    assert y is not None
    assert float((y - operator.A(x)).abs().max()) <= 0.5 + 1e-9
    grey = operator.A(torch.full_like(x, 128 / 255))
    torch.testing.assert_close(y - grey, (y - grey).round())
    assert as_jpeg(parse("grey").operator((32, 32)), x) is None


@pytest.mark.parametrize("of", ["quality=50", "quality=50,subsampling=4:0:0"])
def test_a_jpeg_of_what_was_made_grey_holds_the_grey_in_all_colours(of: str) -> None:
    x = torch.rand(1, 3, 32, 48, dtype=torch.float64)
    grey = luminance().A(x).expand(-1, 3, -1, -1)
    H, jpeg = parse(f"grey + jpeg:{of}").operator((32, 48)), parse(f"jpeg:{of}").operator((32, 48))
    torch.testing.assert_close(H.A(x), jpeg.A(grey))
    assert int(measured(H, H.A(x)).sum()) == 32 * 48
    y = torch.rand(1, 3, 32, 48)
    assert jpeg_at_end(H) is not None
    told, same = (seen(one, f"grey + jpeg:{of}") for one in (y, luminance().A(y)))
    assert float((told.y - same.y).abs().max()) < 1.001  # where round-off tips the balance
    assert not told.is_grey


def test_no_file_is_opened_for_plain_data_or_where_it_is_forbidden(folder: Path) -> None:
    named = {"steps": [{"kind": "mask", "file": str(folder / "hole.png")}]}
    with pytest.raises(CVDVAEError, match="cannot be read here"):
        description_from_dict(named)
    for text in (f"mask:file={folder}/hole.png", f"{folder}/steps.yaml"):
        with pytest.raises(CVDVAEError, match="read here"):
            parse(text, read_files=False)
    damaged: list[Any] = [
        None, [], {"steps": []}, {"steps": "blur"}, {"steps": [["blur"]]}, [{}], 3,
    ]  # fmt: skip
    for data in damaged:
        with pytest.raises(CVDVAEError):
            description_from_dict(data)


def test_what_is_packed_comes_back_and_damage_is_seen() -> None:
    kernel = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpack(pack(kernel), torch.float64), kernel)
    mask = kernel > 0
    assert torch.equal(unpack(pack(mask), torch.bool), mask)
    good = pack(mask)
    for bad in ("", "3x7:", "3x7:!!", good[:-8], good.replace("3x7", "3x8"), "0x0:", f"9{good}"):
        with pytest.raises(CVDVAEError, match="packed"):
            unpack(bad, torch.bool)


def test_the_new_one_of_the_documentation_works() -> None:
    docs = (Path(__file__).parents[1] / "docs" / "degradations.md").read_text()
    code = docs.split("## A new one")[1].split("```python\n")[1].split("```")[0]
    before = dict(KINDS)
    try:
        exec(code, {"__name__": "documentation"})
        H = parse("vignette:strength=0.3 + grey").steps[0].operator((8, 9))
    finally:
        KINDS.clear()
        KINDS.update(before)
    x = torch.rand(1, 3, 8, 9)
    torch.testing.assert_close(H.A_dagger(H.A(x)), x)
    assert float(H.A(x)[0, 0, 0, 0]) == pytest.approx(0.7 * float(x[0, 0, 0, 0]))


def test_the_command_line_knows_the_new_one_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = (Path(__file__).parents[1] / "docs" / "degradations.md").read_text()
    vignette, mine = docs.split("## A new one")[1].split("```python\n")[1:3]
    (tmp_path / "vignette.py").write_text(vignette.split("```")[0])
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    words = "restore photo.png --degradation vignette:strength=0.3 -n 1 --out results"
    monkeypatch.setattr(sys, "argv", ["mine.py", *words.split()])
    before = dict(KINDS)
    try:
        with pytest.raises(SystemExit) as ended:
            exec(mine.split("```")[0], {"__name__": "__main__"})
    finally:
        KINDS.clear()
        KINDS.update(before)
        sys.modules.pop("vignette", None)
    assert not ended.value.code
    result = json.loads((tmp_path / "results" / "photo" / "result.json").read_text())
    assert result["explains"] == [True]


def test_what_is_valid_is_smaller_by_the_kernel_on_each_side(folder: Path) -> None:
    np.save(folder / "tall.npy", np.ones((5, 3)) / 15)
    blur = parse(f"kernel:file={folder}/tall.npy,boundary=valid").steps[0]
    assert blur.lr_size((24, 20)) == (20, 18)
    assert blur.hr_size((20, 18)) == (24, 20)
    assert tuple(parse(f"kernel:file={folder}/tall.npy,boundary=valid").operator((24, 20)).A(
        torch.rand(1, 3, 24, 20)).shape[2:]) == (20, 18)  # fmt: skip


@pytest.mark.parametrize("text", ["grey", "bayer"])
def test_one_value_of_three_colours_is_left(text: str) -> None:
    assert parse(text).steps[0].colours == (3, 1)
    assert parse(text).operator((4, 6)).A(torch.rand(1, 3, 4, 6)).shape == (1, 1, 4, 6)


@pytest.mark.parametrize(
    ("bare", "whole"),
    [
        ("blur", "blur:sigma=2,boundary=reflect"),
        ("box", "box:side=5,boundary=reflect"),
        ("motion", "motion:length=9,angle=0,boundary=reflect"),
        ("random", "random:keep=0.5,seed=0"),
        ("half", "half:side=left"),
        ("downscale", "downscale:scale=4,by=bicubic"),
        ("bayer", "bayer:pattern=RGGB"),
        ("jpeg:quality=50", "jpeg:quality=50,subsampling=4:2:0"),
    ],
)
def test_what_is_not_named_is_as_documented(bare: str, whole: str) -> None:
    """In the table of docs/degradations.md."""
    left, named = (parse(text).operator((20, 20)) for text in (bare, whole))
    x = torch.rand(1, 3, 20, 20)
    assert torch.equal(left.A(x), named.A(x))
    assert parse(str(parse(bare))) == parse(bare)
    assert named_in(f"{whole} + {bare}")[0] == {"kind", *re.findall(r"(\w+)=", whole)}


@pytest.mark.parametrize(
    ("text", "beyond"),
    [
        ("box:side=401", "box:side=402"),
        ("downscale:scale=64", "downscale:scale=65"),
        ("random:keep=1", "random:keep=1.0001"),
        ("random:seed=9223372036854775807", "random:seed=9223372036854775808"),
        ("hole:top=0,left=0,height=1,width=1", "hole:top=0,left=0,height=0,width=1"),
        ("hole:side=1", "hole:side=0"),
        (" + ".join(["grey"] + ["noise"] * 15), " + ".join(["grey"] + ["noise"] * 16)),
    ],
)
def test_settings_are_taken_to_their_limits_and_not_beyond(text: str, beyond: str) -> None:
    assert parse(text).steps
    with pytest.raises(CVDVAEError):
        parse(beyond)


def test_parts_that_are_missing_lie_where_they_are_said_to() -> None:
    def missing(text: str, size: tuple[int, int]) -> list[int]:
        """First and last row, and first and last column."""
        operator = parse(text).operator(size)
        assert isinstance(operator, Mask)
        rows, columns = (~operator.known).nonzero().unbind(1)
        assert len(rows) == len(set(rows.tolist())) * len(set(columns.tolist()))
        return [int(end) for line in (rows, columns) for end in torch.aminmax(line)]

    assert missing("hole:top=10,left=15,height=6,width=5", (16, 20)) == [10, 15, 15, 19]
    assert missing("hole:side=4", (7, 10)) == [1, 4, 3, 6]
    assert missing("hole:side=15", (16, 15)) == [0, 14, 0, 14]
    halves = [missing(f"half:side={side}", (5, 7)) for side in ("left", "right", "top", "bottom")]
    assert halves == [[0, 4, 0, 2], [0, 4, 3, 6], [0, 1, 0, 6], [2, 4, 0, 6]]
    for text in ("hole:side=17", "hole:top=11,left=0,height=6,width=1",
                 "hole:top=0,left=16,height=1,width=5"):  # fmt: skip
        with pytest.raises(CVDVAEError, match="is not within an image of 20×16"):
            parse(text).operator((16, 20))
    for keep, left in ((1, 30), (0.5, 15), (1e-9, 1)):
        operator = parse(f"random:keep={keep}").operator((5, 6))
        assert isinstance(operator, Mask)
        assert int(operator.known.sum()) == left


def test_a_shrunken_side_is_rounded_down_and_comes_back_as_a_multiple() -> None:
    what = parse("downscale:scale=3 + box:side=4,boundary=valid")
    assert what.lr_size((17, 31)) == (2, 7)
    assert what.hr_size((2, 7)) == (15, 30)
    assert parse("motion:length=5,boundary=valid").hr_size((6, 6)) == (6, 10)
    assert parse("motion:length=5").hr_size((6, 6)) == (6, 6)


TABLE = list(range(1, 65))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"luma": TABLE, "chroma": TABLE}, ""),
        ({"luma": TABLE, "subsampling": "4:0:0"}, ""),
        ({"quality": 50, "subsampling": "4:0:0"}, ""),
        ({"luma": TABLE}, "a quality, or its own tables"),
        ({"chroma": TABLE, "subsampling": "4:0:0"}, "a quality, or its own tables"),
        ({"luma": TABLE, "chroma": TABLE, "quality": 50}, "a quality, or its own tables"),
        ({"luma": TABLE, "chroma": TABLE, "subsampling": "4:0:0"}, "a quality, or its own"),
        ({"luma": TABLE[1:], "chroma": TABLE}, "have 64 steps each"),
        ({"luma": 5, "chroma": TABLE}, "the luma of 'jpeg' is a list of whole numbers"),
        ({"luma": TABLE, "chroma": [1.5] * 64}, "the chroma of 'jpeg' is a list of whole"),
        ({"luma": [True] * 64, "chroma": TABLE}, "the luma of 'jpeg' is a list of whole"),
        ({"quality": 50, "subsampling": "4:1:1"}, "the subsampling of chroma is one of 1, 2"),
    ],
)
def test_a_jpeg_has_a_quality_or_tables_of_its_own(settings: dict[str, Any], words: str) -> None:
    data = [{"kind": "jpeg"} | settings]
    if words:
        with pytest.raises(CVDVAEError, match=words):
            description_from_dict(data)
        return
    what = description_from_dict(data)
    again = description_from_dict(json.loads(json.dumps(what.to_dict())))
    assert again == what
    grey = settings.get("subsampling") == "4:0:0"
    y = what.operator((8, 8)).A(torch.rand(1, 3, 8, 8))
    assert y.numel() == (64 if grey else 3 * 64 if "quality" in settings else 64 + 2 * 64)
    assert (what.pictures, what.colours_left, what.is_mosaic) == (False, 3, False)


def test_white_and_what_is_more_than_half_of_it_is_missing(tmp_path: Path) -> None:
    grey = np.array([[127, 128, 255, 255]], np.uint8)
    alpha = np.array([[255, 255, 127, 128]], np.uint8)
    Image.fromarray(np.stack([grey, grey, grey, alpha], 2)).save(tmp_path / "m.png")
    operator = parse(f"mask:file={tmp_path}/m.png").operator((1, 4))
    assert isinstance(operator, Mask)
    assert operator.known.tolist() == [[True, False, True, False]]


def test_a_packed_matrix_has_a_size_that_it_may_have() -> None:
    largest = torch.zeros(1024, 1024, dtype=torch.float64)
    largest[3, 5] = 0.5
    assert torch.equal(unpack(pack(largest), torch.float64), largest)
    two, one = (base64.b64encode(zlib.compress(raw)).decode() for raw in (b"\x02", b"\x01"))
    assert unpack(f"1x1:{one}", torch.bool).tolist() == [[True]]
    for text, dtype, words in [
        (f"1024x1025:{one}", torch.float64, "no packed mask or kernel"),
        (f"0x1:{one}", torch.bool, "no packed mask or kernel"),
        (f"1x1:{two}", torch.bool, "damaged"),
        (f"1x2:{one}", torch.bool, "damaged"),
        (f"1x1:{one[:-4]}", torch.bool, "damaged"),
        (f"1x1:{one}A", torch.bool, "damaged"),
    ]:
        with pytest.raises(CVDVAEError, match=words):
            unpack(text, dtype)


def test_a_name_that_ends_as_a_number_does_stays_whole(tmp_path: Path) -> None:
    half = np.zeros((4, 4), np.uint8)
    half[2:] = 255
    Image.fromarray(half).save(tmp_path / "scan.0", "PNG")
    assert str(parse(f"mask:file={tmp_path}/scan.0")) == f"mask:file={tmp_path}/scan.0"
    assert "sigma=2" in str(parse("blur:sigma=2.0")).split(",")


def test_what_is_no_image_is_not_degraded() -> None:
    with pytest.raises(InputError, match=r"finite floats \(C, H, W\), not \(16, 16\)"):
        degraded(torch.rand(16, 16), parse("blur:sigma=1"), 0.1)
