"""Small PyTorch models with random weights that run the code of open_clip and timm, to compare the JAX models with."""

import functools
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal
from unittest import mock

import jax
import jax.numpy as jnp

Kind = Literal["eva02", "eva01", "eva_e"]
Family = Literal["clip", "clip_quick", "clipa", "resnet", "siglip", "coca"]

TIMM_NAMES: dict[Kind, str] = {
    "eva02": "eva02_base_patch16_clip_224",
    "eva01": "eva_giant_patch14_clip_224",
    "eva_e": "eva02_enormous_patch14_clip_224",
}
OPEN_CLIP_NAMES: dict[Family, str] = {
    "clip": "ViT-B-16",
    "clip_quick": "ViT-B-16-quickgelu",
    "clipa": "ViT-L-14-CLIPA",
    "resnet": "RN50",
    "siglip": "ViT-B-16-SigLIP",
    "coca": "coca_ViT-B-32",
}
_KEPT_ALIVE = []


@dataclass(frozen=True)
class TinySizes:
    """The numbers of a tiny reference model."""

    kind: Kind
    width: int
    depth: int
    heads: int
    mlp_width: int
    image_size: int
    patch: int
    embed: int
    text_width: int
    text_heads: int
    text_depth: int
    text_mlp_width: int
    context: int
    vocab: int

    @property
    def grid(self) -> int:
        return self.image_size // self.patch


@functools.cache
def import_torchvision() -> None:
    """Import torchvision on machines where it was built for another device than torch.

    Such a torchvision fails at import because its operators are not registered; declaring two of them is enough.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT_ALIVE.append(library)


def import_open_clip() -> ModuleType:
    """Import open_clip, which imports torchvision."""
    import_torchvision()
    import open_clip

    return open_clip


def tiny_eva(kind: Kind, seed: int = 0) -> tuple[Any, TinySizes]:
    """Build an open_clip `CustomTextCLIP` with a small timm EVA tower, every parameter random, none zero or one.

    Args:
        kind: "eva02" (rotary positions, SwiGLU, sub-LN), "eva01" (fused qkv, q and v biases) or "eva_e" (post-norm).
        seed: seed of the parameters.

    Returns:
        The module in evaluation mode, and its sizes.
    """
    import_open_clip()
    import timm
    import torch
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP

    patch = 16 if kind == "eva02" else 14
    width, depth, heads, image_size = 48, 3, 2, 4 * patch
    create_model = timm.create_model

    def create_tiny(name: str, **kwargs: Any) -> Any:
        return create_model(name, embed_dim=width, depth=depth, num_heads=heads, img_size=image_size, **kwargs)

    vision = CLIPVisionCfg(
        image_size=image_size,
        timm_model_name=TIMM_NAMES[kind],
        timm_model_pretrained=False,
        timm_pool="token",
        timm_proj=None,
    )
    text = CLIPTextCfg(context_length=12, vocab_size=96, width=32, heads=4, layers=2)
    with mock.patch.object(timm, "create_model", create_tiny):
        module = CustomTextCLIP(embed_dim=24, vision_cfg=vision, text_cfg=text).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_scale = parameter.ndim == 1 and name.endswith("weight")
            fan_in = parameter.shape[1:].numel() if parameter.ndim > 1 else 16
            parameter.copy_(1 + 0.2 * noise if is_scale else noise * fan_in**-0.5)
        module.logit_scale.fill_(4.5)
    mlp = module.visual.trunk.blocks[0].mlp
    return module, TinySizes(
        kind=kind,
        width=width,
        depth=depth,
        heads=heads,
        mlp_width=mlp.fc2.in_features,
        image_size=image_size,
        patch=patch,
        embed=24,
        text_width=text.width,
        text_heads=text.heads,
        text_depth=text.layers,
        text_mlp_width=4 * text.width,
        context=text.context_length,
        vocab=text.vocab_size,
    )


def build_open_clip(architecture: str, *, quick_gelu: bool | None = None, device: str = "cpu", **changes: Any) -> Any:
    """Build an open_clip model from its configuration, without weights, in evaluation mode.

    Args:
        architecture: name of the configuration.
        quick_gelu: overrides what the configuration says, as the entries of pre-trained weights do.
        device: "meta" allocates nothing.
        **changes: entries by section (`vision_cfg`, `text_cfg`, `multimodal_cfg`) or at the top that are replaced.
    """
    open_clip = import_open_clip()
    import torch
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP

    config = open_clip.get_model_config(architecture)
    custom = config.pop("custom_text", False)
    for key, value in changes.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    if quick_gelu is not None:
        config["quick_gelu"] = quick_gelu
    kind = CoCa if "multimodal_cfg" in config else CustomTextCLIP if custom else CLIP
    with torch.device(device):
        return kind(**config).eval()


def tiny_open_clip(family: Family, seed: int = 0) -> Any:
    """Build a small model of a family by the configuration of a published one, of which only sizes are changed.

    Every parameter and every running statistic is random, none zero or one.
    """
    import_open_clip()
    import timm

    vision = {"image_size": 32, "patch_size": 8, "width": 48, "layers": 3, "head_width": 24}
    text = {"width": 32, "heads": 4, "layers": 2, "context_length": 12, "vocab_size": 96}
    changes: dict[str, Any] = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text}
    create_model = timm.create_model

    def create_tiny(name: str, **kwargs: Any) -> Any:
        return create_model(name, embed_dim=48, depth=3, num_heads=2, img_size=32, patch_size=8, **kwargs)

    if family == "resnet":
        changes["vision_cfg"] = {"image_size": 64, "width": 16, "layers": [3, 2, 4, 2]}
    elif family == "siglip":
        changes |= {"embed_dim": 48, "vision_cfg": {"image_size": 32}}
    elif family == "coca":
        changes["vision_cfg"] = vision | {"attn_pooler_queries": 5}
        changes["multimodal_cfg"] = text
    with mock.patch.object(timm, "create_model", create_tiny):
        # OpenAI's ResNets are run with quick GELU in the text tower, which only the entries of the weights say.
        module = build_open_clip(OPEN_CLIP_NAMES[family], quick_gelu=True if family == "resnet" else None, **changes)
    randomise(module, seed)
    return module


def randomise(module: Any, seed: int = 0) -> None:
    """Make every parameter and running statistic random, none zero or one, and keep activations of order one."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            is_scale = parameter.ndim == 1 and name.endswith("weight")
            fan_in = parameter.shape[1:].numel() if parameter.ndim > 1 and parameter.shape[0] > 1 else 25
            parameter.normal_(generator=generator).mul_(0.2 if is_scale else fan_in**-0.5).add_(float(is_scale))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(generator=generator).mul_(0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2, generator=generator)


