"""Image tower, text tower and the two-tower model, built from a spec."""

import jax.numpy as jnp
from flax import nnx

from lrjax.models.layers import add_to_patches, make_norm, rope_table, run_blocks, stack_blocks
from lrjax.models.poolers import MapHead, QueryPooler
from lrjax.models.resnet import ResNetTower
from lrjax.models.robust_token import read_class_row
from lrjax.models.spec import ImageSpec, ModelSpec, ResNetSpec, TextSpec
from lrjax.types import Array, Tree


class PatchEmbed(nnx.Module):
    """Convolution whose stride is its kernel side, as one matrix product: its gradient is 1.8 times faster on a CPU."""

    def __init__(self, patch: int, width: int, *, use_bias: bool, rngs: nnx.Rngs):
        initializer = nnx.initializers.lecun_normal(in_axis=(0, 1, 2))
        self.kernel = nnx.Param(initializer(rngs.params(), (patch, patch, 3, width)))
        self.bias = nnx.Param(jnp.zeros((width,))) if use_bias else None

    def __call__(self, images: Array) -> Array:
        """Maps images [B, H, W, 3] to patch rows [B, N, D]; pixels beyond the last whole patch are ignored."""
        patch, width = self.kernel.shape[0], self.kernel.shape[-1]
        rows, columns = images.shape[1] // patch, images.shape[2] // patch
        x = images[:, : rows * patch, : columns * patch].reshape(-1, rows, patch, columns, patch, 3)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, rows * columns, patch * patch * 3)
        x = x @ self.kernel[...].reshape(-1, width)
        return x if self.bias is None else x + self.bias[...][None, None]


class ImageTower(nnx.Module):
    """Vision transformer: patches, class token, absolute positions, blocks, pooling, norm, head."""

    def __init__(self, spec: ImageSpec, *, rngs: nnx.Rngs):
        width = spec.blocks.width
        initializer = nnx.initializers.normal(0.02)
        self.patch_embed = PatchEmbed(spec.patch, width, use_bias=spec.patch_bias, rngs=rngs)
        self.class_token = nnx.Param(initializer(rngs.params(), (width,))) if spec.class_token else None
        self.position = nnx.Param(initializer(rngs.params(), (spec.rows, width)))
        self.pre_norm = make_norm(spec.blocks, width, rngs=rngs) if spec.pre_norm else None
        self.blocks = stack_blocks(spec.blocks, rngs=rngs)
        self.pool = spec.pool
        self.pooler = {"map": MapHead, "query": QueryPooler}[spec.pool](spec, rngs=rngs) if spec.pool_heads else None
        pooled = spec.embedding if spec.pool == "query" else width
        self.norm = make_norm(spec.blocks, pooled, rngs=rngs)
        affine = spec.head == "affine"
        head = spec.head != "none"
        self.head = nnx.Linear(pooled, spec.embedding, use_bias=affine, rngs=rngs) if head else None
        self.grid = spec.grid
        self.rope_width = width // spec.blocks.heads if spec.blocks.rope else 0

    def __call__(
        self,
        images: Array,
        *,
        lr_tokens: Array | None = None,
        prompts: Array | None = None,
        robust_token: Tree | None = None,
        features: bool = False,
        remat: str = "none",
    ) -> tuple[Array, Array | None]:
        """Encodes normalised images.

        Args:
            images: [B, size, size, 3], normalised; its dtype is the compute dtype.
            lr_tokens: [L + 1, N, D] or None: table 0 is added to the patch embeddings before class token and positions,
                table i + 1 to the patch rows at the input of block i (LR0.FM, arXiv 2502.03950, section 5).
            prompts: [P, D] or None: rows that go before the patch rows at the input of the first block, without
                positions, and that the pooling does not see (VPT, arXiv 2203.12119, section 3.2, "shallow").
            robust_token: of `init_robust_token` or None: takes the place of the class token.
            features: whether the outputs of all blocks are returned too.
            remat: what the backward pass recomputes, see `run_blocks`.

        Returns:
            Embeddings [B, E], not L2-normalised, and block outputs [L, B, rows, D] or None.
        """
        x = self.patch_embed(images)
        if lr_tokens is not None:
            x, lr_tokens = add_to_patches(x, lr_tokens[0]), lr_tokens[1:]
        if self.class_token is not None:
            class_token = self.class_token[...] if robust_token is None else robust_token["class_token"]
            class_rows = jnp.broadcast_to(class_token.astype(x.dtype), (x.shape[0], 1, x.shape[2]))
            x = jnp.concatenate([class_rows, x], axis=1)
        x = x + self.position[...][None].astype(x.dtype)
        if self.pre_norm is not None:
            x = self.pre_norm(x).astype(x.dtype)
        if prompts is not None:
            x = _insert_prompts(x, prompts, self.class_token is not None)
        rope = jnp.asarray(rope_table(self.grid, self.rope_width)) if self.rope_width else None
        row = 0 if self.pool == "class" else None
        x, outputs = run_blocks(self.blocks, x, rope=rope, lr_tokens=lr_tokens, row=row, features=features, remat=remat)
        if prompts is not None and row is None:
            before = int(self.class_token is not None)
            x = jnp.concatenate([x[:, :before], x[:, before + len(prompts) :]], axis=1)
        x = self._pool(x)
        if robust_token is not None:
            x = read_class_row(x, robust_token["readout"]).astype(x.dtype)
        return x if self.head is None else self.head(x), outputs

    def _pool(self, x: Array) -> Array:
        if isinstance(self.pooler, MapHead):
            return self.pooler(self.norm(x).astype(x.dtype))
        if isinstance(self.pooler, QueryPooler):
            pooled = self.pooler(x)
        elif self.pool == "mean":
            pooled = x[:, 0 if self.class_token is None else 1 :].mean(axis=1)
        else:
            pooled = x[:, 0]
        return self.norm(pooled).astype(x.dtype)


