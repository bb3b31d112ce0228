"""y4m and bare pictures: what goes in comes out to the byte, and a pipe carries video and nothing else."""

import contextlib
import json
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from clips import Clip, planes, rgb
from PIL import Image

from tween.errors import BadOption, Conflict, EmptyVideo, NotAVideo, TruncatedInput, UnsupportedStream
from tween.frame import Colour
from tween.video.doors import open_sink, open_source
from tween.video.stream import Encoding
from tween.video.y4m import CHROMA, PLAIN, Layout, header, raw_layout, read_header

F = Fraction
SIZE = (18, 26)
FFMPEG = shutil.which("ffmpeg")


def noise(layout, count=3):
    """Bytes of `count` pictures, their samples within the depth."""
    depth = max(part.bits for part in av.VideoFormat(layout.pixel_format).components)
    rng = np.random.default_rng(7)
    if depth == 8:
        return [rng.integers(0, 256, layout.length, dtype=np.uint8).tobytes() for _ in range(count)]
    return [rng.integers(0, 2**depth, layout.length // 2, dtype=np.uint16).tobytes() for _ in range(count)]


def y4m(path, layout, pictures):
    path.write_bytes(header(layout) + b"".join(b"FRAME\n" + data for data in pictures))
    return path


def through(source_path, sink_path, **encoding):
    """Every frame from one file to another, as it is."""
    with open_source(source_path) as source, open_sink(sink_path, like=source, encoding=Encoding(**encoding)) as sink:
        for frame in source:
            sink.write(frame)
    return source, sink


@pytest.mark.parametrize("chroma", CHROMA)
@pytest.mark.parametrize("full", [None, False, True])
def test_y4m_comes_out_as_it_went_in(tmp_path, chroma, full):
    if CHROMA[chroma].startswith("gray") and full is None:
        full = True  # gray without a word is full range, and is said to be
    if "alpha" in chroma:
        pytest.skip("transparency is left out of pipes")
    layout = Layout(SIZE, CHROMA[chroma], F(30000, 1001), F(4, 3), full, "p", chroma)
    path = y4m(tmp_path / "in.y4m", layout, noise(layout))
    source, sink = through(path, tmp_path / "out.y4m")
    assert (tmp_path / "out.y4m").read_bytes() == path.read_bytes()
    assert (source.info.rate, source.info.size, source.info.pixel_format) == (F(30000, 1001), SIZE, CHROMA[chroma])
    assert source.info.sample_aspect == F(4, 3)
    assert sink.notes == []


@pytest.mark.parametrize("chroma", ["420mpeg2", "422p10", "444p12", "mono", "444alpha"])
def test_ffmpeg_reads_the_same_pictures(tmp_path, chroma):
    layout = Layout((16, 24), CHROMA[chroma], F(25), None, None, "p", chroma)
    path = y4m(tmp_path / "in.y4m", layout, noise(layout))
    with open_source(path) as source, av.open(str(path)) as container:
        for frame, known in zip(source, container.decode(video=0), strict=True):
            assert frame.native.format.name == known.format.name
            assert frame.pts == known.pts * known.time_base
            for ours, theirs in zip(planes(frame.native), planes(known), strict=True):
                assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("pixel_format", sorted({*PLAIN, *CHROMA.values()}))
def test_the_length_of_a_picture(pixel_format):
    layout = Layout((15, 23), pixel_format)
    encoder = av.CodecContext.create("rawvideo", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 23, 15, pixel_format, F(1, 25)
    assert layout.length == sum(len(bytes(packet)) for packet in encoder.encode(av.VideoFrame(23, 15, pixel_format)))


def test_a_video_becomes_y4m_and_comes_back(tmp_path):
    clip = Clip(frames=5, sound=("aac",), aspect=F(4, 3)).make(tmp_path / "in.mp4")
    _, sink = through(clip, tmp_path / "out.y4m")
    assert sink.notes == ["the sound is left out: y4m holds none"]
    assert (tmp_path / "out.y4m").read_bytes().startswith(b"YUV4MPEG2 W96 H64 F24:1 Ip A4:3 C420mpeg2\n")
    through(tmp_path / "out.y4m", tmp_path / "back.mkv", crf=0)
    with open_source(clip) as was, open_source(tmp_path / "back.mkv") as now:
        for a, b in zip(was, now, strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(planes(a.native), planes(b.native), strict=True))
        assert now.info.sample_aspect == F(4, 3)


@pytest.mark.parametrize("colour", [Colour(1, 1, 1, False), Colour(9, 9, 16, False), Colour(6, 6, 6, True)])
def test_what_y4m_cannot_say_is_told(tmp_path, colour):
    clip = Clip(frames=2, colour=colour).make(tmp_path / "in.mp4")
    _, sink = through(clip, tmp_path / "out.y4m")
    said = b"XCOLORRANGE=FULL" if colour.full_range else b"XCOLORRANGE=LIMITED"
    assert said in (tmp_path / "out.y4m").read_bytes()[:100]
    words = {1: "y4m cannot say matrix 1 of H.273", 9: "matrix 9 and transfer 16 of H.273"}
    assert (sink.notes == []) if colour.matrix == 6 else (words[colour.matrix] in sink.notes[0])


def test_rgb_becomes_444_and_back_within_a_level(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(rgb(0, (40, 56))).save(tmp_path / "in" / "0.png")
    through(tmp_path / "in", tmp_path / "out.y4m")
    with open_source(tmp_path / "out.y4m") as again:
        frame = next(iter(again))
    assert again.info.pixel_format == "yuv444p"
    assert (frame.data.permute(1, 2, 0).numpy().astype(int) - rgb(0, (40, 56))).__abs__().max() <= 3


def combed(k):
    """Luma of a bar that moves 4 pixels a frame: even rows at k, odd rows half a frame later."""
    rows = np.full((32, 64), 40, np.uint8)
    for y in range(32):
        at = 8 + 4 * k + 2 * (y % 2)
        rows[y, at : at + 12] = 200
    return rows


@pytest.mark.parametrize(("fields", "words"), [("t", "top field first"), ("b", "bottom field first")])
def test_fields_become_whole_pictures_or_are_told(tmp_path, fields, words):
    layout = Layout((32, 64), "yuv420p", F(25), None, None, fields, "420jpeg")
    pictures = [combed(k).tobytes() + bytes([128]) * (2 * 16 * 32) for k in range(6)]
    path = y4m(tmp_path / "in.y4m", layout, pictures)
    with open_source(path) as source, open_sink(tmp_path / "out.y4m", like=source) as sink:
        frames = list(source)
        for frame in frames:
            sink.write(frame)
    assert source.interlaced
    assert f"in.y4m is interlaced ({words}): whole pictures are made of its fields" in source.notes[0]
    assert [frame.pts for frame in frames] == [F(k, 25) for k in range(6)]
    for k in (2, 3):
        combs = np.abs(np.diff(planes(frames[k].native)[0].astype(int), axis=0)).mean()
        assert combs < np.abs(np.diff(combed(k).astype(int), axis=0)).mean() / 3
    assert b" Ip " in (tmp_path / "out.y4m").read_bytes()[:60]
    with open_source(path, deinterlace="off") as source:
        assert np.array_equal(planes(list(source)[3].native)[0], combed(3))
    assert source.notes == [f"in.y4m is interlaced ({words}); its pictures are taken as whole ones"]
    with pytest.raises(UnsupportedStream, match=r"is interlaced .*--deinterlace auto, or off"):
        open_source(path, deinterlace="refuse")


def test_a_part_begins_at_its_start(tmp_path):
    layout = Layout(SIZE, "yuv420p", F(10), None, None, "p", "420jpeg")
    path = y4m(tmp_path / "in.y4m", layout, noise(layout, 10))
    with open_source(path, start=F(3, 10), end=F(6, 10)) as source:
        assert [frame.pts for frame in source] == [F(3, 10), F(4, 10), F(5, 10)]
    with open_source(path, start=F(3, 10)) as source, open_sink(tmp_path / "out.mp4", like=source) as sink:
        for frame in source:
            sink.write(frame)
    with open_source(tmp_path / "out.mp4") as again:
        assert [frame.pts for frame in again] == [F(k, 10) for k in range(7)]


def test_uneven_times_are_kept_by_repeating(tmp_path):
    clip = Clip(ticks=(0, 1, 2, 6, 7), grid=F(1, 24)).make(tmp_path / "in.mp4")
    _, sink = through(clip, tmp_path / "out.y4m", rate=F(24))
    with open_source(tmp_path / "out.y4m") as again:
        frames = list(again)
    assert len(frames) == 8
    assert all(torch.equal(frames[k].data, frames[2].data) for k in (3, 4, 5))
    assert not torch.equal(frames[6].data, frames[2].data)
    assert "3 were repeated and 0 left out; --rate makes them even" in sink.notes[0]


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"YUV4MPEG2 W16 F25:1\n", NotAVideo, r"header of in\.y4m reads 'YUV4MPEG2 W16 F25:1'; W, H and F"),
        (b"YUV4MPEG2 Wa H16 F25:1\n", NotAVideo, "whole numbers are needed"),
        (b"YUV4MPEG2 W16 H16 F25:1 C999\n", UnsupportedStream, "y4m of kind C999"),
        (b"YUV4MPEG2 W16 H16 F25:1 C420p11\n", UnsupportedStream, "did you mean .*420p1"),
        (b"YUV4MPEG2 W0 H16 F25:1\n", UnsupportedStream, "of 0x16 pixels"),
        (b"YUV4MPEG2 W999999 H999999 F25:1\n", UnsupportedStream, "of 999999x999999 pixels"),
        (b"YUV4MPEG2 W16000 H16000 F25:1\nFRAME\nabc", EmptyVideo, r"no frame of in\.y4m is whole"),
        (b"YUV4MPEG2 W16 H16\nFRAME\n", BadOption, "does not say its frame rate.*--source-rate 30"),
        (b"YUV4MPEG2 W16 H16 F25:1\n", EmptyVideo, r"in\.y4m holds no frame"),
    ],
)
def test_headers_that_cannot_be(tmp_path, data, error, words):
    (tmp_path / "in.y4m").write_bytes(data)
    with pytest.raises(error, match=words):
        open_source(tmp_path / "in.y4m")


def test_a_stream_that_breaks_off_gives_what_it_has(tmp_path):
    layout = Layout(SIZE, "yuv420p", F(25), None, None, "p", "420jpeg")
    path = y4m(tmp_path / "in.y4m", layout, noise(layout, 4))
    whole = path.read_bytes()
    for data, words in ((whole[:-9], "picture 3 has 693 of 702 bytes"), (whole + b"junk\n", "no picture")):
        path.write_bytes(data)
        with open_source(path) as source:
            frames = list(source)
        assert len(frames) == (3 if data == whole[:-9] else 4)
        assert isinstance(source.damage, TruncatedInput)
        assert words in str(source.damage)


def test_how_bare_pictures_are_named():
    assert raw_layout("1280x720", F(30)) == Layout((720, 1280), "rgb24", F(30))
    assert raw_layout("640x480:yuv420p10le", F(30)).pixel_format == "yuv420p10le"
    with pytest.raises(BadOption, match=r"--raw 1280; WIDTHxHEIGHT is needed"):
        raw_layout("1280", F(30))
    with pytest.raises(BadOption, match=r"bare pictures carry no rate.*--source-rate 30"):
        raw_layout("1280x720", None)
    with pytest.raises(BadOption, match=r"--raw rbg24 \(did you mean .*rgb24"):
        raw_layout("1280x720:rbg24", F(30))
    with pytest.raises(Conflict, match=r"--raw for clip\.mp4"):
        open_source("clip.mp4", raw="1280x720")
    assert read_header(b"YUV4MPEG2 W16 H8 F25:1 A0:0", "x").sample_aspect is None


def test_options_that_fit_no_pipe(tmp_path):
    clip = Clip(frames=2).make(tmp_path / "in.mp4")
    for encoding, words in (
        ({"codec": "h264"}, "--codec with pictures without compression"),
        ({"crf": 3}, "--crf with"),
    ):
        with pytest.raises(Conflict, match=words), open_source(clip) as source:
            open_sink(tmp_path / "out.y4m", like=source, encoding=Encoding(**encoding))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_a_failed_run_leaves_no_y4m(tmp_path):
    clip = Clip(frames=3).make(tmp_path / "in.mp4")

    def fail():
        with open_source(clip) as source, open_sink(tmp_path / "out.y4m", like=source) as sink:
            sink.write(next(iter(source)))
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_a_computed_frame_is_written_as_video(tmp_path):
    clip = Clip(frames=2).make(tmp_path / "in.mp4")
    with open_source(clip) as source, open_sink(tmp_path / "out.y4m", like=source) as sink:
        for frame in source:
            sink.write(replace(frame, native=None))
    with open_source(tmp_path / "out.y4m") as again, open_source(clip) as was:
        for a, b in zip(again, was, strict=True):
            assert (a.data.float() - b.data.float()).abs().mean() < 1
            assert abs(a.data.float().mean() - b.data.float().mean()) < 0.2


def tween(*args, **options):
    command = [sys.executable, "-m", "tween", *map(str, args)]
    return subprocess.run(command, capture_output=True, timeout=120, check=False, **options)


def a_stream(count=6, size=(48, 64)):
    layout = Layout(size, "yuv420p10le", F(25), None, False, "p", "420p10")
    return layout, header(layout) + b"".join(b"FRAME\n" + data for data in noise(layout, count))


@pytest.mark.slow
def test_a_pipe_through_the_command():
    layout, stream = a_stream()
    done = tween(
        "interpolate", "-", "-o", "-", "--times", 2, "--model", "blend", "--cuts", "off", "--json", input=stream
    )
    assert done.returncode == 0, done.stderr.decode()
    head, _, rest = done.stdout.partition(b"\n")
    assert head == b"YUV4MPEG2 W64 H48 F50:1 Ip A0:0 C420p10 XCOLORRANGE=LIMITED"
    assert len(rest) == 11 * (6 + layout.length), "11 pictures and nothing else"
    begins = [k * (6 + layout.length) for k in range(11)]
    assert all(rest[at : at + 6] == b"FRAME\n" for at in begins)
    originals = [rest[at + 6 : at + 6 + layout.length] for at in begins[::2]]
    assert originals == noise(layout, 6)
    assert json.loads(done.stderr.splitlines()[-1])["frames_out"] == 11


@pytest.mark.slow
def test_bare_pictures_through_the_command():
    pictures = [rgb(k, (48, 64)).tobytes() for k in range(4)]
    options = ("--raw", "64x48", "--source-rate", 30, "--pipe-format", "rgb24", "--rate", 60, "--model", "blend")
    done = tween("interpolate", "-", "-o", "-", *options, "--quiet", input=b"".join(pictures))
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout) == 8 * 64 * 48 * 3
    found = [done.stdout[k * 64 * 48 * 3 : (k + 1) * 64 * 48 * 3] for k in range(8)]
    assert found[:7:2] == pictures


