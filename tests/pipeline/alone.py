"""A render in a process of its own, which can be killed. Kept free of other imports: a process costs little so."""

import os

# What a server process imports once, so that every render begins at once.
IMPORTED = [
    "cv2", "tween.backends.prepare", "tween.backends.torch", "tween.models.zoo", "tween.models.dis",
    "tween.pipeline.going", "tween.pipeline.offline", "tween.pipeline.recipe", "tween.pipeline.repeats",
    "tween.video.doors",
]  # fmt: skip


def render_alone(config, segment):
    """Render with segments of so many frames."""
    from tween.pipeline import journal
    from tween.pipeline.recipe import render

    os.nice(1)
    journal.SEGMENT_FRAMES = segment
    render(config)
