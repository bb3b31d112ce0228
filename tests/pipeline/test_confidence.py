"""What rests stays, what nobody can know is not made up, and where that was is written down."""

import json
from fractions import Fraction

import pytest
import torch
from clips import Clip
from scenes import moving

from tween import errors
from tween.backends.prepare import prepare
from tween.frame import Frame
from tween.models import zoo
from tween.pipeline.confidence import ENOUGH, Guard, Stillness, matched
from tween.pipeline.config import RenderConfig
from tween.pipeline.interpolator import Interpolator
from tween.pipeline.recipe import render
from tween.timeline import Times


def noise(seed, size=(96, 128)):
    made = torch.Generator().manual_seed(seed)
    return Frame(torch.randint(0, 256, (3, *size), generator=made, dtype=torch.uint8), Fraction(seed))


def through(frames, timeline=None, model="dis", guard=None):
    backend = prepare(zoo.load(model), frames[0].size, device="cpu")
    one = Interpolator(backend, timeline or Times(2), guard=guard)
    return list(one(iter(frames))), one.tally


def with_logo(frames):
    """A box of hard stripes that rests over what moves."""
    logo = torch.zeros(3, 16, 24, dtype=torch.uint8)
    logo[:, :, ::6] = 250
    found = []
    for frame in frames:
        data = frame.data.clone()
        data[:, 20:36, 30:54] = logo
        found.append(Frame(data, frame.pts))
    return found


def test_a_logo_stays_to_the_bit():
    frames = with_logo(moving(3, size=(96, 128), step=9))
    plain, _ = through(frames)
    kept, _ = through(frames, guard=Guard("off"))
    box = (slice(None), slice(21, 35), slice(31, 53))
    wrong = (plain[1].data[box].int() - frames[0].data[box].int()).abs().max()
    assert wrong > 10  # the model bends it
    assert torch.equal(kept[1].data[box], frames[0].data[box])
    assert not torch.equal(kept[1].data, frames[0].data)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_what_rests_is_between_both_neighbours(dtype):
    a, b = (Frame((noise(1).data + d).to(dtype), Fraction(d)) for d in (0, 1))
    if dtype == torch.uint16:
        a, b = (Frame((f.data.to(torch.int32) * 200).to(dtype), f.pts) for f in (a, b))
    made = Frame(
        (a.data.to(torch.int32) + 6).clamp(0, 65535 if dtype == torch.uint16 else 255).to(dtype), Fraction(1, 2)
    )
    kept = Stillness(a, b).kept(made)
    assert kept.data.dtype == dtype
    low, high = (torch.minimum, torch.maximum)
    first, last = a.data.to(torch.int32), b.data.to(torch.int32)
    agree = (first - last).abs().amax(0) <= (2 if dtype == torch.uint8 else 514)
    inside = torch.nn.functional.max_pool2d((~agree)[None, None].float(), 3, 1, 1)[0, 0] == 0
    values = kept.data.to(torch.int32)
    between = (values >= low(first, last)) & (values <= high(first, last))
    assert inside.any()
    assert between[:, inside].all()


def test_what_passes_between_two_that_agree_is_shown():
    """A ball that neither neighbour shows there: far from both, so it is no fault of the model's."""
    wall = torch.full((3, 64, 64), 60, dtype=torch.uint8)
    made = wall.clone()
    made[:, 20:44, 20:44] = 255
    kept = Stillness(Frame(wall, Fraction(0)), Frame(wall.clone(), Fraction(1))).kept(Frame(made, Fraction(1, 2)))
    assert (kept.data[:, 26:38, 26:38] == 255).all()


def test_alpha_and_times_come_along():
    wall = torch.full((4, 32, 32), 60, dtype=torch.uint8)
    made = Frame(wall + 3, Fraction(1, 2), Fraction(1, 7))
    kept = Stillness(Frame(wall, Fraction(0)), Frame(wall.clone(), Fraction(1))).kept(made)
    assert (kept.pts, kept.duration) == (made.pts, made.duration)
    assert (kept.data[:3] == 60).all()
    assert (kept.data[3] == 63).all()


def test_confidence_orders_what_can_be_matched():
    still, near, far = (moving(2, size=(96, 128), step=step) for step in (0, 3, 40))
    found = [matched(*pair).confidence for pair in (still, near, far, (noise(1), noise(2)))]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.99
    assert found[1] > 0.8
    assert found[3] < ENOUGH


def test_depth_and_size_change_little():
    a, b = moving(2, size=(96, 128), step=4)
    deep = [Frame((f.data.to(torch.int32) * 257).to(torch.uint16), f.pts) for f in (a, b)]
    assert matched(*deep).confidence == pytest.approx(matched(a, b).confidence, abs=0.01)
    large = [Frame(f.data.repeat_interleave(4, 1).repeat_interleave(4, 2), f.pts) for f in (a, b)]
    assert matched(*large).confidence > 0.7


@pytest.mark.parametrize(("policy", "rendered"), [("hold", 0), ("blend", 0), ("off", 3)])
def test_what_cannot_be_matched_falls_back(policy, rendered):
    frames = [noise(1), noise(2)]
    guard = Guard(policy)
    out, tally = through(frames, Times(4), guard=guard)
    assert (tally.rendered, tally.doubted) == (rendered, 3 - rendered)
    assert [f.pts for f in out] == [1 + Fraction(k, 4) for k in range(5)]
    if policy == "hold":
        assert torch.equal(out[1].data, frames[0].data)
        assert torch.equal(out[2].data, frames[1].data)
    if policy == "blend":
        mean = (frames[0].data.float() + frames[1].data.float()) / 2
        assert (out[2].data.float() - mean).abs().max() <= 0.5
    assert len(guard.incidents) == (policy != "off")


def test_motion_that_can_be_followed_is_rendered():
    guard = Guard("hold")
    _, tally = through(moving(4, size=(96, 128), step=4), guard=guard)
    assert (tally.rendered, tally.doubted, guard.incidents) == (3, 0, [])


def test_the_report_says_where_and_why(tmp_path):
    clip = Clip(frames=6).make(tmp_path / "clip.mp4")
    where = tmp_path / "report.json"
    render(RenderConfig(clip, tmp_path / "out.mp4", times=2, model="blend", report=where))
    assert json.loads(where.read_text()) == {
        "output": str(tmp_path / "out.mp4"),
        "fallback": "blend",
        "least_confidence": ENOUGH,
        "frames_of_an_earlier_run": 0,
        "incidents": [],
    }
    guard = Guard("hold")
    assert guard.doubts(noise(1), noise(2))
    guard.cut(noise(2), noise(3), "hold")
    first, second = (one.as_json() for one in guard.incidents)
    assert (first["begin"], first["end"], first["shown"]) == (1.0, 2.0, "hold")
    assert 0 <= first["confidence"] < ENOUGH
    assert "%" in first["why"]
    assert (second["why"], second["confidence"]) == ("a cut", None)


def test_a_report_that_cannot_be_written_is_told_first(tmp_path):
    clip = Clip(frames=4).make(tmp_path / "clip.mp4")
    with pytest.raises(errors.CannotWrite, match="is not there; try: make it first"):
        render(RenderConfig(clip, tmp_path / "o.mp4", times=2, model="blend", report=tmp_path / "no" / "r.json"))
    assert not (tmp_path / "o.mp4").exists()
