"""IFRNet S, B, L, T, ELAN give what the published networks give, and nothing of their bugs."""

import json
from fractions import Fraction

import pytest
import torch
from published_ifrnet import NAMES, arrays, furthest, picture, rule, weights

from tween.errors import BadOption
from tween.frame import Frame
from tween.models import ifrnet
from tween.ops.canvas import Canvas
from tween.ops.resize import resize_flow
from tween.ops.warp import backward_warp

PREDICTION, FLOW_PX = 1e-5, 1e-4  # tolerances of the fixtures' README
SCALABLE = ["ifrnet-s", "ifrnet-b", "ifrnet-l"]


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "fixtures" / "ifrnet"


@pytest.fixture(scope="module")
def frames(folder):
    inputs = arrays(folder, "inputs")
    return torch.stack([picture(inputs["img0"]), picture(inputs["img1"])], 1)


def network(folder, name, scale=1.0):
    model = ifrnet.build(name.removeprefix("ifrnet-"), scale).eval()
    model.load_state_dict(weights(folder, NAMES[name]), strict=True)
    return model


@torch.inference_mode()
def run(model, frames, t):
    return model(frames, torch.tensor([float(t)] * len(frames)))


@pytest.mark.parametrize("name", NAMES)
def test_the_rule_makes_the_weights_that_were_used(folder, name):
    rows = json.loads((folder / f"{NAMES[name]}_weights_check.json").read_text())["values"]
    state = weights(folder, NAMES[name])
    assert rows.keys() == state.keys()
    for key, (_, first, total) in rows.items():
        assert state[key].flatten()[0].item() == pytest.approx(first, abs=1e-7)
        assert state[key].double().sum().item() == pytest.approx(total, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("t", [0.5, 0.25])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_prediction_and_flows_are_the_published_ones(folder, frames, name, t):
    stem = f"{NAMES[name]}_t0{int(t * 100)}"
    predicted, flows = arrays(folder, f"{stem}_pred"), arrays(folder, f"{stem}_flows")
    frame, aux = run(network(folder, name), frames, t)
    assert furthest(frame, predicted["pred"]) <= PREDICTION
    assert furthest(aux["unclamped"], predicted["preclamp"]) <= PREDICTION
    assert furthest(aux["mask"], flows["mask"]) <= PREDICTION
    for level in range(1, 5 if "flow0_l4" in flows else 4):
        wanted = torch.cat([flows[f"flow0_l{level}"], flows[f"flow1_l{level}"]], 1)
        assert furthest(aux[f"flow_{level}"], wanted) <= FLOW_PX
    assert torch.equal(aux["flow"], aux["flow_1"])


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_the_published_one(folder, frames, name):
    rows = json.loads((folder / "stats.json").read_text())[f"{NAMES[name]}/t050"]
    model, seen = network(folder, name), {}
    for part, module in model.named_children():
        if part.startswith("decoder"):
            module.register_forward_hook(lambda _m, _i, out, part=part: seen.update({part: out}))
    with torch.inference_mode():
        scene = model.relate([model.embed(frame) for frame in frames.unbind(1)])
        model.render(scene, torch.tensor([0.5]))
    for number, feature in enumerate(scene[3:]):
        seen[f"encoder.call{number % 2}.f{number // 2 + 1}"] = feature
    assert seen.keys() == rows.keys()
    for part, row in rows.items():
        assert list(seen[part].shape) == row["shape"]
        assert seen[part].std(correction=0).item() == pytest.approx(row["std"], rel=1e-3)
        assert seen[part].abs().max().item() == pytest.approx(row["absmax"], abs=2e-4)
        assert seen[part][0, -1, 3, 5].item() == pytest.approx(row["at_0_last_h3_w5"], abs=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_may_hold_other_frames_and_other_times(folder, frames, name):
    first, second = frames.unbind(1)
    batch = torch.cat([frames, torch.stack([0.5 * second, 0.5 * first], 1)])
    with torch.inference_mode():
        frame, _ = network(folder, name)(batch, torch.tensor([0.5, 0.25]))
    assert furthest(frame[1:], arrays(folder, f"{NAMES[name]}_variants")["batch_second"]) <= PREDICTION
    assert furthest(frame[:1], arrays(folder, f"{NAMES[name]}_t050_pred")["pred"]) <= PREDICTION


@pytest.mark.parametrize("name", NAMES)
def test_motion_may_be_estimated_at_half_the_size(folder, frames, name):
    frame, _ = run(network(folder, name, scale=0.5), frames, 0.5)
    assert furthest(frame, arrays(folder, f"{NAMES[name]}_variants")["scale05"]) <= PREDICTION


@pytest.mark.parametrize("name", SCALABLE)
def test_snu_film_at_scale_0_8_on_a_canvas_of_20(folder, frames, name):
    model = network(folder, name, scale=0.8)
    canvas = Canvas((64, 96), model.spec.multiple)
    assert (model.spec.multiple, canvas.size) == (20, (80, 100))
    padded = torch.stack([canvas.pad(frame) for frame in frames.unbind(1)], 1)
    frame = canvas.crop(run(model, padded, 0.5).frame)
    assert furthest(frame, arrays(folder, f"{NAMES[name]}_snu08")["pred"]) <= PREDICTION


@pytest.mark.parametrize("name", ["ifrnet-t", "ifrnet-elan"])
def test_the_published_training_forward_is_ours_with_the_mean_added_twice(folder, frames, name):
    # The originals' training forward warps the frames as they are and still adds their mean. We do not; the sum does.
    wanted = arrays(folder, f"{NAMES[name]}_t050_trainforward")
    _, aux = run(network(folder, name), frames, 0.5)
    doubled = aux["unclamped"] + aux["mean"]
    assert furthest(doubled, wanted["preclamp"]) <= PREDICTION
    assert furthest(doubled.clamp(0, 1), wanted["pred"]) <= PREDICTION
    assert furthest(aux["unclamped"], wanted["preclamp"]) > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_training_sees_what_inference_shows(folder, frames, name):
    model = network(folder, name)
    shown = run(model, frames, 0.5).frame
    model.train()
    assert torch.equal(model(frames, torch.tensor([0.5])).frame, shown)


def test_the_frame_enters_through_the_canvas(folder):
    # Canvas multiplies by 1/255 where the originals divide: the picture must not notice.
    data = [torch.from_numpy(rule(folder).frame_u8(tau)) for tau in (0, 1)]
    canvas = Canvas((64, 96), 16)
    entered = torch.stack([canvas.enter(Frame(d, Fraction(0))) for d in data], 1)
    frame, _ = run(network(folder, "ifrnet-s"), entered, 0.5)
    assert furthest(frame, arrays(folder, "IFRNet_S_t050_pred")["pred"]) <= PREDICTION


@pytest.mark.parametrize(
    ("scale", "multiple"), [(1.0, 16), (0.5, 32), (0.25, 64), (0.8, 20), (0.75, 64), (2.0, 8), (0.7, 160), (1 / 3, 48)]
)
def test_the_canvas_follows_the_scale(scale, multiple):
    spec = ifrnet.build("s", scale).spec
    assert spec.multiple == multiple
    assert all(n * multiple * Fraction(scale).limit_denominator(100) % 16 == 0 for n in range(1, 9))


def test_every_scale_keeps_the_size():
    for scale in (0.7, 0.8, 1.25, 2.0):
        model = ifrnet.build("t", scale).eval()
        side = model.spec.multiple * 2
        assert run(model, torch.rand(1, 2, 3, side, 3 * side), 0.5).frame.shape == (1, 3, side, 3 * side)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 0.001])
