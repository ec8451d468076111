"""Tiny models of transformers and open_clip with random weights, and writers of the layouts of big_vision and Scenic.

The writers loop over the modules and know nothing of the tables of `checkpoints_conv`.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from lrjax.models import zoo
from lrjax.models.build import Encoders
from parity_helpers import ROWS, assert_close, make_inputs, tiny_open_clip_spec
from torch_reference import Family, import_open_clip, randomise

HIDDEN_ACTS = {"gelu_erf": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "quick_gelu": "quick_gelu"}


def tiny_row(family: Family, *, activation: str | None = None) -> zoo.Backbone:
    """Makes the row of the zoo of `tiny_open_clip`, with its own name."""
    row, spec = zoo.get(ROWS[family]), tiny_open_clip_spec(family)
    if activation:
        towers = {
            name: dataclasses.replace(tower, blocks=dataclasses.replace(tower.blocks, activation=activation))
            for name, tower in (("image", spec.image), ("text", spec.text))
        }
        spec = dataclasses.replace(spec, **towers)
    return dataclasses.replace(row, architecture=f"Tiny-{row.architecture}", tag="", spec=spec)


def tiny_hf(spec: Any, seed: int = 0) -> Any:
    """Builds the transformers model of a spec: `SiglipModel` where it pools with a MAP head, else `CLIPModel`."""
    import_open_clip()
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    def common(blocks: Any) -> dict[str, Any]:
        return {
            "hidden_size": blocks.width,
            "intermediate_size": blocks.hidden,
            "num_hidden_layers": blocks.depth,
            "num_attention_heads": blocks.heads,
            "hidden_act": HIDDEN_ACTS[blocks.activation],
            "layer_norm_eps": blocks.eps,
        }

    vision = {**common(spec.image.blocks), "image_size": spec.image.size, "patch_size": spec.image.patch}
    text = {
        **common(spec.text.blocks),
        "vocab_size": spec.text.vocabulary,
        "max_position_embeddings": spec.text.context,
        "bos_token_id": 0,
        "eos_token_id": spec.text.vocabulary - 1,
        "pad_token_id": 1,
        "projection_size": spec.text.embedding,
    }
    if spec.image.pool == "map":
        module = SiglipModel(SiglipConfig(vision_config=vision, text_config=text)).eval()
    else:
        module = CLIPModel(
            CLIPConfig(vision_config=vision, text_config=text, projection_dim=text["projection_size"])
        ).eval()
    randomise(module, seed)
    return module


def embed(module: Any, images: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the unit embeddings of images and texts by a transformers or open_clip module."""
    import torch

    pixels, ids = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(tokens).long()
    with torch.no_grad():
        if hasattr(module, "encode_image"):
            return module.encode_image(pixels, normalize=True).numpy(), module.encode_text(ids, normalize=True).numpy()
        output = module(input_ids=ids, pixel_values=pixels)
    return output.image_embeds.numpy(), output.text_embeds.numpy()


def assert_same_embeddings(module: Any, params: dict[str, Any], spec: Any, *, atol: float = 2e-6) -> None:
    """Compares the unit embeddings of a transformers or open_clip module with those of converted parameters."""
    inputs, encoders = make_inputs(spec), Encoders(spec)
    expected_images, expected_texts = embed(module, *inputs)
    assert_close(jax.jit(encoders.image)(params, inputs[0]), expected_images, atol)
    assert_close(jax.jit(encoders.text)(params, inputs[1]), expected_texts, atol)


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().numpy()


def _linear(module: Any) -> dict[str, np.ndarray]:
    return {"kernel": _array(module.weight).T, "bias": _array(module.bias)}


def _norm(module: Any) -> dict[str, np.ndarray]:
    return {"scale": _array(module.weight), "bias": _array(module.bias)}


def _joined(tree: Any, prefix: str = "") -> dict[str, np.ndarray]:
    if not isinstance(tree, dict):
        return {prefix: np.asarray(tree, order="C")}
    return {
        key: value
        for name, node in tree.items()
        for key, value in _joined(node, f"{prefix}/{name}" if prefix else name).items()
    }


def _flax_attention(query: Any, key: Any, value: Any, out: tuple[Any, Any], heads: int) -> dict[str, Any]:
    """Makes flax's attention of PyTorch (weight, bias) pairs: q, k, v are [D, A, dh], out is [A, dh, D]."""

    def projection(weight: np.ndarray, bias: np.ndarray) -> dict[str, np.ndarray]:
        per_head = np.stack([rows.T for rows in np.split(weight, heads)], axis=1)
        return {"kernel": per_head, "bias": np.stack(np.split(bias, heads))}

    weight, bias = out
    kernel = np.stack([columns.T for columns in np.split(weight, heads, axis=1)])
    return {
        "query": projection(*query),
        "key": projection(*key),
        "value": projection(*value),
        "out": {"kernel": kernel, "bias": bias},
    }


def _pair(module: Any) -> tuple[np.ndarray, np.ndarray]:
    return _array(module.weight), _array(module.bias)


def _fused_attention(module: Any, heads: int) -> dict[str, Any]:
    thirds = zip(np.split(_array(module.in_proj_weight), 3), np.split(_array(module.in_proj_bias), 3), strict=True)
    return _flax_attention(*thirds, _pair(module.out_proj), heads)


