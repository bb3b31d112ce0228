"""Cameras and screens as sources: frames that come when they come, from now on and without end.

    camera:0    camera:/dev/video2    camera:clip.mp4 (a file that behaves as a camera does)
    screen:0    screen:1    screen:0:640x360+100+50

A device's own clock shivers. Frames are put on the grid of its rate, at the place that is nearest to when they came,
so that at twice the rate every second picture is a frame as it was captured; what falls on a place that is taken is
left out.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import av
import torch
from av.container import InputContainer
from av.error import FFmpegError

from ..errors import BadOption, NoDevice, NotAVideo, TweenError, imported
from ..frame import Colour, Frame, VideoInfo
from .colour import ToRgb, tags_of

FORMATS: Final = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
USUAL: Final = Fraction(30)  # frames a second of a camera that says nothing, and of a screen
DEVICE: Final = re.compile(r"(camera|screen):(.*)")
REGION: Final = re.compile(r"(\d+)(?::(\d+)x(\d+)\+(\d+)\+(\d+))?")
FIX: Final = "camera:0, screen:0, a file, or - for y4m on standard input"

Clock = Callable[[], Fraction]


def is_device(source: str) -> bool:
    """Whether this names a camera or a screen."""
    return DEVICE.fullmatch(source) is not None


def open_device(
    source: str, *, rate: Fraction | None = None, size: tuple[int, int] | None = None
) -> CameraSource | ScreenSource:
    """A camera or a screen.

    Args:
        source: `camera:N`, `camera:NAME` or `camera:FILE`; `screen:N` or `screen:N:WxH+X+Y`.
        rate: frames a second to ask for; None takes the device's own, 30 of a screen.
        size: (H, W) to ask a camera for; None takes its own.

    Raises:
        NoDevice: there is none of this name, or it may not be used; with the names of those that there are.
        MissingPackage: mss is not installed. BadOption: it is no device's name, or a size for a screen.
    """
    found = DEVICE.fullmatch(source)
    if found is None:
        raise BadOption(source, "a camera or a screen is needed", FIX)
    if found[1] == "camera":
        return CameraSource(found[2], rate=rate, size=size)
    if size is not None:
        raise BadOption(f"a size for {source}", "a screen has its own", "a part of it: screen:0:640x360+0+0")
    return ScreenSource(found[2], rate=rate or USUAL)


def monotonic() -> Fraction:
    """Seconds of the machine's monotonic clock."""
    return Fraction(time.monotonic_ns(), 10**9)


class Grid:
    """Moments -> places on a grid of 1 / rate, the first at 0, strictly growing."""

    def __init__(self, rate: Fraction) -> None:
        self.rate = rate
        self._begun: Fraction | None = None
        self._last = -1

    def place(self, moment: Fraction) -> Fraction | None:
        """Where a frame of that moment stands, seconds; None where another stands already."""
        self._begun = moment if self._begun is None else self._begun
        place = round((moment - self._begun) * self.rate)
        if place <= self._last:
            place = self._last + 1
            if (moment - self._begun) * self.rate < place - 1:  # more than a whole place too early
                return None
        self._last = place
        return place / self.rate


class _Device:
    """What cameras and screens share: attributes of a source, and how waiting for the next frame is given up."""

    info: VideoInfo
    is_live = True

    def __init__(self) -> None:
        self.damage: TweenError | None = None
        self.notes: list[str] = []
        self.alpha = False
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """End the waiting for a frame, from another thread."""
        self._given_up.set()


