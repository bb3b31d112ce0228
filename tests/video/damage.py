"""Damaged files, made by seed; and, run as a program, a worker that renders them one after the other.

The worker reads one job a line (JSON: arguments of the command) and answers with one line: exit code, words, what
became of the output, seconds, peak memory. If it dies, the job it had is the culprit.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random

import av
import numpy as np
from clips import Clip, rgb
from PIL import Image

F = Fraction
VIDEO = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts")
MOVING = (".gif", ".apng", ".webp", ".y4m")
SIZE = (48, 64)
FIELDS = (
    b"mvhd", b"tkhd", b"mdhd", b"elst", b"stts", b"ctts", b"stsz", b"stsc", b"stco", b"stss", b"avcC", b"avih", b"strh",
    b"strf", b"idx1", b"IHDR", b"acTL", b"fcTL", b"IDAT", b"VP8X", b"ANMF", b"\x16\x54\xae\x6b", b"\x1f\x43\xb6\x75",
    b"\x2a\xd7\xb1", b"YUV4MPEG2", b"GIF89a", b"\x21\xf9\x04", b"NETSCAPE2.0", b"moov", b"mdat", b"trak", b"movi",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One damaged input, and how it is rendered: `arguments` of the command, without input and output."""

    seed: int
    kind: str
    input: Path
    output: Path
    arguments: tuple[str, ...]


def job(seed: int, folder: Path) -> Job:
    """Make the damaged file of a seed in an empty folder."""
    rng = Random(f"damage {seed}")
    kind, make = list(KINDS.items())[seed % len(KINDS)]
    path = make(rng, folder)
    wanted = (
        ("--rate", "60") if kind == "absurd pts" else rng.choice((("--times", "2"), ("--rate", "60"), ("--slow", "2")))
    )
    suffix = rng.choice((".mp4", ".mp4", ".mkv", ".mov", ".gif", ".y4m", ""))
    codec = ("--codec", "ffv1") if suffix == ".mkv" and rng.random() < 0.5 else ()
    return Job(seed, kind, path, folder / f"out{suffix}", (*wanted, *codec, "--model", "blend"))


def whole(rng: Random, folder: Path, suffixes: tuple[str, ...] = VIDEO) -> Path:
    """An undamaged file of some kind."""
    suffix = rng.choice(suffixes)
    path = folder / f"in{suffix}"
    if suffix in MOVING:
        return _moving(path, rng)
    sound = ("aac",) if suffix in (".mp4", ".mov", ".mkv", ".ts") and rng.random() < 0.5 else ()
    clip = Clip(frames=rng.randint(8, 30), size=SIZE, sound=sound, rate=F(rng.choice((24, 25, 30))))
    return clip.make(path)


def _moving(path: Path, rng: Random) -> Path:
    pictures = [rgb(k, SIZE) for k in range(rng.randint(3, 8))]
    if path.suffix == ".y4m":
        body = b"".join(b"FRAME\n" + picture.tobytes() for picture in pictures)
        path.write_bytes(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C444\n" + body)
        return path
    first, *rest = [Image.fromarray(picture) for picture in pictures]
    kind = {"format": "PNG"} if path.suffix == ".apng" else {}
    first.save(path, save_all=True, append_images=rest, duration=rng.choice((0, 20, 100)), loop=0, **kind)
    return path


def truncated(rng: Random, folder: Path) -> Path:
    path = whole(rng, folder)
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(1, len(data))])
    return path


def flipped(rng: Random, folder: Path) -> Path:
    path = whole(rng, folder)
    _flip(path, rng, rng.randint(1, 40), 1.0)
    return path


def flipped_head(rng: Random, folder: Path) -> Path:
    path = whole(rng, folder)
    _flip(path, rng, rng.randint(1, 12), 0.2)
    return path


