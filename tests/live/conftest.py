"""What tests of windows use."""

from displays import display, on_display

__all__ = ["display", "on_display"]
