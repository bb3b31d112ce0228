"""A film goes through a source and a sink, and is the same film."""

import ctypes
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
import torch
from clips import Clip, packets, planes

from tween.frame import Colour
from tween.timeline import Slow
from tween.video import filesink
from tween.video.doors import open_sink, open_source
from tween.video.stream import Encoding

F = Fraction
C = ctypes.CDLL(None) if sys.platform == "linux" else None  # what Python itself takes memory from
M_PERTURB = -6  # mallopt: what all that is given out is filled with


def through(source_path, sink_path, *, computed=False, start=None, end=None, **encoding):
    """Read a whole video and write it; gives back the frames and the sink's notes. `computed`: of RGB only."""
    frames = []
    with (
        open_source(source_path, start=start, end=end) as source,
        open_sink(sink_path, like=source, encoding=Encoding(**encoding)) as sink,
    ):
        for frame in source:
            sink.write(replace(frame, native=None) if computed else frame)
            frames.append(frame)
    assert source.damage is None
    return frames, sink.notes


def read(path):
    with open_source(path) as source:
        frames = list(source)
    assert source.damage is None
    return source.info, frames


LOSSLESS = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "gray",
            "gray10le", "gbrp10le", "yuvj420p", "yuv440p"]  # fmt: skip


@pytest.mark.parametrize("pixel_format", LOSSLESS)
def test_lossless_write_then_read_is_identity(tmp_path, pixel_format):
    codec = "mjpeg" if pixel_format.startswith("yuvj") else "ffv1"
    clip = Clip(frames=5, pixel_format=pixel_format, codec=codec, colour=Colour(5, 6, 6, codec == "mjpeg"))
    written, _ = through(clip.make(tmp_path / "in.mkv"), tmp_path / "out.mkv", codec="ffv1")
    info, frames = read(tmp_path / "out.mkv")
    assert [f.pts for f in frames] == [f.pts for f in written]
    assert info.colour == read(tmp_path / "in.mkv")[0].colour
    for frame, was in zip(frames, written, strict=True):
        assert frame.data.dtype == was.data.dtype
        assert torch.equal(frame.data, was.data)
        assert all(np.array_equal(a, b) for a, b in zip(planes(frame.native), planes(was.native), strict=True))


@pytest.mark.parametrize("depth", [8, 10])
def test_rgb_frames_become_what_the_source_has(tmp_path, depth):
    name = "yuv444p" if depth == 8 else "yuv444p10le"
    clip = Clip(frames=4, pixel_format=name, codec="ffv1", colour=Colour(1, 1, 1, False))
    written, _ = through(clip.make(tmp_path / "in.mkv"), tmp_path / "out.mkv", codec="ffv1", computed=True)
    info, frames = read(tmp_path / "out.mkv")
    assert info.pixel_format == name
    for frame, was in zip(frames, written, strict=True):
        for kept, original in zip(planes(frame.native), planes(was.native), strict=True):
            kind = np.uint8 if depth == 8 else np.uint16
            error = kept.copy().view(kind).astype(int) - original.copy().view(kind)
            assert abs(error).mean() < 0.1


CLOCKS = [
    Clip(rate=F(24)),
    Clip(rate=F(24000, 1001)),
    Clip(rate=F(30000, 1001), frames=20),
    Clip(rate=F(25), sound=("aac",)),
    Clip(ticks=(0, 3, 4, 9, 10, 17), grid=F(1, 90), rate=F(30), options={"bf": "0"}),
    Clip(ticks=(507, 763, 1019, 1275, 1531), grid=F(1, 15360), rate=F(60)),
    Clip(ticks=(90, 130, 135), grid=F(1, 1000), rate=F(25), options={"bf": "0"}),
    Clip(frames=1),
]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("clip", CLOCKS, ids=lambda c: f"{c.rate}-{len(c.pts)}")
def test_every_pts_is_kept_exactly(tmp_path, clip, suffix):
    source = clip.make(tmp_path / "in.mp4")
    through(source, tmp_path / f"out{suffix}")
    (was, originals), (info, frames) = read(source), read(tmp_path / f"out{suffix}")
    assert [f.pts for f in frames] == clip.pts
    assert (info.duration, info.length) == (was.duration, len(clip.pts))
    assert frames[-1].duration == originals[-1].duration == was.duration - (clip.pts[-1] - clip.pts[0])
    assert info.rate == pytest.approx(was.rate)


