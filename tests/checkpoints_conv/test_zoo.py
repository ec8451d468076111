"""Every format names every parameter of the families that are published in it, and of no others."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from checkpoints_conv import FORMATS, convert, export, exported_shapes, find_table, recognise
from lrjax.errors import UserError
from lrjax.models import build, zoo
from lrjax.models.spec import ResNetSpec

EVA = {"eva_original", "open_clip_eva"}
SIGLIP = {"open_clip_siglip", "hf_siglip", "big_vision_siglip", "big_vision_siglip_scanned"}
CLIP = {"open_clip_clip", "open_clip_custom", "hf_clip", "scenic_clip"}


def layouts_of(row):
    if row.architecture.startswith("EVA"):
        return EVA
    if isinstance(row.spec.image, ResNetSpec) or row.family == "CLIPA":  # CLIPModel has neither
        return CLIP - {"hf_clip"}
    return {"SigLIP": SIGLIP, "CoCa": {"open_clip_coca"}}.get(row.family, CLIP)


class DictReader:
    def __init__(self, tensors):
        self.tensors = tensors

    def keys(self):
        return list(self.tensors)

    def shape(self, key):
        return self.tensors[key].shape

    def read(self, key):
        return self.tensors[key]


def shrink(spec):
    """Return a spec with the same parameter names and small arrays."""
    numbers = {"width": 32, "depth": 2, "heads": 2, "hidden": 48}
    text = replace(spec.text, blocks=replace(spec.text.blocks, **numbers), vocabulary=40, context=6, embedding=16)
    if isinstance(spec.image, ResNetSpec):
        image = replace(spec.image, layers=(2, 2, 2, 2), width=4, heads=2, size=64, embedding=16)
    else:
        pool = {"pool_heads": 2} if spec.image.pool_heads else {}
        embedding = 16 if spec.image.head != "none" else 32
        blocks = replace(spec.image.blocks, **numbers)
        image = replace(spec.image, blocks=blocks, patch=8, size=16, embedding=embedding, **pool)
    return replace(spec, image=image, text=text)


def kinds():
    """One row for each structure: rows of equal small specs have equal names of parameters."""
    found = {}
    for row in zoo.BACKBONES.values():
        found.setdefault((shrink(row.spec), row.family), row)
    return list(found.values())


@pytest.mark.parametrize("row", kinds(), ids=lambda row: row.name)
def test_tables_name_every_parameter_of_the_zoo(row):
    spec = shrink(row.spec)
    target = build.abstract_params(spec)
    generator = np.random.default_rng(0)
    tree = jax.tree.map(lambda leaf: generator.random(leaf.shape, np.float32), target)
    written = set()
    for layout in FORMATS:
        table = find_table(layout, spec)
        try:
            shapes = exported_shapes(target, table)
            if recognise(shapes) != layout:
                continue
        except UserError:
            continue
        written.add(layout)
        tensors = export(tree, table)
        assert {key: tensor.shape for key, tensor in tensors.items()} == shapes
        back = convert(DictReader(tensors), table, target, model=row.name)
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), back, tree)
        assert sum(tensor.size for tensor in tensors.values()) == sum(leaf.size for leaf in jax.tree.leaves(tree))
    assert written == layouts_of(row)
