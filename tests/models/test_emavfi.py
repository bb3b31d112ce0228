"""EMA-VFI gives what the published network gives; its backbone runs once a gap, for any number of instants."""

import pytest
import torch
from published_others import arrays, frames, furthest, shapes, weights
from torch.nn import functional as F

from tween.errors import BadOption
from tween.models import emavfi
from tween.models.emavfi_attention import WINDOW, Layout
from tween.ops.resize import resize, resize_flow

FRAME, FLOW_PX = 1e-4, 5e-4  # tolerances of the fixtures' README
STEM = {"emavfi": "emavfi_cvpr_ours", "emavfi-small": "emavfi_cvpr_small"}
ROWS = {row.name: row for row in emavfi.ROWS}


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "fixtures" / "others"


@pytest.fixture(scope="module")
def published(folder):
    model = ROWS["emavfi-small"].build(1.0).eval()
    model.load_state_dict(weights(folder, STEM["emavfi-small"]), strict=True)
    return model


def untrained(scale=1.0):
    """A narrow network: what is asked of it does not depend on its width."""
    torch.manual_seed(0)
    return emavfi.EmaVfi(8, (1, 1, 1, 2, 2), scale=scale).eval()


def pair(height, width, batch=1):
    torch.manual_seed(1)
    coarse = torch.rand(batch * 2, 3, height // 8, width // 8)
    return F.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1).unflatten(0, (batch, 2))


@torch.inference_mode()
def run(model, pictures, *t):
    return model(pictures, torch.tensor(t))


# --- parity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [0.5, 0.25])
def test_frames_flows_and_masks_are_the_published_ones(folder, published, t):
    wanted = arrays(folder, "emavfi_cvpr_small")
    frame, aux = run(published, frames(folder, 2, 64, 96, vx=4, vy=-2), t)
    assert furthest(frame, wanted[f"pred_t{int(t * 1000)}"]) <= FRAME
    if t == 0.5:
        assert furthest(aux["flow"], wanted["flow_final"]) <= FLOW_PX
        assert furthest(aux["mask"], wanted["mask_final"]) <= FRAME
        assert furthest(aux["merged"].mean((2, 3)), wanted["merged_last_mean"]) <= FRAME


def test_appearance_and_motion_are_the_published_ones(folder, published):
    wanted = arrays(folder, "emavfi_cvpr_small")
    with torch.inference_mode():
        appearance, motion = published.feature_bone(frames(folder, 2, 64, 96, vx=4, vy=-2)[0])
    said = {f"af{scale}_chmean": features for scale, features in enumerate(appearance)}
    said |= {f"mf{scale}_chmean": features for scale, features in enumerate(motion, start=3)}
    for name, features in said.items():
        assert furthest(features.mean((2, 3)), wanted[name]) <= FRAME, name
    assert len(said) == 7


@pytest.mark.parametrize("name", ROWS)
def test_keys_and_shapes_are_the_published_ones(folder, name):
    with torch.device("meta"):
        model = ROWS[name].build(1.0)
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == shapes(folder, STEM[name])
    parameters = {"emavfi": 65_662_359, "emavfi-small": 14_489_815}[name]
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_the_base_size_runs():
    torch.manual_seed(0)
    frame = run(ROWS["emavfi"].build(1.0).eval(), pair(32, 64), 0.5).frame
    assert frame.shape == (1, 3, 32, 64)
    assert frame.isfinite().all()


def test_kept_masks_of_the_authors_code_are_left_out():
    state = untrained().state_dict()
    kept = {"feature_bone.block4.1.attn_mask": torch.zeros(4, 49, 49), "feature_bone.block4.1.HW": torch.zeros(1)}
    assert emavfi.rename({**state, **kept, "stranger": torch.zeros(1)}).keys() == {*state, "stranger"}


