"""Cuts are found, and nothing else is: motion, fades, flashes, dissolves, grain and stills are no cuts."""

import importlib.util
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tween.frame import Frame
from tween.video.cuts import CutDetector, luma, same_picture, strangeness

HEIGHT, WIDTH = 144, 256
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "cuts.py"


def scene(seed, high=216, wide=512):
    """A picture [3, high, wide] in 0..255 with detail at every size, larger than what the camera shows of it."""
    rng = torch.Generator().manual_seed(seed)
    cells = [(3, 6, 1.0), (6, 12, 0.8), (12, 24, 0.6), (24, 48, 0.4)]
    layers = [amount * resized(torch.rand(3, h, w, generator=rng), high, wide) for h, w, amount in cells]
    total = sum(layers)
    return (total - total.min()) / (total.max() - total.min()) * 255


def resized(picture, high, wide):
    return F.interpolate(picture[None], (high, wide), mode="bilinear", align_corners=False)[0]


def shot(seed, frames=12, *, right=2, down=0):
    """A camera that moves over a scene, so many pixels a frame."""
    picture = scene(seed)
    return [seen(picture, right * k, down * k) for k in range(frames)]


def seen(picture, x, y=0):
    assert y + HEIGHT <= picture.shape[1]
    assert x + WIDTH <= picture.shape[2]
    return picture[:, y : y + HEIGHT, x : x + WIDTH]


def plain(level, frames):
    return [torch.full((3, HEIGHT, WIDTH), float(level))] * frames


def mixed(a, b, steps):
    """`steps` pictures on the way from a to b, without the two."""
    return [a.lerp(b, k / (steps + 1)) for k in range(1, steps + 1)]


def framed(picture, number=0):
    return Frame(picture.clamp(0, 255).round().to(torch.uint8), Fraction(number, 25))


def cuts(pictures):
    """The numbers of the frames that begin a shot."""
    frames = [framed(picture, k) for k, picture in enumerate(pictures)]
    detector = CutDetector()
    return [k for k in range(1, len(frames)) if detector.between(frames[k - 1], frames[k])]


