"""Every mistake around a file is told in words that help, and leaves nothing behind."""

import os
import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clips import Clip

from tween.errors import (
    BadOption,
    Busy,
    CannotWrite,
    Conflict,
    EmptyVideo,
    MissingFile,
    NotAVideo,
    NoVideoStream,
    OutputExists,
    TruncatedInput,
    UnsupportedStream,
)
from tween.frame import Frame
from tween.video import draft
from tween.video.doors import open_sink, open_source
from tween.video.draft import Draft
from tween.video.stream import Encoding

F = Fraction


@pytest.fixture
def clip(tmp_path) -> Path:
    return Clip(frames=6).make(tmp_path / "clip.mp4")


def sound_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        block = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        block.sample_rate = 48000
        container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return path


def test_a_missing_file(tmp_path):
    with pytest.raises(MissingFile, match=r"nowhere\.mp4 is not there"):
        open_source(tmp_path / "nowhere.mp4")


def test_an_empty_file(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(EmptyVideo, match=r"empty\.mp4 is empty \(0 bytes\)"):
        open_source(tmp_path / "empty.mp4")


@pytest.mark.parametrize("name", ["letter.txt", "letter.mp4"])
def test_a_text(tmp_path, name):
    (tmp_path / name).write_text("Dear reader,\nthis is no video.\n" * 50)
    with pytest.raises(NotAVideo, match="letter"):
        open_source(tmp_path / name)


def test_sound_without_pictures(tmp_path):
    with pytest.raises(NoVideoStream, match=r"song\.m4a holds no moving pictures, only audio"):
        open_source(sound_only(tmp_path / "song.m4a"))


def test_a_folder_without_pictures(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("a")
    with pytest.raises(EmptyVideo, match=r"holds no pictures.*\.png"):
        open_source(tmp_path / "notes")


def test_a_file_whose_index_never_came(clip):
    clip.write_bytes(clip.read_bytes().replace(b"moov", b"xoov"))
    with pytest.raises(NotAVideo, match=r"clip\.mp4 is no video that can be read"):
        open_source(clip)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_file_that_broke_off_gives_what_it_has(tmp_path, suffix):
    whole = Clip(frames=72, sound=("aac",) if suffix != ".avi" else ()).make(tmp_path / f"clip{suffix}")
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) * 6 // 10])
    with open_source(whole) as source, open_sink(tmp_path / "out.mkv", like=source) as sink:
        frames = list(source)
        for frame in frames:
            sink.write(frame)
    assert 10 < len(frames) < 70
    assert isinstance(source.damage, TruncatedInput)
    assert source.damage.exit_code == 1
    assert f"clip{suffix} broke off after" in str(source.damage)
    assert f"({len(frames)} of about 7" in str(source.damage)
    with open_source(tmp_path / "out.mkv") as again:
        assert len(list(again)) == len(frames)
    assert again.damage is None


def test_a_file_damaged_within_gives_the_rest(tmp_path):
    path = Clip(frames=60, size=(128, 128), options={"g": "12"}).make(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    middle = len(data) * 2 // 3
    data[middle : middle + 400] = np.random.default_rng(3).integers(0, 256, 400, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) > 40
    assert "clip.mp4 is damaged" in str(source.damage)


def test_a_whole_file_is_not_called_broken(tmp_path):
    for suffix in (".mp4", ".mkv", ".mov", ".avi", ".ts", ".webm"):
        with open_source(Clip(frames=30, size=(64, 64)).make(tmp_path / f"clip{suffix}")) as source:
            assert len(list(source)) == 30
        assert source.damage is None
        assert source.notes == []


def test_a_part_that_lies_outside(clip):
    with pytest.raises(EmptyVideo, match=r"shows no frame between 50 s and its end"):
        open_source(clip, start=F(50))
    with pytest.raises(BadOption, match="an end after the start is needed"):
        open_source(clip, start=F(2), end=F(1))


def test_a_source_is_read_once(clip):
    with open_source(clip) as source:
        list(source)
        with pytest.raises(RuntimeError, match="read once"):
            list(source)


def sink_of(clip, path, **encoding):
    with open_source(clip) as source:
        return open_sink(path, like=source, encoding=Encoding(**encoding))


def test_an_output_that_is_there(clip, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"dear")
    with pytest.raises(OutputExists, match=r"out\.mp4 is there already.*--overwrite"):
        sink_of(clip, tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").read_bytes() == b"dear"


def test_an_output_that_is_the_input(clip):
    with pytest.raises(Conflict, match="input and output are both"):
        sink_of(clip, clip, overwrite=True)


def test_a_folder_that_is_not_there(clip, tmp_path):
    with pytest.raises(CannotWrite, match=r"the folder .*nowhere is not there"):
        sink_of(clip, tmp_path / "nowhere" / "out.mp4")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even root may write into")
def test_a_folder_closed_to_us(clip):
    with pytest.raises(CannotWrite, match=r"nothing can be written into /proc"):
        sink_of(clip, "/proc/out.mp4")


@pytest.mark.parametrize(
    ("name", "encoding", "error", "words"),
    [
        ("out.xyz", {}, BadOption, r"out\.xyz ends in \.xyz.*\.mp4.*-o out\.mp4"),
        ("out.mp4", {"codec": "prores"}, BadOption, r"prores into out\.mp4.*\.mov or \.mkv.*-o out\.mov"),
        ("out.mp4", {"codec": "ffv1"}, BadOption, r"ffv1 goes into \.mkv.*-o out\.mkv"),
        ("out.webm", {"codec": "h264"}, BadOption, r"h264 goes into \.mp4"),
        ("out.mp4", {"codec": "h265"}, BadOption, r"--codec h265 \(did you mean .*\).*hevc"),
        ("out.mp4", {"crf": 60}, BadOption, r"--crf 60.*0 \(best\) to 51"),
        ("out.mkv", {"crf": 5, "codec": "ffv1"}, Conflict, r"ffv1 has no such dial.*leave --crf out"),
        ("out.mp4", {"preset": "fst"}, BadOption, r"--preset fst \(did you mean .*fast"),
        ("frames", {"crf": 5}, Conflict, r"--crf with a folder of pictures"),
    ],
)
def test_what_cannot_be_is_told_at_the_door(clip, tmp_path, name, encoding, error, words):
    with pytest.raises(error, match=words):
        sink_of(clip, tmp_path / name, **encoding)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4"]


def test_small_pictures_for_a_codec_that_takes_none(tmp_path):
    clip = Clip(frames=2, size=(18, 34)).make(tmp_path / "clip.mp4")
    with pytest.raises(UnsupportedStream, match=r"34x18.*hevc takes 64x64.*--codec h264"):
        sink_of(clip, tmp_path / "out.mp4", codec="hevc")


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "frames"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_run_leaves_nothing(clip, tmp_path, name, error):
    def fail():
        with open_source(clip) as source, open_sink(tmp_path / name, like=source) as sink:
            for frame in source:
                sink.write(frame)
            raise error("on the way")

    with pytest.raises(error, match="on the way"):
        fail()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4"]


def interrupted_after(monkeypatch, where, name):
    """Ctrl-C comes just after a function is called for the first time."""
    act = getattr(where, name)

    def once(*args, **options):
        monkeypatch.setattr(where, name, act)
        act(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(where, name, once)


WAY_IN = [(Path, "mkdir"), (Path, "open"), (draft, "is_locked_now"), (draft, "_is_still_there"), (Draft, "clear")]


@pytest.mark.parametrize(("where", "name"), WAY_IN, ids=[name for _, name in WAY_IN])
def test_ctrl_c_on_the_way_in_leaves_nothing(tmp_path, monkeypatch, where, name):
    interrupted_after(monkeypatch, where, name)
    with pytest.raises(KeyboardInterrupt):
        Draft(tmp_path / "out.mp4", overwrite=False, source=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("where", "name"), WAY_IN, ids=[name for _, name in WAY_IN])
def test_ctrl_c_on_the_way_in_keeps_what_is_finished(tmp_path, monkeypatch, where, name):
    work = tmp_path / "out.mp4.part"
    work.mkdir()
    (work / "journal").write_text("what is finished\n")
    interrupted_after(monkeypatch, where, name)
    with pytest.raises(KeyboardInterrupt):
        Draft(tmp_path / "out.mp4", overwrite=False, source=None, resume=True)
    assert (work / "journal").read_text() == "what is finished\n"
    Draft(tmp_path / "out.mp4", overwrite=False, source=None, resume=True).discard()  # nobody holds it


@pytest.mark.parametrize(("where", "name"), WAY_IN[:3], ids=[name for _, name in WAY_IN[:3]])
def test_ctrl_c_on_the_way_in_leaves_another_run_alone(tmp_path, monkeypatch, where, name):
    other = Draft(tmp_path / "out.mp4", overwrite=False, source=None)
    other.part.write_bytes(b"half a film")
    interrupted_after(monkeypatch, where, name)
    with pytest.raises(KeyboardInterrupt):
        Draft(tmp_path / "out.mp4", overwrite=False, source=None)
    assert other.part.read_bytes() == b"half a film"
    with pytest.raises(Busy):
        Draft(tmp_path / "out.mp4", overwrite=False, source=None)
    other.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["out.mp4", "frames"])
def test_a_failed_run_keeps_what_it_would_have_replaced(clip, tmp_path, name):
    with open_source(clip) as source, open_sink(tmp_path / name, like=source) as sink:
        for frame in source:
            sink.write(frame)

    def fail():
        with (
            open_source(clip) as source,
            open_sink(tmp_path / name, like=source, encoding=Encoding(overwrite=True)) as sink,
        ):
            sink.write(next(iter(source)))
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    with open_source(tmp_path / name) as again:
        assert len(list(again)) == 6


def test_nothing_written_is_a_mistake(clip, tmp_path):
    with pytest.raises(EmptyVideo, match="no frame was written"), sink_of(clip, tmp_path / "out.mp4"):
        pass
    assert not (tmp_path / "out.mp4").exists()


FILL = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
from clips import Clip
from tween.errors import DiskFull
from tween.video.doors import open_sink, open_source
from tween.video.draft import Draft
from tween.video.stream import Encoding
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    with open_source({clip!r}) as source, open_sink({out!r}, like=source) as sink:
        for frame in source:
            sink.write(frame)
except DiskFull as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "frames"])
@pytest.mark.slow
def test_a_full_disk(tmp_path, name):
    clip = Clip(frames=40, size=(256, 256)).make(tmp_path / "clip.mkv")
    script = FILL.format(tests=str(Path(__file__).parent), clip=str(clip), out=str(tmp_path / name))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert "is full; more room is needed; the unfinished output was removed" in done.stdout, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mkv"]


def test_times_that_run_back_are_refused(clip, tmp_path):
    with open_source(clip) as source:
        first, second, *_ = source
        sink = open_sink(tmp_path / "out.mp4", like=source)
        with pytest.raises(ValueError, match="pts must grow"), sink:  # noqa: PT012
            sink.write(second)
            sink.write(first)
    assert not (tmp_path / "out.mp4.part").exists()


def test_a_frame_of_another_size_is_refused(clip, tmp_path):
    with open_source(clip) as source:
        first = next(iter(source))
        sink = open_sink(tmp_path / "out.mp4", like=source)
        other = Frame(torch.zeros(3, 10, 10, dtype=torch.uint8), first.pts + 1)
        with pytest.raises(ValueError, match="10x10"), sink:  # noqa: PT012
            sink.write(first)
            sink.write(other)


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path):
    """Pictures and packets are let go: 250 more frames of 192x192 in RGB would be 28 MB."""
    clip = Clip(frames=400, size=(192, 192), sound=("aac",)).make(tmp_path / "clip.mp4")
    peaks = []
    with (
        open_source(clip) as source,
        open_sink(tmp_path / "out.mp4", like=source, encoding=Encoding(preset="ultrafast")) as sink,
    ):
        for k, frame in enumerate(source):
            sink.write(frame)
            if k in (150, 399):
                peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert peaks[1] - peaks[0] < 12_000, f"{os.uname().sysname}: KiB grown"
