"""The rules, to the letter."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from tween.data.sets import SETS
from tween.errors import BadOption, TooShort, UnknownTime
from tween.evaluate.engine import Corner, canvas_for
from tween.evaluate.pictures import centre, seen_through
from tween.evaluate.plan import gap_of, gaps, suits
from tween.evaluate.protocols import PROTOCOLS, TABLE, protocol_of, recipe_for
from tween.metrics.table import METRICS
from tween.models import zoo
from tween.models.model import Spec
from tween.ops.canvas import Canvas

PAIR, FOUR, EVEN = Spec((0, 1)), Spec((-1, 0, 1, 2), any_time=False), Spec((-1, 0, 1, 2), even=True)
LIFT = Spec(tuple(range(-6, 8)))
LAST = Spec((-1, 0))


def asked(name, spec, length, **options):
    protocol = protocol_of(name)
    return list(gaps(protocol, spec, length, gap=gap_of(protocol, spec, **options)))


def places(found):
    return [(one.context, [place for place, _ in one.targets]) for one in found]


@pytest.mark.parametrize("protocol", TABLE, ids=lambda p: p.name)
def test_every_protocol_names_a_set_and_metrics_that_there_are(protocol):
    assert protocol.set in SETS
    assert set(protocol.metrics) <= {*METRICS, "epe"}
    assert protocol.source
    assert PROTOCOLS[protocol.name] is protocol


def test_what_was_checked_is_only_what_was_read_in_a_published_script():
    checked = {name for name, protocol in PROTOCOLS.items() if protocol.checked}
    assert checked == {"vimeo90k", "ucf101", "snu-film-hard", "middlebury", "gopro", "cityscapes"}


@pytest.mark.parametrize("name", ["vimeo90k", "ucf101", "snu-film-easy", "middlebury", "xiph-2k"])
def test_a_triplet_is_its_own_gap(name):
    (one,) = asked(name, PAIR, 3)
    assert (one.context, one.targets, one.neighbours) == ((0, 2), ((1, Fraction(1, 2)),), (0, 2))


@pytest.mark.parametrize("name", ["vimeo90k", "ucf101", "snu-film-extreme", "middlebury"])
def test_a_long_context_does_not_fit_a_triplet(name):
    with pytest.raises(TooShort, match=r"has 3 frames; a context of 4 frames.*--set vimeo90k-septuplet"):
        asked(name, FOUR, 3)


@pytest.mark.parametrize("name", ["vimeo90k", "ucf101", "snu-film-extreme", "middlebury"])
def test_what_looks_beyond_a_gap_only_where_it_is_even_takes_triplets(name):
    (one,) = asked(name, EVEN, 3)
    assert (one.context, one.targets) == ((0, 0, 2, 2), ((1, Fraction(1, 2)),))


def test_at_a_clips_end_it_is_shown_no_frame_that_is_out_of_step():
    assert [gap.context for gap in asked("video", EVEN, 8)] == [(0, 0, 2, 4), (0, 2, 4, 6), (2, 4, 6, 6)]
    assert asked("video", FOUR, 8)[-1].context == (2, 4, 6, 7)


def test_a_very_long_context_is_told_of_a_set_that_fits():
    with pytest.raises(TooShort, match="try: --set video, or --set lift-ucf101"):
        asked("vimeo90k-septuplet", LIFT, 7)


def test_septuplets_ask_for_the_fourth_frame_of_two_or_four_odd_ones():
    assert places(asked("vimeo90k-septuplet", PAIR, 7)) == [((2, 4), [3])]
    assert places(asked("vimeo90k-septuplet", FOUR, 7)) == [((0, 2, 4, 6), [3])]


@pytest.mark.parametrize("name", ["gopro", "adobe240"])
def test_eight_times_is_seven_frames_of_nine(name):
    (one,) = asked(name, PAIR, 9)
    assert one.context == (0, 8)
    assert one.targets == tuple((k, Fraction(k, 8)) for k in range(1, 8))


def test_x4k_asks_for_every_fourth_of_31():
    (one,) = asked("x4k1000fps", PAIR, 33)
    assert one.context == (0, 32)
    assert [(place, t) for place, t in one.targets] == [(4 * k, Fraction(k, 8)) for k in range(1, 8)]


def test_a_midpoint_model_is_refused_where_more_than_the_middle_is_asked():
    with pytest.raises(UnknownTime, match="7 frames inside a gap of 8; this model knows only the middle"):
        asked("gopro", Spec((0, 1), any_time=False), 9)


def test_predictors_see_frames_2_and_3_and_are_asked_for_4_to_8():
    (one,) = asked("cityscapes", LAST, 30)
    assert one.context == one.neighbours == (2, 3)
    assert one.targets == tuple((3 + k, Fraction(k)) for k in range(1, 6))


def test_the_triplet_foretold():
    (one,) = asked("vimeo90k-next", LAST, 3)
    assert (one.context, one.targets) == ((0, 1), ((2, Fraction(1)),))


def test_lift_is_shown_frames_one_apart_around_the_hidden_one():
    (one,) = asked("lift-ucf101", LIFT, 40)
    assert one.context == (*range(7), *range(8, 15))
    assert one.targets == ((7, Fraction(1, 2)),)
    assert places(asked("lift-ucf101", PAIR, 40)) == [((6, 8), [7])]


def test_of_a_video_every_second_frame_is_hidden():
    assert places(asked("video", PAIR, 6)) == [((0, 2), [1]), ((2, 4), [3])]


def test_of_a_video_any_gap():
    assert places(asked("video", PAIR, 7, asked=3)) == [((0, 3), [1, 2]), ((3, 6), [4, 5])]
    assert [t for _, t in asked("video", PAIR, 7, asked=3)[0].targets] == [Fraction(1, 3), Fraction(2, 3)]


def test_a_video_s_ends_stand_for_what_lies_beyond():
    found = asked("frames", FOUR, 7)
    assert [one.context for one in found] == [(0, 0, 2, 4), (0, 2, 4, 6), (2, 4, 6, 6)]


def test_of_a_video_a_predictor_is_asked_for_every_frame_it_can():
    assert places(asked("video", LAST, 5)) == [((0, 1), [2]), ((1, 2), [3]), ((2, 3), [4])]


def test_the_development_protocol_is_four_frames_of_nine():
    protocol = replace(protocol_of("video"), frames=9)
    found = list(gaps(protocol, PAIR, 34, gap=2))
    assert [place for one in found for place, _ in one.targets] == [1, 3, 5, 7]


def test_a_set_s_gap_is_its_own():
    with pytest.raises(BadOption, match="--gap 4 with --set ucf101; its gap is 2"):
        gap_of(protocol_of("ucf101"), PAIR, 4)
    with pytest.raises(BadOption, match="--gap 1; 2 source frames or more are needed"):
        gap_of(protocol_of("video"), PAIR, 1)


def test_predictors_and_interpolators_have_their_sets():
    with pytest.raises(BadOption, match="repeat predicts; --set ucf101 asks for frames in between"):
        suits(protocol_of("ucf101"), LAST, "repeat")
    with pytest.raises(BadOption, match="dis interpolates; --set cityscapes asks for frames to come"):
        suits(protocol_of("cityscapes"), PAIR, "dis")
    suits(protocol_of("video"), LAST, "repeat")


def test_a_name_that_is_nearly_right():
    with pytest.raises(BadOption, match=r"--set ufc101 \(did you mean ucf101"):
        protocol_of("ufc101")


@pytest.mark.parametrize("split", ["easy", "medium", "hard", "extreme"])
def test_snu_film_pads_ifrnet_to_twenty_evenly_and_repeats_the_edge(split):
    """20 * 0.8 = 16: the pad of the published script, left = pad // 2 and top = pad // 2."""
    recipe = recipe_for(protocol_of(f"snu-film-{split}"), "ifrnet")
    model = zoo.create("ifrnet-s", scale=recipe.scale)
    canvas = canvas_for(recipe, (33, 47), model.spec.multiple)
    assert (recipe.scale, canvas.size) == (0.8, (40, 60))
    assert canvas.padding == (6, 7, 3, 4)  # left, right, top, bottom
    picture = torch.rand(1, 3, 33, 47)
    padded = canvas.pad(picture)
    assert torch.equal(padded[..., 0, 0], picture[..., 0, 0])
    assert torch.equal(canvas.crop(padded), picture)


