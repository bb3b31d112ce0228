"""A clip gives any of its frames, in any order, from pictures and from video files."""

import logging
import multiprocessing
import os
import pickle
import random
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
import trees
from clips import Clip as Made
from PIL import Image

from tween.data import decoder
from tween.data.clips import Broken, PictureClip, VideoClip
from tween.data.flo import read_flo, write_flo
from tween.data.index import index_of
from tween.errors import BrokenPicture
from tween.frame import Colour
from tween.video.doors import open_source

QUIET = "log-level=0"
LONG = {"g": "12", "keyint_min": "12", "sc_threshold": "0"}


@pytest.fixture(autouse=True)
def _closed():
    yield
    decoder.POOL.close()


def everything(path):
    with open_source(path) as source:
        return [frame.data for frame in source], source.info


def whole(path, **more):
    return VideoClip("a", "b", str(path), 0, index_of(str(path)).length, **more)


# pictures


def test_pictures_come_in_the_order_asked(tmp_path):
    trees.numbered(tmp_path, 5)
    clip = PictureClip("a", "b", tuple(str(tmp_path / f"{k:06d}.png") for k in range(5)))
    assert (clip.length, clip.size()) == (5, trees.SIZE)
    read = clip.read([3, 0, 3])
    assert [int(frame[0, 0, 0]) for frame in read] == [3, 0, 3]
    assert read[0].dtype == torch.uint8
    assert read[0].shape == (3, *trees.SIZE)
    assert clip.flow(1, 0, 2) is None


def test_a_picture_that_is_missing_or_broken_is_named(tmp_path):
    trees.numbered(tmp_path, 3)
    paths = [tmp_path / f"{k:06d}.png" for k in range(3)]
    paths[1].write_bytes(paths[1].read_bytes()[:60])
    paths[2].unlink()
    clip = PictureClip("a", "b", tuple(map(str, paths)))
    with pytest.raises(BrokenPicture, match=r"000001\.png cannot be read .*whole picture"):
        clip.read([0, 1])
    with pytest.raises(BrokenPicture, match=r"000002\.png cannot be read \(it is not there\)"):
        clip.read([2])
    with pytest.raises(BrokenPicture, match="000001"):
        PictureClip("a", "b", (str(paths[2]).replace("2.png", "1.png"),)).read([0])
    paths[0].write_bytes(b"no picture")
    with pytest.raises(BrokenPicture, match="000000"):
        clip.size()


def test_pictures_of_two_sizes_are_broken(tmp_path):
    paths = (trees.picture(tmp_path / "a.png", 1), trees.picture(tmp_path / "b.png", 2, (8, 8)))
    with pytest.raises(BrokenPicture, match=r"b\.png is 8x8, .*a\.png is 24x16"):
        PictureClip("a", "b", tuple(map(str, paths))).read([0, 1])


def test_a_place_outside_is_our_mistake(tmp_path):
    clip = PictureClip("a", "b", (str(trees.picture(tmp_path / "a.png", 1)),))
    with pytest.raises(IndexError, match="places 0 to 0, not 1"):
        clip.read([1])


