"""The shipped GFLOPs against a fresh count on the meta device."""

import pytest

from lrjax.data.published import load_published
from torch_reference import import_open_clip

COUNTED = (
    "BLIP-ViT-L/16 (129M)",
    "RN50x4",
    "ViT-B/32",
    "CLIPA-ViT-L/14@336px",
    "CoCa-ViT-B/32",
    "EVA-02-CLIP-B/16",
    "EVA-CLIP-8B",
    "M2-Encoder-0.4B",
    "SigLIP-ViT-SO400M",
)


@pytest.mark.parametrize("name", COUNTED)
def test_shipped_gflops(name):
    import_open_clip()
    from experiments.leaderboard.gflops import image_gflops

    model = next(model for model in load_published().models if model.name == name)
    assert f"{image_gflops(model):.2f}" == f"{model.gflops:.2f}"


def test_gflops_by_hand():
    # ViT-B/16 at 224: 196 patches of 768 inputs, 12 blocks on 197 rows, projection to 512
    rows, width = 197, 768
    block = rows * (4 * width**2 + 8 * width**2) + 2 * rows**2 * width
    total = 2 * (196 * 768 * width + 12 * block + width * 512)
    model = next(model for model in load_published().models if model.name == "ViT-B/16")
    assert model.gflops == pytest.approx(total / 1e9, abs=0.005)