def _flip(path: Path, rng: Random, count: int, part: float) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(count):
        data[rng.randrange(max(1, int(len(data) * part)))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def block(rng: Random, folder: Path) -> Path:
    """A run of noise or zeros within."""
    path = whole(rng, folder, (*VIDEO, *MOVING))
    data = bytearray(path.read_bytes())
    at, size = rng.randrange(len(data)), rng.randint(16, 4000)
    data[at : at + size] = rng.randbytes(size) if rng.random() < 0.5 else bytes(size)
    path.write_bytes(data)
    return path


def lying(rng: Random, folder: Path) -> Path:
    """Fields of headers that say what is not so: sizes, counts, clocks."""
    path = whole(rng, folder, (*VIDEO, *MOVING, ".mp4", ".mov"))
    data = bytearray(path.read_bytes())
    places = [at for field in FIELDS if (at := data.find(field)) >= 0]
    for _ in range(rng.randint(1, 3)):
        at = rng.choice(places or [4]) + rng.randint(-4, 40)
        value = rng.choice(
            (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x00\x00\xff\xff", rng.randbytes(4))
        )
        data[max(at, 0) : max(at, 0) + 4] = value
    path.write_bytes(data)
    return path


def moving(rng: Random, folder: Path) -> Path:
    """GIF, APNG, WebP and y4m, flipped or cut."""
    path = whole(rng, folder, MOVING)
    if rng.random() < 0.5:
        _flip(path, rng, rng.randint(1, 10), rng.choice((0.1, 1.0)))
    else:
        data = path.read_bytes()
        path.write_bytes(data[: rng.randrange(1, len(data))])
    return path


def wrong_name(rng: Random, folder: Path) -> Path:
    """One kind of file under another's name."""
    path = whole(rng, folder, (*VIDEO, *MOVING))
    return path.rename(folder / f"in{rng.choice((*VIDEO, *MOVING, '.png', '.txt', '.jpg', '.xyz', '.m4a'))}")


def no_video(rng: Random, folder: Path) -> Path:
    """Nothing, noise, or a text, under a video's name."""
    path = folder / f"in{rng.choice((*VIDEO, *MOVING, '.png'))}"
    what = rng.choice(("nothing", "noise", "text", "zeros", "magic"))
    heads = (
        b"GIF89a", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\xffWEBPVP8X\n\x00\x00\x00\x02", b"\x1a\x45\xdf\xa3",
        b"YUV4MPEG2 W", b"\x00\x00\x00\x18ftypmp42",
    )  # fmt: skip
    content = {
        "nothing": b"",
        "noise": rng.randbytes(rng.randint(1, 60_000)),
        "text": b"Dear reader, this is no video.\n" * rng.randint(1, 400),
        "zeros": bytes(rng.randint(1, 100_000)),
        "magic": rng.choice(heads) + rng.randbytes(rng.randint(0, 3000)),
    }
    path.write_bytes(content[what])
    return path


def folder_of(rng: Random, folder: Path) -> Path:
    """A folder: empty, of other things, of pictures of two sizes, of damaged pictures, called like a video."""
    path = folder / rng.choice(("in", "in.mp4"))
    path.mkdir()
    what = rng.choice(("empty", "text", "sizes", "damaged", "damaged", "all damaged"))
    if what == "text":
        (path / "a.txt").write_text("a")
    if what in ("sizes", "damaged", "all damaged"):
        suffix = rng.choice((".png", ".jpg", ".webp", ".tiff", ".bmp"))
        for k in range(5):
            Image.fromarray(rgb(k, (20, 30) if what == "sizes" and k == 3 else SIZE)).save(path / f"{k}{suffix}")
        for k in {"damaged": (rng.randrange(5),), "all damaged": range(5)}.get(what, ()):
            file = path / f"{k}{suffix}"
            file.write_bytes(file.read_bytes()[: rng.randint(0, 400)])
    return path


def sound_only(rng: Random, folder: Path) -> Path:
    path = folder / f"in{rng.choice(('.m4a', '.wav', '.mp4', '.mkv'))}"
    if path.suffix == ".wav":
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
            file.writeframes(rng.randbytes(8000))
        return path
    with av.open(str(path), "w", format={".m4a": "mp4", ".mkv": "matroska"}.get(path.suffix, "mp4")) as container:
        stream = container.add_stream("aac", rate=48000)
        block = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        block.sample_rate = 48000
        container.mux([*stream.encode(block), *stream.encode(None)])
    return path


def small_or_long(rng: Random, folder: Path) -> Path:
    """One frame; one pixel; 16000x16 and 16x16000."""
    size = rng.choice(((1, 1), (16, 16000), (16000, 16), (2, 2), (1, 64)))
    frames = rng.choice((1, 2, 5))
    suffix = rng.choice((".mkv", ".avi", ".gif", ".y4m", ".mkv"))
    path = folder / f"in{suffix}"
    if suffix == ".gif":
        pictures = [Image.fromarray(rgb(k, size)) for k in range(frames)]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    elif suffix == ".y4m":
        body = b"".join(b"FRAME\n" + rgb(k, size).tobytes() for k in range(frames))
        path.write_bytes(f"YUV4MPEG2 W{size[1]} H{size[0]} F25:1 C444\n".encode() + body)
    else:
        codec, pixels = ("ffv1", "yuv444p") if suffix == ".mkv" else ("mjpeg", "yuvj444p")
        Clip(frames=frames, size=size, codec=codec, pixel_format=pixels).make(path)
    return path


def absurd_pts(rng: Random, folder: Path) -> Path:
    """Times that jump by years, run into the end of 64 bits, stand still, or begin long before 0."""
    suffix = rng.choice((".mkv", ".mp4", ".ts"))
    base = rng.choice((0, 0, 10**6, -(10**4)))
    jumps = (10**3, 10**5) if suffix == ".ts" else (10**3, 10**6, 10**8, 10**9)  # its clock ends after a day
    ticks, at = [], base
    for _ in range(12):
        ticks.append(at)
        at += rng.choice((1, 1, 1, 2, 3, rng.choice(jumps)))
    try:
        return Clip(ticks=ticks, grid=F(1, 25), size=SIZE, codec="libx264", options={"bf": "0"}).make(
            folder / f"in{suffix}"
        )
    except (OSError, ValueError, OverflowError):  # the muxer itself refuses: then a lesser jump
        return Clip(ticks=[0, 1, 2, 10**6], grid=F(1, 25), size=SIZE, options={"bf": "0"}).make(folder / "in.mkv")


def joined(rng: Random, folder: Path) -> Path:
    """Two files in one, or one with something behind or before it."""
    path = whole(rng, folder, (*VIDEO, *MOVING))
    (folder / "other").mkdir()
    other = whole(rng, folder / "other", (*VIDEO, *MOVING))
    parts = [path.read_bytes(), rng.choice((other.read_bytes(), rng.randbytes(3000), bytes(3000)))]
    other.unlink()
    (folder / "other").rmdir()
    path.write_bytes(b"".join(reversed(parts) if rng.random() < 0.3 else parts))
    return path


KINDS: dict[str, Callable[[Random, Path], Path]] = {
    "truncated": truncated,
    "bits flipped": flipped,
    "bits flipped in the head": flipped_head,
    "a block of noise": block,
    "lying header": lying,
    "lying header once more": lying,
    "damaged animation": moving,
    "wrong name": wrong_name,
    "no video at all": no_video,
    "folder": folder_of,
    "sound only": sound_only,
    "tiny, huge, short": small_or_long,
    "absurd pts": absurd_pts,
    "joined": joined,
}


def shown(path: Path) -> int:
    """How many pictures an output shows; raises if it is broken."""
    if path.is_dir():
        for file in path.iterdir():
            with Image.open(file) as picture:
                picture.load()
        return len(list(path.iterdir()))
    with av.open(str(path)) as container:
        natives = list(container.decode(video=0))
    times = [native.pts for native in natives]
    assert all(a < b for a, b in pairwise(times)), "times that do not grow"
    return len(natives)


def _peak_mb(*, anew: bool = False) -> float:
    """The most memory held since the last time `anew` was given, MB; since the beginning where the system cannot."""
    with contextlib.suppress(OSError):
        if anew:
            Path("/proc/self/clear_refs").write_text("5")
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _rendered(arguments: list[str]) -> dict[str, object]:
    from tween.cli.main import main

    _peak_mb(anew=True)
    begun, out, words = time.perf_counter(), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(words):
        code = main([*arguments, "--json"])
    told = {"code": code, "words": words.getvalue(), "seconds": time.perf_counter() - begun, "peak_mb": _peak_mb()}
    result = json.loads(out.getvalue().splitlines()[-1])
    if "frames_out" in result:
        told |= {"frames": result["frames_out"], "notes": result["notes"]}
        try:
            told["shown"] = shown(Path(result["output"]))
        except Exception as error:
            told["broken"] = f"{type(error).__name__}: {error}"
    return told


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(_rendered(json.loads(line))), file=answers, flush=True)