class CameraSource(_Device):
    """A camera, or a file that plays as one; arguments as in `open_device`.

    A file repeats without end, at its own rate. What nobody reads in time is lost, as with a camera.
    """

    def __init__(
        self, name: str, *, rate: Fraction | None, size: tuple[int, int] | None, clock: Clock = monotonic
    ) -> None:
        super().__init__()
        self._clock = clock
        self._file = Path(name) if Path(name).is_file() else None
        self.path = self._file or Path(f"camera-{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-') or '0'}")
        self._container = av.open(name) if self._file else _opened(name, rate, size)
        try:
            stream = self._container.streams.video[0]
            stream.thread_type = "SLICE"  # threads over frames would hold some back
            told = stream.average_rate or stream.guessed_rate
            self._rate = rate or (Fraction(told) if told and 1 <= told <= 1000 else USUAL)
            self._first = next(self._pictures(), None)
            if self._first is None:
                raise NotAVideo(f"camera:{name} gives no picture", "a camera at work is needed")
            self.info = self._learn(self._first)
        except BaseException:
            self._container.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        """Frames as they come, their pts on the grid of the rate, from 0 on."""
        deep = self.info.bit_depth > 8
        to_rgb, grid, tick = ToRgb(self.info.colour, deep=deep), Grid(self._rate), 1 / self._rate
        for native, moment in self._timed():
            pts = grid.place(moment)
            if pts is not None:
                yield Frame(to_rgb(native), pts, tick)

    def __enter__(self) -> CameraSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def _learn(self, native: av.VideoFrame) -> VideoInfo:
        return VideoInfo(
            size=(native.height, native.width),
            rate=self._rate,
            bit_depth=max(part.bits for part in native.format.components),
            pixel_format=native.format.name,
            colour=tags_of(native, self._container.streams.video[0].codec_context),
            rotation=native.rotation % 360,
            codec="camera",
            time_base=1 / self._rate,
        )

    def _pictures(self) -> Iterator[av.VideoFrame]:
        """Decoded pictures; a camera's broken ones are left out."""
        for packet in self._container.demux(video=0):
            if self._given_up.is_set():
                return
            try:
                natives = packet.decode()
            except EOFError:
                return
            except FFmpegError:
                continue
            yield from natives

    def _timed(self) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Pictures, and when they came."""
        if self._file is None:
            for native in self._pictures():
                yield native, self._moment(native)
            return
        begun, place = self._clock(), 0
        while not self._given_up.is_set():
            self._container.seek(0)
            for native in self._pictures():
                due = begun + place / self._rate
                place += 1
                late = self._clock() - due
                if late > 1 / self._rate:  # nobody read this one in time
                    continue
                if late < 0 and self._given_up.wait(float(-late)):
                    return
                yield native, due

    def _moment(self, native: av.VideoFrame) -> Fraction:
        """By the camera's clock where it has one, which shivers less than ours."""
        if native.pts is not None and native.time_base:
            return Fraction(native.pts * native.time_base)
        return self._clock()


class ScreenSource(_Device):
    """A screen, or a part of it: `0`, `1`, `0:640x360+100+50`, at a constant rate.

    A grab that takes longer than a tick leaves out the ticks that it missed.
    """

    def __init__(self, name: str, *, rate: Fraction, clock: Clock = monotonic) -> None:
        super().__init__()
        self._clock, self._rate = clock, rate
        found = REGION.fullmatch(name)
        if found is None:
            raise BadOption(f"screen:{name}", "a number is needed, or a number and a part", "screen:0:640x360+100+50")
        self._box = _box(name, found)
        self.path = Path(f"screen-{found[1]}")
        self.info = VideoInfo(
            size=(self._box["height"], self._box["width"]),
            rate=rate,
            pixel_format="bgra",
            colour=Colour(0, 1, 13, True),
            codec="screen",
            time_base=1 / rate,
        )

    def __iter__(self) -> Iterator[Frame]:
        """Frames from now on, their pts on the grid of the rate, from 0 on."""
        begun, place = self._clock(), 0
        with _mss().MSS() as screens:  # made on the thread that reads
            while not self._given_up.is_set():
                yield Frame(_rgb(screens.grab(self._box)), place / self._rate, 1 / self._rate)
                place = max(place + 1, int((self._clock() - begun) * self._rate))
                self._given_up.wait(float(max(Fraction(0), begun + place / self._rate - self._clock())))

    def __enter__(self) -> ScreenSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_up()


