from dataclasses import replace

import jax
import numpy as np
import pytest

from checkpoints_conv import FORMATS, convert, export
from lrjax.models import build, zoo


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
    image, text = (replace(tower, blocks=replace(tower.blocks, **numbers)) for tower in (spec.image, spec.text))
    return replace(spec, image=replace(image, size=2 * image.patch), text=replace(text, vocabulary=40))


@pytest.mark.parametrize("layout", sorted(FORMATS))
@pytest.mark.parametrize("name", [name for name in zoo.BACKBONES if name.startswith("EVA")])
def test_tables_name_every_parameter_of_the_zoo(name, layout):
    target = build.abstract_params(shrink(zoo.get(name).spec))
    generator = np.random.default_rng(0)
    tree = jax.tree.map(lambda leaf: generator.random(leaf.shape, np.float32), target)
    tensors = export(tree, FORMATS[layout].TABLE)
    back = convert(DictReader(tensors), FORMATS[layout].TABLE, target, model=name)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b, strict=True), back, tree)
    assert sum(tensor.size for tensor in tensors.values()) == build.count_params(target)
