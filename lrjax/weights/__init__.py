"""Weights: loaded from files, converted directories and the hub, and written."""
