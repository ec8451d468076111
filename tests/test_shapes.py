"""Shapes in signatures are checked in the tests, and nowhere else."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from lrjax.metrics.accuracy import topk
from lrjax.metrics.intervals import difference_interval
from lrjax.ops.preprocess import render_view
from lrjax.train.losses import clip_loss

WRONG = {
    "a rank": lambda: topk(np.zeros(3, np.float32), 1),
    "a dtype": lambda: topk(np.zeros((3, 4), np.int32), 1),
    "two lengths": lambda: difference_interval(np.ones(4, bool), np.ones(5, bool)),
    "a rectangle": lambda: render_view(np.zeros((2, 8, 9, 3), np.uint8), []),
    "two widths": lambda: clip_loss(jnp.ones((2, 3)), jnp.ones((2, 4)), jnp.float32(1)),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_a_wrong_shape_is_told(call):
    with pytest.raises(jaxtyping.TypeCheckError):
        call()


def test_nothing_is_checked_outside_of_the_tests():
    program = """
        import sys
        import numpy as np
        import lrjax
        from lrjax.metrics.intervals import accuracy_interval
        from lrjax.ops import augment, degrade, preprocess, resample, zoom

        accuracy_interval(np.ones(4))  # float64
        assert "beartype" not in sys.modules
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=environment, check=True)
