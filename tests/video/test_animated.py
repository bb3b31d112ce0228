"""GIF, APNG and animated WebP: the pictures and how long each is shown, in and out."""

import struct
from fractions import Fraction

import numpy as np
import pytest
import torch
from clips import Clip, rgb
from PIL import Image

from tween.errors import Conflict, EmptyVideo, NotAVideo, OutputExists, TruncatedInput, UnsupportedStream
from tween.frame import Frame
from tween.video.doors import open_sink, open_source
from tween.video.stream import Encoding

F = Fraction
SIZE = (40, 56)
SUFFIXES = (".gif", ".apng", ".webp")


def flat(k):
    """A picture of few colours, uint8 `[H, W, 3]`."""
    return (rgb(k, SIZE) // 86 * 86).astype(np.uint8)


def clear(k):
    """The same with a hole that moves, uint8 `[H, W, 4]`."""
    alpha = np.full((*SIZE, 1), 255, np.uint8)
    alpha[5:20, 4 + 3 * k : 20 + 3 * k] = 0
    return np.concatenate([flat(k) * (alpha > 0), alpha], -1)


def animation(path, pictures, durations, **options):
    """By Pillow; durations in milliseconds."""
    first, *rest = [Image.fromarray(picture) for picture in pictures]
    if path.suffix == ".webp":
        options["lossless"] = True
    kind = {"format": "PNG"} if path.suffix == ".apng" else {}
    first.save(path, save_all=True, append_images=rest, duration=durations, **kind, **options)
    return path


def tensor(picture):
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)


def through(source_path, sink_path, **encoding):
    with open_source(source_path) as source, open_sink(sink_path, like=source, encoding=Encoding(**encoding)) as sink:
        source.alpha = source.info.has_alpha and sink.has_alpha
        for frame in source:
            sink.write(frame)
    return source, sink


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pictures_and_durations_come_in_exactly(tmp_path, suffix):
    durations = [40, 100, 20, 500]
    path = animation(tmp_path / f"in{suffix}", [flat(k) for k in range(4)], durations, loop=0)
    with open_source(path) as source:
        frames = list(source)
    assert [f.duration for f in frames] == [F(d, 1000) for d in durations]
    assert [f.pts for f in frames] == [F(0), F(40, 1000), F(140, 1000), F(160, 1000)]
    assert source.info.length == 4
    assert source.info.rate == F(4000, 660)
    assert (source.damage, source.notes, source.plays) == (None, [], 0)
    for k, frame in enumerate(frames):
        assert torch.equal(frame.data, tensor(flat(k)))
        assert frame.data.is_contiguous()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_comes_in_goes_out(tmp_path, suffix):
    """Pictures of few colours, durations, loops: there is nothing to lose."""
    path = animation(tmp_path / f"in{suffix}", [flat(k) for k in range(4)], [40, 100, 20, 500], loop=3)
    was, sink = through(path, tmp_path / f"out{suffix}")
    assert sink.notes == []
    with open_source(tmp_path / f"out{suffix}") as again:
        frames = list(again)
    assert [f.duration for f in frames] == [F(d, 1000) for d in (40, 100, 20, 500)]
    assert again.plays == was.plays == (4 if suffix == ".gif" else 3)
    for k, frame in enumerate(frames):
        assert torch.equal(frame.data, tensor(flat(k)))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("loop", [None, 0, 1, 7])
def test_loops_are_kept(tmp_path, suffix, loop):
    if loop is None and suffix != ".gif":
        pytest.skip("only a GIF can leave it open")
    options = {} if loop is None else {"loop": loop}
    path = animation(tmp_path / f"in{suffix}", [flat(0), flat(1)], 100, **options)
    through(path, tmp_path / f"out{suffix}")
    with Image.open(path) as was, Image.open(tmp_path / f"out{suffix}") as now:
        assert now.info.get("loop") == was.info.get("loop")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_transparency_comes_through(tmp_path, suffix):
    options = {"disposal": 2} if suffix == ".gif" else {"blend": 0} if suffix == ".apng" else {}
    path = animation(tmp_path / f"in{suffix}", [clear(k) for k in range(4)], 100, loop=0, **options)
    was, _ = through(path, tmp_path / f"out{suffix}")
    assert was.info.has_alpha
    for name in ("in", "out"):
        with open_source(tmp_path / f"{name}{suffix}") as source:
            source.alpha = True
            for k, frame in enumerate(source):
                assert torch.equal(frame.data[3], tensor(clear(k))[3]), (name, k)
                assert torch.equal(frame.data[:3] * (frame.data[3:] > 0), tensor(clear(k))[:3]), (name, k)