@pytest.mark.parametrize("clip", CLOCKS, ids=lambda c: f"{c.rate}-{len(c.pts)}")
def test_matroska_keeps_every_pts_to_its_millisecond(tmp_path, clip):
    through(clip.make(tmp_path / "in.mp4"), tmp_path / "out.mkv")
    _, frames = read(tmp_path / "out.mkv")
    late = (
        frames[0].pts - clip.pts[0]
    )  # sound that starts before 0 moves the whole film, as Matroska cannot count below
    assert late <= F(23, 1000)
    assert all(abs(f.pts - late - pts) <= F(1, 1000) for f, pts in zip(frames, clip.pts, strict=True))


@pytest.mark.parametrize("factor", [2, 3, 8])
@pytest.mark.parametrize("clip", CLOCKS[1:6], ids=lambda c: f"{c.rate}-{len(c.pts)}")
@pytest.mark.slow
def test_a_finer_clock_is_exact_too(tmp_path, clip, factor):
    """What `--times` does: the gaps of the source's own clock, divided."""
    with open_source(clip.make(tmp_path / "in.mp4")) as source:
        frames = list(source)
        step = Encoding(time_base=source.info.time_base / factor, rate=source.info.rate * factor)
        wanted = []
        with open_sink(tmp_path / "out.mp4", like=source, encoding=step) as sink:
            for a, b in pairwise(frames):
                for k in range(factor):
                    wanted.append(a.pts + (b.pts - a.pts) * F(k, factor))
                    sink.write(replace(a, pts=wanted[-1], native=None))
            sink.write(frames[-1])
    info, made = read(tmp_path / "out.mp4")
    assert [f.pts for f in made] == [*wanted, frames[-1].pts]
    assert info.duration == source.info.duration


def test_a_held_picture_is_written_twice(tmp_path):
    with open_source(Clip(frames=2).make(tmp_path / "in.mp4")) as source:
        first, last = source
        with open_sink(tmp_path / "out.mkv", like=source, encoding=Encoding(codec="ffv1", rate=F(48))) as sink:
            for k, frame in enumerate((first, first, last, last)):
                sink.write(replace(frame, pts=F(k, 48), duration=F(1, 48)))
        assert first.native.pts == 0, "the source's picture is as it was"
    _, frames = read(tmp_path / "out.mkv")
    assert torch.equal(frames[0].data, frames[1].data)
    assert torch.equal(frames[2].data, frames[3].data)
    assert [f.pts for f in frames] == [F(k, 48) for k in range(4)], "the file's milliseconds are read as the rate's"


TAGS = [Colour(), Colour(1, 1, 1, False), Colour(6, 6, 6, False), Colour(5, 5, 6, True), Colour(9, 9, 16, False),
        Colour(9, 9, 18, False), Colour(1, 1, 13, True), Colour(2, 1, 2, None)]  # fmt: skip


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "ffv1", "prores"])
@pytest.mark.parametrize("colour", TAGS, ids=lambda c: f"{c.matrix}-{c.primaries}-{c.transfer}-{c.full_range}")
def test_colour_tags_are_the_source_s(tmp_path, colour, codec):
    source = Clip(frames=2, colour=colour, codec="ffv1").make(tmp_path / "in.mkv")
    suffix = {"ffv1": ".mkv", "prores": ".mov"}.get(codec, ".mp4")
    preset = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "12"}.get(codec)
    _, notes = through(source, tmp_path / f"out{suffix}", codec=codec, preset=preset)
    info, _ = read(tmp_path / f"out{suffix}")
    was, _ = read(source)
    assert was.colour == colour
    assert (info.colour.matrix, info.colour.primaries, info.colour.transfer) == (
        colour.matrix, colour.primaries, colour.transfer)  # fmt: skip
    if codec == "prores" and colour.full_range:
        assert notes[-1] == "prores knows limited range only: the full range is written as that"
    elif colour.full_range is None:
        assert not info.colour.full_range  # some codecs write "limited" where nothing is said: it is what silence means
    else:
        assert info.colour.full_range == colour.full_range


