"""The GFLOPs of the rows against a count by hand from their architecture."""

import pytest

from lrjax.models.spec import ImageSpec
from lrjax.models.zoo import BACKBONES


def by_hand(image):
    blocks, rows = image.blocks, image.rows
    matrices = 4 * blocks.width**2 + (3 if blocks.gated else 2) * blocks.width * blocks.hidden
    block = rows * matrices + 2 * rows**2 * blocks.width
    return 2 * (image.patches * 3 * image.patch**2 * blocks.width + blocks.depth * block) / 1e9


@pytest.mark.parametrize("name", [name for name, row in BACKBONES.items() if isinstance(row.spec.image, ImageSpec)])
def test_gflops(name):
    row = BACKBONES[name]
    # the pooling and the head, which are not counted here, take at most 5 %
    within = {"class": 0.001, "mean": 0.001, "map": 0.02, "query": 0.05}[row.spec.image.pool]
    tolerance = max(within * row.gflops, 0.005)
    assert by_hand(row.spec.image) == pytest.approx(row.gflops, abs=tolerance)


def test_every_row_has_gflops():
    assert all(row.gflops for row in BACKBONES.values())