def cameras() -> list[str]:
    """What cameras there are, in words: `0 (HD Webcam)`; empty where nothing here can tell."""
    try:
        found = av.enumerate_input_devices(FORMATS.get(sys.platform, "v4l2"))
    except (FFmpegError, ValueError):
        return []
    seen = [device for device in found if "video" in device.media_types or not device.media_types]
    return [f"{_number(device.name, place)} ({device.description})" for place, device in enumerate(seen)]


def _number(name: str, place: int) -> str:
    found = re.fullmatch(r"/dev/video(\d+)", name)
    return found[1] if found else str(place)


def _opened(name: str, rate: Fraction | None, size: tuple[int, int] | None) -> InputContainer:
    kind = FORMATS.get(sys.platform, "v4l2")
    options = {} if rate is None else {"framerate": str(rate)}
    if size is not None:
        options["video_size"] = f"{size[1]}x{size[0]}"
    try:
        return av.open(_device_file(name or "0", kind), format=kind, options=options)
    except (FFmpegError, OSError, ValueError) as error:
        there = ", ".join(f"camera:{words}" for words in cameras())
        why = getattr(error, "strerror", None) or str(error)
        raise NoDevice(
            f"camera:{name} cannot be opened ({why})",
            f"there are {there}" if there else "no camera is seen here",
            "--size and --source-rate as the camera can" if there and options else FIX,
        ) from error


def _device_file(name: str, kind: str) -> str:
    """How ffmpeg calls a camera."""
    if not name.isdecimal():
        return f"video={name}" if kind == "dshow" and not name.startswith("video=") else name
    if kind == "v4l2":
        return f"/dev/video{name}"
    if kind == "avfoundation":
        return f"{name}:none"
    named = [device.name for device in av.enumerate_input_devices(kind) if "video" in device.media_types]
    if int(name) >= len(named):
        raise ValueError("there are not so many")
    return f"video={named[int(name)]}"


def _mss() -> Any:
    return imported("mss", "mss", "screens need it", 'pip install "tween[live]"')


def _box(name: str, found: re.Match[str]) -> dict[str, int]:
    """The part of all screens that is meant."""
    mss = _mss()
    try:
        with mss.MSS() as screens:
            monitors = screens.monitors[1:]  # the first is all of them together
    except Exception as error:  # mss raises what its platform raises
        raise NoDevice(
            f"no screen can be captured here ({error})", "a desktop is needed (on Linux: X11, and DISPLAY set)"
        ) from error
    if int(found[1]) >= len(monitors):
        words = ", ".join(f"screen:{i} ({one['width']}x{one['height']})" for i, one in enumerate(monitors))
        raise NoDevice(f"screen:{name} is not there", f"there are {words}" if words else "there is none")
    whole = monitors[int(found[1])]
    if found[2] is None:
        return {key: int(whole[key]) for key in ("left", "top", "width", "height")}
    width, height, x, y = (int(found[i]) for i in (2, 3, 4, 5))
    if width < 1 or height < 1 or x + width > whole["width"] or y + height > whole["height"]:
        raise BadOption(
            f"screen:{name}", f"a part of its {whole['width']}x{whole['height']} pixels is needed", f"screen:{found[1]}"
        )
    return {"left": int(whole["left"]) + x, "top": int(whole["top"]) + y, "width": width, "height": height}


def _rgb(shot: Any) -> torch.Tensor:
    """A grab, B G R and an unused byte a pixel -> RGB `[3, H, W]`, uint8."""
    pixels = torch.frombuffer(bytearray(shot.raw), dtype=torch.uint8).view(shot.height, shot.width, 4)
    return torch.stack([pixels[..., channel] for channel in (2, 1, 0)])
