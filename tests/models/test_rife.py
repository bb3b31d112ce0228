"""RIFE 4.x gives what the published networks give; every version is there, and looks at each frame once."""

import json
from dataclasses import replace

import pytest
import torch
from published_others import arrays, frames, furthest, shapes, weights
from torch.nn import functional as F

from tween.errors import BadOption
from tween.models import rife
from tween.models.rife_versions import VERSIONS
from tween.ops.warp import backward_warp

FRAME, FLOW_PX = 1e-4, 5e-4  # tolerances of the fixtures' README
BY_NUMBER = {version.number: version for version in VERSIONS}
GENERATIONS = ["4.0", "4.4", "4.5", "4.6", "4.7", "4.10", "4.14.lite", "4.20", "4.22.lite", "4.25", "4.25.lite"]
KEYS = {"4.6": "rife_v4.6", "4.25": "rife_v4.25", "4.26": "rife_v4.25"}


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "fixtures" / "others"


def published(folder, number, **options):
    model = rife.Rife(BY_NUMBER[number], **options).eval()
    model.load_state_dict(weights(folder, KEYS[number]), strict=True)
    return model


def untrained(number, **options):
    """The version with narrow blocks: what is asked of it does not depend on their width."""
    torch.manual_seed(0)
    version = BY_NUMBER[number]
    return rife.Rife(replace(version, widths=(16,) * len(version.widths)), **options).eval()


def pair(model, batch=1):
    """Two smooth frames of the smallest size that the model takes."""
    torch.manual_seed(1)
    side = model.spec.multiple
    return (
        F.interpolate(torch.rand(batch * 2, 3, 8, 8), size=(side, side), mode="bicubic")
        .clamp(0, 1)
        .unflatten(0, (batch, 2))
    )


@torch.inference_mode()
def run(model, pictures, *t):
    return model(pictures, torch.tensor(t))


def padded(pictures, multiple):
    """As the published programs pad: zeros, right and below. (The house's canvas repeats the edge, evenly.)"""
    height, width = pictures.shape[-2:]
    return F.pad(pictures, (0, -width % multiple, 0, -height % multiple))


# --- parity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [0.5, 0.25])
@pytest.mark.parametrize("number", KEYS)
@pytest.mark.slow
def test_frames_flows_and_masks_are_the_published_ones(folder, number, t):
    model, wanted = published(folder, number), arrays(folder, KEYS[number])
    pictures = frames(folder, 2, 64, 96, vx=4, vy=-2)
    frame, aux = run(model, padded(pictures, model.spec.multiple), t)
    assert furthest(frame[..., :64, :96], wanted[f"out_t{int(t * 1000)}"]) <= FRAME
    if t == 0.5:
        assert furthest(aux["flow"][..., :64, :96], wanted["flow_final"]) <= FLOW_PX
        assert furthest(aux["mask"][..., :64, :96].logit(), wanted["mask_logit_final"]) <= FLOW_PX


@pytest.mark.parametrize("number", ["4.6", "4.25"])
def test_each_block_says_what_the_published_one_says(folder, number):
    model, wanted, said = published(folder, number), arrays(folder, KEYS[number]), {}
    for index in range(len(model.scales)):
        block = model.get_submodule(f"block{index}")
        block.register_forward_hook(lambda _, __, motion, index=index: said.update({index: motion.flow}))
    run(model, padded(frames(folder, 2, 64, 96, vx=4, vy=-2), model.spec.multiple), 0.5)
    for index, flow in said.items():
        assert furthest(flow.mean((0, 2, 3)), wanted[f"block{index}_flow_mean"]) <= FLOW_PX
    assert len(said) == len(model.scales)


def test_the_head_is_the_published_one(folder):
    picture = padded(frames(folder, 2, 64, 96, vx=4, vy=-2), 64)[:, 0]
    with torch.inference_mode():
        (told,) = published(folder, "4.25").embed(picture)
    features = told[:, 3:]
    said = torch.stack((features.mean((0, 2, 3)), features.std((0, 2, 3))))
    assert furthest(said, arrays(folder, "rife_v4.25")["f0_mean_std"]) <= FRAME


def test_the_ensemble_is_the_published_one(folder):
    pictures, wanted = frames(folder, 2, 64, 96, vx=4, vy=-2), arrays(folder, "rife_v4.6_ensemble")["out_t250"]
    assert furthest(run(published(folder, "4.6", ensemble=True), pictures, 0.25).frame, wanted) <= FRAME
    assert furthest(run(published(folder, "4.6"), pictures, 0.25).frame, wanted) > 100 * FRAME  # the option matters


