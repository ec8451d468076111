"""Measure and mend the robustness of vision-language models, in JAX."""