@pytest.mark.slow
def test_transparency_goes_through_bare_pictures():
    rng = np.random.default_rng(2)
    pictures = [rng.integers(0, 256, (48, 64, 4), dtype=np.uint8) for _ in range(2)]
    options = ("--raw", "64x48:rgba", "--source-rate", 30, "--pipe-format", "rgba", "--times", 2, "--model", "blend")
    data = b"".join(picture.tobytes() for picture in pictures)
    done = tween("interpolate", "-", "-o", "-", *options, "--cuts", "off", "--quiet", input=data)
    assert (done.returncode, done.stderr) == (0, b"")
    found = np.frombuffer(done.stdout, np.uint8).reshape(3, 48, 64, 4).astype(int)
    assert np.array_equal(found[0], pictures[0])
    assert np.array_equal(found[2], pictures[1])
    between = (pictures[0][..., 3].astype(int) + pictures[1][..., 3]) / 2
    assert np.abs(found[1][..., 3] - between).max() <= 1


def test_transparency_of_y4m_comes_in(tmp_path):
    layout = Layout(SIZE, "yuva444p", F(25), None, None, "p", "444alpha")
    path = y4m(tmp_path / "in.y4m", layout, noise(layout))
    with open_source(path) as source, open_sink(tmp_path / "out.mkv", like=source) as sink:
        assert source.info.has_alpha
        assert sink.has_alpha
        source.alpha = True
        for frame in source:
            assert frame.data.shape == (4, *SIZE)
            sink.write(frame)
    with open_source(tmp_path / "out.mkv") as again, open_source(path) as was:
        for a, b in zip(again, was, strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(planes(a.native), planes(b.native), strict=True))
    _, sink = through(path, tmp_path / "out.y4m")
    assert sink.notes == ["the transparency is left out: y4m holds none"]


