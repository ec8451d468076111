"""What a backbone is, as data: every field is required, so that no default can silently differ from the checkpoint."""

import dataclasses
from typing import Literal

Activation = Literal["gelu_erf", "gelu_tanh", "quick_gelu", "silu"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerSpec:
    """A stack of equal blocks.

    Attributes:
        width: model width D.
        depth: number of blocks L.
        heads: attention heads A; D must be a multiple of it.
        hidden: width F of the MLP, stated because rounded ratios do not give it back (2730, 6144, 15360).
        activation: non-linearity of the MLP.
        norm: layer norm, or RMS norm with a scale only.
        eps: epsilon of every norm in the stack.
        order: "pre" is x + f(norm(x)), "post" is x + norm(f(x)).
        qkv_bias: which of the three input projections have a bias: "qkv", "qv" (EVA) or "".
        gated: SwiGLU, down(act(gate(x)) * up(x)), instead of down(act(up(x))).
        sub_norm: a norm on the joined attention heads and one on the hidden layer of the MLP (EVA-02's sub-LN).
        rope: rotary positions on the patch rows of q and k.
        causal: each row sees itself and earlier rows only.
    """

    width: int
    depth: int
    heads: int
    hidden: int
    activation: Activation
    norm: Literal["layer", "rms"]
    eps: float
    order: Literal["pre", "post"]
    qkv_bias: Literal["qkv", "qv", ""]
    gated: bool
    sub_norm: bool
    rope: bool
    causal: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """An image tower: patches, class token, absolute positions, blocks, norm, class row, linear head.

    Attributes:
        size: input side in pixels.
        patch: patch side P in pixels.
        blocks: the transformer.
        embedding: width E of the joint embedding.
        head_bias: whether the head has a bias.
    """

    size: int
    patch: int
    blocks: TransformerSpec
    embedding: int
    head_bias: bool

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.size // self.patch

    @property
    def patches(self) -> int:
        """Patches N per image."""
        return self.grid**2


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSpec:
    """A text tower: token and position embeddings, blocks, norm, row of the highest token id, linear head without bias.

    Attributes:
        context: number of token positions.
        vocabulary: rows of the token table.
        blocks: the transformer.
        embedding: width E of the joint embedding.
    """

    context: int
    vocabulary: int
    blocks: TransformerSpec
    embedding: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A two-tower model with one learned temperature (its logarithm is the parameter `logit_scale`)."""

    image: ImageSpec
    text: TextSpec
