"""Which tiles a picture of a result has, and in which rows."""

from typing import Any

import pytest
from tiny import tiny_resolver

import cvdvae.restoration.sheet
from cvdvae.restoration.sheet import sheet


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