def test_an_impossible_scale_is_refused(scale):
    with pytest.raises(BadOption, match=r"scale .*--scale 0\.5"):
        ifrnet.build("s", scale)


def test_a_scale_of_odd_hundredths_is_refused_with_one_that_works():
    with pytest.raises(BadOption, match=r"scale 0\.37.*steps of 512 pixels at most.*--scale 0\.5"):
        ifrnet.build("s", 0.37)


class Shown(torch.nn.Module):
    """A network of which only the frame comes out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, frames, t):
        return self.model(frames, t).frame


@pytest.mark.slow
def test_one_exported_graph_serves_every_size():
    whole = Shown(ifrnet.build("elan", 1.0).eval())
    high, wide = (8 * torch.export.Dim(name, min=2, max=512) for name in ("h", "w"))
    example = torch.rand(1, 2, 3, 32, 48), torch.tensor([0.3])
    sizes = {"frames": {3: high, 4: wide}, "t": {}}
    graph = torch.export.export(whole, example, dynamic_shapes=sizes, strict=False).module()
    frames, t = torch.rand(1, 2, 3, 24, 40), torch.tensor([0.7])
    with torch.no_grad():
        assert furthest(graph(frames, t), whole(frames, t)) < 1e-6


# To learn from coarse to fine.


@pytest.mark.parametrize("name", ["s", "elan"])
def test_levels_that_rest_do_not_run_and_add_nothing(name):
    torch.manual_seed(1)
    model, pictures = ifrnet.build(name, 1.0).eval(), torch.rand(2, 2, 3, 64, 64)
    whole = run(model, pictures, 0.25)
    ran = []
    for level in range(1, model.levels + 1):
        decoder = model.get_submodule(f"decoder{level}")
        decoder.register_forward_hook(lambda *_, level=level: ran.append(level))
    model.finest = 2
    coarse = run(model, pictures, 0.25)
    assert ran == list(range(model.levels, 1, -1))
    assert torch.equal(coarse.aux["flow_2"], whole.aux["flow_2"])
    assert torch.equal(coarse.aux["flow"], resize_flow(whole.aux["flow_2"], 2))
    assert torch.allclose(coarse.aux["mask"], torch.tensor(0.75))
    warped = [backward_warp(pictures[:, k], coarse.aux["flow"][:, 2 * k : 2 * k + 2]) for k in range(2)]
    assert torch.allclose(coarse.frame, 0.75 * warped[0] + 0.25 * warped[1], atol=1e-5)
    model.finest = 1
    assert torch.equal(run(model, pictures, 0.25).frame, whole.frame)


@pytest.mark.parametrize("name", ["s", "b", "t"])
def test_weights_to_begin_with_keep_signals_their_size(name):
    """PyTorch's own let them fade from level to level: a hundredth is left of what a picture says."""
    torch.manual_seed(1)
    model = ifrnet.build(name, 1.0).eval()
    pictures = torch.nn.functional.interpolate(torch.rand(4, 3, 24, 24), scale_factor=8, mode="bicubic").clamp(0, 1)
    scene = torch.stack((pictures[:2], pictures[2:]), 1)

    def sizes():
        with torch.inference_mode():
            coarsest = model.relate([(scene[:, 0],), (scene[:, 1],)])[-2]
            return float(coarsest.std(0).mean()), run(model, scene, 0.5)

    faded, _ = sizes()
    model.begin_kaiming()
    kept, shown = sizes()
    assert faded < 0.05
    assert 0.3 < kept < 3
    assert 0 < shown.aux["flow"].abs().mean() < 4
    assert all(not part.bias.any() for part in model.modules() if isinstance(part, torch.nn.Conv2d))
