"""Folders of pictures as sources and sinks."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
import torch
from av.error import FFmpegError
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..errors import Conflict, EmptyVideo, NotAVideo, TruncatedInput, TweenError
from ..frame import Colour, Frame, VideoInfo
from .alpha import ToRgba, from_rgb
from .colour import ToRgb
from .draft import FRAME, Draft
from .patterns import check_writable, is_pattern, matching, number_in, numbered
from .plain import refuse_dials, unheard
from .segments import Segment, on_disk
from .stream import Encoding, FrameSource

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
BITS_PER_SAMPLE = 258  # TIFF's tag
# What Pillow and FFmpeg raise for a picture that is none, or too large to be one.
BROKEN = (
    OSError, ValueError, SyntaxError, TypeError, IndexError, KeyError, OverflowError, struct.error, zlib.error,
    Image.DecompressionBombError, FFmpegError,
)  # fmt: skip
SRGB = Colour(matrix=0, primaries=1, transfer=13, full_range=True)


class FolderSource:
    """The pictures of a folder, or of a pattern such as `frames/%05d.png`, as frames at a constant rate, in the order
    of their names: 9 comes before 10.

    Picture k stands at k / rate. A picture that cannot be read is left out, told in `damage`, and its place in time
    stays empty. Attributes as in `FrameSource`.

    Raises:
        EmptyVideo: no pictures. NotAVideo: the first cannot be read, or they are not of one size.
    """

    damage: TweenError | None
    notes: list[str]

    def __init__(self, path: Path, *, rate: Fraction, start: Fraction | None, end: Fraction | None) -> None:
        self.path, self.start, self.damage, self.notes = path, start, None, []
        self._rate, self._end, self.alpha = rate, end, False
        found, self.notes = (list(path.iterdir()), []) if path.is_dir() else matching(path)
        files = sorted((f for f in found if f.suffix.lower() in SUFFIXES), key=_natural)
        if not files:
            known, what = ", ".join(sorted(SUFFIXES)), "the folder " if path.is_dir() else "the pattern "
            raise EmptyVideo(f"{what}{path} holds no pictures", f"files ending in {known} are needed")
        self._files = [
            (k / rate, file)
            for k, file in enumerate(files)
            if (start is None or k / rate >= start) and (end is None or k / rate < end)
        ]
        if not self._files:
            raise EmptyVideo(
                f"{path.name} shows no picture in the part asked for", f"it lasts {float(len(files) / rate):g} s"
            )
        self.info = self._learn()

    def __iter__(self) -> Iterator[Frame]:
        """Frames in order of pts: uint8 RGB `[3, H, W]`, or uint16 where the first picture has 16 bits; with `alpha`
        RGBA `[4, H, W]`, if the first picture has transparency."""
        broken: list[str] = []
        for pts, file in self._files:
            try:
                data = read_picture(file, deep=self.info.bit_depth > 8, alpha=self.alpha and self.info.has_alpha)
            except BROKEN:
                broken.append(file.name)
                continue
            yield Frame(data, pts, 1 / self._rate)
        if broken:
            self.damage = TruncatedInput(
                f"{len(broken)} of {len(self._files)} pictures could not be read ({broken[0]} first)",
                "all others were rendered",
            )

    def __enter__(self) -> FolderSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def again(self, since: Fraction) -> FolderSource:
        """The same pictures once more, but only from the one at `since` on."""
        source = FolderSource(self.path, rate=self._rate, start=since, end=self._end)
        source.alpha = self.alpha
        return source

    def _learn(self) -> VideoInfo:
        first = self._files[0][1]
        shape, depth, has_alpha = _header(first)
        for _, file in self._files[1:]:
            try:
                other = _header(file)[0]
            except NotAVideo:
                continue  # told when its turn comes
            if other != shape:
                raise NotAVideo(
                    f"{file.name} is {other[1]}x{other[0]}, {first.name} is {shape[1]}x{shape[0]}",
                    "pictures of one size are needed",
                )
        name = ("rgba" if has_alpha else "rgb") + ("64le" if has_alpha else "48le") * (depth > 8)
        return VideoInfo(
            size=shape,
            rate=self._rate,
            length=len(self._files),
            duration=len(self._files) / self._rate,
            bit_depth=depth,
            pixel_format=name if depth > 8 or has_alpha else "rgb24",
            colour=SRGB,
            codec=first.suffix.lower().removeprefix("."),
            has_alpha=has_alpha,
            time_base=1 / self._rate,
        )


class FolderSink:
    """A folder of PNGs, `frame_000000.png` and on, counted from 0, or named by a pattern: 8 bits, or 16 for frames of
    uint16.

    It is written as `<name>.part` and renamed when whole. `--overwrite` replaces a folder only if it holds nothing
    but such frames. Attributes as in `FrameSink`.
    """

    has_alpha = True

    def __init__(self, path: Path, *, like: FrameSource, encoding: Encoding) -> None:
        refuse_dials(encoding, "a folder of pictures", "pictures are PNGs, without loss")
        self._pattern = ""
        if is_pattern(path):
            check_writable(path)
            path, self._pattern = path.parent, path.name
        is_there = path.is_dir() and any(path.iterdir())
        if is_there and encoding.overwrite and not all(map(self._is_ours, path.iterdir())):
            raise Conflict(f"{path} holds other things than frames", "a folder of its own is needed", "-o another name")
        source = getattr(like, "path", None)
        self.draft = Draft(
            path,
            overwrite=encoding.overwrite or (path.is_dir() and not is_there),
            source=source,
            resume=encoding.segment > 0,
        )
        self._count, self._segment = 0, encoding.segment
        self._unfinished: list[Path] = []
        self._begins = Fraction(0)
        self._finished: Callable[[Segment], None] | None = None
        unheard_of = unheard(like.info, alpha=True)
        self.notes = [f"{words} left out: a folder of pictures holds none" for words in unheard_of]

    def resume(self, done: Sequence[Segment], finished: Callable[[Segment], None]) -> None:
        """Before the first frame: go on after `done`, and call `finished` for each segment more."""
        self._finished, self._count = finished, sum(segment.frames for segment in done)
        self.draft.keeps = bool(done)
        for file in self.draft.part.glob("frame_*.png") if self.draft.part.is_dir() else ():
            if int(file.stem.removeprefix("frame_")) >= self._count:
                file.unlink()

    def write(self, frame: Frame) -> None:
        """Write one picture.

        Raises:
            DiskFull, CannotWrite: as they say.
        """
        try:
            if self._segment and len(self._unfinished) == self._segment:
                self._end_segment(frame.size)
            self.draft.part.mkdir(exist_ok=True)
            file = self.draft.part / f"frame_{self._count:06d}.png"
            write_picture(file, frame.data)
            self._begins = self._begins if self._unfinished else frame.pts
            self._unfinished += [file] if self._segment else []
            self._count += 1
        except OSError as error:
            raise self.draft.failure(error) from error

    def _end_segment(self, size: tuple[int, int]) -> None:
        """A frame more than the segment holds has come: put all of it on the disk, and tell of it."""
        for file in self._unfinished:
            with file.open("rb+") as opened:
                on_disk(opened)
        total = sum(file.stat().st_size for file in self._unfinished)
        done = Segment(self._unfinished[0].name, len(self._unfinished), self._begins, size, total)
        self._unfinished = []
        if self._finished is not None:
            self._finished(done)
            self.draft.keeps = True

    def __enter__(self) -> FolderSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.draft.settle(error)
            if error is None:
                if not self._count:
                    raise EmptyVideo("no frame was written", "at least one is needed")
                self._name()
                self.draft.commit()
        except OSError as broken:
            raise self.draft.failure(broken) from broken
        finally:
            self.draft.discard()

    def _is_ours(self, file: Path) -> bool:
        if self._pattern:
            return number_in(self._pattern, file.name) is not None
        return FRAME.fullmatch(file.name) is not None

    def _name(self) -> None:
        """Drafts have names of our own; the pattern's are given last."""
        for place in range(self._count if self._pattern else 0):
            file = self.draft.part / f"frame_{place:06d}.png"
            file.rename(file.with_name(numbered(self._pattern, place)))


