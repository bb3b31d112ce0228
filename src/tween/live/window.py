"""The window: the original on the left, what tween shows on the right. By SDL (pygame-ce).

+------------------+------------------+       s  +---------|----------------+
| original 30 fps  | dis, 59.9 fps .. |          | original|  in between    |   the line follows the mouse
|                  |                  |          |         |                |
+------------------+------------------+          +---------|----------------+
"""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from ..errors import NoDevice, imported
from ..pipeline.live import Shown
from ..pipeline.pace import now
from .session import Session
from .sound import Speaker
from .view import flow_picture, said_latency, save_png, shape, upright

WAIT_S: Final = 0.008  # how long an event or a picture may wait for the other
WORDS_S: Final = Fraction(1, 2)  # how often the figures change
NOTE_S: Final = 3  # how long a note stays
DARK, BRIGHT, LINE = (0, 0, 0), (240, 240, 240), (255, 255, 255)
LINE_PX: Final = 20  # from one line of words to the next
LEAST: Final = (240, 320)  # (H, W) that a window opens with at least


def pygame_() -> Any:
    """pygame, imported when it is first needed. (Any: its keys and events are made at run time.)"""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    return imported("pygame", "pygame-ce", "a window needs it", 'pip install "tween[live]", or --show web')


def watch(session: Session, *, with_sound: bool) -> None:
    """Show the session in a window until it is over or the window is closed.

    Raises:
        MissingPackage: pygame-ce is not installed. NoDevice: no window can be opened here.
    """
    window = Window(session)
    try:
        with Speaker(session, hidden=not with_sound):
            while not session.is_over and window.is_open:
                window.turn()
    finally:
        window.close()


