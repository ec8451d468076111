"""Pure array operations: resampling and what is composed of it."""
