"""An LR encoder whose fine strides know what its coarse ones saw."""

from dataclasses import replace

import pytest
import torch
from tiny import PHOTOS, SCALES
from torch import Tensor

from cvdvae.errors import ConfigError
from cvdvae.hvae.config import LREncoderConfig
from cvdvae.hvae.lr_encoder import LREncoder
from cvdvae.hvae.notation import parse_pyramid

BACK = replace(SCALES, top_down="4u8,4r1,2u4")


def encoder(config: LREncoderConfig) -> LREncoder:
    torch.manual_seed(0)
    return LREncoder(config, PHOTOS).eval()


def finest_terms(model: LREncoder, y: Tensor) -> Tensor:
    with torch.no_grad():
        terms = model.terms(y, 2)
    return next(t for t, stride in zip(terms, model.strides, strict=True) if stride == 2)


def test_the_way_back_tells_fine_strides_of_what_is_far_away() -> None:
    y = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    other = y.clone()
    other[:, :, 16:18, 16:18] = 1 - other[:, :, 16:18, 16:18]
    reached = {}
    for config in (SCALES, BACK):
        model = encoder(config)
        differs = (finest_terms(model, y) != finest_terms(model, other)).any(1)[0]
        reached[config.top_down] = int(differs.any(1).sum())
    assert 0 < reached[""] < reached[BACK.top_down]


def test_without_gradients_the_way_back_says_the_same() -> None:
    model, y = encoder(BACK), torch.rand(2, 3, 9, 12, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        fast = model.terms(y, 3)
    for mine, its in zip(fast, model.terms(y, 3), strict=True):
        torch.testing.assert_close(mine, its)


def test_every_weight_of_the_way_back_learns() -> None:
    model = encoder(BACK)
    terms = model.terms(torch.rand(2, 3, 8, 8), 2)
    torch.stack([term.square().sum() for term in terms]).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.top_down.parameters())


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ("4x1", "is not a block"),
        ("2m4", "is not a block"),
        ("4u2", "leaves nothing"),
        ("4u16", "leaves nothing"),
        ("16r1", "leaves nothing"),
    ],
)
def test_blocks_that_cannot_lead_back_are_refused(blocks: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(SCALES, top_down=blocks)


def test_blocks_whose_state_goes_nowhere_are_refused_where_a_training_begins() -> None:
    few = replace(SCALES, groups=2, top_down="4u8,2u4")
    with pytest.raises(ConfigError, match="state at stride 2 goes nowhere"):
        few.check_used(PHOTOS)
    late = replace(SCALES, top_down="2u4,4r1")
    coarse = replace(PHOTOS, top_down="8x2,2m8,2r1")
    with pytest.raises(ConfigError, match="state at stride 4 goes nowhere"):
        late.check_used(coarse)
    replace(few, top_down="4u8").check_used(PHOTOS)
    BACK.check_used(PHOTOS)


def test_a_coarse_stride_may_be_there_for_the_way_back_alone() -> None:
    fine = replace(PHOTOS, top_down="8r1,4m8,2m4,2r1")
    few = replace(SCALES, groups=2)
    with pytest.raises(ConfigError, match="goes on to stride 8, where no latent group sees it"):
        few.check_used(fine)
    replace(few, top_down="4u8").check_used(fine)
    shallow = replace(PHOTOS, bottom_up="2x1,2d2,4x1", top_down="4x1,2m4,2r1")
    with pytest.raises(ConfigError, match="goes on to stride 8"):  # of which 12 pixels have no two
        replace(few, top_down="4u8").check_used(shallow)


def test_no_blocks_are_no_way_back() -> None:
    assert parse_pyramid("", "1d2,2x1") == []