def test_transparency_that_is_only_a_trick_of_storage_is_none(tmp_path):
    """A GIF stores unchanged pixels as transparent: what is seen is opaque."""
    still, moved = flat(0), flat(0)
    moved[3:9, 3:9] = 255
    path = animation(tmp_path / "in.gif", [still, moved, still], 100)
    with open_source(path) as source:
        assert not source.info.has_alpha
        assert [frame.data.shape[0] for frame in source] == [3, 3, 3]


def test_an_apng_knows_every_fraction(tmp_path):
    clip = Clip(frames=5, rate=F(30000, 1001)).make(tmp_path / "in.mp4")
    _, sink = through(clip, tmp_path / "out.apng")
    assert sink.notes == []
    with open_source(tmp_path / "out.apng") as again, open_source(clip) as was:
        assert again.info.rate == F(30000, 1001)
        for a, b in zip(again, was, strict=True):
            assert (a.pts, a.duration) == (b.pts, F(1001, 30000))
            assert torch.equal(a.data, b.data)


@pytest.mark.parametrize("alpha", [False, True])
def test_an_apng_of_16_bits(tmp_path, alpha):
    rng = np.random.default_rng(1)
    pictures = [torch.from_numpy(rng.integers(0, 65536, (3 + alpha, *SIZE), dtype=np.uint16)) for _ in range(3)]
    (tmp_path / "in").mkdir()
    from tween.video.images import write_picture

    for k, picture in enumerate(pictures):
        write_picture(tmp_path / "in" / f"{k}.png", picture)
    through(tmp_path / "in", tmp_path / "out.png")
    with open_source(tmp_path / "out.png") as again:
        assert (again.info.bit_depth, again.info.has_alpha, again.info.length) == (16, alpha, 3)
        again.alpha = alpha
        for frame, picture in zip(again, pictures, strict=True):
            assert torch.equal(frame.data, picture)


def test_a_gif_counts_hundredths_and_its_pictures_256_colours(tmp_path):
    clip = Clip(frames=12, rate=F(30), sound=("aac",)).make(tmp_path / "in.mp4")
    _, sink = through(clip, tmp_path / "out.gif")
    assert sink.notes == [
        "the sound is left out: a GIF holds none",
        "a GIF holds 256 colours a picture: all others are made of those by dithering",
        "a GIF counts in steps of 10 ms: times are rounded",
    ]
    with open_source(tmp_path / "out.gif") as again, open_source(clip) as was:
        for k, (a, b) in enumerate(zip(again, was, strict=True)):
            assert a.pts == F(round(F(k * 100, 30)), 100), "rounded one by one: nothing drifts"
            assert (a.data.float() - b.data.float()).abs().mean() < 12
            assert abs(a.data.float().mean() - b.data.float().mean()) < 2
    assert again.info.duration == F(40, 100)
    assert again.plays == 0, "a video becomes an animation that goes on for ever"


@pytest.mark.slow
def test_a_gif_shows_no_more_than_50_pictures_a_second(tmp_path):
    clip = Clip(frames=30, rate=F(60)).make(tmp_path / "in.mp4")
    _, sink = through(clip, tmp_path / "out.gif")
    with open_source(tmp_path / "out.gif") as again:
        frames = list(again)
    assert min(frame.duration for frame in frames) == F(2, 100)
    assert sink.notes[-1] == f"a GIF shows 50 pictures a second at most: {30 - len(frames)} were left out"
    assert again.info.duration == F(1, 2)