def test_middlebury_puts_ifrnet_in_the_corner_of_zeros():
    canvas = canvas_for(recipe_for(protocol_of("middlebury"), "ifrnet"), (388, 584), 16)
    assert isinstance(canvas, Corner)
    picture = torch.rand(1, 3, 388, 584)
    padded = canvas.pad(picture)
    assert tuple(padded.shape) == (1, 3, 480, 640)
    assert torch.equal(padded[..., :388, :584], picture)
    assert padded[..., 388:, :].abs().max() == padded[..., 584:].abs().max() == 0
    assert torch.equal(canvas.crop(padded), picture)


def test_other_families_have_their_own_canvas():
    for name in ("middlebury", "snu-film-hard"):
        recipe = recipe_for(protocol_of(name), "rife")
        assert (recipe.scale, type(canvas_for(recipe, (388, 584), 32))) == (1, Canvas)


def test_a_picture_larger_than_the_corner_is_not_cut():
    assert Corner((500, 600), (480, 640), 16).size == (512, 640)


def test_the_centre_and_sizes():
    picture = torch.arange(3 * 9 * 12, dtype=torch.int32).reshape(3, 9, 12).to(torch.uint8)
    assert torch.equal(centre(picture, (4, 6)), picture[:, 2:6, 3:9])
    assert torch.equal(centre(picture, (512, 6)), picture[:, :, 3:9])
    gopro = seen_through(protocol_of("gopro"), torch.zeros(3, 720, 1280, dtype=torch.uint8))
    assert tuple(gopro.shape) == (3, 512, 512)


def test_half_size_is_the_mean_of_four():
    picture = torch.randint(0, 256, (3, 32, 48), dtype=torch.uint8)
    half = seen_through(protocol_of("xiph-2k"), picture)
    four = picture.float().reshape(3, 16, 2, 24, 2).mean(dim=(2, 4))
    assert (half.float() - four).abs().max() <= 0.5
    cities = seen_through(protocol_of("cityscapes"), torch.zeros(3, 1024, 2048, dtype=torch.uint8))
    assert tuple(cities.shape) == (3, 512, 1024)
