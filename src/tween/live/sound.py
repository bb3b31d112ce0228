"""A file's sound beside its picture in the window: by the same clock, later by as much as the picture is.

    file --> decoded a second ahead, on a thread --> blocks with their pts --> the sound card asks --> what is due now

The card's clock is not ours. Where what it plays has slipped from the picture by more than SLIP_S, it jumps to where it
should be; between, samples follow one another.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any, Final, NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from ..pipeline.pace import now
from .session import Session

RATE: Final = 48000
CHANNELS: Final = 2
CHUNK: Final = 1024  # samples that the card asks for at a time: 21 ms
CARD_S: Final = Fraction(CHUNK, RATE)  # what is asked for is heard when what was asked for before is over
SLIP_S: Final = Fraction(1, 25)
AHEAD_S: Final = 1
POLL_S: Final = 0.05


class Block(NamedTuple):
    """Samples int16 `[n, 2]` and the pts of the first, seconds."""

    pts: Fraction
    samples: NDArray[np.int16]


class Speaker:
    """Plays the sound of a session's file while the `with` block lasts; where there is none, nothing happens.

    A machine that cannot play sound is told of, once, and the picture goes on alone.
    """

    def __init__(self, session: Session, *, hidden: bool = False) -> None:
        self._session = session
        info, path = session.source.info, getattr(session.source, "path", None)
        has_sound = info.audio > 0 and session.capture.is_paced and path is not None and path.is_file()
        self._track = Track(session) if has_sound and not hidden else None
        self._device: Any = None

    def __enter__(self) -> Speaker:
        if self._track is not None:
            self._device = self._opened()
            if self._device is not None:
                self._track.start()
                self._device.pause(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._device is not None:
            self._device.pause(1)
            self._device.close()
        if self._track is not None:
            self._track.stop()

    def _opened(self) -> Any:
        from pygame import _sdl2 as sdl
        from pygame._sdl2 import audio

        try:
            sdl.init_subsystem(sdl.INIT_AUDIO)
            return audio.AudioDevice(
                devicename=None,
                iscapture=False,
                frequency=RATE,
                audioformat=audio.AUDIO_S16,
                numchannels=CHANNELS,
                chunksize=CHUNK,
                allowed_changes=0,
                callback=self._fill,
            )
        except sdl.error as error:
            self._session.say(f"no sound here, the picture goes on alone: {error}")
            return None

    def _fill(self, _: Any, wanted: Any) -> None:
        """The card asks for samples; on its own thread."""
        assert self._track is not None
        samples = np.asarray(wanted, np.uint8).view(np.int16).reshape(-1, CHANNELS)
        samples[:] = self._track.due(len(samples))


class Track:
    """The samples that are due, of a file that plays in a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._path = str(session.source.path)  # type: ignore[attr-defined]  # the speaker asked for it
        self._blocks: deque[Block] = deque()
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._cursor: Fraction | None = None  # pts of the next sample
        self._thread = threading.Thread(target=self._read, name="tween-sound", daemon=True)

    def start(self) -> None:
        """Begin to decode."""
        self._thread.start()

    def stop(self) -> None:
        """Decode no more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def due(self, count: int) -> NDArray[np.int16]:
        """The next `count` samples `[count, 2]`: those of the picture that is shown now; silence where it is held."""
        found = np.zeros((count, CHANNELS), np.int16)
        place = self._place()
        if place is None:
            self._cursor = None
            return found
        if self._cursor is None or abs(self._cursor - place) > SLIP_S:
            self._cursor = place
        with self._lock:
            while self._blocks and self._end(self._blocks[0]) <= self._cursor:
                self._blocks.popleft()
            for block in self._blocks:
                self._copy(block, found, self._cursor)
        self._cursor += Fraction(count, RATE)
        return found

    def _place(self) -> Fraction | None:
        """The pts that will be seen when what is asked for now is heard; None while nothing moves."""
        begun = self._session.capture.begun
        return None if begun is None else now() - begun - self._session.run.pace.delay + CARD_S

    @staticmethod
    def _end(block: Block) -> Fraction:
        return block.pts + Fraction(len(block.samples), RATE)

    @staticmethod
    def _copy(block: Block, target: NDArray[np.int16], begin: Fraction) -> None:
        """What of a block falls on the samples from `begin` on."""
        at = round((block.pts - begin) * RATE)
        first, past = max(0, at), min(len(target), at + len(block.samples))
        if first < past:
            target[first:past] = block.samples[first - at : past - at]

    def _read(self) -> None:
        """Decode, as far ahead as is wanted, until all is over."""
        source: Any = self._session.source
        shift = Fraction(0)
        while not self._stopped.is_set():
            for block in _decoded(self._path):
                length = getattr(source, "round_s", None)
                past = None if length is None else source.begins + length
                if past is not None and block.pts >= past:
                    break
                if shift and self._end(block) <= source.begins:
                    continue  # a later round begins where the first one did
                samples = block.samples if past is None else block.samples[: round((past - block.pts) * RATE)]
                if not self._put(Block(block.pts + shift, samples)):
                    return
            length = self._round()
            if length is None:
                return
            shift += length

    def _put(self, block: Block) -> bool:
        """Keep a block, once it is wanted within AHEAD_S. False if all is over."""
        while not self._stopped.is_set():
            place = self._place()
            if place is not None and block.pts <= place + AHEAD_S:
                with self._lock:
                    if self._end(block) > place:
                        self._blocks.append(block)
                return True
            self._stopped.wait(POLL_S)
        return False

    def _round(self) -> Fraction | None:
        """How long a round lasts, once the picture's first one is over; None if there is no other."""
        if not hasattr(self._session.source, "round_s"):
            return None
        while not self._stopped.is_set():
            if self._session.source.round_s is not None:
                return Fraction(self._session.source.round_s)
            self._stopped.wait(POLL_S)
        return None


def _decoded(path: str) -> Iterator[Block]:
    """The first sound stream of a file, as the card wants it; what cannot be decoded is silent."""
    resampler = av.AudioResampler(format="s16", layout="stereo", rate=RATE)
    with av.open(path, metadata_errors="replace") as container:
        for packet in container.demux(audio=0):
            try:
                frames = packet.decode()
            except (FFmpegError, EOFError):
                continue
            for frame in frames:
                for made in resampler.resample(frame):
                    if made.pts is not None:
                        samples = made.to_ndarray().astype(np.int16, copy=False).reshape(-1, CHANNELS)
                        yield Block(Fraction(made.pts, made.sample_rate), samples)
