"""Clips, sets of them, and the samples that a model is trained on."""
