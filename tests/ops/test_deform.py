"""Deformable convolution: torchvision's numbers, an honest gradient, and two ways of writing it that agree."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tween.ops import deform
from tween.ops.deform import deform_conv2d

CASES = [0, 1, 2, 3]  # stride, padding, dilation, offset groups: 1 1 1 1, 2 1 1 1, 1 2 2 2, 1 0 1 4


def by_tap(image, offset, weight, bias, *, mask, stride=1, padding=0, dilation=1):
    """The way of graphs, called directly."""
    return torch.ops.tween.deform_conv2d(image, offset, mask, weight, bias, stride, padding, dilation)


WAYS = pytest.mark.parametrize("way", [deform_conv2d, by_tap], ids=["by table", "by tap"])


def inputs(groups=1, size=(6, 7), channels=4, outputs=3, taps=(3, 3), batch=2, dtype=torch.float32, reach=2.0):
    torch.manual_seed(groups)
    count = taps[0] * taps[1] * groups
    return {
        "image": torch.randn(batch, channels, *size, dtype=dtype),
        "offset": torch.randn(batch, 2 * count, *size, dtype=dtype) * reach,
        "weight": torch.randn(outputs, channels, *taps, dtype=dtype),
        "bias": torch.randn(outputs, dtype=dtype),
        "mask": torch.rand(batch, count, *size, dtype=dtype),
    }


@WAYS
@pytest.mark.parametrize("case", CASES)
def test_equals_torchvision(shared, case, way):
    file = np.load(shared / "fixtures" / "others" / "deform_conv2d.npz")
    stride, padding, dilation, _ = file[f"c{case}_cfg_stride_pad_dil_groups"].tolist()
    image, offset, mask, weight, bias, out = (
        torch.from_numpy(file[f"c{case}_{name}"]) for name in ("x", "offset", "mask", "weight", "bias", "out")
    )
    got = way(image, offset, weight, bias, mask=mask, stride=stride, padding=padding, dilation=dilation)
    assert got.shape == out.shape
    assert (got - out).abs().max() <= 5e-6


@WAYS
@pytest.mark.parametrize(("groups", "taps", "padding"), [(1, (3, 3), 1), (2, (1, 1), 0), (2, (3, 1), 0)])
@pytest.mark.slow
def test_the_gradient_is_honest(groups, taps, padding, way):
    tensors = inputs(groups, size=(4, 5), taps=taps, batch=1, dtype=torch.float64)
    if taps == (3, 1):  # no padding: two rows fewer come out
        tensors |= {name: tensors[name][:, :, :2].contiguous() for name in ("offset", "mask")}
    names = list(tensors)
    leaves = [tensors[name].requires_grad_() for name in names]

    def run(*values):
        given = dict(zip(names, values, strict=True))
        return way(given["image"], given["offset"], given["weight"], given["bias"], mask=given["mask"], padding=padding)

    assert torch.autograd.gradcheck(run, leaves, fast_mode=False)


@WAYS
def test_without_offsets_it_is_a_convolution(way):
    tensors = inputs()
    still = torch.zeros_like(tensors["offset"])
    ones = torch.ones_like(tensors["mask"])
    got = way(tensors["image"], still, tensors["weight"], tensors["bias"], mask=ones, padding=1)
    assert torch.allclose(got, F.conv2d(tensors["image"], tensors["weight"], tensors["bias"], padding=1), atol=1e-5)


def test_no_mask_is_a_mask_of_ones_and_no_bias_a_bias_of_zeros():
    t = inputs()
    bare = deform_conv2d(t["image"], t["offset"], t["weight"], padding=1)
    full = deform_conv2d(
        t["image"], t["offset"], t["weight"], torch.zeros(3), mask=torch.ones_like(t["mask"]), padding=1
    )
    assert torch.equal(bare, full)


@WAYS
@pytest.mark.parametrize("far", [1e3, 1e9])
def test_far_outside_is_zero(far, way):
    t = inputs()
    away = torch.full_like(t["offset"], far)
    got = way(t["image"], away, t["weight"], t["bias"], mask=t["mask"], padding=1)
    assert torch.equal(got, t["bias"].view(1, -1, 1, 1).expand_as(got))


def test_nan_offsets_stay_within_memory():
    t = inputs()
    assert deform_conv2d(t["image"], t["offset"] * float("nan"), t["weight"], padding=1).isnan().all()


@WAYS
def test_any_order_in_memory_will_do(way):
    t = inputs(2)
    last = {name: v.to(memory_format=torch.channels_last) if v.dim() == 4 else v for name, v in t.items()}
    assert torch.allclose(way(**last, padding=1), way(**t, padding=1), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (8, 1), (37, 3)])
@pytest.mark.parametrize("band", [1, 10, 10_000])
def test_bands_change_nothing(monkeypatch, size, band):
    t = inputs(2, size=size)
    monkeypatch.setattr(deform, "BAND", band)
    got = deform_conv2d(t["image"], t["offset"], t["weight"], t["bias"], mask=t["mask"], padding=1)
    assert torch.allclose(got, by_tap(**t, padding=1), atol=1e-5)


def test_half_precision_keeps_the_offsets_whole():
    """Under bf16 autocast only the product is rounded: an offset of 100.3 px stays 100.3 px."""
    t = inputs(size=(4, 256), batch=1)
    t["offset"] = torch.full_like(t["offset"], 100.3)
    wanted = deform_conv2d(t["image"], t["offset"], t["weight"], t["bias"], mask=t["mask"], padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        got = deform_conv2d(t["image"], t["offset"], t["weight"], t["bias"], mask=t["mask"], padding=1)
    assert got.dtype == torch.float32
    assert (got - wanted).abs().max() <= 0.02 * wanted.abs().max()


class Convolution(torch.nn.Module):
    def forward(self, image, offset, mask, weight, bias):
        return deform_conv2d(image, offset, weight, bias, mask=mask, padding=1)


@pytest.mark.parametrize("node", [False, True], ids=["plain operators", "DeformConv"])
@pytest.mark.slow
def test_exports_to_onnx_and_runs_there(tmp_path, node):
    onnxruntime = pytest.importorskip("onnxruntime")
    t = inputs(2)
    order = ("image", "offset", "mask", "weight", "bias")
    path = tmp_path / "deform.onnx"
    table = deform.onnx_translation() if node else None
    program = torch.onnx.export(
        Convolution().eval(),
        tuple(t[name] for name in order),
        dynamo=True,
        opset_version=20,
        custom_translation_table=table,
    )
    program.save(path)
    operators = {each.op_type for each in program.model.graph}
    assert ("DeformConv" in operators, "GridSample" in operators) == (node, not node)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {each.name: t[name].numpy() for each, name in zip(session.get_inputs(), order, strict=True)}
    (got,) = session.run(None, feed)
    assert np.abs(got - deform_conv2d(**t, padding=1).numpy()).max() <= 1e-5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight": torch.zeros(3, 5, 3, 3)}, "a kernel for 5 channels on an image of 4"),
        ({"offset": torch.zeros(2, 17, 6, 7)}, "17 offset channels fit neither 9 taps"),
        ({"offset": torch.zeros(2, 54, 6, 7)}, "54 offset channels fit neither 9 taps nor 4 image channels"),
        ({"mask": torch.zeros(2, 18, 6, 7)}, "a mask of 18 channels where 9 are needed"),
    ],
)
def test_shapes_that_do_not_belong_together_are_told(change, words):
    with pytest.raises(ValueError, match=words):
        deform_conv2d(**(inputs() | change), padding=1)
