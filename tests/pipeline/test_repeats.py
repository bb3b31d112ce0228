"""Drawings shown for several frames are found, and with `retime` their motion runs evenly."""

import io
from fractions import Fraction

import av
import pytest
import torch
from scenes import moving

from tween.backends.prepare import prepare
from tween.frame import Frame
from tween.models import zoo
from tween.ops.canvas import to_float
from tween.pipeline.interpolator import Interpolator
from tween.pipeline.repeats import MOST, RepeatDetector, change
from tween.timeline import Rate, Slow, Times
from tween.video.cuts import CutDetector


def held(frames, pattern, rate=Fraction(24)):
    """Each drawing shown as often as the pattern says, in turn."""
    shown = [f.data for k, f in enumerate(frames) for _ in range(pattern[k % len(pattern)])]
    return [Frame(data.clone(), k / rate) for k, data in enumerate(shown)]


def coded(frames, crf):
    """What H.264 makes of them."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width = frames[0].size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame.data.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        rows = [torch.from_numpy(picture.to_ndarray(format="rgb24")) for picture in container.decode(video=0)]
    return [Frame(row.permute(2, 0, 1).contiguous(), f.pts) for row, f in zip(rows, frames, strict=True)]


def found(frames):
    """Which frames are taken for repeats."""
    detector, drawing, count, told = RepeatDetector(), frames[0], 0, []
    for frame in frames[1:]:
        told.append(detector.holds(drawing, frame, count))
        drawing, count = (drawing, count + 1) if told[-1] else (frame, 0)
    return told


class CutAt:
    """A cut before the frame at one time."""

    def __init__(self, pts):
        self.pts = pts

    def between(self, before, after):  # noqa: ARG002
        return after.pts == self.pts


def through(timeline, frames, model="blend", cuts=None, **options):
    backend = prepare(zoo.load(model), frames[0].size, device="cpu")
    one = Interpolator(backend, timeline, cuts or CutDetector(), **options)
    return list(one(iter(frames))), one.tally


@pytest.mark.parametrize("pattern", [(2,), (3,), (2, 3), (1, 2), (4,)])
@pytest.mark.parametrize("crf", [None, 18, 23])
@pytest.mark.slow
def test_holds_are_found_through_coding(pattern, crf):
    frames = held(moving(12, size=(96, 128), step=5), pattern)
    if crf is not None:
        frames = coded(frames, crf)
    expected = [shown > 0 for k in range(12) for shown in range(pattern[k % len(pattern)])][1:]
    told = found(frames)
    opening = pattern[0] - 1  # before anything moved, only what is equal counts as equal
    assert told[opening:] == expected[opening:]


def test_motion_on_ones_is_no_repeat():
    assert not any(found(coded(moving(16, size=(96, 128), step=2), 23)))


def test_a_mouth_that_moves_is_no_repeat():
    """A still but for 12 x 12 pixels."""
    still = moving(1, size=(96, 128))[0].data
    frames = []
    for k in range(6):
        data = still.clone()
        data[:, 40:52, 60:72] = torch.tensor([40, 200][k % 2], dtype=torch.uint8)
        frames.append(Frame(data, Fraction(k, 24)))
    assert not any(found(frames))


def test_a_still_is_not_stretched():
    still = [Frame(moving(1)[0].data, Fraction(k)) for k in range(12)]
    told = found(still)
    assert [k for k, repeat in enumerate(told) if not repeat] == [MOST - 1, 2 * MOST - 1]


def test_change_counts_levels_of_any_depth():
    frame = moving(1)[0]
    dark = Frame((frame.data.to(torch.int32) * 257).to(torch.uint16), frame.pts)
    other = Frame((frame.data // 2).contiguous(), frame.pts)
    deep = Frame((other.data.to(torch.int32) * 257).to(torch.uint16), frame.pts)
    assert change(frame, other) == pytest.approx(change(dark, deep), abs=0.01)
    assert change(frame, frame) == 0


@pytest.mark.parametrize("timeline", [Times(1), Times(2), Rate(60), Rate(24), Slow(2)])
def test_retime_changes_pictures_never_times(timeline):
    frames = held(moving(6, step=4), (2, 3))
    plain, _ = through(timeline, frames)
    retimed, tally = through(timeline, frames, repeats=RepeatDetector())
    assert [f.pts for f in plain] == [f.pts for f in retimed]
    assert plain[-1].duration == retimed[-1].duration
    assert tally.repeats == len(frames) - 6


@pytest.mark.parametrize("hold", [2, 3])
def test_motion_runs_evenly_over_a_hold(hold):
    """A grey that grows by 12 a drawing grows by the same amount each frame."""
    greys = [Frame(torch.full((3, 16, 16), 20 + 12 * k, dtype=torch.uint8), Fraction(k)) for k in range(6)]
    frames = held(greys, (hold,))
    retimed, _ = through(Times(1), frames, repeats=RepeatDetector())
    values = [int(f.data[0, 0, 0]) for f in retimed]
    assert values == [20 + 12 * k // hold for k in range(5 * hold)] + [80] * hold
    plain, _ = through(Times(1), frames)
    assert [int(f.data[0, 0, 0]) for f in plain] == [20 + 12 * (k // hold) for k in range(6 * hold)]


def test_drawings_stay_untouched():
    frames = held(moving(6, step=4), (2,))
    retimed, _ = through(Times(2), frames, repeats=RepeatDetector())
    by_pts = {f.pts: f for f in retimed}
    for frame in frames[::2]:
        assert by_pts[frame.pts].data is frame.data


def test_a_cut_after_a_hold_holds():
    frames = held([*moving(3, step=4, seed=1), *moving(3, step=4, seed=9)], (2,))
    retimed, tally = through(Times(2), frames, repeats=RepeatDetector(), cuts=CutAt(frames[6].pts))
    assert tally.cuts == 1
    assert torch.equal(retimed[9].data, frames[4].data)
    assert torch.equal(retimed[11].data, frames[6].data)


def test_retime_is_two_decibels_ahead_on_twos():
    """The scene is known at every frame: each second picture of it becomes a drawing, shown twice."""
    truth = moving(17, size=(96, 128), step=2)
    frames = coded(held(truth[::2], (2,)), 16)
    scores = []
    for repeats in (None, RepeatDetector()):
        out, _ = through(Times(1), frames, model="dis", repeats=repeats)
        error = [((to_float(f.data) - to_float(t.data)) ** 2).mean() for f, t in zip(out, truth, strict=False)]
        scores.append(float(-10 * torch.log10(torch.stack(error[1:16:2]).mean())))
    assert scores[1] - scores[0] > 2
