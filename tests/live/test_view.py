"""Pictures to look at: turned, of 8 bits, saved under free names; words that say how it goes."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from PIL import Image

from tween.frame import Frame, VideoInfo
from tween.live.view import enlarged, flow_picture, jpeg, save_png, shape, side_by_side, upright, words
from tween.pipeline.ladder import Rung
from tween.pipeline.live import Shown
from tween.pipeline.live_stats import Stats

INFO = VideoInfo((4, 6), Fraction(30))


def ramp(size=(4, 6)):
    return torch.arange(3 * size[0] * size[1]).reshape(3, *size).byte()


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_picture_is_turned_as_a_player_turns_it(rotation):
    seen = upright(ramp(), replace(INFO, rotation=rotation))
    wanted = Image.fromarray(ramp().permute(1, 2, 0).numpy()).rotate(rotation, expand=True)  # counter-clockwise
    assert Image.fromarray(seen.permute(1, 2, 0).contiguous().numpy()).tobytes() == wanted.tobytes()
    assert shape((4, 6), replace(INFO, rotation=rotation)) == tuple(seen.shape[1:])


def test_pixels_that_are_not_square_are_made_so():
    assert shape((480, 720), replace(INFO, sample_aspect=Fraction(32, 27))) == (480, 853)


def test_deep_pictures_come_down_to_eight_bits():
    deep = torch.tensor([0, 257, 128 * 257, 65535]).to(torch.int32).reshape(1, 1, 4).expand(3, 1, 4).to(torch.uint16)
    assert upright(deep, INFO)[0, 0].tolist() == [0, 1, 128, 255]


def test_transparency_is_left_out():
    assert upright(torch.cat([ramp(), ramp()[:1]]), INFO).shape == (3, 4, 6)


def shown(original, frame):
    return Shown(
        Frame(frame, Fraction(0)), Frame(original, Fraction(0)), True, None, None, None, Rung("x", Fraction(1))
    )


def test_side_by_side_has_one_height():
    pair = side_by_side(shown(torch.full((3, 8, 12), 9, dtype=torch.uint8), ramp()), INFO)
    assert pair.shape == (3, 4, 12)
    assert (pair[:, :, :6] == 9).all()
    assert torch.equal(pair[:, :, 6:], ramp())


def test_png_files_are_never_written_over(tmp_path):
    (tmp_path / "a-0001.png").write_text("mine")
    assert [save_png(ramp(), tmp_path, "a").name for _ in range(2)] == ["a-0002.png", "a-0003.png"]
    assert (tmp_path / "a-0001.png").read_text() == "mine"


def test_a_jpeg_is_one():
    assert jpeg(ramp((16, 16))).startswith(b"\xff\xd8\xff")


def test_motion_has_a_colour():
    flow = torch.zeros(2, 40, 40)
    flow[0, :, 20:] = 5
    picture = flow_picture(flow)
    assert picture.shape == (3, 40, 40)
    assert (picture[:, 2, 2] == 255).all()  # what rests is white
    assert picture[:, 2, 38].tolist() == [255, 0, 0]  # to the right is red


def test_a_frame_for_a_pipe_has_the_full_size():
    frame = enlarged(Frame(ramp(), Fraction(1)), (8, 12), Fraction(1, 3))
    assert frame.size == (8, 12)
    assert frame.pts == Fraction(1, 3)


@pytest.mark.parametrize(
    ("latency", "said"),
    [
        (41.3, "59.9 of 60 fps, latency 41 ms, 3 dropped, 1 late, dis at 640x360"),
        (-12.4, "59.9 of 60 fps, latency none (12 ms ahead), 3 dropped, 1 late, dis at 640x360"),
        (None, "59.9 of 60 fps, 3 dropped, 1 late, dis at 640x360"),
    ],
)
def test_words(latency, said):
    stats = Stats(
        1, 60.0, 30, 59.94, 30, 59, 30, 0, 60, 57, 3, 1, 30, 0, latency, latency, 33.3, "dis", "", (360, 640), 0.5, ()
    )
    assert words(stats) == said