def test_a_part_of_an_animation(tmp_path):
    path = animation(tmp_path / "in.gif", [flat(k) for k in range(5)], 100)
    with open_source(path, start=F(1, 10), end=F(3, 10)) as source:
        assert [frame.pts for frame in source] == [F(1, 10), F(2, 10)]
    with pytest.raises(EmptyVideo, match=r"in\.gif shows no picture in the part asked for; it lasts 0\.5 s"):
        open_source(path, start=F(9))
    with open_source(path) as source:
        once_more = [(f.pts, f.data.sum().item()) for f in source.again(F(2, 10))]
        assert once_more == [(f.pts, f.data.sum().item()) for f in source if f.pts >= F(2, 10)]


def test_no_time_at_all_becomes_a_tenth_of_a_second(tmp_path):
    path = animation(tmp_path / "in.gif", [flat(k) for k in range(3)], 0)
    with open_source(path) as source:
        assert [frame.duration for frame in source] == [F(1, 10)] * 3
    assert source.notes == ["pictures that the file shows for no time at all are shown for 0.1 s, as browsers do"]


def test_a_still_before_an_apng_is_no_part_of_it(tmp_path):
    still = Image.fromarray(flat(9))
    rest = [Image.fromarray(flat(k)) for k in range(3)]
    still.save(tmp_path / "in.png", save_all=True, append_images=rest, default_image=True, duration=100)
    with open_source(tmp_path / "in.png") as source:
        frames = list(source)
    assert len(frames) == 3
    assert torch.equal(frames[0].data, tensor(flat(0)))
    assert source.damage is None


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_animation_that_broke_off(tmp_path, suffix):
    path = animation(tmp_path / f"in{suffix}", [rgb(k, SIZE) for k in range(8)], 100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    if suffix == ".webp":
        with pytest.raises(NotAVideo, match=r"in\.webp is no animation that can be read"):
            open_source(path)
        return
    with open_source(path) as source:
        frames = list(source)
    assert 2 <= len(frames) < 8
    assert isinstance(source.damage, TruncatedInput)
    assert f"in{suffix} broke off after {len(frames)} pictures" in str(source.damage)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_header_that_lies(tmp_path):
    path = animation(tmp_path / "in.gif", [flat(k) for k in range(3)], 100)
    data = bytearray(path.read_bytes())
    for size, error, words in (
        (65535, NotAVideo, "no animation that can be read"),
        (12000, UnsupportedStream, r"in\.gif says that it is 12000x12000; 40 million pixels at most"),
    ):
        data[6:10] = struct.pack("<HH", size, size)
        path.write_bytes(data)
        with pytest.raises(error, match=words):
            open_source(path)


def test_options_that_fit_no_animation(tmp_path):
    clip = Clip(frames=2).make(tmp_path / "in.mp4")
    with pytest.raises(Conflict, match=r"--codec with a GIF; it has one way to be written"):
        through(clip, tmp_path / "out.gif", codec="h264")
    (tmp_path / "out.gif").write_bytes(b"dear")
    with pytest.raises(OutputExists):
        through(clip, tmp_path / "out.gif")
    assert (tmp_path / "out.gif").read_bytes() == b"dear"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_run_leaves_nothing(tmp_path, suffix):
    clip = Clip(frames=3).make(tmp_path / "in.mp4")

    def fail():
        with open_source(clip) as source, open_sink(tmp_path / f"out{suffix}", like=source) as sink:
            for frame in source:
                sink.write(frame)
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    with pytest.raises(EmptyVideo, match="no frame was written"), open_source(clip) as source:  # noqa: SIM117
        with open_sink(tmp_path / f"out{suffix}", like=source):
            pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_pictures_last_as_long_as_they_should(tmp_path, suffix):
    with open_source(animation(tmp_path / "in.apng", [flat(0), flat(1)], [100, 300])) as source:
        first, second = source
        with open_sink(tmp_path / f"out{suffix}", like=source) as sink:
            sink.write(first)
            for k in range(1, 4):
                sink.write(Frame(second.data, F(k, 10), F(7, 10)))
    with open_source(tmp_path / f"out{suffix}") as again:
        assert again.info.duration == 1
