"""Whatever a film is made of, it comes back as the same film with more frames.

Every row is one way through: a generated clip, the command's own `render`, and the output read back with nothing but
PyAV: how many frames, when each is shown, what the colours mean, which streams there are, and their packets.
"""

import itertools
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil

import av
import numpy as np
import pytest
from clips import Clip, packets, planes

from tween.frame import Colour
from tween.pipeline.config import RenderConfig
from tween.pipeline.recipe import render
from tween.video.doors import open_source

F = Fraction
NTSC, FILM = F(30000, 1001), F(24000, 1001)
BT601, BT709, BT2020 = Colour(6, 6, 6, False), Colour(1, 1, 1, False), Colour(9, 9, 14, False)
PQ, HLG = Colour(9, 9, 16, False), Colour(9, 9, 18, False)
JITTER = (0, 3, 4, 9, 10, 17)
SPEED = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "13", "vp9": "8"}
READS_AS = {"av1": ("av1", "libdav1d"), "vp9": ("vp9", "libvpx-vp9")}


@dataclass(frozen=True)
class Way:
    """One row: a clip in a container, how it is rendered, and where it goes.

    Attributes:
        clip, suffix: what goes in. The clip's size is small, but 64x64 where an encoder needs it.
        out: the output's suffix. codec: asked for.
        times, rate: what is asked for: one of them.
    """

    clip: Clip
    suffix: str = ".mkv"
    out: str = ".mkv"
    codec: str = "auto"
    times: int | None = 2
    rate: str | None = None
    options: dict = field(default_factory=dict)

    def __str__(self):
        clip, asked = self.clip, f"x{self.times}" if self.times else f"{self.rate}fps"
        clock = "vfr" if clip.ticks else f"{float(clip.rate):.4g}"
        colour = f"{clip.colour.matrix}.{clip.colour.transfer}.{clip.colour.full_range}"
        parts = [self.suffix[1:], clip.codec or "", clip.pixel_format, colour, clock, *clip.sound, *clip.subtitles]
        return "-".join(filter(None, [*parts, asked, self.out[1:], self.codec]))


def tiny(**options):
    """A clip as small as its test allows."""
    return Clip(**{"frames": 5, "size": (48, 64), **options})


def lossless(**options):
    return tiny(codec="ffv1", **options)


def rows():
    found = []
    # containers in x containers out, with the codec that each takes without being asked
    for suffix in (".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts"):
        for out in (".mp4", ".mov", ".mkv", ".webm"):
            found.append(Way(tiny(size=(64, 64)), suffix, out))
    # codecs x pixel formats: chroma and depth
    depths = {
        "h264": ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "gray", "gray10le"],
        "hevc": ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "gray",
                 "yuv422p12le", "yuv444p12le"],
        "av1": ["yuv420p", "yuv420p10le"],
        "vp9": ["yuv420p", "yuv422p", "yuv444p"],
        "prores": ["yuv422p10le", "yuv444p10le", "yuv420p", "yuv420p12le"],
        "ffv1": ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le",
                 "yuv422p12le", "yuv444p12le", "gray", "gray10le", "gray12le", "gray16le", "yuv440p", "yuv410p",
                 "yuv411p", "yuv420p16le", "bgr0", "gbrp10le", "gbrp12le", "gbrp16le"],
    }  # fmt: skip
    for codec, formats in depths.items():
        for name in formats:
            colour = Colour(0, 1, 13, True) if name[0] in "gb" and "ray" not in name else BT709
            found.append(Way(lossless(pixel_format=name, colour=colour, size=(64, 64)), codec=codec))
    # colour tags x codecs
    tags = [
        Colour(),
        BT601,
        Colour(5, 5, 6, False),
        BT709,
        Colour(1, 1, 1, True),
        Colour(6, 6, 6, True),
        BT2020,
        PQ,
        HLG,
    ]
    for codec in ("h264", "hevc", "av1", "vp9", "ffv1"):
        for colour in tags:
            name = (
                "yuv420p10le" if colour.matrix == 9 and codec != "vp9" else "yuv422p" if codec == "ffv1" else "yuv420p"
            )
            if (codec, colour) == ("ffv1", BT709):
                continue  # above
            out = {"av1": ".webm", "h264": ".mp4", "hevc": ".mp4", "vp9": ".webm"}.get(codec, ".mkv")
            found.append(Way(lossless(pixel_format=name, colour=colour, size=(64, 64), frames=3), out=out, codec=codec))
    # rates in x what is asked for
    clocks = [{"rate": FILM}, {"rate": F(24)}, {"rate": F(25)}, {"rate": NTSC}, {"rate": F(60)},
              {"ticks": JITTER, "grid": F(1, 90), "rate": F(30), "options": {"bf": "0"}}]  # fmt: skip
    for clock in clocks:
        for asked in ({"times": 2}, {"times": 5}, {"rate": "60", "times": None}, {"rate": "59.94", "times": None},
                      {"rate": "24", "times": None}):  # fmt: skip
            found.append(Way(tiny(**clock), ".mp4", ".mp4", codec="h264", **asked))
        found.append(Way(tiny(**clock), ".mkv", ".mkv", times=3))
    # sound x containers
    for codec in ("aac", "libmp3lame", "ac3", "flac", "libopus", "pcm_s16le", "alac"):
        for out in (".mp4", ".mov", ".mkv", ".webm"):
            size = (64, 64) if out == ".webm" else (48, 64)
            found.append(Way(tiny(sound=(codec,), size=size, frames=8), ".mkv", out))
    # all of it at once
    for out in (".mp4", ".mov", ".mkv", ".webm"):
        for suffix in (".mkv", ".mp4"):
            texts = ("subrip", "ass") if suffix == ".mkv" else ("mov_text",)
            found.append(Way(full(texts, suffix), suffix, out))
    return found


