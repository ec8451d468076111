"""Array aliases and the one legend of axis letters that shapes in this package use.

Letters: B batch, R resolutions, H height, W width, C colour channels, P patch side in pixels, N patches, S tokens
(class token and patches, or text positions), D model width, F hidden width of the MLP, A attention heads, E joint
embedding, L depth, V vocabulary, K taps per output pixel or classes (said where used), T templates.

Of images and of what is counted over them: S side of a square, N images, V views, M members of a set; of tables of
results M models, D data sets, B bootstrap replicates, S systems. Lower-case letters mean something to one function.

Shapes are jaxtyping's: `UInt8[Array, "B S S 3"]`, "..." for any axes, "_" for one that may differ from array to array,
"{size}" for the value of an argument. The tests check them at run time, nothing else does.
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Int

Array = jax.Array
ArrayLike = jax.Array | np.ndarray
IntScalar = Int[ArrayLike, ""] | int | np.integer
BoolScalar = Bool[ArrayLike, ""] | bool | np.bool
"""Numbers that may be traced."""
Tree = dict[str, Any]
"""A nested dictionary with arrays (or abstract arrays) as leaves: parameters are passed around in this form."""
