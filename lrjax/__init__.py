"""Measure and mend the robustness of vision-language models, in JAX."""

__version__ = "0.1.0"