def full(texts, suffix):
    return tiny(
        size=(64, 64), frames=16, rate=FILM, sound=("aac", "ac3"), sound_from=F(1, 8), subtitles=texts,
        chapters=(("One", 0, 0.3), ("Two", 0.3, 0.66)), metadata={"title": "A film", "comment": "ours"},
        attachment="font.txt" if suffix == ".mkv" else "", aspect=F(4, 3), colour=BT709,
    )  # fmt: skip


ROWS = rows()


def test_there_are_enough_of_them():
    assert len({str(way) for way in ROWS}) == len(ROWS) >= 150


@pytest.mark.parametrize("way", ROWS, ids=str)
@pytest.mark.slow
def test_the_same_film_with_more_frames(tmp_path, way):
    source = way.clip.make(tmp_path / f"in{way.suffix}")
    out = tmp_path / f"out{way.out}"
    codec = way.codec if way.codec != "auto" else "av1" if way.out == ".webm" else "h264"
    config = RenderConfig(source, out, times=way.times, rate=way.rate, model="blend", codec=way.codec,
                          preset=SPEED.get(codec))  # fmt: skip
    report = render(config)
    with open_source(source) as opened:
        originals = list(opened)
    with av.open(str(source)) as was, av.open(str(out)) as now:
        frames = check_clock(way, originals, now)
        check_picture(way, codec, opened, now, frames, report)
        check_streams(way, was, now, report)
    if codec == "ffv1":
        check_originals(way, originals, frames)
    check_packets(way, source, out, report)


def check_clock(way, originals, now):
    """Frames and pts; gives back the output's decoded pictures by time."""
    stream = now.streams.video[0]
    decoded = [(frame.pts * frame.time_base, frame) for frame in now.decode(stream)]
    wanted = instants(way, [frame.pts for frame in originals], originals[-1])
    moved = decoded[0][0] - wanted[0]  # Matroska cannot count below 0: it moves a film by its sound's priming
    exact = way.out in (".mp4", ".mov")
    assert len(decoded) == len(wanted)
    assert moved == 0 or (not exact and F(-1, 1000) <= moved < F(30, 1000))
    slack = 0 if exact else F(1, 1000)
    assert all(abs(pts - moved - due) <= slack for (pts, _), due in zip(decoded, wanted, strict=True))
    assert now.duration / F(1_000_000) >= wanted[-1] - wanted[0]
    return decoded


def instants(way, shown, last):
    if way.times:
        pairs = itertools.pairwise(shown)
        return [a + (b - a) * F(k, way.times) for a, b in pairs for k in range(way.times)] + [shown[-1]]
    rate = {"59.94": F(60000, 1001)}.get(way.rate, F(way.rate))
    return [shown[0] + k / rate for k in range(ceil((last.pts + last.duration - shown[0]) * rate))]


def check_picture(way, codec, opened, now, frames, report):
    """Size, chroma, depth, colour tags, aspect."""
    stream, info = now.streams.video[0], opened.info
    first = frames[0][1]
    assert stream.codec_context.name in READS_AS.get(codec, (codec,))
    assert (first.height, first.width) == way.clip.size
    is_rgb = av.VideoFormat(info.pixel_format).is_rgb
    depth = max(part.bits for part in first.format.components)
    kept = min(info.bit_depth, {"h264": 10, "hevc": 12, "av1": 10, "vp9": 8, "prores": 12, "ffv1": 16}[codec])
    assert depth >= kept or any("bits at most" in note for note in report.notes)
    if codec == "ffv1":
        assert first.format.name == info.pixel_format or is_rgb
    tags = way.clip.colour
    if is_rgb and not first.format.is_rgb:
        tags = Colour(1, 1, 13, False)
    context = stream.codec_context
    assert (context.colorspace, context.color_primaries, context.color_trc) in (
        (tags.matrix, tags.primaries, tags.transfer),
        *([(2, 2, 2)] if tags == Colour() else []),
    )
    if tags.full_range is not None and codec != "prores" and "gray" not in info.pixel_format:
        assert context.color_range == (2 if tags.full_range else 1)
    assert way.clip.aspect is None or stream.sample_aspect_ratio == way.clip.aspect


