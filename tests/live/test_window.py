"""The window, on a display of its own: both halves, the keys, and how it closes."""

import ctypes
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import mss
import numpy as np
import pygame
import pytest
import torch
from clips import Clip
from PIL import Image

from tween.errors import NoDevice
from tween.live.session import Session
from tween.live.window import Window
from tween.pipeline.live_start import LiveConfig, live_run
from tween.video.doors import open_source
from tween.video.looping import Looping

SIZE = (120, 160)  # two of them side by side are as wide as the smallest window: nothing is scaled
LONG_S = 60  # for a busy machine


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Clip(frames=60, size=SIZE, rate=Fraction(30)).make(tmp_path_factory.mktemp("window") / "some clip.mp4")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def window(on_display: str, clip: Path, said: list[str], tmp_path: Path, monkeypatch) -> Iterator[Window]:  # noqa: ARG001
    monkeypatch.chdir(tmp_path)
    source = Looping(lambda: open_source(clip))
    run = live_run(LiveConfig(model="blend"), source_rate=source.info.rate)
    with source, Session(clip.name, source, run, say=said.append) as session:
        opened = Window(session)
        yield opened
        opened.close()


def turned(window: Window, until: Callable[[], bool]) -> None:
    """Let the window live until something is so."""
    end = time.monotonic() + LONG_S
    while not until():
        window.turn()
        assert time.monotonic() < end, "it never came to be"


def press(window: Window, key: int) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode="", mod=0))
    window.turn()


def held(window: Window) -> None:
    """Held at a picture that a model made."""
    turned(window, lambda: window._shown is not None and window._shown.made)
    press(window, pygame.K_SPACE)
    window._note = None
    while not window._shown.made:
        press(window, pygame.K_PERIOD)
        turned(window, lambda: window._run._steps == 0)


def screenshot(box: tuple[int, int]) -> np.ndarray:
    """The middle of the screen, where the window is, as it is seen: `[H, W, 3]` of a box (H, W)."""
    with mss.MSS() as screens:
        shot = screens.grab(screens.monitors[1])
    whole = np.frombuffer(shot.rgb, np.uint8).reshape(shot.height, shot.width, 3)
    y, x = (shot.height - box[0]) // 2, (shot.width - box[1]) // 2
    return whole[y : y + box[0], x : x + box[1]]


@pytest.mark.slow
def test_the_left_half_is_the_original_and_the_right_half_what_tween_shows(window):
    held(window)
    window.paint()
    pygame.display.flip()
    pygame.event.pump()
    time.sleep(0.2)
    whole = screenshot((240, 320))
    shot = whole[60:180]  # the halves are 160 x 240, the picture is in their middle
    shown = window._shown
    for half, data in ((shot[:, :160], shown.original.data), (shot[:, 160:], shown.frame.data)):
        seen, wanted = torch.from_numpy(half.copy()), data.permute(1, 2, 0)
        assert torch.equal(seen[40:], wanted[40:])  # above are words
    assert not torch.equal(shown.original.data, shown.frame.data)
    assert (whole[:60, :160] > 200).all(-1).any()  # words on the left and on the right
    assert (whole[:60, 160:] > 200).all(-1).any()


def test_the_words_tell_rate_latency_model_and_size(window):
    turned(window, lambda: window._run.stats().latency_ms is not None)
    left, right = window._figures()
    assert left[0] == "original"
    assert right[0] == "blend, 160x120"
    assert any(line.endswith("fps") for line in right)
    assert any(line.startswith("latency ") and "ms" in line for line in right)


def test_space_holds_and_goes_on(window):
    turned(window, lambda: window._shown is not None)
    press(window, pygame.K_SPACE)
    assert window._run.is_paused
    before = window._shown.frame.pts
    for _ in range(20):
        window.turn()
    assert window._shown.frame.pts == before
    press(window, pygame.K_SPACE)
    turned(window, lambda: window._shown.frame.pts > before)


