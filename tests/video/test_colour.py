"""Colour against the formulas of ITU-T H.273, written out here on their own."""

import av
import numpy as np
import pytest
import torch
from clips import picture, planes, tag

from tween.errors import UnsupportedStream
from tween.frame import Colour
from tween.video.colour import FromRgb, ToRgb, full_range_of, matrix_for

WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # H.273 matrix -> Kr, Kb
CASES = [(matrix, full, bits) for matrix in WEIGHTS for full in (False, True) for bits in (8, 10)]
case = pytest.mark.parametrize(("matrix", "full", "bits"), CASES)


def encode(rgb, matrix, full, bits):
    """RGB in [0, 1] -> Y, Cb, Cr codes, not rounded (H.273, equations 38 to 40 and 23 to 28)."""
    kr, kb = WEIGHTS[matrix]
    r, g, b = rgb
    y = kr * r + (1 - kr - kb) * g + kb * b
    pb, pr = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    unit = 2 ** (bits - 8)
    if full:
        top = 2**bits - 1
        return np.stack([top * y, top * pb + 128 * unit, top * pr + 128 * unit])
    return np.stack([(219 * y + 16) * unit, (224 * pb + 128) * unit, (224 * pr + 128) * unit])


def decode(codes, matrix, full, bits):
    """Y, Cb, Cr codes -> RGB, not clipped."""
    kr, kb = WEIGHTS[matrix]
    unit, top = 2 ** (bits - 8), 2**bits - 1
    y, pb, pr = codes.astype(np.float64)
    if full:
        y, pb, pr = y / top, (pb - 128 * unit) / top, (pr - 128 * unit) / top
    else:
        y, pb, pr = (y / unit - 16) / 219, (pb / unit - 128) / 224, (pr / unit - 128) / 224
    r, b = y + 2 * (1 - kr) * pr, y + 2 * (1 - kb) * pb
    return np.stack([r, (y - kr * r - kb * b) / (1 - kr - kb), b])


def yuv444(codes, bits):
    native = av.VideoFrame(codes.shape[2], codes.shape[1], "yuv444p" if bits == 8 else f"yuv444p{bits}le")
    kind = np.uint8 if bits == 8 else np.uint16
    for plane, rows in zip(native.planes, codes, strict=True):
        memory = np.frombuffer(plane, kind).reshape(plane.height, -1)
        memory[:, : plane.width] = rows
    return native


def codes_of(native):
    kind = np.uint8 if native.format.components[0].bits == 8 else np.uint16
    return np.stack([rows.copy().view(kind) for rows in planes(native)]).astype(np.float64)


@pytest.fixture
def rgb():
    return np.random.default_rng(7).random((3, 70, 90))


@case
def test_yuv_becomes_rgb_by_the_formula(rgb, matrix, full, bits):
    colour = Colour(matrix, full_range=full)
    codes = encode(rgb, matrix, full, bits).round().clip(0, 2**bits - 1)
    data = ToRgb(colour, deep=bits > 8)(yuv444(codes, bits))
    top = 255 if bits == 8 else 65535
    error = data.numpy() - decode(codes, matrix, full, bits).clip(0, 1) * top
    assert abs(error).max() < (0.52 if bits == 8 else 5)  # half a level is rounding; 5 of 65535 is 0.02 levels
    assert abs(error.mean()) < (0.02 if bits == 8 else 1.0)


@case
def test_rgb_becomes_yuv_by_the_formula(rgb, matrix, full, bits):
    top = 255 if bits == 8 else 65535
    data = (rgb * top).round().astype(np.uint8 if bits == 8 else np.uint16)
    name = "yuv444p" if bits == 8 else "yuv444p10le"
    made = FromRgb(name, Colour(matrix, full_range=full))(torch.from_numpy(data))
    error = codes_of(made) - encode(data / top, matrix, full, bits).clip(0, 2**bits - 1)
    assert abs(error.mean(axis=(1, 2))).max() < 0.05, "a tint"
    assert abs(error).mean() < 0.4
    assert abs(error).max() < 1.7