def _insert_prompts(x: Array, prompts: Array, class_token: bool) -> Array:
    prompts = jnp.broadcast_to(prompts.astype(x.dtype), (x.shape[0], *prompts.shape))
    before = int(class_token)
    return jnp.concatenate([x[:, :before], prompts, x[:, before:]], axis=1)


class TextTower(nnx.Module):
    """Text transformer, pooled at the end of the text or at the last row."""

    def __init__(self, spec: TextSpec, *, rngs: nnx.Rngs):
        width = spec.blocks.width
        initializer, small = nnx.initializers.normal(0.02), nnx.initializers.normal(0.01)
        self.pool = spec.pool
        self.token_embed = nnx.Embed(spec.vocabulary, width, embedding_init=initializer, rngs=rngs)
        self.class_token = nnx.Param(small(rngs.params(), (width,))) if spec.class_token else None
        self.position = nnx.Param(small(rngs.params(), (spec.context + spec.class_token, width)))
        self.blocks = stack_blocks(spec.blocks, rngs=rngs)
        self.norm = make_norm(spec.blocks, width, rngs=rngs)
        self.head = nnx.Linear(width, spec.embedding, use_bias=spec.head_bias, rngs=rngs)

    def __call__(self, tokens: Array, *, dtype: jnp.dtype = jnp.float32) -> Array:
        """Encodes token ids.

        Args:
            tokens: int32 [B, context]; for "end" pooling the end-of-text id is the highest in each row.
            dtype: compute dtype.

        Returns:
            Embeddings [B, E], not L2-normalised.
        """
        x, mask = self.token_embed(tokens), None
        if self.class_token is not None:
            x = jnp.concatenate([x, jnp.broadcast_to(self.class_token[...], (x.shape[0], 1, x.shape[2]))], axis=1)
            # Published CoCa weights were trained with the flag of the class token in front of those of the ids, so the
            # first padded position is visible and the class token is hidden from itself in padded texts.
            seen = jnp.concatenate([jnp.ones_like(tokens[:, :1], bool), tokens != 0], axis=1)
            mask = seen[:, None, None, :]
        row = -1 if self.pool == "last" else jnp.argmax(tokens, axis=1)
        x, _ = run_blocks(self.blocks, (x + self.position[...][None]).astype(dtype), mask=mask, row=row)
        return self.head(self.norm(x[:, 0]).astype(dtype))


class Model(nnx.Module):
    """Image and text tower with a learned temperature."""

    def __init__(self, spec: ModelSpec, *, rngs: nnx.Rngs):
        self.image: ImageTower | ResNetTower = (
            ResNetTower(spec.image, rngs=rngs)
            if isinstance(spec.image, ResNetSpec)
            else ImageTower(spec.image, rngs=rngs)
        )
        self.text = TextTower(spec.text, rngs=rngs)
        self.logit_scale = nnx.Param(jnp.log(jnp.asarray(1 / 0.07, jnp.float32)))
        self.logit_bias = nnx.Param(jnp.asarray(-10.0, jnp.float32)) if spec.logit_bias else None
