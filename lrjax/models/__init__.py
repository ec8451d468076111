"""Backbones: specs, modules, the zoo and the LR tokens."""