def big_vision_arrays(module: Any, spec: Any, *, scanned: bool) -> dict[str, np.ndarray]:
    """Writes a `SiglipModel` as big_vision does: {'/'-joined name: array}."""

    def mlp(layer: Any) -> dict[str, Any]:
        return {"Dense_0": _linear(layer.fc1), "Dense_1": _linear(layer.fc2)}

    def block(layer: Any, heads: int) -> dict[str, Any]:
        attention = layer.self_attn
        pairs = [_pair(getattr(attention, f"{name}_proj")) for name in ("q", "k", "v", "out")]
        return {
            "LayerNorm_0": _norm(layer.layer_norm1),
            "MultiHeadDotProductAttention_0": _flax_attention(*pairs, heads),
            "LayerNorm_1": _norm(layer.layer_norm2),
            "MlpBlock_0": mlp(layer.mlp),
        }

    def encoder(layers: Any, norm: Any, heads: int) -> dict[str, Any]:
        blocks = [_joined(block(layer, heads)) for layer in layers]
        if scanned:
            named = {"encoderblock": {key: np.stack([one[key] for one in blocks]) for key in blocks[0]}}
        else:
            named = {f"encoderblock_{index}": one for index, one in enumerate(blocks)}
        return {**named, "encoder_norm": _norm(norm)}

    image, text = module.vision_model, module.text_model
    image_heads, text_heads = spec.image.blocks.heads, spec.text.blocks.heads
    patches = image.embeddings.patch_embedding
    params = {
        "img": {
            "embedding": {"kernel": _array(patches.weight).transpose(2, 3, 1, 0), "bias": _array(patches.bias)},
            "pos_embedding": _array(image.embeddings.position_embedding.weight)[None],
            "Transformer": encoder(image.encoder.layers, image.post_layernorm, image_heads),
            "MAPHead_0": {
                "probe": _array(image.head.probe),
                "MultiHeadDotProductAttention_0": _fused_attention(image.head.attention, image_heads),
                "LayerNorm_0": _norm(image.head.layernorm),
                "MlpBlock_0": mlp(image.head.mlp),
            },
        },
        "txt": {
            "Embed_0": {"embedding": _array(text.embeddings.token_embedding.weight)},
            "pos_embedding": _array(text.embeddings.position_embedding.weight)[None],
            "Encoder_0": encoder(text.encoder.layers, text.final_layer_norm, text_heads),
            "head": _linear(text.head),
        },
        "t": _array(module.logit_scale),
        "b": _array(module.logit_bias),
    }
    return _joined({"params": params})


def scenic_arrays(module: Any, spec: Any) -> dict[str, np.ndarray]:
    """Writes an open_clip `CLIP` as the variables of Scenic's model: {'/'-joined name: array}."""

    def transformer(source: Any, heads: int) -> dict[str, Any]:
        return {
            f"resblocks.{index}": {
                "ln_1": _norm(block.ln_1),
                "attn": _fused_attention(block.attn, heads),
                "ln_2": _norm(block.ln_2),
                "mlp": {"c_fc": _linear(block.mlp.c_fc), "c_proj": _linear(block.mlp.c_proj)},
            }
            for index, block in enumerate(source.resblocks)
        }

    def convolution(source: Any) -> dict[str, Any]:
        return {"kernel": _array(source.weight).transpose(2, 3, 1, 0)}

    text = {
        "token_embedding": {"embedding": _array(module.token_embedding.weight)},
        "positional_embedding": _array(module.positional_embedding),
        "transformer": transformer(module.transformer, spec.text.blocks.heads),
        "ln_final": _norm(module.ln_final),
        "text_projection": {"kernel": _array(module.text_projection)},
    }
    image, statistics = module.visual, {}
    if hasattr(image, "attnpool"):
        visual: dict[str, Any] = {}

        def layer(source: Any, params: dict, stats: dict, convolutions: str, norms: str) -> None:
            params[convolutions], norm = convolution(getattr(source, convolutions)), getattr(source, norms)
            params[norms] = _norm(norm)
            stats[norms] = {"mean": _array(norm.running_mean), "var": _array(norm.running_var)}

        for n in "123":
            layer(image, visual, statistics, f"conv{n}", f"bn{n}")
        for number in "1234":
            stage, stage_statistics = visual[f"layer{number}"], statistics[f"layer{number}"] = {}, {}
            for index, bottleneck in enumerate(getattr(image, f"layer{number}")):
                params, stats = stage[str(index)], stage_statistics[str(index)] = {}, {}
                for n in "123":
                    layer(bottleneck, params, stats, f"conv{n}", f"bn{n}")
                if bottleneck.downsample is not None:
                    params["downsample"], stats["downsample"] = {}, {}
                    layer(bottleneck.downsample, params["downsample"], stats["downsample"], "0", "1")
        pool = image.attnpool
        visual["attnpool"] = {
            "positional_embedding": _array(pool.positional_embedding),
            "attn": _flax_attention(*(_pair(getattr(pool, f"{name}_proj")) for name in "qkvc"), spec.image.heads),
        }
    else:
        visual = {
            "conv1": convolution(image.conv1),
            "class_embedding": _array(image.class_embedding),
            "positional_embedding": _array(image.positional_embedding),
            "ln_pre": _norm(image.ln_pre),
            "transformer": transformer(image.transformer, spec.image.blocks.heads),
            "ln_post": _norm(image.ln_post),
            "proj": {"kernel": _array(image.proj)},
        }
    params = {"visual": visual, "text": text, "logit_scale": _array(module.logit_scale)}
    return _joined({"params": params, "batch_stats": {"visual": statistics} if statistics else {}})
