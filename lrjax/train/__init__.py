"""Distillation of LR tokens: losses, optimizer, step and loop."""