@case
def test_rgb_to_yuv444_and_back_keeps_the_mean(rgb, matrix, full, bits):
    colour = Colour(matrix, full_range=full)
    top = 255 if bits == 8 else 65535
    data = torch.from_numpy((rgb * top).round().astype(np.uint8 if bits == 8 else np.uint16))
    name = "yuv444p" if bits == 8 else "yuv444p10le"
    back = ToRgb(colour, deep=bits > 8)(FromRgb(name, colour)(data))
    error = (back.numpy().astype(np.float64) - data.numpy()) / top * 255
    assert abs(error.mean()) < 0.1
    assert abs(error).mean() < (1.0 if bits == 8 else 0.3)


@pytest.mark.parametrize(("white", "full", "want"), [(235, False, 255), (255, True, 255), (16, False, 0), (0, True, 0)])
def test_black_and_white_are_black_and_white(white, full, want):
    codes = np.stack([np.full((16, 16), code) for code in (white, 128, 128)])
    assert (ToRgb(Colour(1, full_range=full), deep=False)(yuv444(codes, 8)) == want).all()
    codes = np.stack([np.full((16, 16), code) for code in ({235: 940, 255: 1023, 16: 64, 0: 0}[white], 512, 512)])
    assert (ToRgb(Colour(1, full_range=full), deep=True)(yuv444(codes, 10)).int() == want * 257).all()


def test_chroma_of_420_survives_rgb_and_back():
    native = picture(3, (72, 96), "yuv420p", Colour(1))
    back = FromRgb("yuv420p", Colour(1))(ToRgb(Colour(1), deep=False)(native))
    for kept, was in zip(planes(back), planes(native), strict=True):
        error = kept.astype(int) - was.astype(int)
        assert abs(error.mean()) < 0.02
        assert abs(error).mean() < 0.1


@pytest.mark.parametrize("name", ["rgb24", "bgr24", "gbrp", "rgba", "rgb48le", "gbrp10le", "gbrp12le", "gbrp16le"])
def test_rgb_stays_rgb_bit_for_bit(name):
    deep = av.VideoFormat(name).components[0].bits > 8
    bits = av.VideoFormat(name).components[0].bits
    exact = torch.from_numpy(np.random.default_rng(1).integers(0, 2**bits, (3, 20, 30)))
    full = exact if bits in (8, 16) else (exact << (16 - bits)) | (exact >> (2 * bits - 16))
    data = full.to(torch.uint16 if deep else torch.uint8)
    colour = Colour(0, full_range=True)
    assert torch.equal(ToRgb(colour, deep=deep)(FromRgb(name, colour)(data)), data)


def test_tags_are_written_as_they_were_read():
    for colour in (Colour(), Colour(9, 9, 16, False), Colour(6, 5, 6, True)):
        made = FromRgb("yuv420p", colour)(torch.zeros(3, 16, 16, dtype=torch.uint8))
        assert (made.colorspace, made.color_primaries, made.color_trc) == (
            colour.matrix,
            colour.primaries,
            colour.transfer,
        )
        assert made.color_range == {None: 0, False: 1, True: 2}[colour.full_range]


def test_untagged_video_is_taken_as_players_take_it():
    assert matrix_for(Colour(), (720, 1280)) == 1
    assert matrix_for(Colour(), (480, 854)) == 5
    assert not full_range_of("yuv420p", Colour())
    assert full_range_of("yuvj420p", Colour())
    assert full_range_of("gray", Colour())


def test_a_matrix_without_a_formula_is_refused_in_words():
    with pytest.raises(UnsupportedStream, match=r"matrix 8 of H\.273.*ffmpeg -i IN"):
        matrix_for(Colour(matrix=8), (720, 1280))


def test_a_picture_is_not_changed_by_looking_at_it():
    native = picture(0, (32, 48), "yuv420p", Colour(6, 5, 6, True))
    before = [rows.copy() for rows in planes(native)]
    ToRgb(Colour(6, full_range=True), deep=False)(native)
    FromRgb("yuv444p", Colour(6, full_range=True)).recode(native)
    assert all(np.array_equal(kept, was) for kept, was in zip(planes(native), before, strict=True))
    assert (native.colorspace, native.color_range, native.color_trc) == (6, 2, 6)


def test_gray_is_gray():
    native = av.VideoFrame.from_ndarray(np.arange(256, dtype=np.uint8).reshape(16, 16), format="gray")
    tag(native, Colour())
    data = ToRgb(Colour(), deep=False)(native)
    assert (data == torch.arange(256, dtype=torch.uint8).reshape(16, 16)).all()
    assert np.array_equal(planes(FromRgb("gray", Colour())(data))[0], planes(native)[0])