@pytest.mark.parametrize("colour", [Colour(), Colour(1, 1, 1, False), Colour(5, 5, 6, True)])
def test_colours_do_not_shift_between_originals_and_computed_frames(tmp_path, colour):
    source = Clip(frames=3, size=(64, 96), colour=colour, codec="ffv1").make(tmp_path / "in.mkv")
    through(source, tmp_path / "out.mkv", codec="ffv1", computed=True)
    for frame, was in zip(read(tmp_path / "out.mkv")[1], read(source)[1], strict=True):
        for kept, original in zip(planes(frame.native), planes(was.native), strict=True):
            assert abs((kept.astype(float) - original).mean()) < 0.06


@pytest.mark.parametrize(
    ("pixel_format", "codec", "suffix", "wanted"),
    [
        ("yuv420p", "h264", ".mp4", "yuv420p"),
        ("yuv420p10le", "h264", ".mp4", "yuv420p10le"),
        ("yuv422p", "h264", ".mp4", "yuv422p"),
        ("yuv444p", "h264", ".mkv", "yuv444p"),
        ("gray", "h264", ".mp4", "yuv420p"),
        ("gray10le", "hevc", ".mp4", "yuv420p10le"),
        ("yuv420p10le", "hevc", ".mp4", "yuv420p10le"),
        ("yuv422p12le", "hevc", ".mkv", "yuv422p12le"),
        ("yuv420p10le", "av1", ".mp4", "yuv420p10le"),
        ("yuv444p", "av1", ".mp4", "yuv420p"),
        ("yuv420p", "prores", ".mov", "yuv422p10le"),
        ("yuv444p10le", "prores", ".mov", "yuv444p10le"),
        ("yuv420p12le", "ffv1", ".mkv", "yuv420p12le"),
    ],
)
def test_depth_and_chroma_follow_the_source(tmp_path, pixel_format, codec, suffix, wanted):
    clip = Clip(frames=3, size=(72, 80), pixel_format=pixel_format, codec="ffv1", colour=Colour(1, 1, 1, False))
    _, notes = through(clip.make(tmp_path / "in.mkv"), tmp_path / f"out{suffix}", codec=codec)
    info, frames = read(tmp_path / f"out{suffix}")
    assert info.pixel_format == wanted
    assert len(frames) == 3
    assert bool(notes) == (codec == "av1" and pixel_format == "yuv444p"), "what is lost is told"


@pytest.mark.parametrize("size", [(65, 96), (64, 97), (65, 97), (67, 131)])
@pytest.mark.parametrize("codec", ["h264", "hevc", "ffv1"])
def test_odd_sizes_stay_as_they_are(tmp_path, size, codec):
    source = Clip(frames=3, size=size, codec="ffv1").make(tmp_path / "in.mkv")
    written, notes = through(source, tmp_path / "out.mkv", codec=codec)
    info, frames = read(tmp_path / "out.mkv")
    assert info.size == size
    error = (frames[1].data.float() - written[1].data.float()).abs().mean()
    assert error < 6
    assert any("is odd" in note for note in notes) == (codec != "ffv1")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_rotation_and_aspect_are_kept(tmp_path, suffix):
    for rotation in (0, 90, 180, 270):
        source = Clip(frames=2, rotation=rotation, aspect=F(4, 3)).make(tmp_path / "in.mp4")
        through(source, tmp_path / f"out{suffix}", overwrite=True)
        info, _ = read(tmp_path / f"out{suffix}")
        assert (info.rotation, info.sample_aspect) == (rotation, F(4, 3))


