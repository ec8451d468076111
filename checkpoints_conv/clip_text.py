"""Rows of the CLIP transformer and of the CLIP text tower, which many formats share."""

from checkpoints_conv.rules import Drop, Rule, Table, linear_rules, norm_rules

LOGIT_BIAS = Drop("logit_bias", "the constant of the sigmoid loss, which neither a ranking nor a softmax sees")
"""For the models that are published without one: CLIP's architectures can be trained with the sigmoid loss as well."""


def clip_block_rules(source: str, target: str) -> Table:
    """Return the rows of a stack of CLIP's transformer blocks.

    Args:
        source: what stands before every key, block number included, such as "transformer.resblocks.{i}".
        target: path of the blocks in the tree, such as "text/blocks".

    Returns:
        The rows.
    """
    attention = f"{target}/attention"
    return (
        *norm_rules(f"{source}.ln_1", f"{target}/norm1"),
        Rule(
            f"{source}.attn.in_proj_weight",
            tuple(f"{attention}/{name}/kernel" for name in "qkv"),
            "split_linear",
        ),
        Rule(f"{source}.attn.in_proj_bias", tuple(f"{attention}/{name}/bias" for name in "qkv"), "split_vector"),
        *linear_rules(f"{source}.attn.out_proj", f"{attention}/out"),
        *norm_rules(f"{source}.ln_2", f"{target}/norm2"),
        *linear_rules(f"{source}.mlp.c_fc", f"{target}/mlp/up"),
        *linear_rules(f"{source}.mlp.c_proj", f"{target}/mlp/down"),
    )


def clip_text_rules(prefix: str, *, linear_head: bool = False) -> Table:
    """Return the rows of a CLIP text tower.

    Args:
        prefix: what stands before every key, such as "text." or "".
        linear_head: whether the projection is a linear layer instead of a matrix stored as (in, out).

    Returns:
        The rows.
    """
    head = f"{prefix}text_projection"
    return (
        Rule(f"{prefix}token_embedding.weight", ("text/token_embed/embedding",)),
        Rule(f"{prefix}positional_embedding", ("text/position",)),
        *clip_block_rules(f"{prefix}transformer.resblocks.{{i}}", "text/blocks"),
        *norm_rules(f"{prefix}ln_final", "text/norm"),
        *(linear_rules(head, "text/head") if linear_head else (Rule(head, ("text/head/kernel",)),)),
    )
