"""Metrics and the baselines they stand beside."""