A, B = shot(1), shot(2)
RNG = torch.Generator().manual_seed(0)
NO_CUT = {
    "one frame": A[:1],
    "still": A[:1] * 10,
    "black": plain(0, 10),
    "pan": A,
    "fast pan": shot(1, 8, right=36),
    "fast tilt": shot(1, 4, right=0, down=20),
    "starts and stops": A[:1] * 9 + [seen(scene(1), 14 * k) for k in range(6)] + [seen(scene(1), 70)] * 9,
    "on twos": [A[k // 2] for k in range(12)],
    "dissolve": A[:4] + mixed(A[4], B[0], 10) + B,
    "fade out": A[:4] + mixed(A[4], plain(0, 1)[0], 10) + plain(0, 3),
    "fade in": plain(0, 3) + mixed(plain(0, 1)[0], A[0], 10) + A,
    "fade to white": A[:4] + mixed(A[4], plain(255, 1)[0], 10) + plain(255, 3),
    "flash": [*A[:6], A[6] * 0.5 + 127, *A[7:]],
    "strobe": [a * (1.0 if k % 2 else 0.3) for k, a in enumerate(A)],
    "exposure": [a * (0.5 + k / 24) for k, a in enumerate(A)],
    "grain": [a + 25 * torch.randn(a.shape, generator=RNG) for a in A],
    "grain alone": [128 + 25 * torch.randn(3, HEIGHT, WIDTH, generator=RNG) for _ in range(12)],
}


@pytest.mark.parametrize("pictures", NO_CUT.values(), ids=NO_CUT.keys())
def test_no_cut(pictures):
    assert cuts(pictures) == []


GREY_TEXT = (
    (torch.rand(1, 60, 16, generator=RNG) > 0.5).float().mul(255).repeat_interleave(6, 1).repeat_interleave(16, 2)
)


@pytest.mark.parametrize("pixels", [1, 3, 8, 16])
def test_scrolling_text_is_no_cut(pixels):
    text = GREY_TEXT.expand(3, -1, -1)
    assert cuts([text[:, pixels * k : pixels * k + HEIGHT] for k in range(12)]) == []


CUT = {
    "cut": ([*A, *B], [12]),
    "cut between stills": (A[:1] * 3 + B[:1] * 3, [3]),
    "cuts with grain": ([a + 15 * torch.randn(a.shape, generator=RNG) for a in A + B], [12]),
    "dark to dark": ([a * 0.1 for a in A + B], [12]),
    "mirrored scene": (A + [a.flip(-1) for a in A], [12]),
    "to black and back": (A + plain(0, 4) + B, [12, 16]),
    "shots of one frame": ([scene(seed)[:, :HEIGHT, :WIDTH] for seed in range(20, 26)], [1, 2, 3, 4, 5]),
    # nothing is left to see in these: there is nothing to interpolate from, so both sides hold
    "white-out of one frame": (A[:6] + plain(255, 1) + A[7:], [6, 7]),
    "black frame": (A[:6] + plain(0, 1) + A[7:], [6, 7]),
}


@pytest.mark.parametrize(("pictures", "expected"), CUT.values(), ids=CUT.keys())
def test_cut(pictures, expected):
    assert cuts(pictures) == expected


def test_a_jump_cut_shows_only_in_a_calm_shot():
    """A third of the picture changes. In a still shot that is a jump cut; among motion like it, it is motion."""
    changed = torch.cat([scene(2)[:, :HEIGHT, : WIDTH // 3], A[0][:, :, WIDTH // 3 :]], dim=2)
    assert cuts(A[:1] * 10 + [changed] * 3) == [10]
    assert cuts([A[0], changed] * 6) == []


def test_sixteen_bits_decide_as_eight_do():
    for pictures in ([*A, *B], A):
        eight = [framed(picture, k) for k, picture in enumerate(pictures)]
        sixteen = [Frame((f.data.to(torch.int32) * 257).to(torch.uint16), f.pts) for f in eight]
        first, second = CutDetector(), CutDetector()
        for k in range(1, len(eight)):
            assert first.between(*eight[k - 1 : k + 1]) == second.between(*sixteen[k - 1 : k + 1])
        torch.testing.assert_close(luma(sixteen[0]), luma(eight[0]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (35, 63), (37, 65), (240, 320), (1081, 1921), (1920, 1080)])
def test_any_size_has_a_small_luma(size):
    frame = Frame(torch.full((3, *size), 77, dtype=torch.uint8), Fraction(0))
    small = luma(frame)
    assert small.shape == (36, 64)
    torch.testing.assert_close(small, torch.full((36, 64), 77.0))


def test_the_small_luma_is_the_area_mean_of_smooth_pictures():
    picture = resized(torch.rand(3, 2, 3, generator=RNG), 720, 1280) * 255
    weights = torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]
    mean = F.avg_pool2d((picture.round() * weights).sum(0)[None], 20)[0]
    assert (luma(framed(picture)) - mean).abs().max() < 1.5


def test_alpha_is_ignored():
    data = A[0].to(torch.uint8)
    with_alpha = torch.cat([data, torch.zeros_like(data[:1])])
    assert torch.equal(luma(Frame(with_alpha, Fraction(0))), luma(Frame(data, Fraction(0))))


def test_each_frame_is_read_once(monkeypatch):
    read = []
    monkeypatch.setattr("tween.video.cuts.luma", lambda frame: read.append(frame.pts) or luma(frame))
    frames = [framed(picture, k) for k, picture in enumerate(A)]
    detector = CutDetector()
    for k in range(1, len(frames)):
        detector.between(frames[k - 1], frames[k])
    assert read == [frame.pts for frame in frames]


def test_frames_out_of_turn_are_read_afresh():
    """A pair that does not begin where the last one ended is judged by its own two frames."""
    detector = CutDetector()
    assert detector.between(framed(A[0]), framed(B[0])) is True
    assert detector.between(framed(A[1]), framed(A[2])) is False
    assert detector.between(framed(A[3]), framed(B[3])) is True


def test_strangeness_has_a_scale():
    a, b = luma(framed(A[0])), luma(framed(B[0]))
    assert strangeness(a, a) == 0
    assert 0.75 < strangeness(a, b) < 1.5
    assert strangeness(a, b) == pytest.approx(strangeness(b, a))


def test_same_picture_is_exact():
    frame = framed(A[0])
    assert same_picture(frame, frame)
    assert same_picture(frame, Frame(frame.data.clone(), Fraction(9)))
    for place in ((0, 0, 0), (2, HEIGHT - 1, WIDTH - 1), (1, 77, 100)):
        other = frame.data.clone()
        other[place] += 1
        assert not same_picture(frame, Frame(other, Fraction(9)))


def test_same_picture_needs_one_shape_and_depth():
    frame = Frame(torch.zeros(3, 8, 8, dtype=torch.uint8), Fraction(0))
    assert not same_picture(frame, Frame(torch.zeros(3, 8, 9, dtype=torch.uint8), Fraction(0)))
    assert not same_picture(frame, Frame(torch.zeros(3, 8, 8, dtype=torch.uint16), Fraction(0)))


@pytest.mark.slow
@pytest.mark.needs_shared
def test_real_cuts_are_found(shared):
    """At least 95 % of the cuts between clips of the dev set, and at most 2 % of what is found is none.

    The first 16 frames of each clip stand for it; benchmarks/cuts.py takes them whole, in more orders.
    """
    benchmark = loaded(BENCHMARK)
    root = shared / "data" / "dev"
    rows = [{**row, "frames": str(min(16, int(row["frames"])))} for row in benchmark.manifest(root)]
    order = benchmark.shuffled(rows, seed=0)
    count = benchmark.walk(order, benchmark.small_lumas(root, rows), 1, lambda _what, _strange: None)
    assert count.cuts == len(order) - 1 > 35
    assert count.other_gaps > 500
    assert count.recall >= 0.95
    assert count.false_share <= 0.02


def loaded(path):
    spec = importlib.util.spec_from_file_location("benchmark_cuts", path)
    module = sys.modules["benchmark_cuts"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
