"""Rows of the CLIP text tower, which many formats share."""

from checkpoints_conv.rules import Rule, Table, linear_rules, norm_rules


def clip_text_rules(prefix: str) -> Table:
    """Return the rows of a CLIP text tower.

    Args:
        prefix: what stands before every key, such as "text." or "".

    Returns:
        The rows; the projection is stored as (in, out) in these formats and is not transposed.
    """
    source = f"{prefix}transformer.resblocks.{{i}}"
    target = "text/blocks"
    attention = f"{target}/attention"
    return (
        Rule(f"{prefix}token_embedding.weight", ("text/token_embed/embedding",)),
        Rule(f"{prefix}positional_embedding", ("text/position",)),
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
        *norm_rules(f"{prefix}ln_final", "text/norm"),
        Rule(f"{prefix}text_projection", ("text/head/kernel",)),
    )