# --- windows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("size", [(1, 1), (7, 14), (8, 12), (20, 9)])
def test_joining_undoes_cutting(size, shift):
    layout = Layout(*size, shift)
    x = torch.rand(2, *size, 3)
    cut = layout.cut(layout.pad(x))
    assert cut.shape == (2, layout.rows * layout.columns // WINDOW**2, WINDOW**2, 3)
    assert torch.equal(layout.crop(layout.join(cut)), x)


def test_a_map_and_its_padding_are_kept_apart():
    layout = Layout(8, 12, shift=0)
    inside = layout.cut(layout.pad(torch.ones(1, 8, 12, 1)))[0, :, :, 0].bool()
    mixed = inside[:, :, None] != inside[:, None, :]
    apart = layout.apart(inside.device)[:, 0] < 0
    assert mixed.any()
    assert apart[mixed].all()
    assert not apart[inside[:, :, None] & inside[:, None, :]].any()


def test_a_shifted_window_joins_no_opposite_edges():
    layout = Layout(14, 14, shift=3)  # no padding
    column = torch.arange(14.0).expand(1, 14, 14)[..., None]
    places = layout.cut(layout.pad(column))[0, :, :, 0]
    far = (places[:, :, None] - places[:, None, :]).abs() >= WINDOW
    apart = layout.apart(places.device)[:, 0] < 0
    assert far.any()
    assert apart[far].all()
    assert not Layout(14, 14, shift=0).apart(places.device).any()


# --- the seams ------------------------------------------------------------------------------------------------------


def test_cached_verbs_equal_forward_and_the_backbone_runs_once_a_gap():
    model, pictures, runs = untrained(), pair(64, 96), []
    wanted = {t: run(model, pictures, t).frame for t in (0.25, 0.5, 0.9)}
    model.feature_bone.register_forward_hook(lambda *_: runs.append(1))
    with torch.inference_mode():
        scene = model.relate([model.embed(picture) for picture in pictures.unbind(1)])
        for t, frame in wanted.items():
            assert torch.equal(model.render(scene, torch.tensor([t])).frame, frame)
    assert len(runs) == 1
    assert furthest(wanted[0.25], wanted[0.9]) > 1e-3  # t matters


def test_every_sample_of_a_batch_has_its_own_t():
    model, pictures = untrained(), pair(32, 64, batch=2)
    together = run(model, pictures, 0.1, 0.8).frame
    for index, t in enumerate((0.1, 0.8)):
        assert furthest(run(model, pictures[index : index + 1], t).frame[0], together[index]) <= 1e-5


def test_every_parameter_gets_a_gradient():
    model = untrained()
    model(pair(64, 96), torch.tensor([0.4])).frame.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # A constant added to every place changes no difference of places: this bias is without effect.
        if not name.endswith("cor_embed.bias"):
            assert parameter.grad.abs().max() > 0, name


def test_half_scale_seeks_the_motion_of_the_smaller_frames():
    pictures, half = pair(64, 128), untrained(0.5)
    assert half.spec.multiple == 64
    small = run(untrained(), resize(pictures[0], 0.5)[None], 0.3).aux["flow"]
    frame, aux = run(half, pictures, 0.3)
    assert furthest(aux["flow"], resize_flow(small, 2)) <= 1e-4
    assert frame.shape == (1, 3, 64, 128)


def test_a_scale_without_a_whole_grid_is_refused():
    with pytest.raises(BadOption, match=r"EMA-VFI with --scale 2.*0\.25, 0\.5 and 1"):
        untrained(2.0)


def test_flow_and_mask_stay_exact_in_half_precision():
    model, pictures = untrained(), pair(64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        frame, aux = run(model, pictures, 0.5)
    assert {aux[name].dtype for name in ("flow", "mask", "merged")} == {frame.dtype} == {torch.float32}
    assert furthest(frame, run(model, pictures, 0.5).frame) <= 0.05


@pytest.mark.slow
def test_the_exported_program_equals_the_model():
    model, pictures = untrained(), pair(64, 96)
    program = torch.export.export(model, (pictures, torch.tensor([0.3]))).module()
    t = torch.tensor([0.8])
    assert furthest(program(pictures, t).frame, model(pictures, t).frame) <= 1e-6
