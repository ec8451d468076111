"""lrjax: measure and mend the robustness of vision-language models, in JAX."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["encode_image", "encode_text", "list_models", "load", "zero_shot_classifier"]

if TYPE_CHECKING:
    from lrjax.api import encode_image, encode_text, list_models, load, zero_shot_classifier


def __getattr__(name: str) -> Any:
    if name in __all__:  # imported on use: the command lines and the converter need little of it
        return getattr(importlib.import_module("lrjax.api"), name)
    raise AttributeError(f"module 'lrjax' has no attribute {name!r}")
