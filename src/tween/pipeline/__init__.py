"""Frames in, frames out: rendering a video."""