def read_picture(path: Path, *, deep: bool, alpha: bool = False) -> Tensor:
    """A picture file as RGB `[3, H, W]`: uint16 over 0..65535 if `deep`, uint8 otherwise; RGBA `[4, H, W]` if `alpha`,
    else transparency is dropped. A camera's orientation is applied.

    Raises:
        OSError, ValueError, SyntaxError, av.FFmpegError: what the readers raise for a file that is no whole picture.
    """
    if deep:
        try:
            with av.open(str(path)) as container:
                return (ToRgba if alpha else ToRgb)(SRGB, deep=True)(next(container.decode(video=0)))
        except StopIteration:
            raise ValueError(f"{path} holds no picture") from None
    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I;16"):
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        return torch.from_numpy(
            np.ascontiguousarray(np.asarray(upright.convert("RGBA" if alpha else "RGB")).transpose(2, 0, 1))
        )


def write_picture(path: Path, data: Tensor) -> None:
    """RGB `[3, H, W]` or RGBA `[4, H, W]`, uint8 or uint16, as a PNG of 8 or 16 bits.

    Raises:
        OSError: as writing does.
    """
    if data.dtype == torch.uint16:
        path.write_bytes(_deep_png(data))
        return
    rows: NDArray[Any] = data.permute(1, 2, 0).contiguous().cpu().numpy()
    Image.fromarray(rows).save(path, format="PNG", compress_level=1)


