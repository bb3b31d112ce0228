"""tween: given frames at some times, show the frame at another."""

__version__ = "0.1.0"
