"""Which tiles a picture of a result has, and in which rows."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_resolver

import cvdvae.restoration.sheet
from cvdvae.errors import InputError
from cvdvae.imaging.carried import Extras
from cvdvae.restoration.sheet import save_animation, sheet


@pytest.mark.parametrize(("samples", "rows"), [(1, [1]), (8, [4, 4]), (9, [8, 1])])
def test_few_samples_stand_in_rows_of_four_and_many_in_rows_of_eight(
    samples: int, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_resolver()
    y = model.degradation.A(model.prior.sample(1)).clamp(0, 1)[0]
    found: list[Any] = []
    monkeypatch.setattr(
        cvdvae.restoration.sheet, "labelled_sheet", lambda tiles, footer: found.extend(tiles)
    )
    sheet(model.run(y, model.sampling(samples=samples)), "footer")
    assert [len(row) for row in found[1:]] == rows
    labels = [label for label, _ in found[0]]
    assert labels == ["input, 1/4 size", "bicubic", "mean", "where they differ"]
    assert found[1][0][0] == "sample 0"


@pytest.mark.parametrize("kind", ["webp", "apng"])
def test_what_moves_carries_what_the_samples_do(
    kind: Literal["webp", "apng"], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Canon"
    alpha = Image.fromarray(np.arange(90, 250, 10, np.uint8).reshape(4, 4))
    extras = Extras(b"a profile", alpha, exif.tobytes())
    result = tiny_resolver().upscale(torch.full((3, 4, 4), 0.5), samples=3)
    replace(result, extras=extras).save(tmp_path, kind)
    with Image.open(tmp_path / f"samples.{kind}") as moving:
        for i in range(3):
            moving.seek(i)
            with Image.open(tmp_path / f"sample_{i:02d}.png") as sample:
                assert np.array_equal(np.asarray(moving.convert("RGBA")), np.asarray(sample))
                assert moving.info["icc_profile"] == sample.info["icc_profile"] == b"a profile"
                assert moving.getexif()[0x010F] == sample.getexif()[0x010F] == "Canon"


def test_only_what_webp_cannot_hold_is_refused(tmp_path: Path) -> None:
    result = tiny_resolver().upscale(torch.full((3, 4, 4), 0.5), samples=2)
    for side, kind in ((16_383, "webp"), (16_384, "apng")):
        long = replace(result, pixels=torch.arange(2).byte().expand(1, 3, side, 2).transpose(0, 3))
        save_animation(long, tmp_path / f"samples.{kind}")
        with Image.open(tmp_path / f"samples.{kind}") as moving:
            assert moving.size == (1, side)
    with pytest.raises(InputError, match="not 1×16384: take --animation apng"):
        long.save(tmp_path / "out", "webp")
    assert not (tmp_path / "out").exists()