def test_half_scale_is_the_published_one(folder):
    model = published(folder, "4.6", scale=0.5)
    pictures, wanted = frames(folder, 2, 60, 90, vx=4, vy=-2), arrays(folder, "rife_v4.6_scale05")["out_t500"]
    assert model.spec.multiple == 64
    assert furthest(run(model, padded(pictures, 64), 0.5).frame[..., :60, :90], wanted) <= FRAME


# --- every version --------------------------------------------------------------------------------------------------


def test_every_version_is_a_row(folder):
    known = [row["version"] for row in json.loads((folder / "rife_versions.json").read_text())]
    assert [version.number for version in VERSIONS] == known
    assert [row.name for row in rife.ROWS] == [
        "rife-" + number.replace(".l", "-l").replace(".h", "-h") for number in known
    ]
    assert {"rife-4.0", "rife-4.12-lite", "rife-4.26-heavy"} < {row.name for row in rife.ROWS}


@pytest.mark.parametrize("number", BY_NUMBER)
def test_the_facts_of_a_version_are_the_published_ones(folder, number):
    fact = next(row for row in json.loads((folder / "rife_versions.json").read_text()) if row["version"] == number)
    version = BY_NUMBER[number]
    with torch.device("meta"):
        model = rife.Rife(version)
    assert sum(parameter.numel() for parameter in model.parameters()) == fact["params"]
    blocks = [model.get_submodule(f"block{index}") for index in range(len(fact["blocks"]))]
    for block, wanted in zip(blocks, fact["blocks"], strict=True):
        first, last = block.conv0[0][0], block.lastconv[0] if fact["pixel_shuffle"] else block.lastconv
        assert (first.in_channels, last.in_channels) == (wanted["in_planes"], wanted["c"])
        assert len(block.convblock) == wanted["n_res"]
        assert last.out_channels == fact["lastconv_out"]
        assert type(block.conv0[0][1]).__name__ == fact["act"]
    assert not hasattr(model, f"block{len(blocks)}")
    assert list(model.scales) == fact["scale_list"]
    assert model.spec.multiple == fact["pad_multiple"]
    assert version.ensemble == fact["ensemble_supported"]
    assert version.features == fact["encode_channels"]
    assert hasattr(model, "encode") == bool(fact["encode_channels"])


@pytest.mark.parametrize("number", KEYS)
def test_keys_and_shapes_are_the_published_ones(folder, number):
    with torch.device("meta"):
        model = rife.Rife(BY_NUMBER[number])
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == shapes(folder, KEYS[number])


@pytest.mark.parametrize("row", rife.ROWS, ids=lambda row: row.name)
@pytest.mark.slow
def test_every_version_runs_at_any_t(row):
    torch.manual_seed(0)
    model = row.build(1.0).eval()
    pictures = pair(model, batch=2)
    frame, aux = run(model, pictures, 0.1, 0.9)
    assert frame.shape == pictures[:, 0].shape
    assert frame.min() >= 0
    assert frame.max() <= 1
    assert aux["flow"].shape[1] == 4
    for index, t in enumerate((0.1, 0.9)):
        alone = run(model, pictures[index : index + 1], t)
        assert furthest(alone.frame[0], frame[index]) <= 1e-5
    assert furthest(run(model, pictures[:1], 0.9).frame[0], frame[0]) > 0  # t matters


@pytest.mark.parametrize("number", GENERATIONS)
def test_the_frame_is_what_its_flow_and_mask_say(number):
    model = untrained(number)
    pictures = pair(model)
    frame, aux = run(model, pictures, 0.4)
    first = backward_warp(pictures[:, 0], aux["flow"][:, :2])
    second = backward_warp(pictures[:, 1], aux["flow"][:, 2:])
    assert furthest(frame, (first * aux["mask"] + second * (1 - aux["mask"])).clamp(0, 1)) <= 1e-6