def _deep_png(data: Tensor) -> bytes:
    """Pillow writes no RGB of 16 bits; ffmpeg does."""
    channels, height, width = data.shape
    name = "rgba64be" if channels == 4 else "rgb48be"
    png = av.CodecContext.create("png", "w")
    png.width, png.height, png.pix_fmt = width, height, name
    png.time_base = Fraction(1, 24)
    packets = [*png.encode(from_rgb(name, SRGB)(data)), *png.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def _header(path: Path) -> tuple[tuple[int, int], int, bool]:
    """Size (H, W) upright, bits a sample (8 or 16), and whether there is transparency, from a picture's header."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            if picture.getexif().get(0x0112, 1) >= 5:  # a camera turned on its side
                width, height = height, width
            has_alpha = "A" in picture.getbands() or "transparency" in picture.info
            return (height, width), _bits(path, picture), has_alpha
    except UnidentifiedImageError:
        return _deep_header(path)
    except BROKEN as error:
        raise NotAVideo(f"{path.name} is no picture that can be read ({error})", "whole pictures are needed") from error


def _deep_header(path: Path) -> tuple[tuple[int, int], int, bool]:
    """The same for what Pillow does not know, such as a TIFF of 16-bit RGB."""
    try:
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            pixels = av.VideoFormat(context.pix_fmt or "rgb24")
            is_deep = max(part.bits for part in pixels.components) > 8
            has_alpha = any(part.is_alpha for part in pixels.components)
            return (context.height, context.width), 16 if is_deep else 8, has_alpha
    except (FFmpegError, IndexError) as error:
        raise NotAVideo(f"{path.name} is no picture that can be read", "whole pictures are needed") from error


def _bits(path: Path, picture: Image.Image) -> int:
    if picture.format == "PNG":
        with path.open("rb") as file:
            return 16 if file.read(25)[24] == 16 else 8  # the IHDR chunk comes first: width, height, bits
    if picture.format == "TIFF":
        bits = picture.tag_v2.get(BITS_PER_SAMPLE, (8,))  # type: ignore[attr-defined]
        return 16 if max(bits) > 8 else 8
    return 8


def _natural(path: Path) -> list[tuple[int, str]]:
    """9 before 10: runs of digits compare as numbers."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name.lower())]
