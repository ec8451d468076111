"""Array aliases and the one legend of axis letters that shapes in this package use.

Letters: B batch, R resolutions, H height, W width, C colour channels, P patch side in pixels, N patches, S tokens
(class token and patches, or text positions), D model width, F hidden width of the MLP, A attention heads, E joint
embedding, L depth, V vocabulary, K taps per output pixel or classes (said where used), T templates.
"""

from typing import Any

import jax
import numpy as np

Array = jax.Array
ArrayLike = jax.Array | np.ndarray
Tree = dict[str, Any]
"""A nested dictionary with arrays (or abstract arrays) as leaves: parameters are passed around in this form."""
