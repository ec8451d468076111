"""Counts the forward GFLOPs of the image towers, for `lrjax/data/assets/lr0fm/backbones.csv`.

PYTHONPATH=. python experiments/leaderboard/gflops.py

The towers are built by open_clip, or by timm where open_clip does not have them, on torch's `meta` device: shapes only,
no weights and no arithmetic. One multiply-add counts as 2 operations; only matrix products and convolutions count.
"""

import warnings

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lrjax.data.published import PublishedModel, load_published

TIMM_TOWERS = {
    "ALBEF": {"patch_size": 16, "embed_dim": 768, "depth": 12, "num_heads": 12},
    "BLIP-B-16": {"patch_size": 16, "embed_dim": 768, "depth": 12, "num_heads": 12},
    "BLIP-L-16": {"patch_size": 16, "embed_dim": 1024, "depth": 24, "num_heads": 16},
    "EVA-CLIP-8B": {"patch_size": 14, "embed_dim": 4096, "depth": 32, "num_heads": 32, "mlp_ratio": 5},
    "M2-Encoder-0.4B": {"patch_size": 16, "embed_dim": 768, "depth": 12, "num_heads": 12},
    "M2-Encoder-1B": {"patch_size": 16, "embed_dim": 1024, "depth": 24, "num_heads": 16},
    "M2-Encoder-10B": {"patch_size": 16, "embed_dim": 4096, "depth": 24, "num_heads": 32},
}
"""Vision transformers with the same matrix products as the image towers that open_clip does not have (their heads, less
than 0.1 % of the work, are left out)."""


def image_gflops(model: PublishedModel) -> float:
    """Counts the operations of one forward pass of the image tower for one image.

    Args:
        model: a published model.

    Returns:
        GFLOPs at the model's own input size, multiply-adds counted twice.
    """
    import open_clip
    import timm

    arch = model.backbone.partition(":")[0]
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights are not initialised on the meta device
        if arch in TIMM_TOWERS:
            tower = timm.models.VisionTransformer(img_size=model.image_size, num_classes=0, **TIMM_TOWERS[arch])
        else:
            config = open_clip.get_model_config(arch)
            build = open_clip.model._build_vision_tower
            tower = build(config["embed_dim"], config["vision_cfg"], quick_gelu=config.get("quick_gelu", False))
        image = torch.zeros(1, 3, model.image_size, model.image_size)
        torch.backends.mha.set_fastpath_enabled(False)  # the fused kernels are not counted
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            tower.eval().requires_grad_(False)(image)  # a gradient would be tracked, and fails on a meta parameter
    return counter.get_total_flops() / 1e9


if __name__ == "__main__":
    for published in load_published().models:
        print(f"{image_gflops(published):10.3f}  {published.name}", flush=True)
