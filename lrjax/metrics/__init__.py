"""Metrics, one equation per function."""
