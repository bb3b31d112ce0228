"""The canvas: whatever goes in comes out, at every size and depth."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tween.frame import Frame
from tween.ops.canvas import Canvas, to_float, to_integer

sides = st.integers(1, 70)
multiples = st.sampled_from([1, 2, 8, 16, 32, 64, 128])
DEPTHS = [(torch.uint8, 255), (torch.uint16, 65535)]


def noise(size, dtype, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    most = 255 if dtype == torch.uint8 else 65535
    return torch.randint(0, most + 1, (channels, *size), generator=generator, dtype=torch.int32).to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
@given(size=st.tuples(sides, sides), multiple=multiples, channels=st.sampled_from([3, 4]))
def test_in_and_out_is_the_identity(dtype, size, multiple, channels):
    frame = Frame(noise(size, dtype, channels), Fraction(1, 3))
    canvas = Canvas(size, multiple)
    back = canvas.leave(canvas.enter(frame), Fraction(2, 3), like=frame)
    assert back.data.dtype == dtype
    assert torch.equal(back.data.int(), frame.data.int())
    assert back.pts == Fraction(2, 3)
    assert back.data.is_contiguous()


@given(size=st.tuples(sides, sides), multiple=multiples)
def test_sides_are_the_next_multiples_and_padding_is_even(size, multiple):
    canvas = Canvas(size, multiple)
    left, right, top, bottom = canvas.padding
    for before, side, after, padded in ((top, size[0], bottom, canvas.size[0]), (left, size[1], right, canvas.size[1])):
        assert padded % multiple == 0
        assert padded - side < multiple
        assert before + side + after == padded
        assert after - before in (0, 1)


@given(size=st.tuples(sides, sides), multiple=multiples)
def test_padding_repeats_the_nearest_pixel(size, multiple):
    canvas, picture = Canvas(size, multiple), torch.rand(2, 3, *size)
    left, _, top, _ = canvas.padding
    rows = (torch.arange(canvas.size[0]) - top).clamp(0, size[0] - 1)
    columns = (torch.arange(canvas.size[1]) - left).clamp(0, size[1] - 1)
    padded = canvas.pad(picture)
    assert torch.equal(padded, picture[:, :, rows][..., columns])
    assert torch.equal(canvas.crop(padded), picture)


@pytest.mark.parametrize(("dtype", "most"), DEPTHS)
def test_every_value_survives_and_fills_0_to_1(dtype, most):
    values = torch.arange(most + 1, dtype=torch.int32).to(dtype)
    floats = to_float(values)
    assert floats.dtype == torch.float32
    assert (floats.min(), floats.max()) == (0, 1)
    assert torch.equal(to_integer(floats, dtype).int(), values.int())


@pytest.mark.parametrize(("dtype", "most"), DEPTHS)
def test_out_of_range_is_clamped_and_the_rest_rounded_to_the_nearest(dtype, most):
    floats = torch.tensor([-3.0, -0.4 / most, 0.4 / most, 0.6 / most, 1.4 / most, 1 - 0.4 / most, 1.01, float("inf")])
    assert to_integer(floats, dtype).tolist() == [0, 0, 0, 1, 1, most, most, most]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_pictures_of_any_precision_come_out(dtype):
    assert to_integer(torch.tensor([0.0, 0.5, 1.0], dtype=dtype), torch.uint8).tolist() == [0, 128, 255]


def test_neither_the_picture_nor_the_frame_is_changed():
    data, picture = noise((4, 5), torch.uint8), torch.rand(1, 3, 8, 8) * 3 - 1
    before = data.clone(), picture.clone()
    frame, canvas = Frame(data, Fraction(0)), Canvas((4, 5), 8)
    canvas.enter(frame)
    canvas.leave(picture, Fraction(0), like=frame)
    assert torch.equal(data, before[0])
    assert torch.equal(picture, before[1])


def test_rows_of_pixels_are_as_good_as_planes():
    """Decoders give [H, W, 3] in memory."""
    data = noise((6, 7), torch.uint8).permute(1, 2, 0).contiguous().permute(2, 0, 1)
    frame = Frame(data, Fraction(0))
    assert torch.equal(Canvas((6, 7), 4).leave(Canvas((6, 7), 4).enter(frame), Fraction(0), frame).data, data)


def test_other_dtypes_are_our_mistake():
    with pytest.raises(TypeError, match=r"frames are uint8 or uint16, not torch\.float32"):
        to_float(torch.zeros(3, 2, 2))
