"""Folders of pictures, in and out."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from clips import Clip, rgb
from PIL import Image

from tween.errors import BadOption, Conflict, EmptyVideo, MissingFile, NotAVideo, OutputExists, TruncatedInput
from tween.frame import Colour
from tween.video.doors import open_sink, open_source
from tween.video.images import read_picture, write_picture
from tween.video.stream import Encoding

F = Fraction
SIZE = (40, 56)


def folder_of(path, count=4, suffix=".png"):
    path.mkdir()
    for k in range(count):
        Image.fromarray(rgb(k, SIZE)).save(
            path / f"shot{k}{suffix}", **({"lossless": True} if suffix == ".webp" else {})
        )
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp"])
def test_pictures_come_in_bit_for_bit(tmp_path, suffix):
    with open_source(folder_of(tmp_path / "in", suffix=suffix), rate=F(30)) as source:
        frames = list(source)
    assert [f.pts for f in frames] == [F(k, 30) for k in range(4)]
    assert [f.duration for f in frames] == [F(1, 30)] * 4
    for k, frame in enumerate(frames):
        assert torch.equal(frame.data, torch.from_numpy(rgb(k, SIZE)).permute(2, 0, 1))
        assert frame.data.is_contiguous()
    assert (source.info.size, source.info.length, source.info.duration) == (SIZE, 4, F(4, 30))


def test_jpegs_come_in_nearly(tmp_path):
    with open_source(folder_of(tmp_path / "in", suffix=".jpg")) as source:
        first = next(iter(source))
    assert (first.data.permute(1, 2, 0).numpy().astype(int) - rgb(0, SIZE)).std() < 20
    assert source.info.rate == 24


def test_nine_comes_before_ten(tmp_path):
    folder = folder_of(tmp_path / "in", count=12)
    with open_source(folder) as source:
        frames = list(source)
    assert torch.equal(frames[10].data, torch.from_numpy(rgb(10, SIZE)).permute(2, 0, 1))
    with open_source(folder, start=F(1, 24), end=F(3, 24)) as source:
        assert [f.pts for f in source] == [F(1, 24), F(2, 24)]


def test_sixteen_bits_stay_sixteen_bits(tmp_path):
    (tmp_path / "in").mkdir()
    data = torch.from_numpy(np.random.default_rng(0).integers(0, 65536, (3, *SIZE), dtype=np.uint16))
    for k in range(2):
        write_picture(tmp_path / "in" / f"{k}.png", data)
    with open_source(tmp_path / "in") as source, open_sink(tmp_path / "out", like=source) as sink:
        assert (source.info.bit_depth, source.info.pixel_format) == (16, "rgb48le")
        for frame in source:
            assert torch.equal(frame.data, data)
            sink.write(frame)
    assert torch.equal(read_picture(tmp_path / "out" / "frame_000001.png", deep=True), data)


def test_gray_palette_and_transparency_become_rgb(tmp_path):
    for name, mode in (("gray", "L"), ("palette", "P"), ("clear", "RGBA")):
        (tmp_path / name).mkdir()
        Image.fromarray(rgb(0, SIZE)).convert(mode).save(tmp_path / name / "0.png")
        with open_source(tmp_path / name) as source:
            assert next(iter(source)).data.shape == (3, *SIZE)
        assert source.info.has_alpha == (name == "clear")


def test_frames_go_out_as_pngs_and_come_back(tmp_path):
    clip = Clip(frames=5, sound=("aac",)).make(tmp_path / "in.mp4")
    with open_source(clip) as source, open_sink(tmp_path / "out", like=source) as sink:
        frames = list(source)
        for frame in frames:
            sink.write(frame)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"frame_{k:06d}.png" for k in range(5)]
    assert sink.notes == ["the sound is left out: a folder of pictures holds none"]
    with open_source(tmp_path / "out", rate=F(24)) as again:
        for frame, was in zip(again, frames, strict=True):
            assert torch.equal(frame.data, was.data)
            assert frame.pts == was.pts


@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("ffv1", ".mkv")])
def test_a_folder_becomes_a_video(tmp_path, codec, suffix):
    with (
        open_source(folder_of(tmp_path / "in"), rate=F(30000, 1001)) as source,
        open_sink(tmp_path / f"out{suffix}", like=source, encoding=Encoding(codec=codec, crf=None)) as sink,
    ):
        for frame in source:
            sink.write(frame)
    assert sink.notes == []
    with open_source(tmp_path / f"out{suffix}") as again:
        frames = list(again)
    if codec == "ffv1":
        assert torch.equal(frames[1].data, torch.from_numpy(rgb(1, SIZE)).permute(2, 0, 1))
    else:
        assert again.info.colour == Colour(1, 1, 13, False), "the tags say what the conversion did"
        assert [f.pts for f in frames] == [F(1001 * k, 30000) for k in range(4)]
        assert abs(frames[1].data.float().mean() - rgb(1, SIZE).mean()) < 1


def test_a_picture_that_cannot_be_read_is_told(tmp_path):
    folder = folder_of(tmp_path / "in")
    (folder / "shot2.png").write_bytes((folder / "shot2.png").read_bytes()[:200])
    with open_source(folder) as source:
        assert [f.pts for f in source] == [F(0), F(1, 24), F(3, 24)]
    assert isinstance(source.damage, TruncatedInput)
    assert "1 of 4 pictures could not be read (shot2.png first)" in str(source.damage)


def test_pictures_of_two_sizes_are_refused(tmp_path):
    folder = folder_of(tmp_path / "in")
    Image.new("RGB", (8, 8)).save(folder / "shot9.png")
    with pytest.raises(NotAVideo, match=r"shot9\.png is 8x8, shot0\.png is 56x40; pictures of one size"):
        open_source(folder)


def test_a_camera_held_sideways(tmp_path):
    (tmp_path / "in").mkdir()
    picture = Image.fromarray(rgb(0, SIZE))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "in" / "0.png", exif=exif)
    with open_source(tmp_path / "in") as source:
        frame = next(iter(source))
    assert frame.size == source.info.size == (SIZE[1], SIZE[0])
    assert torch.equal(frame.data, torch.from_numpy(np.rot90(rgb(0, SIZE), -1).copy()).permute(2, 0, 1))


def test_a_folder_is_replaced_only_if_it_is_ours(tmp_path):
    source = open_source(folder_of(tmp_path / "in"))
    frames = list(source)
    (tmp_path / "out").mkdir()  # empty: nothing is lost

    def write(**encoding):
        with open_sink(tmp_path / "out", like=source, encoding=Encoding(**encoding)) as sink:
            for frame in frames:
                sink.write(replace(frame))

    write()
    with pytest.raises(OutputExists):
        write()
    frames = frames[:2]
    write(overwrite=True)
    assert len(list((tmp_path / "out").iterdir())) == 2
    (tmp_path / "out" / "diary.txt").write_text("dear")
    with pytest.raises(Conflict, match="holds other things than frames"):
        write(overwrite=True)
    assert (tmp_path / "out" / "diary.txt").exists()


def test_a_written_png_of_16_bits_is_one(tmp_path):
    write_picture(tmp_path / "a.png", torch.full((3, 8, 8), 513, dtype=torch.uint16))
    with av.open(str(tmp_path / "a.png")) as container:
        assert next(container.decode(video=0)).format.name == "rgb48be"


@pytest.mark.parametrize("pattern", ["shot%d.png", "shot*.png", "shot[0-9]*.png", "sh?t*.png"])
def test_a_pattern_names_pictures(tmp_path, pattern):
    folder = folder_of(tmp_path / "in", count=12)
    Image.new("RGB", (8, 8)).save(folder / "other.png")
    with open_source(folder / pattern, rate=F(10), start=F(1, 10)) as source:
        frames = list(source)
    assert [frame.pts for frame in frames] == [F(k, 10) for k in range(1, 12)]
    assert torch.equal(frames[9].data, torch.from_numpy(rgb(10, SIZE)).permute(2, 0, 1))
    assert source.notes == []
    with source.again(F(5, 10)) as again:
        assert next(iter(again)).pts == F(5, 10)


def test_a_pattern_with_a_width_and_holes(tmp_path):
    folder = folder_of(tmp_path / "in", count=4)
    for k, number in enumerate((1, 2, 5)):
        (folder / f"shot{k}.png").rename(folder / f"a{number:03d}.png")
    with open_source(folder / "a%03d.png") as source:
        assert len(list(source)) == 3
    assert source.notes == ["2 numbers between 1 and 5 are missing: what is there is played without gaps"]
    with pytest.raises(EmptyVideo, match=r"the pattern .*b%03d\.png holds no pictures"):
        open_source(folder / "b%03d.png")
    with pytest.raises(EmptyVideo, match="holds no pictures"):
        open_source(folder / "a%05d.png")  # narrower numbers are not meant
    with pytest.raises(MissingFile, match=r"the folder .*nowhere is not there"):
        open_source(tmp_path / "nowhere" / "%d.png")


def test_a_pattern_names_what_is_written(tmp_path):
    source = open_source(folder_of(tmp_path / "in"))
    frames = list(source)

    def write(name, **encoding):
        with open_sink(tmp_path / name, like=source, encoding=Encoding(**encoding)) as sink:
            for frame in frames:
                sink.write(frame)

    write("out/b-%04d.png")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"b-{k:04d}.png" for k in range(1, 5)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]
    with open_source(tmp_path / "out" / "b-%04d.png") as again:
        assert all(torch.equal(a.data, b.data) for a, b in zip(again, frames, strict=True))
    with pytest.raises(OutputExists):
        write("out/b-%04d.png")
    with pytest.raises(Conflict, match="holds other things than frames"):
        write("out/c-%04d.png", overwrite=True)
    frames = frames[:2]
    write("out/b-%04d.png", overwrite=True)
    assert len(list((tmp_path / "out").iterdir())) == 2
    for name in ("out/%d.jpg", "out/*.png"):
        with pytest.raises(BadOption, match=r"PNGs with a number in their names; try: -o .*%06d\.png"):
            write(name)


@pytest.mark.parametrize("deep", [False, True])
def test_transparency_of_pictures_is_kept(tmp_path, deep):
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(3)
    kind = np.uint16 if deep else np.uint8
    pictures = [torch.from_numpy(rng.integers(0, np.iinfo(kind).max + 1, (4, *SIZE), dtype=kind)) for _ in range(2)]
    for k, picture in enumerate(pictures):
        write_picture(tmp_path / "in" / f"{k}.png", picture)
    with open_source(tmp_path / "in") as source, open_sink(tmp_path / "out", like=source) as sink:
        source.alpha = source.info.has_alpha and sink.has_alpha
        for frame, picture in zip(source, pictures, strict=True):
            assert torch.equal(frame.data, picture)
            sink.write(frame)
    with open_source(tmp_path / "out") as again:
        again.alpha = True
        assert all(torch.equal(frame.data, picture) for frame, picture in zip(again, pictures, strict=True))