def check_streams(way, was, now, report):
    """Every stream is there with its language and disposition, or the report says what became of it; so are names
    and chapters."""
    told = " ".join(report.notes)
    for kind in ("audio", "subtitle", "data", "attachment"):
        before = [s for s in was.streams if s.type == kind]
        after = [s for s in now.streams if s.type == kind]
        if kind == "data":
            continue  # mp4 keeps chapters as a track of text
        if len(after) != len(before):
            assert told.count("is left out") >= len(before) - len(after) > 0
            continue
        synonyms = {"deu": "ger", "fre": "fra"}
        for one, other in zip(before, after, strict=True):
            languages = [synonyms.get(s.language, s.language) for s in (one, other)]
            assert languages[0] in (languages[1], None, "und")
            assert one.disposition & ~1 == other.disposition & ~1  # mp4 calls a first stream "default" by itself
    for key, value in way.clip.metadata.items():
        assert {k.lower(): v for k, v in now.metadata.items()}[key] == value
    titles = [chapter["metadata"]["title"] for chapter in now.chapters()]
    assert titles == [title for title, *_ in way.clip.chapters]
    for chapter, (_, start, end) in zip(now.chapters(), way.clip.chapters, strict=True):
        assert float(chapter["start"] * chapter["time_base"]) == pytest.approx(start, abs=0.002)
        assert float(chapter["end"] * chapter["time_base"]) == pytest.approx(end, abs=0.002)


def check_originals(way, originals, frames):
    """Through a lossless codec every frame of the source is there, plane by plane, to the bit."""
    if not way.times:
        return
    for original, (_, frame) in zip(originals, frames[:: way.times], strict=True):
        if frame.format.name == original.native.format.name:
            pairs = zip(planes(frame), planes(original.native), strict=True)
            assert all(np.array_equal(kept, was) for kept, was in pairs)
        else:
            rows = [f.reformat(format="gbrp16le").to_ndarray() for f in (frame, original.native)]
            assert np.array_equal(*rows)


def check_packets(way, source, out, report):
    """Sound packets are the same bytes at the same times, unless they are said to be encoded anew; then the sound
    begins and ends where it did."""
    before, after = packets(source, "audio"), packets(out, "audio")
    assert len(before) == len(after)
    with open_source(source) as was, open_source(out) as now:
        shift = next(iter(now)).pts - next(iter(was)).pts
    anew = [note for note in report.notes if "encoded anew" in note]
    for stream, (old, new) in enumerate(zip(before, after, strict=True)):
        if any(f"sound stream {1 + stream} " in note for note in anew):
            assert abs(new[0][0] - shift - old[0][0]) < F(5, 100)
            assert abs(new[-1][0] - shift - old[-1][0]) < F(1, 10)
            continue
        assert [data for _, data in new] == [data for _, data in old]
        assert all(abs(a - shift - b) <= F(2, 1000) for (a, _), (b, _) in zip(new, old, strict=True))
    texts = [bytes(data) for stream in packets(out, "subtitle") for _, data in stream if data != b"\0\0"]
    assert len(texts) == 2 * len(way.clip.subtitles)
    assert all(b"Hello" in text for text in texts[::2])


@pytest.mark.parametrize("out", [".mp4", ".mov", ".mkv", ".webm"])
def test_covers(tmp_path, out):
    """mp4 keeps a cover as a stream, Matroska as an attached file; the others say that they have no place."""
    source = with_cover(tmp_path / "in.mp4")
    report = render(RenderConfig(source, tmp_path / f"out{out}", times=2, model="nearest"))
    picture = covers(source)
    if out in (".mp4", ".mkv"):
        assert covers(tmp_path / f"out{out}") == picture
        assert report.notes == []
    else:
        assert report.notes[-1] == f"the cover picture (png) is left out: a {out} file cannot hold it"


def covers(path):
    with av.open(str(path)) as container:
        streams = [s for s in container.streams.video if s.disposition & 1024]
        return [bytes(packet) for packet in container.demux(streams) if packet.size]


def with_cover(path):
    plain = replace(tiny(size=(64, 64)), metadata={}).make(path.with_name(f"plain{path.suffix}"))
    png = av.CodecContext.create("png", "w")
    png.width = png.height = 16
    png.pix_fmt, png.time_base = "rgb24", F(1, 25)
    data = b"".join(bytes(p) for p in [*png.encode(av.VideoFrame(16, 16, "rgb24")), *png.encode(None)])
    with av.open(str(plain)) as given, av.open(str(path), "w") as container:
        video = container.add_stream_from_template(given.streams.video[0])
        cover = container.add_stream("png", rate=1)
        cover.width = cover.height = 16
        cover.pix_fmt, cover.disposition = "rgb24", av.stream.Disposition.attached_pic
        container.start_encoding()
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = video
                container.mux(packet)
        packet = av.Packet(data)
        packet.stream, packet.pts, packet.dts, packet.time_base, packet.is_keyframe = cover, 0, 0, F(1, 90000), True
        container.mux(packet)
    return path