@pytest.mark.parametrize("kind", ["in.mp4", "in.mkv"])
@pytest.mark.parametrize("codec", ["libmp3lame", "aac", "flac", "libopus", "ac3"])
def test_sound_is_copied_bit_for_bit_in_its_place(tmp_path, kind, codec):
    source = Clip(frames=24, sound=(codec,), sound_from=F(1, 4)).make(tmp_path / kind)
    through(source, tmp_path / f"out{source.suffix}")
    was, now = packets(source, "audio"), packets(tmp_path / f"out{source.suffix}", "audio")
    assert [[data for _, data in stream] for stream in now] == [[data for _, data in stream] for stream in was]
    assert [[pts for pts, _ in stream] for stream in now] == [[pts for pts, _ in stream] for stream in was]


def test_two_sounds_two_texts_chapters_and_names(tmp_path):
    clip = Clip(
        frames=48,
        sound=("aac", "ac3"),
        subtitles=("subrip", "ass"),
        chapters=(("One", 0, 1), ("Two", 1, 2)),
        metadata={"title": "A film", "comment": "ours"},
        attachment="font.txt",
    )
    source = clip.make(tmp_path / "in.mkv")
    _, notes = through(source, tmp_path / "out.mkv")
    assert notes == []
    with av.open(str(source)) as was, av.open(str(tmp_path / "out.mkv")) as now:
        assert [s.type for s in now.streams] == [s.type for s in was.streams]
        assert [s.language for s in now.streams] == [s.language for s in was.streams]
        assert [s.disposition for s in now.streams] == [s.disposition for s in was.streams]
        assert now.chapters() == was.chapters()
        assert now.metadata["title"] == "A film"
        assert now.streams.attachments[0].data == b"an attached file"
    for kind in ("audio", "subtitle"):
        assert packets(tmp_path / "out.mkv", kind) == packets(source, kind)


def test_text_is_rewritten_for_mp4_and_back(tmp_path):
    source = Clip(frames=24, subtitles=("subrip", "ass"), attachment="a.txt").make(tmp_path / "in.mkv")
    _, notes = through(source, tmp_path / "mid.mp4")
    assert [("rewritten as mov_text" in n) for n in notes] == [True, True, False]
    assert "attachment stream 3" in notes[2]
    through(tmp_path / "mid.mp4", tmp_path / "out.mkv")
    for stream in packets(tmp_path / "out.mkv", "subtitle"):
        assert [(round(float(pts), 3), data) for pts, data in stream] == [(0.0, b"Hello"), (0.2, b"there,\nyou")]