def test_deep_and_transparent_pictures_become_rgb_of_8_bits(tmp_path):
    grey = Image.fromarray(np.full((4, 6), 40000, np.uint16))
    grey.save(tmp_path / "deep.png")
    Image.new("RGBA", (6, 4), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    clip = PictureClip("a", "b", (str(tmp_path / "deep.png"), str(tmp_path / "clear.png")))
    deep, clear = clip.read([0, 1])
    assert deep.unique().tolist() == [40000 >> 8]
    assert clear[:, 0, 0].tolist() == [10, 20, 30]


def test_flow_is_both_motions_or_none(tmp_path):
    for k in (0, 1):
        write_flo(tmp_path / f"{k}.flo", torch.full((2, 4, 6), float(k + 1)))
    paths = [str(tmp_path / f"{k}.flo") for k in (0, 1)]
    clip = PictureClip("a", "b", ("x", "y", "z"), ((1, 0, paths[0]), (1, 2, paths[1])))
    assert clip.flow(1, 0, 2)[:, 0, 0].tolist() == [1, 1, 2, 2]
    assert clip.flow(1, 2, 0)[:, 0, 0].tolist() == [2, 2, 1, 1]
    assert clip.flow(0, 1, 2) is None
    assert clip.motion(1, 2).shape == (2, 4, 6)


def test_flo_files_keep_x_and_y_and_what_is_unknown(tmp_path):
    motion = torch.randn(2, 5, 7)
    motion[0, 2, 3] = torch.nan
    write_flo(tmp_path / "a.flo", motion)
    assert torch.equal(read_flo(tmp_path / "a.flo").nan_to_num(9), motion.nan_to_num(9))
    raw = np.frombuffer((tmp_path / "a.flo").read_bytes(), "<f4")
    assert raw[0] == pytest.approx(202021.25)
    assert raw[3 : 3 + 2].tolist() == motion[:, 0, 0].tolist()  # x, then y of the first pixel


@pytest.mark.parametrize("cut", [2, 11, 40])
def test_a_flo_file_that_is_cut_is_named(tmp_path, cut):
    write_flo(tmp_path / "a.flo", torch.zeros(2, 5, 7))
    (tmp_path / "b.flo").write_bytes((tmp_path / "a.flo").read_bytes()[:cut])
    with pytest.raises(BrokenPicture, match=r"b\.flo cannot be read"):
        read_flo(tmp_path / "b.flo")
    with pytest.raises(BrokenPicture, match="No such file"):
        read_flo(tmp_path / "c.flo")


# video files: place n is the n-th frame that open_source gives, bit for bit

FILES = {
    "h264 with B-frames": ("a.mp4", {"options": LONG}),
    "h264, open groups": ("a.mp4", {"options": {**LONG, "x264-params": "open-gop=1:keyint=10:bframes=3"}}),
    "h264 in a transport stream": ("a.ts", {"options": LONG}),
    "h264 in Matroska": ("a.mkv", {"options": LONG, "rate": Fraction(60)}),
    "hevc, open groups": ("a.mp4", {"codec": "libx265", "options": {"x265-params": f"open-gop=1:keyint=10:{QUIET}"}}),
    "vp8 with hidden frames": (
        "a.webm",
        {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "10", "g": "12", "deadline": "good"}},
    ),
    "vp9": ("a.webm", {"options": {"g": "12"}}),
    "mpeg4 with B-frames in AVI": ("a.avi", {"options": {"g": "8", "bf": "2"}}),
    "pictures alone": ("a.mov", {"codec": "mjpeg", "pixel_format": "yuvj420p", "options": {}}),
    "uneven times": ("a.mp4", {"ticks": [0, 1, 3, 4, 8, 9, 10, 20, 21, 22, 23, 30], "options": LONG}),
    "BT.709, full range": ("a.mp4", {"colour": Colour(1, 1, 1, True), "options": LONG}),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.slow
def test_any_place_is_the_very_frame_of_open_source(tmp_path, kind):
    name, settings = FILES[kind]
    made = Made(frames=len(settings.get("ticks", range(40))), size=(48, 64), **settings)
    path = made.make(tmp_path / name)
    truth, _ = everything(path)
    clip = whole(path)
    assert clip.length == len(truth)
    assert clip.size() == tuple(truth[0].shape[1:])
    rng = random.Random(1)
    visits = [[rng.randrange(len(truth)) for _ in range(3)] for _ in range(12)]
    for places in [[len(truth) - 1], [0], *visits, list(range(len(truth)))]:
        for place, frame in zip(places, clip.read(places), strict=True):
            assert torch.equal(frame, truth[place]), (places, place)


def test_deep_video_is_rounded_to_8_bits(tmp_path):
    path = Made(frames=4, codec="libx265", pixel_format="yuv420p10le", options={"x265-params": QUIET}).make(
        tmp_path / "a.mp4"
    )
    truth, info = everything(path)
    assert info.bit_depth == 10
    for frame, deep in zip(whole(path).read([0, 1, 2, 3]), truth, strict=True):
        assert torch.equal(frame.double(), (deep.to(torch.float64) / 257).round())


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_video_is_turned_upright(tmp_path, degrees):
    path = Made(frames=3, rotation=degrees).make(tmp_path / "a.mp4")
    truth, info = everything(path)
    clip = whole(path)
    upright = torch.rot90(truth[1], info.rotation // 90, (1, 2))
    assert torch.equal(clip.read([1])[0], upright)
    assert clip.size() == tuple(upright.shape[1:])


def test_start_step_and_crop(tmp_path):
    path = Made(frames=30, options=LONG).make(tmp_path / "a.mp4")
    truth, _ = everything(path)
    clip = VideoClip("a", "b", str(path), 5, 8, 3, (4, 2, 50, 40))
    assert clip.size() == (40, 50)
    for place, frame in zip((7, 0, 3), clip.read([7, 0, 3]), strict=True):
        assert torch.equal(frame, truth[5 + 3 * place][:, 2:42, 4:54])
        assert frame.untyped_storage().nbytes() == frame.numel()  # the rest of the picture is let go
    with pytest.raises(IndexError, match="0 to 7, not 8"):
        clip.read([8])
    with pytest.raises(BrokenPicture, match=r"shows 96x64, and the clip a crops 50x40 at \(60, 2\)"):
        VideoClip("a", "b", str(path), 0, 1, 1, (60, 2, 50, 40)).read([0])


def test_consecutive_frames_are_decoded_once_and_a_read_goes_on_where_the_last_one_stood(tmp_path, monkeypatch):
    path = Made(frames=40, options={**LONG, "g": "40"}).make(tmp_path / "a.mp4")
    clip = whole(path)
    monkeypatch.setattr(decoder, "KEPT_BYTES", 1)  # two pictures are kept, however small
    sought, decoded = [], []
    seek, decode = decoder.Decoder._seek, decoder._decoded
    monkeypatch.setattr(decoder.Decoder, "_seek", lambda self, at: (sought.append(at), seek(self, at)))
    monkeypatch.setattr(
        decoder, "_decoded", lambda *args: (lambda frames: (decoded.extend(frames), frames)[1])(decode(*args))
    )
    for start in (0, 9, 20, 30):
        clip.read(range(start, start + 10))
    assert len(sought) == 1
    assert len(decoded) <= 40
    clip.read([2])
    assert len(sought) == 2


def test_a_few_files_stay_open_and_no_more(tmp_path):
    paths = [Made(frames=2).make(tmp_path / f"{k}.mp4") for k in range(6)]
    for path in paths * 2:
        whole(path).read([1])
    assert len(decoder.POOL._idle) == decoder.OPEN_FILES


@pytest.mark.slow
def test_clips_travel_to_forked_and_spawned_workers(tmp_path):
    path = Made(frames=12).make(tmp_path / "a.mp4")
    clip = whole(path)
    truth = clip.read([7])[0]  # the decoder is open here when the workers begin
    assert pickle.loads(pickle.dumps(clip)) == clip
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            for frames in pool.map(clip.read, [[7], [3, 7]]):
                assert torch.equal(frames[-1], truth)
    assert torch.equal(clip.read([7])[0], truth)


def test_a_file_that_is_replaced_is_read_anew(tmp_path):
    path = Made(frames=4).make(tmp_path / "a.mp4")
    before = whole(path).read([3])[0]
    path.unlink()
    Made(frames=6, size=(32, 48)).make(path)
    os.utime(path, ns=(1, 1))
    clip = whole(path)
    assert clip.length == 6
    assert clip.read([3])[0].shape[1:] == (32, 48) != before.shape[1:]


def test_a_broken_video_is_named(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video" * 99)
    clip = VideoClip("a", "b", str(tmp_path / "a.mp4"), 0, 4)
    for act in (clip.size, lambda: clip.read([0])):
        with pytest.raises(BrokenPicture, match=r"a\.mp4 cannot be read"):
            act()
    with pytest.raises(BrokenPicture, match="No such file"):
        VideoClip("a", "b", str(tmp_path / "b.mp4"), 0, 4).read([0])
    path = Made(frames=5).make(tmp_path / "c.mp4")
    with pytest.raises(BrokenPicture, match=r"frame 7 of .*c\.mp4 cannot be decoded \(it holds 5\)"):
        VideoClip("a", "b", str(path), 0, 9).read([7])


def test_a_damaged_packet_breaks_its_picture_and_moves_no_other(tmp_path):
    path = Made(frames=40, options=LONG).make(tmp_path / "a.mkv")
    truth, _ = everything(path)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [one for one in container.demux(video=0) if one.size]
    keys = [k for k, one in enumerate(packets) if one.is_keyframe]
    hurt = packets[keys[2] - 1]  # the last one before a keyframe: nothing but itself depends on it
    at = content.index(bytes(hurt)[:40])
    content[at : at + hurt.size] = bytes(hurt.size)
    path.write_bytes(content)
    place = sorted(one.pts for one in packets).index(hurt.pts)
    clip = VideoClip("a", "b", str(path), 0, 40)
    for read in (39, place + 1, 3, place - 3):
        assert torch.equal(clip.read([read])[0], truth[read])
    with pytest.raises(BrokenPicture, match=f"frame {place} of .*cannot be decoded"):
        clip.read([place])
    assert torch.equal(clip.read([38])[0], truth[38])


# what is broken is skipped, counted, and too much of it an error


def error(name="x.png"):
    return BrokenPicture(f"the picture {name} cannot be read")


def test_broken_pictures_are_logged_and_one_in_a_hundred_is_borne(caplog):
    broken = Broken()
    broken.read(250)
    with caplog.at_level(logging.WARNING):
        broken.skip(error("one.png"))
        broken.skip(error("two.png"))
    assert "skipped: the picture one.png cannot be read" in caplog.text
    with pytest.raises(BrokenPicture, match=r"3 of 253 samples could not be read, first .*one\.png.*at most 1%"):
        broken.skip(error("three.png"))


def test_nothing_is_judged_before_a_hundred_were_asked_for():
    broken = Broken()
    for _ in range(99):
        broken.skip(error())
    with pytest.raises(BrokenPicture, match="100 of 100"):
        broken.skip(error())


def test_the_end_of_a_set_is_judged_however_small():
    few = Broken()
    few.read(9)
    few.skip(error())
    few.end()  # one broken picture of a small set is told, and no more
    few.skip(error())
    with pytest.raises(BrokenPicture, match="2 of 11"):
        few.end()
    all_of_it = Broken()
    all_of_it.skip(error())
    with pytest.raises(BrokenPicture, match="1 of 1"):
        all_of_it.end()
    Broken().end()
