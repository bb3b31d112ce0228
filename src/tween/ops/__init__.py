"""Tensor functions without parameters."""