def test_a_dot_steps_one_picture(window):
    turned(window, lambda: window._shown is not None)
    press(window, pygame.K_PERIOD)  # holds, and steps
    assert window._run.is_paused
    turned(window, lambda: window._run._steps == 0)
    seen = [window._shown.frame.pts]
    for _ in range(4):
        press(window, pygame.K_PERIOD)
        turned(window, lambda: window._run._steps == 0)
        seen.append(window._shown.frame.pts)
    assert [b - a for a, b in itertools.pairwise(seen)] == [Fraction(1, 60)] * 4


def test_s_wipes_between_before_and_after(window):
    held(window)
    press(window, pygame.K_s)
    window._take(pygame.event.Event(pygame.MOUSEMOTION, pos=(80, 100), rel=(0, 0), buttons=(0, 0, 0)))
    window.paint()
    seen = torch.from_numpy(pygame.surfarray.array3d(window._screen)).permute(1, 0, 2)  # 320 x 240 is twice 160 x 120
    whole = [
        torch.from_numpy(pygame.surfarray.array3d(window._scaled(data, (320, 240)))).permute(1, 0, 2)
        for data in (window._shown.original.data, window._shown.frame.data)
    ]
    assert torch.equal(seen[100:200, :78], whole[0][100:200, :78])
    assert torch.equal(seen[100:200, 84:], whole[1][100:200, 84:])
    assert (seen[100:200, 80] == 255).all()  # the line
    press(window, pygame.K_s)
    assert not window.is_split


def test_p_saves_the_picture_and_writes_over_nothing(window, said, tmp_path):
    held(window)
    (tmp_path / "tween-some-clip-0001.png").write_bytes(b"mine")
    press(window, pygame.K_p)
    press(window, pygame.K_p)
    assert (tmp_path / "tween-some-clip-0001.png").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [f"tween-some-clip-000{k}.png" for k in (1, 2, 3)]
    with Image.open(tmp_path / "tween-some-clip-0002.png") as picture:
        assert np.array_equal(np.array(picture), window._shown.frame.data.permute(1, 2, 0).numpy())
    assert said[-1] == f"saved {tmp_path / 'tween-some-clip-0003.png'}"


def test_f_shows_motion_or_says_that_there_is_none(window):
    turned(window, lambda: window._shown is not None)
    press(window, pygame.K_f)
    turned(window, lambda: window._note is not None and window._note[0] == "blend tells no motion")
    press(window, pygame.K_f)
    assert not window.shows_flow
    assert not window._run.look


@pytest.mark.usefixtures("on_display")
def test_f_shows_the_motion_of_dis(clip, said):
    with open_source(clip) as source:
        run = live_run(LiveConfig(), source_rate=source.info.rate)
        with Session(clip.name, Looping(lambda: open_source(clip)), run, say=said.append) as session:
            window = Window(session)
            press(window, pygame.K_f)
            turned(window, lambda: window._shown is not None and window._shown.flow is not None)
            picture = window._right(window._shown)
            window.close()
    assert picture.shape == (3, *SIZE)
    assert picture.float().std() > 5
    assert not torch.equal(picture, window._shown.frame.data)


@pytest.mark.parametrize("key", [pygame.K_q, pygame.K_ESCAPE], ids=["q", "Esc"])
@pytest.mark.slow
def test_q_and_esc_close(window, key):
    press(window, key)
    assert not window.is_open


def test_it_can_be_made_larger(window):
    turned(window, lambda: window._shown is not None)
    pygame.display.set_mode((640, 300), pygame.RESIZABLE)
    window._screen = pygame.display.get_surface()
    window.paint()
    pixels = pygame.surfarray.array3d(window._screen)
    assert pixels[160, 150].any()  # each picture in the middle of its half ...
    assert pixels[480, 150].any()
    assert not pixels[160, 2].any()  # ... and of its own shape


def test_no_display_is_said_in_words(clip, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    monkeypatch.setenv("DISPLAY", ":987")
    source = open_source(clip)
    run = live_run(LiveConfig(model="blend"), source_rate=source.info.rate)
    with source, pytest.raises(NoDevice, match=r"no window can be opened here .*a desktop is needed; try: --show web"):
        Window(Session("clip", source, run))


# ---- the whole command, with a key and a close button as the X server sends them


IGNORED = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: 0)


