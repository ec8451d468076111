"""What the layouts of EVA-CLIP's image tower share; the norm inside the attention and the gated MLP they name apart."""

from checkpoints_conv.rules import Rule, Table, linear_rules, norm_rules

ATTENTION, MLP = "image/blocks/attention", "image/blocks/mlp"
# EVA02 B and L have a norm inside the attention, keep q, k and v apart and gate the MLP; the others do none of it.
INNER_NORM = f"{ATTENTION}/norm/scale"
GATE = f"{MLP}/gate/kernel"


def eva_image_rules(tower: str) -> Table:
    """Rules of the image tower.

    Args:
        tower: what the keys of the tower begin with, without the dot behind it.
    """
    block = f"{tower}.blocks.{{i}}"
    return (
        Rule(f"{tower}.cls_token", ("image/class_token",), "squeeze_lead"),
        Rule(f"{tower}.pos_embed", ("image/position",), "squeeze_lead"),
        Rule(f"{tower}.patch_embed.proj.weight", ("image/patch_embed/kernel",), "conv"),
        Rule(f"{tower}.patch_embed.proj.bias", ("image/patch_embed/bias",)),
        *norm_rules(f"{block}.norm1", "image/blocks/norm1"),
        Rule(
            f"{block}.attn.qkv.weight",
            tuple(f"{ATTENTION}/{name}/kernel" for name in "qkv"),
            "split_linear",
            unless=INNER_NORM,
        ),
        *linear_rules(f"{block}.attn.proj", f"{ATTENTION}/out"),
        *norm_rules(f"{block}.norm2", "image/blocks/norm2"),
        *linear_rules(f"{block}.mlp.fc1", f"{MLP}/up", unless=GATE),
        *norm_rules(f"{tower}.norm", "image/norm"),
        *linear_rules(f"{tower}.head", "image/head"),
    )