@pytest.mark.parametrize("number", ["4.6", "4.25"])
def test_in_training_each_block_shows_what_it_would(number):
    """One picture a block but the last, so that a loss can judge it: both frames under the motion so far. A render has
    none of them."""
    model = untrained(number)
    pictures, blocks = pair(model), len(BY_NUMBER[number].widths)
    frame, aux = run(model, pictures, 0.4)
    assert set(aux) == {"flow", "mask"}
    learning = run(model.train(), pictures, 0.4)
    assert torch.equal(learning.frame, frame)
    assert set(learning.aux) == {"flow", "mask", *(f"merged_{index}" for index in range(blocks - 1))}
    with torch.inference_mode():
        scene = model.relate([model.embed(picture) for picture in pictures.unbind(1)])
        motions = model.seek(scene, torch.tensor([0.4]))
        for index, motion in enumerate(motions[:-1]):
            first, second = (backward_warp(pictures[:, k], motion.flow[:, 2 * k : 2 * k + 2]) for k in (0, 1))
            share = motion.mask.sigmoid()
            assert furthest(learning.aux[f"merged_{index}"], first * share + second * (1 - share)) <= 1e-6
            assert furthest(motion.flow, motions[-1].flow) > 0  # it is not the last one's


# --- the seams ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", GENERATIONS)
def test_cached_verbs_equal_forward_and_the_head_runs_once_a_frame(number):
    model, heads = untrained(number), []
    pictures, t = pair(model), torch.tensor([0.3])
    wanted = run(model, pictures, 0.3).frame
    if BY_NUMBER[number].features:
        model.encode.register_forward_hook(lambda *_: heads.append(1))
    with torch.inference_mode():
        scene = model.relate([model.embed(picture) for picture in pictures.unbind(1)])
        model.render(scene, torch.tensor([0.7]))
        assert torch.equal(model.render(scene, t).frame, wanted)
    assert len(heads) == (2 if BY_NUMBER[number].features else 0)


@pytest.mark.parametrize("number", GENERATIONS)
def test_every_parameter_gets_a_gradient(number):
    model = untrained(number)
    model(pair(model), torch.tensor([0.4])).frame.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("number", ["4.0", "4.6", "4.12.lite", "4.20"])
def test_an_ensemble_sees_the_same_when_time_runs_backwards(number):
    pictures = pair(untrained(number))
    both = untrained(number, ensemble=True)
    forwards, backwards = run(both, pictures, 0.3), run(both, pictures.flip(1), 0.7)
    assert furthest(forwards.frame, backwards.frame) <= 1e-5
    assert furthest(forwards.aux["flow"], rife.swap(backwards.aux["flow"])) <= 1e-4
    once = untrained(number)
    assert furthest(run(once, pictures, 0.3).frame, run(once, pictures.flip(1), 0.7).frame) > 1e-4


def test_only_versions_that_have_an_ensemble_offer_it():
    with pytest.raises(ValueError, match=r"rife-4\.25 has no ensemble"):
        rife.Rife(BY_NUMBER["4.25"], ensemble=True)


@pytest.mark.parametrize(
    ("number", "scale", "multiple"),
    [("4.25", 1, 64), ("4.25", 0.5, 128), ("4.25", 2, 64), ("4.6", 0.25, 128), ("4.6", 4, 32)],
)
def test_a_scale_runs_and_says_its_multiple(number, scale, multiple):
    model = untrained(number, scale=scale)
    assert model.spec.multiple == multiple
    assert run(model, pair(model), 0.5).frame.isfinite().all()


def test_a_scale_without_a_whole_grid_is_refused():
    with pytest.raises(BadOption, match=r"rife-4\.6 with --scale 0\.3.*0\.25, 0\.5, 1, 2 and 4"):
        rife.Rife(BY_NUMBER["4.6"], scale=0.3)


def test_what_only_training_used_is_left_out():
    model = untrained("4.25")
    state = model.state_dict()
    more = {
        **state,
        "teacher.conv0.0.0.weight": torch.zeros(1),
        "caltime.8.bias": torch.zeros(1),
        "block9.x": torch.zeros(1),
    }
    assert rife.rename(more).keys() == {*state, "block9.x"}  # a stranger stays, for the strict load to refuse


@pytest.mark.parametrize("number", ["4.6", "4.25"])
def test_flow_and_mask_stay_exact_in_half_precision(number):
    model = untrained(number)
    with torch.autocast("cpu", torch.bfloat16):
        frame, aux = run(model, pair(model), 0.5)
    assert aux["flow"].dtype == aux["mask"].dtype == frame.dtype == torch.float32
    assert furthest(frame, run(model, pair(model), 0.5).frame) <= 0.05


@pytest.mark.parametrize("number", ["4.0", "4.25"])
@pytest.mark.slow
def test_the_exported_program_equals_the_model(number):
    model = untrained(number)
    pictures, t = pair(model), torch.tensor([0.3])
    program = torch.export.export(model, (pictures, t)).module()
    assert furthest(program(pictures, torch.tensor([0.8])).frame, model(pictures, torch.tensor([0.8])).frame) <= 1e-6
