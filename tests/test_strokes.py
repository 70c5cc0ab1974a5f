"""What was painted is what the brush covers."""

import itertools
import math

import numpy as np
import pytest
import torch

from cvdvae.app.photos.strokes import region_of

SIZE, TOUCHED = (40, 50), 0.5


def covered(points: list[tuple[float, float]], radius: float) -> np.ndarray:
    """Pixels whose centres lie so near to a line through some points, the slow way."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    found = np.zeros(SIZE, bool)
    for (ax, ay), (bx, by) in itertools.pairwise([points[0], *points]):
        along = (bx - ax) ** 2 + (by - ay) ** 2 or 1.0
        share = (((columns - ax) * (bx - ax) + (rows - ay) * (by - ay)) / along).clip(0, 1)
        off = np.hypot(columns - ax - share * (bx - ax), rows - ay - share * (by - ay))
        found |= off <= radius
    return found


@pytest.mark.parametrize("seed", range(12))
def test_every_pixel_that_a_brush_touched_on_its_way_is_painted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    strokes, expected = [], np.zeros(SIZE, bool)
    for count in (1, 2, 5):
        radius = float(rng.choice([0.5, 1, 2.3, 7]))
        points = [(float(x), float(y)) for x, y in rng.uniform(-5, 55, (count, 2))]
        strokes.append({"size": radius, "points": points})
        expected |= covered(points, radius + TOUCHED)
    assert torch.equal(region_of(strokes, SIZE), torch.from_numpy(expected))


@pytest.mark.parametrize("way", [(20, 0), (0, 20), (20, 20)])
def test_a_straight_stroke_is_as_wide_as_the_brush_anywhere(way: tuple[int, int]) -> None:
    (x, y), radius = (10.3, 8.1), 2.0
    points = [[x, y], [x + way[0], y + way[1]]]
    painted = region_of([{"size": radius, "points": points}], SIZE)
    area = 2 * (radius + TOUCHED) * math.hypot(*way) + math.pi * (radius + TOUCHED) ** 2
    assert int(painted.sum()) == pytest.approx(area, rel=0.05)
