"""The last step of `dis` in one pass: the same picture as OpenCV's twenty passes, whatever the motion and the size."""

import numpy as np
import pytest
import torch
from test_classic import texture

from tween.models import dis, zoo
from tween.ops.canvas import to_integer

pytest.importorskip("numba")
from tween.models.mix import EXTRA, FIELD, between, mixed

SIZE = (601, 723)  # more pixels than are looked up bicubically, and odd: the half-size grid is no half


def shown(monkeypatch, t, *, in_one_pass, size=SIZE, shift=(17.0, -9.0)):
    monkeypatch.setattr(dis, "has_numba", lambda: in_one_pass)
    model, frames = zoo.load("dis"), (texture(*size), texture(*size, shift=shift))
    with torch.inference_mode():
        return model(torch.stack(frames, 1), torch.tensor([t]))


@pytest.mark.parametrize("t", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.slow
def test_it_shows_what_the_passes_show(monkeypatch, t):
    one, many = shown(monkeypatch, t, in_one_pass=True), shown(monkeypatch, t, in_one_pass=False)
    assert float((one.frame - many.frame).abs().max()) < 2e-5
    assert torch.equal(one.aux["flow"], many.aux["flow"])
    assert float(one.aux["flow"].abs().max()) > 3  # pixels: things moved, also over the border


@pytest.mark.slow
def test_it_is_really_taken(monkeypatch):
    def refuse(*_):
        raise AssertionError("the one pass")

    monkeypatch.setattr("tween.models.mix.mixed", refuse)
    with pytest.raises(AssertionError, match="the one pass"):
        shown(monkeypatch, 0.5, in_one_pass=True)
    shown(monkeypatch, 0.5, in_one_pass=False)
    shown(monkeypatch, 0.5, in_one_pass=True, size=(90, 124))  # small pictures are looked up bicubically


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_equal_frames_give_that_frame_back(monkeypatch, dtype):
    monkeypatch.setattr(dis, "has_numba", lambda: True)
    kept = to_integer(texture(*SIZE), dtype)
    picture = kept.float() / torch.iinfo(dtype).max
    with torch.inference_mode():
        frame = zoo.load("dis")(torch.stack((picture, picture), 1), torch.tensor([0.3])).frame
    assert torch.equal(to_integer(frame, dtype), kept)


def pieces(size=(40, 60), seed=0):
    rng = np.random.default_rng(seed)
    first, last = rng.random((2, *size, 3), dtype=np.float32)
    field = rng.random((20, 30, FIELD), dtype=np.float32) + 0.1
    field[..., :4] = rng.normal(0, 30, (20, 30, 4))  # far over the border
    return first, last, field


def test_threads_do_not_show():
    first, last, field = pieces()
    assert np.array_equal(mixed(first, last, field, 0.4, 1), mixed(first, last, field, 0.4, 5))
    assert np.array_equal(mixed(first, last, field, 0.4, 1), mixed(first, last, field, 0.4, 100))


def test_how_a_picture_lies_in_memory_does_not_show():
    first, last, field = pieces()
    planes = [np.ascontiguousarray(picture.transpose(2, 0, 1)).transpose(1, 2, 0) for picture in (first, last)]
    for _ in range(3):  # memory that nobody filled is sometimes right
        assert np.array_equal(mixed(*planes, field, 0.4, 2), mixed(first, last, field, 0.4, 2))


def test_it_is_a_mean():
    first, last, field = pieces()
    out = mixed(np.full_like(first, 0.25), np.full_like(last, 0.25), field, 0.4, 2)
    assert np.abs(out - 0.25).max() < 1e-6
    out = mixed(first, last, field, 0.4, 2)
    assert out.min() >= min(first.min(), last.min()) - 1e-6
    assert out.max() <= max(first.max(), last.max()) + 1e-6


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e30])
def test_a_motion_that_is_no_number_breaks_nothing(odd):
    first, last, field = pieces()
    before = mixed(first, last, field, 0.4, 2)
    broken = field.copy()
    broken[3:6, 5:9, :4] = odd
    out = mixed(first, last, broken, 0.4, 2)
    assert np.array_equal(out[20:], before[20:])
    assert np.isfinite(out[20:]).all()


def extra(share=0.5, off=3.0, outer=0.7, seed=1):
    rng = np.random.default_rng(seed)
    found = rng.random((20, 30, EXTRA), dtype=np.float32) + 0.1
    found[..., :2], found[..., 3:5] = rng.normal(0, off, (20, 30, 2)), rng.normal(0, 30, (20, 30, 2))
    found[..., 2], found[..., 7] = share, outer
    return found


def test_off_the_line_a_shifted_pair_is_seen():
    first, last, field = pieces()
    field[..., :4] = 0  # so that nothing but the shift leaves the picture
    field[..., 10] = 0  # and nothing rests
    found = extra(share=0.0, outer=0.0)
    found[..., :2] = 4, -6
    out = mixed(first, last, field, 0.4, 2, found)
    by_hand = mixed(*(np.roll(picture, (6, -4), (0, 1)) for picture in (first, last)), field, 0.4, 2)
    assert np.abs(out - by_hand)[8:-8, 8:-8].max() < 1e-5


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_off_the_line_and_on_it_are_mixed(share):
    first, last, field = pieces()
    on, off = (mixed(first, last, field, 0.4, 3, extra(part)) for part in (1.0, 0.0))
    assert np.abs(on - mixed(first, last, field, 0.4, 3)).max() < 1e-5
    assert np.abs(mixed(first, last, field, 0.4, 3, extra(share)) - share * on - (1 - share) * off).max() < 1e-5
    assert np.abs(on - off).mean() > 0.01


@pytest.mark.parametrize("off", [0.0, 3.0])
def test_a_third_guess_weighs_what_it_is_told_to(off):
    first, last, field = pieces()
    without, alone, both = (mixed(first, last, field, 0.4, 3, extra(0.0, off, outer)) for outer in (0.0, 1e6, 0.5))
    assert np.abs(both - (without + 0.5 * alone) / 1.5).max() < 1e-4
    field[..., :2], field[..., 4:6] = extra()[..., 3:5], extra()[..., 5:7]  # the third guess, as the first of two
    field[..., 8:] = 1, 0, 0
    found = extra(0.0, off, 0.0)
    assert np.abs(mixed(first, last, field, 0.4, 3, found) - alone).max() < 1e-4


def test_a_table_of_places():
    left, right, share = between(6, 3)
    assert left.tolist() == [0, 0, 0, 1, 1, 2]
    assert right.tolist() == [1, 1, 1, 2, 2, 2]
    assert np.allclose(share, [0, 0.25, 0.75, 0.25, 0.75, 0.25])
