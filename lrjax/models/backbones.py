"""The rows of the zoo, by family.

Pre-training data, parameters and GFLOPs of the published backbones are joined from `lrjax.data.published`; what stands
here is what the checkpoints are: shapes, activations, preprocessing, files.

Reference: the configurations of open_clip, EVA-CLIP and CLIPA, and the papers of the families.
"""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from lrjax.data.published import load_published
from lrjax.models.row import IMAGENET, Backbone, Preprocess
from lrjax.models.spec import Activation, Head, ImageSpec, ModelSpec, ResNetSpec, TextSpec, TransformerSpec

_HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}

_CROP = Preprocess(
    mode="crop",
    kernel="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
_SQUASH = dataclasses.replace(_CROP, mode="squash")
GENERIC_FILE = "open_clip_pytorch_model.bin"
"""What open_clip calls the file of every model on the hub."""

_PUBLISHED = {model.backbone: model for model in load_published().models}


def _row(architecture: str, tag: str, spec: ModelSpec, preprocess: Preprocess, **facts: Any) -> Backbone:
    if published := _PUBLISHED.get(f"{architecture}:{tag}"):
        shared = ("family", "parameters", "data", "pairs", "gflops")
        facts |= {name: getattr(published, name) for name in shared}
    return Backbone(architecture=architecture, tag=tag, spec=spec, preprocess=preprocess, **facts)


def _blocks(width: int, depth: int, heads: int, hidden: int, activation: Activation, **changes: Any) -> TransformerSpec:
    plain = {
        "norm": "layer",
        "eps": 1e-5,
        "order": "pre",
        "qkv_bias": "qkv",
        "gated": False,
        "sub_norm": False,
        "rope": False,
        "causal": False,
    }
    return TransformerSpec(
        width=width, depth=depth, heads=heads, hidden=hidden, activation=activation, **(plain | changes)
    )


def _clip_text(width: int, heads: int, depth: int, embedding: int, activation: Activation = "gelu_erf") -> TextSpec:
    return TextSpec(
        context=77,
        vocabulary=49408,
        blocks=_blocks(width, depth, heads, 4 * width, activation, causal=True),
        embedding=embedding,
        pool="end",
        class_token=False,
        head_bias=False,
    )


# CLIP, OpenCLIP, MetaCLIP: vision (patch, depth, width, heads, hidden), text (width, heads, depth), embedding,
# parameters of the image tower by input size
_CLIP_SHAPES = {
    "B-32": ((32, 12, 768, 12, 3072), (512, 8, 12), 512, {224: 87_849_216, 256: 87_860_736}),
    "B-16": ((16, 12, 768, 12, 3072), (512, 8, 12), 512, {224: 86_192_640}),
    "L-14": ((14, 24, 1024, 16, 4096), (768, 12, 12), 768, {224: 303_966_208, 336: 304_293_888}),
    "H-14": ((14, 32, 1280, 16, 5120), (1024, 16, 24), 1024, {224: 632_076_800, 378: 632_682_240}),
    "bigG-14": ((14, 48, 1664, 16, 8192), (1280, 20, 32), 1280, {224: 1_844_907_264}),
}


def _clip_image(shape: str, size: int, activation: Activation) -> ImageSpec:
    (patch, depth, width, heads, hidden), _, embedding, _ = _CLIP_SHAPES[shape]
    return ImageSpec(
        size=size,
        patch=patch,
        blocks=_blocks(width, depth, heads, hidden, activation),
        embedding=embedding,
        patch_bias=False,
        class_token=True,
        pre_norm=True,
        pool="class",
        queries=0,
        pool_heads=0,
        head="matrix",
    )


def _clip(
    architecture: str,
    tag: str,
    shape: str,
    activation: Activation,
    *,
    size: int = 224,
    preprocess: Preprocess = _CROP,
    **facts: Any,
) -> Backbone:
    _, text, embedding, parameters = _CLIP_SHAPES[shape]
    image = _clip_image(shape, size, activation)
    spec = ModelSpec(image=image, text=_clip_text(*text, embedding, activation), logit_bias=False)
    return _row(architecture, tag, spec, preprocess, tokenizer="clip", image_parameters=parameters[size], **facts)


def _resnet(
    name: str, layers: tuple[int, int, int, int], width: int, size: int, embedding: int, parameters: int, hub_id: str
) -> Backbone:
    image = ResNetSpec(size=size, layers=layers, width=width, heads=width // 2, embedding=embedding, eps=1e-5)
    text_width = {"RN50x4": 640, "RN50x16": 768, "RN50x64": 1024}.get(name, 512)
    text = _clip_text(text_width, text_width // 64, 12, embedding, "quick_gelu")
    return _row(
        name,
        "openai",
        ModelSpec(image=image, text=text, logit_bias=False),
        _CROP,
        tokenizer="clip",
        image_parameters=parameters,
        source_file=f"{name}.pt",
        hub_id=f"timm/{hub_id}_clip.openai",
        licence="MIT",
    )


def _clip_rows() -> Iterator[Backbone]:
    yield _resnet("RN50", (3, 4, 6, 3), 64, 224, 1024, 38_316_896, "resnet50")
    yield _resnet("RN101", (3, 4, 23, 3), 64, 224, 512, 56_259_936, "resnet101")
    yield _resnet("RN50x4", (4, 6, 10, 6), 80, 288, 640, 87_137_080, "resnet50x4")
    yield _resnet("RN50x16", (6, 8, 18, 8), 96, 384, 768, 167_328_912, "resnet50x16")
    yield _resnet("RN50x64", (3, 15, 36, 10), 128, 448, 1024, 420_380_352, "resnet50x64")
    for shape, size, hub_id in (
        ("B-32", 224, "vit_base_patch32_clip_224"),
        ("B-16", 224, "vit_base_patch16_clip_224"),
        ("L-14", 224, "vit_large_patch14_clip_224"),
        ("L-14", 336, "vit_large_patch14_clip_336"),
    ):
        suffix = "" if size == 224 else f"-{size}"
        yield _clip(
            f"ViT-{shape}{suffix}",
            "openai",
            shape,
            "quick_gelu",
            size=size,
            source_file=f"ViT-{shape}{suffix and suffix + 'px'}.pt",
            hub_id=f"timm/{hub_id}.openai",
            licence="MIT",
        )


def _openclip_rows() -> Iterator[Backbone]:
    # the published benchmark squashed the images of this family and used OpenAI's mean for all of it
    benchmark = {"benchmark": _SQUASH, "source_file": GENERIC_FILE}
    half = dataclasses.replace(_CROP, **_HALF)
    mit: dict[str, Any] = {"licence": "MIT", **benchmark}
    apple: dict[str, Any] = {"licence": "Apple", **benchmark}
    models: tuple[tuple[str, str, str, Activation, dict[str, Any]], ...] = (
        ("ViT-B-16", "datacomp_xl_s13b_b90k", "B-16", "gelu_erf", mit | _hub("CLIP-ViT-B-16-DataComp.XL-s13B-b90K")),
        (
            "ViT-B-32-256",
            "datacomp_s34b_b86k",
            "B-32",
            "gelu_erf",
            mit | _hub("CLIP-ViT-B-32-256x256-DataComp-s34B-b86K") | {"size": 256},
        ),
        (
            "ViT-L-14",
            "laion2b_s32b_b82k",
            "L-14",
            "gelu_erf",
            mit | _hub("CLIP-ViT-L-14-laion2B-s32B-b82K") | {"preprocess": half},
        ),
        ("ViT-L-14", "datacomp_xl_s13b_b90k", "L-14", "gelu_erf", mit | _hub("CLIP-ViT-L-14-DataComp.XL-s13B-b90K")),
        ("ViT-H-14", "laion2b_s32b_b79k", "H-14", "gelu_erf", mit | _hub("CLIP-ViT-H-14-laion2B-s32B-b79K")),
        (
            "ViT-H-14-quickgelu",
            "dfn5b",
            "H-14",
            "quick_gelu",
            apple | {"hub_id": "apple/DFN5B-CLIP-ViT-H-14", "preprocess": _SQUASH},
        ),
        (
            "ViT-H-14-378-quickgelu",
            "dfn5b",
            "H-14",
            "quick_gelu",
            apple | {"hub_id": "apple/DFN5B-CLIP-ViT-H-14-378", "preprocess": _SQUASH, "size": 378},
        ),
        ("ViT-bigG-14", "laion2b_s39b_b160k", "bigG-14", "gelu_erf", mit | _hub("CLIP-ViT-bigG-14-laion2B-39B-b160k")),
    )
    for architecture, tag, shape, activation, changes in models:
        yield _clip(architecture, tag, shape, activation, **changes)


_FILTERS = (".clip", ".laion", ".image", ".text", ".basic", "")  # of DataComp (arXiv 2304.14108), section 3.4

# Further weights of open_clip with exact GELU, the activation that shapes do not tell from OpenAI's. Tags are the names
# on the hub in small letters, except for those that are mirrored by timm.
_LAION_NAMES = {
    "ViT-B-32": (
        "laion2B-s34B-b79K",
        "DataComp.XL-s13B-b90K",
        *(f"{data}-s128M-b4K" for data in ("DataComp.M", *(f"CommonPool.M{kind}" for kind in _FILTERS))),
        *(f"{data}-s13M-b4K" for data in ("DataComp.S", *(f"CommonPool.S{kind}" for kind in _FILTERS))),
    ),
    "ViT-B-16": (
        "laion2B-s34B-b88K",
        *(f"{data}-s1B-b8K" for data in ("DataComp.L", *(f"CommonPool.L{kind}" for kind in _FILTERS))),
    ),
    "ViT-L-14": tuple(f"CommonPool.XL{kind}-s13B-b90K" for kind in (".clip", ".laion", "")),
}
_MIRRORED = {
    "ViT-B-32": ("vit_base_patch32_clip_224", {"laion2b_e16": "vit_b_32-laion2b_e16-af8dbd0c.pth"}),
    "ViT-B-16": (
        "vit_base_patch16_clip_224",
        {"laion400m_e31": "vit_b_16-laion400m_e31-00efa78f.pt", "laion400m_e32": "vit_b_16-laion400m_e32-55e67d44.pt"},
    ),
    "ViT-L-14": (
        "vit_large_patch14_clip_224",
        {"laion400m_e31": "vit_l_14-laion400m_e31-69988bb6.pt", "laion400m_e32": "vit_l_14-laion400m_e32-3d133497.pt"},
    ),
}
_DATA = {"laion400m": "LAION-400M", "laion2b": "LAION-2B", "laion2B": "LAION-2B", "DataComp.XL": "DataComp-1B"}


def _laion_rows() -> Iterator[Backbone]:
    pairs = {model.data: model.pairs for model in _PUBLISHED.values()}
    for architecture, names in _LAION_NAMES.items():
        like, (timm, files) = _PUBLISHED[f"{architecture}:openai"], _MIRRORED[architecture]
        tags = {
            re.sub("[.-]", "_", name).lower(): (f"laion/CLIP-{architecture}-{name}", GENERIC_FILE, name)
            for name in names
        }
        tags |= {tag: (f"timm/{timm}.{tag}", file, tag) for tag, file in files.items()}
        for tag, (hub_id, source_file, name) in tags.items():
            kind = re.split("[_-]", name)[0]
            data = _DATA.get(kind, kind)
            yield _clip(
                architecture,
                tag,
                architecture.removeprefix("ViT-"),
                "gelu_erf",
                family="OpenCLIP",
                benchmark=_SQUASH,
                parameters=like.parameters,
                gflops=like.gflops,
                data=data,
                pairs=pairs.get(data),
                source_file=source_file,
                hub_id=hub_id,
                licence="MIT",
            )


def _hub(name: str) -> dict[str, Any]:
    return {"hub_id": f"laion/{name}"}


def _metaclip_rows() -> Iterator[Backbone]:
    for shape, file, timm in (
        ("B-32", "b32", "base_patch32"),
        ("B-16", "b16", "base_patch16"),
        ("L-14", "l14", "large_patch14"),
        ("H-14", "h14", "huge_patch14"),
        ("bigG-14", "G14", "gigantic_patch14"),
    ):
        tags = [("metaclip_fullcc", "fullcc2.5b", "metaclip_2pt5b")]
        if shape not in ("H-14", "bigG-14"):
            tags.insert(0, ("metaclip_400m", "400m", "metaclip_400m"))
        for tag, suffix, hub_tag in tags:
            yield _clip(
                f"ViT-{shape}-quickgelu",
                tag,
                shape,
                "quick_gelu",
                source_file=f"{file}_{suffix}.pt",
                hub_id=f"timm/vit_{timm}_clip_224.{hub_tag}",
                licence="CC-BY-NC-4.0",
            )


def _clipa_rows() -> Iterator[Backbone]:
    native = Preprocess(mode="squash", kernel="bilinear", mean=IMAGENET[0], std=IMAGENET[1])
    image_parameters = {
        ("L-14", 224): 303_964_160,
        ("L-14", 336): 304_291_840,
        ("H-14", 224): 632_074_240,
        ("H-14", 336): 632_483_840,
        ("bigG-14", 224): 1_844_903_936,
        ("bigG-14", 336): 1_845_436_416,
    }
    for shape, size, tag, data in (
        ("L-14", 224, "datacomp1b", "datacomp1B"),
        ("L-14", 336, "datacomp1b", "datacomp1B"),
        ("H-14", 224, "datacomp1b", "datacomp1B"),
        ("H-14", 336, "laion2b", "laion2B"),
        ("H-14", 336, "datacomp1b", "datacomp1B"),
        ("bigG-14", 224, "datacomp1b", "datacomp1B"),
        ("bigG-14", 336, "datacomp1b", "datacomp1B"),
    ):
        architecture = f"ViT-{shape}-CLIPA" + ("" if size == 224 else f"-{size}")
        image = dataclasses.replace(_clip_image(shape, size, "gelu_erf"), pre_norm=False, pool="mean")
        (width, heads, depth), embedding = _CLIP_SHAPES[shape][1:3]
        text = TextSpec(
            context=32,
            vocabulary=32000,
            blocks=_blocks(width, depth, heads, 4 * width, "gelu_erf"),
            embedding=embedding,
            pool="last",
            class_token=False,
            head_bias=False,
        )
        yield _row(
            architecture,
            tag,
            ModelSpec(image=image, text=text, logit_bias=False),
            native,
            benchmark=dataclasses.replace(native, kernel="bicubic"),
            tokenizer="bert",
            image_parameters=image_parameters[shape, size],
            source_file=GENERIC_FILE,
            hub_id=f"UCSC-VLAA/{architecture}-{data}",
            licence="Apache-2.0",
        )


def _siglip_rows() -> Iterator[Backbone]:
    base, large = (12, 768, 12, 3072), (24, 1024, 16, 4096)
    so400m = (27, 1152, 16, 4304)
    for shape, patch, vision, size, context, parameters in (
        ("B-16", 16, base, 224, 64, 92_884_224),
        ("B-16", 16, base, 256, 64, 92_930_304),
        ("B-16", 16, base, 384, 64, 93_176_064),
        ("B-16", 16, base, 512, 64, 93_520_128),
        ("L-16", 16, large, 256, 64, 315_956_224),
        ("L-16", 16, large, 384, 64, 316_283_904),
        ("SO400M-14", 14, so400m, 224, 16, 427_680_704),
        ("SO400M-14", 14, so400m, 384, 64, 428_225_600),
    ):
        depth, width, heads, hidden = vision
        blocks = _blocks(width, depth, heads, hidden, "gelu_erf", eps=1e-6)
        image = ImageSpec(
            size=size,
            patch=patch,
            blocks=blocks,
            embedding=width,
            patch_bias=True,
            class_token=False,
            pre_norm=False,
            pool="map",
            queries=0,
            pool_heads=heads,
            head="none",
        )
        text = TextSpec(
            context=context,
            vocabulary=32000,
            blocks=blocks,
            embedding=width,
            pool="last",
            class_token=False,
            head_bias=True,
        )
        architecture = f"ViT-{shape}-SigLIP" + ("" if size == 224 else f"-{size}")
        yield _row(
            architecture,
            "webli",
            ModelSpec(image=image, text=text, logit_bias=True),
            dataclasses.replace(_SQUASH, **_HALF),
            tokenizer="siglip",
            image_parameters=parameters,
            source_file=GENERIC_FILE,
            hub_id=f"timm/{architecture}",
            licence="Apache-2.0",
        )


def _coca_rows() -> Iterator[Backbone]:
    for shape, tag, hub_id, image_parameters, decoder in (
        ("B-32", "laion2b_s13b_b90k", "CoCa-ViT-B-32-laion2B-s13B-b90k", 89_164_032, 100_967_424),
        ("L-14", "laion2b_s13b_b90k", "CoCa-ViT-L-14-laion2B-s13B-b90k", 306_724_864, 208_074_240),
        (
            "L-14",
            "mscoco_finetuned_laion2b_s13b_b90k",
            "mscoco_finetuned_CoCa-ViT-L-14-laion2B-s13B-b90k",
            306_724_864,
            208_074_240,
        ),
    ):
        image = dataclasses.replace(_clip_image(shape, 224, "gelu_erf"), pool="query", queries=256, pool_heads=8)
        text_shape, embedding = _CLIP_SHAPES[shape][1:3]
        text = dataclasses.replace(_clip_text(*text_shape, embedding), context=76, pool="last", class_token=True)
        yield _row(
            f"coca_ViT-{shape}",
            tag,
            ModelSpec(image=image, text=text, logit_bias=False),
            _CROP,
            tokenizer="clip",
            image_parameters=image_parameters,
            unused_parameters=decoder,
            source_file=GENERIC_FILE,
            hub_id=f"laion/{hub_id}",
            licence="MIT",
        )


_EVA_01 = _blocks(1408, 40, 16, 6144, "gelu_erf", eps=1e-6, qkv_bias="qv")
_EVA_02 = _blocks(768, 12, 12, 2048, "silu", eps=1e-6, qkv_bias="qv", gated=True, sub_norm=True, rope=True)
_EVA_E = dataclasses.replace(_EVA_01, width=1792, depth=64, heads=16, hidden=15360, order="post")
_EVA_8B = dataclasses.replace(_EVA_01, width=4096, depth=32, heads=32, hidden=20480, norm="rms", qkv_bias="")
_EVA_18B = dataclasses.replace(_EVA_8B, width=5120, depth=48, heads=40, hidden=25600, order="post")


def _eva(
    architecture: str,
    tag: str,
    blocks: TransformerSpec,
    text: tuple[int, int, int],
    embedding: int,
    *,
    size: int = 224,
    patch: int = 14,
    head: Head = "affine",
    preprocess: Preprocess = _CROP,
    **facts: Any,
) -> Backbone:
    image = ImageSpec(
        size=size,
        patch=patch,
        blocks=blocks,
        embedding=embedding,
        patch_bias=True,
        class_token=True,
        pre_norm=False,
        pool="class",
        queries=0,
        pool_heads=0,
        head=head,
    )
    spec = ModelSpec(image=image, text=_clip_text(*text, embedding), logit_bias=False)
    return _row(architecture, tag, spec, preprocess, **({"tokenizer": "clip", "licence": "MIT"} | facts))


def _eva_rows() -> Iterator[Backbone]:
    large = dataclasses.replace(_EVA_02, width=1024, depth=24, heads=16, hidden=2730)
    yield _eva(
        "EVA01-g-14",
        "laion400m_s11b_b41k",
        _EVA_01,
        (768, 12, 12),
        1024,
        source_file="EVA01_CLIP_g_14_psz14_s11B.pt",
        hub_id="timm/eva_giant_patch14_clip_224.laion400m_s11b_b41k",
        image_parameters=1_012_588_928,
    )
    yield _eva(
        "EVA01-g-14-plus",
        "merged2b_s11b_b114k",
        _EVA_01,
        (1024, 16, 24),
        1024,
        source_file="EVA01_CLIP_g_14_plus_psz14_s11B.pt",
        hub_id="timm/eva_giant_patch14_plus_clip_224.merged2b_s11b_b114k",
        image_parameters=1_012_588_928,
    )
    yield _eva(
        "EVA02-B-16",
        "merged2b_s8b_b131k",
        _EVA_02,
        (512, 8, 12),
        512,
        patch=16,
        source_file="EVA02_CLIP_B_psz16_s8B.pt",
        hub_id="timm/eva02_base_patch16_clip_224.merged2b_s8b_b131k",
        image_parameters=86_263_040,
    )
    yield _eva(
        "EVA02-L-14",
        "merged2b_s4b_b131k",
        large,
        (768, 12, 12),
        768,
        source_file="EVA02_CLIP_L_psz14_s4B.pt",
        hub_id="timm/eva02_large_patch14_clip_224.merged2b_s4b_b131k",
        image_parameters=304_105_152,
    )
    yield _eva(
        "EVA02-L-14-336",
        "merged2b_s6b_b61k",
        large,
        (768, 12, 12),
        768,
        size=336,
        source_file="EVA02_CLIP_L_336_psz14_s6B.pt",
        hub_id="timm/eva02_large_patch14_clip_336.merged2b_s6b_b61k",
        image_parameters=304_432_832,
    )
    yield _eva(
        "EVA02-E-14",
        "laion2b_s4b_b115k",
        _EVA_E,
        (1024, 16, 24),
        1024,
        source_file="EVA02_CLIP_E_psz14_s4B.pt",
        hub_id="timm/eva02_enormous_patch14_clip_224.laion2b_s4b_b115k",
        image_parameters=4_350_556_928,
    )
    yield _eva(
        "EVA02-E-14-plus",
        "laion2b_s9b_b144k",
        _EVA_E,
        (1280, 20, 32),
        1024,
        source_file="EVA02_CLIP_E_psz14_plus_s9B.pt",
        hub_id="timm/eva02_enormous_patch14_plus_clip_224.laion2b_s9b_b144k",
        image_parameters=4_350_556_928,
    )
    yield _eva(
        "EVA-CLIP-8B",
        "merged2b_s9b",
        _EVA_8B,
        (1280, 20, 32),
        1280,
        head="matrix",
        preprocess=_SQUASH,
        source_file="EVA_CLIP_8B_psz14_s9B.pt",
        hub_id="BAAI/EVA-CLIP-8B:EVA_CLIP_8B_psz14_s9B.pt",
        image_parameters=7_526_088_704,
    )
    yield _eva(
        "EVA-CLIP-18B",
        "merged2b_s6b",
        _EVA_18B,
        (1280, 20, 32),
        1536,
        head="matrix",
        preprocess=_SQUASH,
        family="EVA-CLIP",
        source_file="EVA_CLIP_18B_psz14_s6B.fp16.pt",
        hub_id="BAAI/EVA-CLIP-18B:EVA_CLIP_18B_psz14_s6B.fp16.pt",
        parameters=18_325_482_241,
        image_parameters=17_630_494_720,
        data="Merged-2B+",
        pairs=2700.0,
        gflops=9121.13,
    )


def _embedded_rows() -> Iterator[Backbone]:
    row = _eva(
        "EVA02-embedded",
        "",
        dataclasses.replace(_EVA_02, width=128, depth=4, heads=4, hidden=344),
        (128, 4, 2),
        128,
        patch=32,
        family="EVA-CLIP",
        source_file="model.safetensors",
        hub_id="",
        parameters=1_707_777,
        image_parameters=1_217_792,
        data="procedural caption-image pairs",
        pairs=None,
        gflops=0.12,
        tokenizer="file:tokenizer.json",
        licence="Apache-2.0",
    )
    assert row.spec.text is not None
    text = dataclasses.replace(row.spec.text, context=24, vocabulary=576)
    yield dataclasses.replace(row, spec=dataclasses.replace(row.spec, text=text))


BACKBONES: dict[str, Backbone] = {
    row.name: row
    for rows in (
        _embedded_rows,
        _clip_rows,
        _openclip_rows,
        _laion_rows,
        _metaclip_rows,
        _clipa_rows,
        _siglip_rows,
        _coca_rows,
        _eva_rows,
    )
    for row in rows()
}
