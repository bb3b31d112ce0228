"""Transparency: kept to the bit where nothing is lost, moved like a picture where frames are made."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from clips import Clip, rgb

from tween.backends.alpha import WithAlpha
from tween.backends.torch import TorchBackend
from tween.frame import Colour
from tween.models import zoo
from tween.ops.canvas import to_float
from tween.pipeline.config import PredictConfig, RenderConfig
from tween.pipeline.recipe import predict, render
from tween.video.alpha import FromRgba, ToRgba, from_rgb, has_alpha
from tween.video.colour import depth_of, widened
from tween.video.doors import open_source
from tween.video.images import read_picture, write_picture

F = Fraction
FORMATS = ["yuva420p", "yuva422p", "yuva444p", "yuva420p10le", "yuva444p12le", "yuva444p16le", "gbrap", "gbrap10le",
           "gbrap16le", "rgba", "bgra", "rgba64le", "ya8"]  # fmt: skip


def matte(k, size):
    """Alpha of picture k, uint8 [H, W]: a soft disc that moves 2 pixels a frame, and clear corners."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    away = np.hypot(y - size[0] / 2, x - size[1] / 3 - 2 * k)
    return np.clip((size[0] / 3 - away) * 40 + 128, 0, 255).astype(np.uint8)


def film(path, codec, pixel_format, frames=4, size=(64, 96), **options):
    """A clip with alpha; gives back its pictures as rgba, uint8 [H, W, 4]."""
    made = [np.concatenate([rgb(k, size), matte(k, size)[..., None]], -1) for k in range(frames)]
    with av.open(str(path), "w", format={".mkv": "matroska"}.get(path.suffix, path.suffix[1:])) as container:
        stream = container.add_stream(codec, rate=24, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format
        for k, rows in enumerate(made):
            picture = av.VideoFrame.from_ndarray(rows, format="rgba").reformat(format=pixel_format)
            picture.pts, picture.time_base = k, F(1, 24)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return made


def frames_of(path):
    with open_source(path) as source:
        source.alpha = True
        return list(source), source.info


@pytest.mark.parametrize("name", FORMATS)
def test_alpha_passes_through_any_format(name):
    bits, deep = depth_of(name), depth_of(name) > 8
    codes = np.random.default_rng(3).integers(0, 2**bits, (4, 22, 31)).astype(np.uint16)
    if name == "ya8":
        codes[1] = codes[2] = codes[0]
    data = torch.from_numpy(widened(codes, bits) if deep else codes.astype(np.uint8))
    colour = Colour(0, full_range=True) if name[0] in "grb" else Colour(1, full_range=False)
    made = FromRgba(name, colour)(data)
    assert made.format.name == name
    back = ToRgba(colour, deep=deep)(made)
    assert torch.equal(back[3], data[3])
    if name[0] in "grb":
        assert torch.equal(back, data)


def test_a_picture_without_alpha_is_opaque():
    data = torch.zeros(3, 8, 8, dtype=torch.uint8)
    assert (ToRgba(Colour(1), deep=False)(FromRgba("yuva420p", Colour(1))(data))[3] == 255).all()
    assert (ToRgba(Colour(1), deep=True)(from_rgb("yuv420p", Colour(1))(data))[3].int() == 65535).all()


def test_recoding_keeps_alpha_at_another_depth():
    ramp = (torch.arange(256, dtype=torch.int32) * 257).to(torch.uint16).expand(4, 4, 256)
    native = FromRgba("yuva444p12le", Colour(1))(ramp)
    made = FromRgba("yuva444p10le", Colour(1)).recode(native)
    assert made.format.name == "yuva444p10le"
    was, now = (ToRgba(Colour(1), deep=True)(one)[3].int() for one in (native, made))
    assert abs(was - now).max() <= 33, "half a step of 10 bits"


SOURCES = [
    (".mov", "prores_ks", "yuva444p10le", {"profile": "4"}, ".mov", "prores"),
    (".webm", "libvpx-vp9", "yuva420p", {"auto-alt-ref": "0", "crf": "8", "b": "0"}, ".webm", "vp9"),
    (".mkv", "ffv1", "yuva420p", {}, ".mkv", "ffv1"),
    (".mkv", "ffv1", "gbrap16le", {}, ".mkv", "ffv1"),
    (".mov", "png", "rgba", {}, ".mov", "prores"),
    (".mov", "qtrle", "argb", {}, ".mkv", "ffv1"),
]


@pytest.mark.parametrize(("suffix", "codec", "name", "options", "out", "wanted"), SOURCES)
@pytest.mark.slow
def test_a_transparent_film_stays_transparent(tmp_path, suffix, codec, name, options, out, wanted):
    film(tmp_path / f"in{suffix}", codec, name, **options)
    was, info = frames_of(tmp_path / f"in{suffix}")
    assert info.has_alpha
    report = render(RenderConfig(tmp_path / f"in{suffix}", tmp_path / f"out{out}", times=2, model="blend"))
    assert not [note for note in report.notes if "transparency" in note]
    made, info = frames_of(tmp_path / f"out{out}")
    assert (len(made), info.has_alpha, wanted in info.codec) == (7, True, True)
    for kept, frame in zip(made[::2], was, strict=True):
        error = (to_float(kept.data[3]) - to_float(frame.data[3])).abs().mean() * 255
        assert error == 0 if wanted == "ffv1" else error < 1.5
        assert wanted != "ffv1" or torch.equal(kept.data, frame.data)


def test_a_container_without_alpha_says_so(tmp_path):
    film(tmp_path / "in.mkv", "ffv1", "yuva420p")
    report = render(RenderConfig(tmp_path / "in.mkv", tmp_path / "out.mp4", times=2, model="blend"))
    assert "the video's transparency is left out: h264 holds none (vp9, prores and ffv1 do)" in report.notes
    assert not frames_of(tmp_path / "out.mp4")[1].has_alpha


@pytest.mark.parametrize("deep", [False, True])
def test_folders_of_transparent_pictures(tmp_path, deep):
    size = (48, 64)
    (tmp_path / "in").mkdir()
    for k in range(3):
        data = torch.from_numpy(np.concatenate([rgb(k, size), matte(k, size)[..., None]], -1)).permute(2, 0, 1)
        data = (data.to(torch.int32) * 257).to(torch.uint16) if deep else data
        write_picture(tmp_path / "in" / f"{k}.png", data.contiguous())
        assert torch.equal(read_picture(tmp_path / "in" / f"{k}.png", deep=deep, alpha=True), data)
    report = render(RenderConfig(tmp_path / "in", tmp_path / "out", times=2, model="blend"))
    assert report.notes == []
    frames, info = frames_of(tmp_path / "out")
    assert (len(frames), info.has_alpha, info.bit_depth) == (5, True, 16 if deep else 8)
    for k in range(3):
        assert torch.equal(frames[2 * k].data, read_picture(tmp_path / "in" / f"{k}.png", deep=deep, alpha=True))
    middle = frames[1].data[3].float() / (257 if deep else 1)
    wanted = (matte(0, size).astype(float) + matte(1, size)) / 2
    assert abs(middle.numpy() - wanted).mean() < 0.3


@pytest.fixture(scope="module")
def dis():
    return WithAlpha(TorchBackend(zoo.load("dis")))


def picture(k, size=(96, 128)):
    """RGBA [1, 4, H, W]: a textured disc on nothing; behind full transparency the colours are noise."""
    noise = np.random.default_rng(k).random((*size, 3))
    alpha = matte(k, size)[..., None] / 255.0
    colour = np.where(alpha > 0, np.roll(rgb(0, size), 2 * k, axis=1) / 255.0, noise)
    return torch.from_numpy(np.concatenate([colour, alpha], -1)).permute(2, 0, 1)[None].float()


def test_an_opaque_frame_is_as_if_there_were_no_alpha(dis):
    a, b = (torch.cat([picture(k)[:, :3], torch.ones(1, 1, 96, 128)], 1) for k in (0, 2))
    t = torch.tensor([0.5])
    made = dis.render(dis.relate([dis.embed(a), dis.embed(b)]), t)
    plain = dis.inner.render(dis.inner.relate([dis.inner.embed(a[:, :3]), dis.inner.embed(b[:, :3])]), t)
    assert torch.equal(made[:, :3], plain)
    assert (made[:, 3] == 1).all()


def test_a_moving_matte_moves_and_does_not_fade(dis):
    """Half way between two discs 8 pixels apart stands one disc, not two halves."""
    made = dis.render(dis.relate([dis.embed(picture(0)), dis.embed(picture(4))]), torch.tensor([0.5]))
    truth = picture(2)
    faded = (picture(0) + picture(4)) / 2
    wrong = (made[0, 3] - truth[0, 3]).abs().mean()
    assert wrong < 0.3 * (faded[0, 3] - truth[0, 3]).abs().mean()
    seen = truth[:, 3:] > 0.9
    assert ((made[:, :3] - truth[:, :3]).abs() * seen).sum() / (3 * seen.sum()) < 0.05
    assert 0 <= made.min() <= made.max() <= 1


def test_what_is_behind_transparency_is_not_seen(dis):
    """Other colours where nothing is seen change nothing that is."""
    t = torch.tensor([0.5])
    first, second = picture(0), picture(4)
    other = second.clone()
    other[:, :3] = torch.where(other[:, 3:] > 0, other[:, :3], torch.rand(1, 3, 96, 128))
    one, two = (dis.render(dis.relate([dis.embed(first), dis.embed(b)]), t) for b in (second, other))
    assert torch.equal(one, two)


def test_an_opaque_neighbour_of_a_transparent_frame(dis):
    opaque = picture(0)
    opaque[:, 3] = 1
    made = dis.render(dis.relate([dis.embed(opaque), dis.embed(picture(2))]), torch.tensor([0.5]))
    assert made.shape == (1, 4, 96, 128)
    assert made[0, 3].min() < 0.9


def test_predict_keeps_transparency_too(tmp_path):
    film(tmp_path / "in.mkv", "ffv1", "bgra", frames=5)
    predict(PredictConfig(tmp_path / "in.mkv", tmp_path / "out.mkv", model="dis-ahead", ahead=1))
    frames, info = frames_of(tmp_path / "out.mkv")
    assert (len(frames), info.has_alpha) == (1, True)
    assert has_alpha(info.pixel_format)


def test_a_clip_without_alpha_gives_three_channels(tmp_path):
    frames, info = frames_of(Clip(frames=2).make(tmp_path / "in.mp4"))
    assert (frames[0].data.shape[0], info.has_alpha) == (3, False)