class Window:
    """One window on one session.

    Attributes:
        is_open: nobody closed it yet.
        is_split: a wipe between before and after, instead of two halves; shows_flow: motion instead of the picture.
        line: where the wipe is, share of the width.
    """

    def __init__(self, session: Session) -> None:
        self._session, self._run, self._info = session, session.run, session.source.info
        self._pygame = pygame_()
        self.is_open, self.is_split, self.shows_flow, self.line = True, False, False, 0.5
        self._shown: Shown | None = None
        self._words: tuple[list[str], list[str]] = ([], [])
        self._told: Fraction | None = None
        self._note: tuple[str, Fraction] | None = None
        self._open()

    def turn(self) -> None:
        """Take what happened and what is due, and paint if anything changed."""
        changed = False
        for event in self._pygame.event.get():
            changed = self._take(event) or changed
        shown = self._session.next(WAIT_S)
        self._shown = shown or self._shown
        if self._note is not None and now() >= self._note[1]:
            self._note, changed = None, True
        if (shown is None and not changed) or not self.is_open:
            return
        self.paint()
        self._pygame.display.flip()
        if shown is not None:
            self._run.showed(shown)

    def paint(self) -> None:
        """Draw what is shown, and the words, on the window's surface."""
        self._screen.fill(DARK)
        if self._shown is None:
            self._write("waiting for the first picture", 8, 8)
            return
        left, right = self._pictures(self._shown)
        width, height = self._screen.get_size()
        if self.is_split:
            self._wipe(left, right)
        else:
            self._put(left, (0, 0, width // 2, height))
            self._put(right, (width // 2, 0, width - width // 2, height))
        self._label(width)

    def close(self) -> None:
        """Close it; pygame lets go of the display."""
        self._pygame.display.quit()

    # ---- what happens

    def _take(self, event: Any) -> bool:
        """One event. True if what is to be seen has changed."""
        pygame = self._pygame
        if event.type == pygame.QUIT:
            self.is_open = False
        elif event.type == pygame.MOUSEMOTION and self.is_split:
            self.line = event.pos[0] / max(1, self._screen.get_width())
        elif event.type == pygame.KEYDOWN:
            self._press(event)
        elif event.type not in (pygame.VIDEORESIZE, pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED):
            return False
        return True

    def _press(self, event: Any) -> None:
        pygame, key = self._pygame, event.key
        if key in (pygame.K_q, pygame.K_ESCAPE):
            self.is_open = False
        elif key == pygame.K_SPACE:
            self._run.pause(not self._run.is_paused)
            self._say("held: . steps, space goes on" if self._run.is_paused else "goes on")
        elif key == pygame.K_PERIOD:
            if not self._run.is_paused:
                self._run.pause(True)
            self._run.step()
        elif key == pygame.K_s:
            self.is_split = not self.is_split
        elif key == pygame.K_f:
            self.shows_flow = self._run.look = not self.shows_flow
            self._say("motion: hue is direction, strength length" if self.shows_flow else "the picture")
        elif key == pygame.K_p:
            self._save()

    def _save(self) -> None:
        if self._shown is None:
            self._say("no picture yet")
            return
        stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(self._session.title).stem).strip("-") or "live"
        try:
            path = save_png(self._right(self._shown), Path.cwd(), f"tween-{stem}")
        except OSError as error:
            self._say(f"could not save: {error.strerror}")
            return
        self._say(f"saved {path.name}")
        self._session.say(f"saved {path}")

    def _say(self, words: str) -> None:
        self._note = words, now() + NOTE_S

    # ---- what is drawn

    def _open(self) -> None:
        pygame = self._pygame
        try:
            pygame.display.init()
            desktop = pygame.display.get_desktop_sizes()[0]
            height, width = shape(self._info.size, self._info)
            part = min(1.0, 0.95 * desktop[0] / (2 * width), 0.85 * desktop[1] / height)
            size = max(LEAST[1], round(2 * width * part)), max(LEAST[0], round(height * part))
            self._screen = pygame.display.set_mode(size, pygame.RESIZABLE)
        except pygame.error as error:
            raise NoDevice(f"no window can be opened here ({error})", "a desktop is needed", "--show web") from error
        pygame.font.init()
        self._font = pygame.font.Font(None, 22)
        pygame.display.set_caption(f"tween live {self._session.title}")

    def _pictures(self, shown: Shown) -> tuple[Tensor, Tensor]:
        return upright(shown.original.data, self._info), self._right(shown)

    def _right(self, shown: Shown) -> Tensor:
        """What is on the right: the picture, or the motion in it."""
        if self.shows_flow and shown.flow is not None:
            return upright(flow_picture(shown.flow), self._info)
        if self.shows_flow and shown.made:
            self._say(f"{shown.rung.model} tells no motion")
        return upright(shown.frame.data, self._info)

    def _put(self, data: Tensor, box: tuple[int, int, int, int]) -> Any:
        """A picture into a box (x, y, width, height), as large as it fits. Returns where it is."""
        x, y, width, height = box
        tall, wide = shape(self._info.size, self._info)
        part = min(width / wide, height / tall)
        size = max(1, round(wide * part)), max(1, round(tall * part))
        place = (x + (width - size[0]) // 2, y + (height - size[1]) // 2)
        return self._screen.blit(self._scaled(data, size), place)

    def _scaled(self, data: Tensor, size: tuple[int, int]) -> Any:
        pygame = self._pygame
        height, width = data.shape[1:]
        pixels = data.permute(1, 2, 0).contiguous().numpy()
        picture = pygame.image.frombuffer(pixels, (width, height), "RGB")
        return picture if size == (width, height) else pygame.transform.smoothscale(picture, size)

    def _wipe(self, left: Tensor, right: Tensor) -> None:
        """The right picture, and from the left edge to the line the left one."""
        width, height = self._screen.get_size()
        place = self._put(right, (0, 0, width, height))
        line = min(max(place.left, round(self.line * width)), place.right)
        self._screen.set_clip(place.left, place.top, line - place.left, place.height)
        self._put(left, (0, 0, width, height))
        self._screen.set_clip(None)
        self._pygame.draw.line(self._screen, LINE, (line, place.top), (line, place.bottom - 1), 2)

    def _label(self, width: int) -> None:
        """What is to be read: the source on the left, what runs and how it goes on the right, a note below."""
        moment = now()
        if self._told is None or moment - self._told >= WORDS_S:
            self._told, self._words = moment, self._figures()
        for x, lines in zip((8, width // 2 + 8), self._words, strict=True):
            for place, line in enumerate(lines):
                self._write(line, x, 8 + LINE_PX * place)
        if self._note is not None:
            self._write(self._note[0], 8, self._screen.get_height() - 26)

    def _figures(self) -> tuple[list[str], list[str]]:
        stats = self._run.stats()
        height, width = stats.size
        latency = [f"latency {said_latency(stats)}"] if stats.latency_ms is not None else []
        lost = [f"{stats.dropped} dropped"] if stats.dropped else []
        left = ["original", f"{stats.fps_in:.1f} fps"]
        return left, [f"{stats.model}, {width}x{height}", f"{stats.fps_out:.1f} fps", *latency, *lost]

    def _write(self, words: str, x: int, y: int) -> None:
        """Words on a dark ground, so that they can be read on any picture."""
        text = self._font.render(words, True, BRIGHT)
        ground = self._pygame.Surface((text.get_width() + 8, text.get_height() + 4))
        ground.set_alpha(160)
        self._screen.blit(ground, (x - 4, y - 2))
        self._screen.blit(text, (x, y))