def test_names_that_mp4_has_no_place_for_are_told(tmp_path):
    source = Clip(frames=2, metadata={"title": "A film", "director": "B"}).make(tmp_path / "in.mkv")
    _, notes = through(source, tmp_path / "out.mp4")
    assert notes == ["the file's words on DIRECTOR are left out: a .mp4 file has no place"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.metadata["title"] == "A film"


def test_texts_and_chapters_are_slowed_with_the_picture(tmp_path):
    clip = Clip(frames=24, sound=("aac",), subtitles=("mov_text",), chapters=(("One", 0, 1),))
    with open_source(clip.make(tmp_path / "in.mp4")) as source:
        encoding = Encoding(clock=Slow(2, origin=F(0)), sound="drop", time_base=source.info.time_base)
        with open_sink(tmp_path / "out.mp4", like=source, encoding=encoding) as sink:
            for frame in source:
                sink.write(replace(frame, pts=frame.pts * 2, duration=frame.duration * 2))
    assert sink.notes == ["the sound stream 1 (aac in eng) is left out, as asked"]
    info, _ = read(tmp_path / "out.mp4")
    assert (info.audio, info.rate, info.duration) == (0, F(12), F(2))
    texts = [(pts, data[2:]) for pts, data in packets(tmp_path / "out.mp4", "subtitle")[0] if data != b"\0\0"]
    assert texts == [(F(0), b"Hello"), (F(2, 5), b"there,\nyou")]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in container.chapters()] == [(0, 2)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_window_starts_at_zero_with_its_sound(tmp_path, suffix):
    source = Clip(frames=96, sound=("aac",), options={"g": "10"}, chapters=(("One", 0, 2), ("Two", 2, 4))).make(
        tmp_path / "in.mp4"
    )
    frames, _ = through(source, tmp_path / f"out{suffix}", start=F(1), end=F(3))
    assert [f.pts for f in frames] == [F(k, 24) for k in range(24, 72)]
    _, made = read(tmp_path / f"out{suffix}")
    assert made[0].pts == 0
    assert len(made) == 48
    was, now = packets(source, "audio")[0], packets(tmp_path / f"out{suffix}", "audio")[0]
    kept = [(pts - 1, data) for pts, data in was if 1 <= pts < 3]
    assert [data for _, data in now] == [data for _, data in kept]
    assert all(abs(a - b) <= F(1, 1000) for (a, _), (b, _) in zip(now, kept, strict=True))
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in container.chapters()] == [
            (0, 1),
            (1, 2),
        ]


@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".webm", ".avi", ".ts"])
def test_other_containers_come_in(tmp_path, suffix):
    source = Clip(frames=12, size=(64, 64)).make(tmp_path / f"in{suffix}")
    info, frames = read(source)
    assert (info.size, len(frames)) == ((64, 64), 12)
    assert all(b.pts > a.pts for a, b in pairwise(frames))
    through(source, tmp_path / "out.mp4")
    assert [f.pts for f in read(tmp_path / "out.mp4")[1]] == [f.pts for f in frames]


def test_webm_takes_av1_without_being_asked(tmp_path):
    through(Clip(frames=3, size=(64, 64)).make(tmp_path / "in.mp4"), tmp_path / "out.webm")
    assert read(tmp_path / "out.webm")[0].codec in ("libdav1d", "av1")


def test_the_index_stands_in_front(tmp_path):
    through(Clip(frames=3).make(tmp_path / "in.mkv"), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_info_says_what_the_file_is(tmp_path):
    hdr = Colour(9, 9, 16, False)
    clip = Clip(frames=30, rate=F(30000, 1001), pixel_format="yuv420p10le", colour=hdr, sound=("aac",))
    info, _ = read(clip.make(tmp_path / "in.mp4"))
    assert (info.size, info.rate, info.length, info.bit_depth) == ((64, 96), F(30000, 1001), 30, 10)
    assert (info.duration, info.codec, info.audio, info.subtitles) == (F(1001, 1000), "h264", 1, 0)
    assert (info.colour, info.has_alpha, info.time_base) == (hdr, False, F(1, 30000))


@pytest.mark.parametrize(
    "rate", [Fraction(30), Fraction(24000, 1001), Fraction(60), Fraction(60000, 1001), Fraction(25)]
)
def test_a_clock_of_milliseconds_is_read_as_the_rate_it_rounds(tmp_path, rate):
    path = Clip(frames=50, rate=rate).make(tmp_path / "clip.mkv")
    frames = read(path)[1]
    assert [frame.pts for frame in frames] == [k / rate for k in range(50)]
    assert frames[-1].duration == 1 / rate


def test_a_variable_clock_of_milliseconds_stays_variable(tmp_path):
    ticks = [0, 40, 55, 57, 200, 210, 500]
    path = Clip(frames=7, ticks=ticks, grid=Fraction(1, 1000)).make(tmp_path / "clip.mkv")
    assert all(
        abs(frame.pts - Fraction(t, 1000)) <= Fraction(1, 1000) for frame, t in zip(read(path)[1], ticks, strict=True)
    )


def test_a_picture_that_changes_its_size_on_the_way(tmp_path):
    """Two transport streams end to end: the second is shown at the size of the first, and that is told."""
    for k, size in enumerate(((64, 64), (64, 96))):
        Clip(frames=12, size=size, ticks=range(12 * k, 12 * k + 12), grid=F(1, 24)).make(tmp_path / f"{k}.ts")
    (tmp_path / "in.ts").write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())
    with open_source(tmp_path / "in.ts") as source, open_sink(tmp_path / "out.mp4", like=source) as sink:
        frames = list(source)
        for frame in frames:
            sink.write(frame)
    assert {frame.size for frame in frames} == {(64, 64)}
    assert len(frames) >= 20
    assert "the picture changes on the way: 96x64 yuv420p is shown as 64x64 yuv420p" in source.notes
    assert len(read(tmp_path / "out.mp4")[1]) == len(frames)


