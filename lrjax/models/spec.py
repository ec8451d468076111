"""What a backbone is, as data: every field is required, so that no default can silently differ from the checkpoint."""

import abc
import dataclasses
from typing import Literal

Activation = Literal["gelu_erf", "gelu_tanh", "quick_gelu", "silu"]
Head = Literal["matrix", "affine", "none"]


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
class TowerSpec(abc.ABC):
    """An image tower.

    Attributes:
        size: input side in pixels.
        embedding: width E of the joint embedding.
    """

    size: int
    embedding: int

    @property
    def transformer(self) -> "ImageSpec | None":
        """The tower itself where it is a vision transformer, which has rows of patches."""
        return None

    @property
    def reads_class_token(self) -> bool:
        """Whether the embedding is made of the row of a class token."""
        return False

    @property
    @abc.abstractmethod
    def step(self) -> int:
        """What the input side is divided by."""

    @property
    @abc.abstractmethod
    def grid(self) -> int:
        """Side of the last feature map."""

    @property
    @abc.abstractmethod
    def rows(self) -> int:
        """Rows of the position table."""

    @property
    @abc.abstractmethod
    def position_width(self) -> int:
        """Columns of the position table."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSpec(TowerSpec):
    """A vision transformer: patches, class token, absolute positions, blocks, pooling, norm, linear head.

    Attributes:
        patch: patch side P in pixels; pixels beyond the last whole patch are ignored.
        blocks: the transformer.
        patch_bias: whether the patch embedding has a bias.
        class_token: whether a class token, with a position of its own, goes before the patches.
        pre_norm: whether a norm follows the positions (CLIP's ln_pre).
        pool: how rows become one: "class" takes the class row; "mean" averages the patch rows; "map" attends from one
            learned probe and adds an MLP (SigLIP); "query" attends from learned queries of width E and takes the first
            (CoCa). The norm stands before "map" and after all others.
        queries: learned queries of "query"; 0 elsewhere.
        pool_heads: attention heads of "map" and "query"; 0 elsewhere.
        head: the last linear layer: "matrix", "affine" (with a bias) or "none".
    """

    patch: int
    blocks: TransformerSpec
    patch_bias: bool
    class_token: bool
    pre_norm: bool
    pool: Literal["class", "mean", "map", "query"]
    queries: int
    pool_heads: int
    head: Head

    @property
    def transformer(self) -> "ImageSpec":
        """The tower itself."""
        return self

    @property
    def reads_class_token(self) -> bool:
        """Whether the embedding is made of the class row."""
        return self.class_token and self.pool == "class"

    @property
    def grid(self) -> int:
        """Patches per side."""
        return self.size // self.patch

    @property
    def patches(self) -> int:
        """Patches N per image."""
        return self.grid**2

    @property
    def step(self) -> int:
        """What the input side is divided by."""
        return self.patch

    @property
    def rows(self) -> int:
        """Rows of the position table."""
        return self.patches + self.class_token

    @property
    def position_width(self) -> int:
        """Columns of the position table."""
        return self.blocks.width


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNetSpec(TowerSpec):
    """CLIP's modified ResNet: a stem of three convolutions, bottleneck stages that pool instead of striding, attention
    pooling. The input side is a multiple of 32.

    Attributes:
        layers: bottlenecks of the four stages.
        width: channels C of the stem; the stages have 4 C, 8 C, 16 C and 32 C.
        heads: heads of the attention pooling, which works on 32 C channels.
        eps: epsilon of the batch norms, which use their stored statistics.
    """

    layers: tuple[int, int, int, int]
    width: int
    heads: int
    eps: float

    @property
    def step(self) -> int:
        """What the input side is divided by."""
        return 32

    @property
    def grid(self) -> int:
        """Side of the last feature map."""
        return self.size // self.step

    @property
    def rows(self) -> int:
        """Rows of the position table: the mean row and the feature map."""
        return self.grid**2 + 1

    @property
    def position_width(self) -> int:
        """Columns of the position table."""
        return 32 * self.width


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSpec:
    """A text tower: token and position embeddings, blocks, one row, norm, linear head.

    Attributes:
        context: number of token ids.
        vocabulary: rows of the token table.
        blocks: the transformer.
        embedding: width E of the joint embedding.
        pool: which row is taken: "end" is that of the highest token id (CLIP's end of text), "last" the last one.
        class_token: whether a learned token, which is then pooled, stands behind the ids and padding is masked (CoCa).
        head_bias: whether the head has a bias.
    """

    context: int
    vocabulary: int
    blocks: TransformerSpec
    embedding: int
    pool: Literal["end", "last"]
    class_token: bool
    head_bias: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A two-tower model with one learned temperature (its logarithm is the parameter `logit_scale`).

    Attributes:
        image: the image tower.
        text: the text tower; None where there is none.
        logit_bias: whether logits have a learned offset (SigLIP).
    """

    image: TowerSpec
    text: TextSpec | None
    logit_bias: bool