def original_eva_keys(state: dict[str, Any]) -> dict[str, Any]:
    """Rename an open_clip EVA state dict to the names that the authors of EVA-CLIP use; tensors are not touched."""
    renames = (
        (r"^visual\.trunk\.", "visual."),
        (r"\.attn\.([qv])_proj\.bias$", r".attn.\1_bias"),
        (r"\.attn\.norm\.", ".attn.inner_attn_ln."),
        (r"\.mlp\.fc1_g\.", ".mlp.w1."),
        (r"\.mlp\.fc1_x\.", ".mlp.w2."),
        (r"\.mlp\.norm\.", ".mlp.ffn_ln."),
    )
    gated = any(".mlp.fc1_g." in key for key in state)
    renamed = {}
    for key, value in state.items():
        name = re.sub(r"^(visual\..*)\.mlp\.fc2\.", r"\1.mlp.w3.", key) if gated else key
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def canonical_target(sizes: TinySizes) -> dict[str, Any]:
    """Return the canonical parameter tree of a tiny model as abstract float32 arrays, written out by hand."""

    def leaf(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    def linear(*shape: int, bias: bool = True) -> dict[str, Any]:
        return {"kernel": leaf(*shape)} | ({"bias": leaf(*shape[:-2], shape[-1])} if bias else {})

    def norm(*shape: int) -> dict[str, Any]:
        return {"scale": leaf(*shape), "bias": leaf(*shape)}

    def blocks(depth: int, width: int, hidden: int, *, key_bias: bool, gated: bool) -> dict[str, Any]:
        attention = {name: linear(depth, width, width, bias=name != "k" or key_bias) for name in ("q", "k", "v", "out")}
        mlp = {"up": linear(depth, width, hidden), "down": linear(depth, hidden, width)}
        if gated:
            attention["norm"] = norm(depth, width)
            mlp |= {"gate": linear(depth, width, hidden), "norm": norm(depth, hidden)}
        return {"norm1": norm(depth, width), "norm2": norm(depth, width), "attention": attention, "mlp": mlp}

    width, text_width = sizes.width, sizes.text_width
    return {
        "image": {
            "patch_embed": {"kernel": leaf(sizes.patch, sizes.patch, 3, width), "bias": leaf(width)},
            "class_token": leaf(width),
            "position": leaf(sizes.grid**2 + 1, width),
            "blocks": blocks(sizes.depth, width, sizes.mlp_width, key_bias=False, gated=sizes.kind == "eva02"),
            "norm": norm(width),
            "head": linear(width, sizes.embed),
        },
        "text": {
            "token_embed": {"embedding": leaf(sizes.vocab, text_width)},
            "position": leaf(sizes.context, text_width),
            "blocks": blocks(sizes.text_depth, text_width, sizes.text_mlp_width, key_bias=True, gated=False),
            "norm": norm(text_width),
            "head": {"kernel": leaf(text_width, sizes.embed)},
        },
        "logit_scale": leaf(),
    }