@pytest.mark.skipif(not hasattr(C, "mallopt"), reason="only glibc fills memory as it is told to")
def test_the_same_pictures_are_the_same_bytes_whatever_memory_held_before(tmp_path):
    """What x264 writes by AVX-512 hung on it."""
    clip = Clip(frames=40, size=(64, 96)).make(tmp_path / "in.mp4")
    made = set()
    try:
        for byte in (1, 255, 0, 0):  # 0: whatever is there
            C.mallopt(M_PERTURB, byte)
            through(clip, tmp_path / "out.mp4", computed=True, overwrite=True)
            made.add((tmp_path / "out.mp4").read_bytes())
    finally:
        C.mallopt(M_PERTURB, 0)
    assert len(made) == 1


@pytest.mark.parametrize(("size", "alone"), [((64, 96), True), ((256, 64), True), ((360, 640), False)])
def test_low_pictures_are_encoded_in_hevc_without_a_pool(tmp_path, size, alone):
    clip = Clip(frames=5, size=size, codec="libx264").make(tmp_path / "in.mp4")
    with open_source(clip) as source, open_sink(tmp_path / "out.mp4", like=source, encoding=HEVC) as sink:
        assert ("pools=none" in sink._plan.options["x265-params"]) is alone
        assert "log-level=error" in sink._plan.options["x265-params"]
        for frame in source:
            sink.write(frame)
    with open_source(tmp_path / "out.mp4") as source:
        assert len(list(source)) == 5


HEVC = Encoding(codec="hevc", preset="ultrafast")


@pytest.mark.parametrize(
    ("encoding", "written", "rests"),
    [(HEVC, 3, 1), (HEVC, 0, 0), (replace(HEVC, segment=2), 4, 1), (Encoding(codec="h264"), 3, 0)],
)
def test_an_encoder_that_minds_is_left_alone_before_it_is_closed_with_pictures_inside(
    tmp_path, monkeypatch, encoding, written, rests
):
    """x265 may wait for ever otherwise: a render that is stopped would not end."""
    rested = []
    monkeypatch.setattr(filesink.time, "sleep", lambda seconds: rested.append(seconds))
    clip = Clip(frames=5, size=(360, 640), codec="libx264").make(tmp_path / "in.mp4")
    with (  # noqa: PT012
        pytest.raises(KeyboardInterrupt),
        open_source(clip) as source,
        open_sink(tmp_path / "out.mp4", like=source, encoding=encoding) as sink,
    ):
        for frame, _ in zip(source, range(written), strict=False):
            sink.write(frame)
        raise KeyboardInterrupt
    assert len(rested) == rests
    assert all(0.2 < seconds < 0.3 for seconds in rested)
    rested.clear()
    with open_source(clip) as source, open_sink(tmp_path / "whole.mp4", like=source, encoding=encoding) as sink:
        for frame in source:
            sink.write(frame)
    assert not rested