@pytest.mark.slow
def test_no_pipe_at_all():
    done = tween("interpolate", "-", "--times", 2, input=b"")
    assert done.returncode == 2
    assert b"standard input has no name for the output" in done.stderr
    done = tween("interpolate", "-", "-o", "-", "--times", 2, "--json", input=b"RIFF....")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"standard input is no y4m" in done.stderr
    assert json.loads(done.stderr.splitlines()[0])["error"] == "NotAVideo"


@pytest.mark.slow
def test_the_reader_goes_away():
    """Whoever reads stops after a few pictures: no words about pipes, no hang, no lock left."""
    _, stream = a_stream(count=400, size=(144, 256))
    command = [sys.executable, "-m", "tween", "interpolate", "-", "-o", "-", "--times", "4", "--model", "blend"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def feed():
        try:
            process.stdin.write(stream)
            process.stdin.close()
        except BrokenPipeError:
            pass

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert process.stdout.read(300_000).startswith(b"YUV4MPEG2")
    process.stdout.close()
    words = process.stderr.read().decode()
    assert process.wait(timeout=60) == 1
    feeder.join(timeout=10)
    assert "Traceback" not in words
    assert "Errno" not in words


@pytest.mark.skipif(sys.platform == "win32", reason="its pipes cannot be polled")
@pytest.mark.slow
def test_the_reader_goes_away_while_nothing_comes():
    """The writer before us has stalled: we end all the same."""
    _, stream = a_stream(count=5, size=(144, 256))
    command = [sys.executable, "-m", "tween", "interpolate", "-", "-o", "-", "--times", "9", "--model", "blend"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def feed():
        with contextlib.suppress(BrokenPipeError):  # it may be gone before it has taken all
            process.stdin.write(stream)
            process.stdin.flush()

    threading.Thread(target=feed, daemon=True).start()
    assert process.stdout.read(1000).startswith(b"YUV4MPEG2")
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    assert b"Traceback" not in process.stderr.read()


@pytest.mark.slow
@pytest.mark.skipif(FFMPEG is None, reason="no ffmpeg on the path")
@pytest.mark.parametrize("wanted", [("--rate", "60"), ("--times", "3"), ("--slow", "2.5")])
def test_between_two_ffmpegs(tmp_path, wanted):
    clip = Clip(frames=10, rate=F(30000, 1001), pixel_format="yuv422p10le", codec="libx264").make(tmp_path / "in.mkv")
    line = (
        f"'{FFMPEG}' -v error -i '{clip}' -strict -1 -f yuv4mpegpipe - | "
        f"'{sys.executable}' -m tween interpolate - -o - {' '.join(wanted)} --model blend --cuts off | "
        f"'{FFMPEG}' -v error -y -i - -c:v ffv1 '{tmp_path / 'out.mkv'}'"
    )
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = {"--rate": (21, F(60)), "--times": (28, F(90000, 1001)), "--slow": (25, F(30000, 1001))}[wanted[0]]
    with av.open(str(tmp_path / "out.mkv")) as container:
        natives = list(container.decode(video=0))
        assert abs(container.streams.video[0].average_rate - expected[1]) < F(1, 50)
    assert len(natives) == expected[0]
    assert natives[0].format.name == "yuv422p10le"
    with open_source(clip) as source:
        first = next(iter(source)).native
    assert all(np.array_equal(a, b) for a, b in zip(planes(first), planes(natives[0]), strict=True))


@pytest.mark.long
def test_memory_is_flat_in_length(tmp_path):
    """The pictures stay on the disk and not with us: a child's peak counts what its parent held when it was born."""
    layout, _ = a_stream(count=0, size=(90, 160))
    peaks = []
    for count in (60, 900):
        with (tmp_path / "in.y4m").open("wb") as file:
            file.write(header(layout))
            for k in range(count):
                file.write(b"FRAME\n" + bytes([k % 4, 1]) * (layout.length // 2))
        with (tmp_path / "in.y4m").open("rb") as file:
            done = tween(
                "interpolate", "-", "-o", "-", "--times", 2, "--model", "blend", "--end", 36, "--json", stdin=file
            )
        assert len(done.stdout) > (2 * count - 1) * layout.length
        peaks.append(json.loads(done.stderr.splitlines()[-1])["peak_memory_mb"])
        del done
    assert peaks[1] - peaks[0] < 30, peaks