class X:
    """The little of Xlib and XTest that presses a key and closes a window."""

    def __init__(self, display: str) -> None:
        self.xlib = ctypes.CDLL("libX11.so.6")
        self.xlib.XOpenDisplay.restype = ctypes.c_void_p
        self.xlib.XDefaultRootWindow.restype = ctypes.c_ulong
        self.xlib.XInternAtom.restype = ctypes.c_ulong
        self.handle = ctypes.c_void_p(self.xlib.XOpenDisplay(display.encode()))
        assert self.handle.value
        self.xlib.XSetErrorHandler(IGNORED)  # its own handler ends this process, where a window has just gone
        self.root = ctypes.c_ulong(self.xlib.XDefaultRootWindow(self.handle))

    def window(self) -> int | None:
        """The only one, on a display of our own; SDL may open a small one for a moment before it."""
        root, parent, count = ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_uint()
        found = ctypes.POINTER(ctypes.c_ulong)()
        self.xlib.XQueryTree(
            self.handle, self.root, ctypes.byref(root), ctypes.byref(parent), ctypes.byref(found), ctypes.byref(count)
        )
        return next((found[i] for i in range(count.value) if self.width(found[i]) >= 100), None)

    def width(self, window: int) -> int:
        """Of a window; 0 where it has just gone."""
        root, place, size = ctypes.c_ulong(), (ctypes.c_int * 2)(), (ctypes.c_uint * 4)()
        rest = [ctypes.byref(size, 4 * i) for i in range(4)]  # width, height, border, depth
        there = [ctypes.byref(place, 4 * i) for i in range(2)]
        self.xlib.XGetGeometry(self.handle, ctypes.c_ulong(window), ctypes.byref(root), *there, *rest)
        return size[0]

    def close(self, window: int) -> None:
        """What a window manager sends when its cross is clicked."""
        atoms = [self.xlib.XInternAtom(self.handle, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")]
        event = (ctypes.c_long * 24)(33, 0, 0, 0, window, atoms[0], 32, atoms[1])  # ClientMessage
        self.xlib.XSendEvent(self.handle, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(event))
        self.xlib.XFlush(self.handle)

    def press(self, window: int, key: bytes) -> None:
        """A key, as the keyboard gives it."""
        xtest = ctypes.CDLL("libXtst.so.6")
        self.xlib.XStringToKeysym.restype = ctypes.c_ulong
        code = self.xlib.XKeysymToKeycode(self.handle, ctypes.c_ulong(self.xlib.XStringToKeysym(key)))
        self.xlib.XSetInputFocus(self.handle, ctypes.c_ulong(window), 1, ctypes.c_ulong(0))
        for is_down in (1, 0):
            xtest.XTestFakeKeyEvent(self.handle, code, is_down, ctypes.c_ulong(0))
        self.xlib.XFlush(self.handle)


@pytest.mark.usefixtures("on_display")
@pytest.mark.slow
@pytest.mark.parametrize("how", ["the cross", "the key q"])
def test_closing_the_window_ends_the_process_cleanly(display, clip, how):
    for library in ("libX11.so.6", "libXtst.so.6"):
        try:
            ctypes.CDLL(library)
        except OSError:
            pytest.skip(f"{library} is not installed")
    command = [sys.executable, "-m", "tween.cli.main", "live", str(clip), "--loop", "--model", "blend", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        server, end, window = X(display), time.monotonic() + LONG_S, None
        while window is None or window != server.window():  # SDL may open it and shut it again before it stays
            assert time.monotonic() < end
            assert process.poll() is None, process.stderr.read()
            window = server.window()
            time.sleep(1)
        if how == "the cross":
            server.close(window)
        else:
            server.press(window, b"q")
        out, error = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
    assert process.returncode == 0, error
    assert '"shown"' in out.splitlines()[-1]
    assert "Traceback" not in error
