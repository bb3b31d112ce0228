"""LIFT: equal to the published networks, one encoding a frame, and what our own layouts add."""

from __future__ import annotations

import copy
import importlib.util
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tween.errors import BadOption
from tween.frame import Frame
from tween.models.lift import LIFT_15, LIFT_64, ORIGINAL_64, ROWS, Layout, Lift, rename
from tween.models.lift_attention import sinusoids, windows
from tween.models.model import Tensors
from tween.pipeline.interpolator import Interpolator
from tween.timeline import Times

ENTRIES = {entry.name: entry for entry in ROWS}
PUBLISHED = {
    "lift64_e3f5223": "lift-64-original",
    "lift64_seed_d2a60a5": "lift-64-original",
    "lift15_aniuula": "lift-15-aniuula",
    "lift15_kubin": "lift-15-kubin",
}
PARAMETERS = {
    "lift-15-aniuula": 19_224_531,
    "lift-15-kubin": 19_925_587,
    "lift-64-original": 20_081_811,
    "lift-15": 19_929_043,
    "lift-64": 20_232_723,
}
SMALL = Layout(frames=6, layers=2)


@pytest.fixture(scope="module")
def others(shared: Path) -> Path:
    return shared / "fixtures" / "others"


@pytest.fixture(scope="module")
def rule(others: Path) -> ModuleType:
    """The rule by which the fixtures' weights and frames are made."""
    found = importlib.util.spec_from_file_location("fixture_rule", others / "fixture_rule.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def untrained(layout: Layout, seed: int = 0) -> Lift:
    torch.manual_seed(seed)
    return Lift(layout).eval()


def clip(frames: int, size: tuple[int, int] = (32, 64), batch: int = 1) -> Tensor:
    return torch.rand(batch, frames, 3, *size, generator=torch.Generator().manual_seed(3))


def half(batch: int = 1) -> Tensor:
    return torch.full((batch,), 0.5)


# ---- parity with the published networks


def published_frames(name: str, rule: ModuleType) -> Tensor:
    if name.startswith("lift15"):
        return torch.from_numpy(np.delete(rule.frames(15, 64, 96, vx=0.6, vy=-0.3), 7, axis=0))
    size = (32, 48) if "seed" in name else (64, 96)
    return torch.from_numpy(rule.frames(64, *size, vx=0.3, vy=-0.3))


def published_model(name: str, others: Path, rule: ModuleType) -> Lift:
    model = ENTRIES[PUBLISHED[name]].build(1.0).eval()
    assert isinstance(model, Lift)
    weights = rule.load_state(others / f"{name}.keys.json")
    told = model.load_state_dict(rename({key: torch.from_numpy(value) for key, value in weights.items()}), strict=False)
    assert not told.unexpected_keys
    assert {key.rpartition("_")[0] for key in told.missing_keys} == {"time_code"}  # tables, which no rule fills
    if "seed" in name:  # its head forgot to halve, and so its picture is twice the size: arithmetic of this test only
        head = model.encoder.conv_init[0][0]
        head.stride = (1, 1)
    return model


@pytest.mark.parametrize("name", PUBLISHED)
def test_parity(name: str, others: Path, rule: ModuleType) -> None:
    model, frames = published_model(name, others, rule), published_frames(name, rule)
    wanted = np.load(others / f"{name}.npz")
    changes: list[Tensor] = []
    model.refinement.register_forward_hook(lambda _module, _inputs, change: changes.append(change))
    with torch.inference_mode():
        embeddings = [model.embed(frame[None]) for frame in frames]
        scene = model.relate(embeddings)
        frame, aux = model.render(scene, half())
    codes = model.layout.places
    flow, visible = aux["flow_s4"], torch.sigmoid(aux["visible_s4"])
    got = {
        "feats_s16_first": embeddings[0][0][0] + model._code("s16", codes[:1])[0],
        "feats_s16_last": embeddings[-1][0][0] + model._code("s16", codes[-1:])[0],
        "ref_s8_chmean": torch.stack([scene[4], scene[5]], dim=1).mean(dim=(3, 4)),
        "ref_s4_chmean": torch.stack([scene[6], scene[7]], dim=1).mean(dim=(3, 4)),
        "attention_weights": scene[1],
        "context": scene[0],
        "refine_residual_mean": changes[0].mean(dim=(2, 3)),
        "blended": aux["blended"],
        "coarse": aux["coarse"],
        "occ_a": visible[:, :1],
        "occ_b": visible[:, 1:],
        "prediction": frame,
    }
    flows = {"flow_s8": aux["flow_s8"], "flow_a": flow[:, :2], "flow_b": flow[:, 2:]}
    if "prediction_t025_crop" in wanted:
        with torch.inference_mode():
            got["prediction_t025_crop"] = model.render(scene, torch.tensor([0.25])).frame[:, :, ::2, ::2]
    for key, value in got.items():
        np.testing.assert_allclose(value.numpy(), wanted[key], rtol=0, atol=1e-4, err_msg=key)
    for key, value in flows.items():
        np.testing.assert_allclose(value.numpy(), wanted[key], rtol=0, atol=5e-4, err_msg=key)
    assert set(wanted.files) == set(got) | set(flows)  # nothing of the fixture was overlooked


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_keys_load_strictly(name: str, others: Path) -> None:
    listed = json.loads((others / f"{name}.keys.json").read_text())
    state = {key: torch.zeros(entry["shape"]) for key, entry in listed["keys"].items()}
    for entry in ROWS:
        model = entry.build(1.0)
        if entry.name == PUBLISHED[name]:
            model.load_state_dict(entry.rename(state), strict=True)
            ours = model.state_dict()
            assert entry.rename(ours).keys() == ours.keys()  # our own files pass through unchanged
        else:
            with pytest.raises(RuntimeError):  # keys and shapes tell every layout from every other
                model.load_state_dict(entry.rename(state), strict=True)


@pytest.mark.parametrize("name", ENTRIES)
def test_parameters(name: str) -> None:
    model = ENTRIES[name].build(1.0)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


# ---- when the frames are


def test_contexts() -> None:
    for entry in ROWS:
        spec = entry.build(1.0).spec
        first, last = (-31, 32) if "64" in entry.name else (-6, 7)
        assert spec.context == tuple(range(first, last + 1))
        assert spec.multiple == 32
        assert spec.any_time == (entry.name in ("lift-15", "lift-64"))


def test_the_published_code_leaves_the_removed_frame_out() -> None:
    model = ENTRIES["lift-15-kubin"].build(1.0)
    assert isinstance(model, Lift)
    assert model.layout.places == [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14]
    assert model.layout.places[model.left] == 6
    assert Layout().places == list(range(14))


@pytest.mark.parametrize(("count", "channels"), [(15, 32), (15, 256), (64, 192)])
def test_time_code_is_the_formula(count: int, channels: int) -> None:
    table = sinusoids(count, channels)
    for position in range(count):
        for channel in range(channels):
            angle = position / 10000 ** (2 * (channel // 2) / channels)
            exact = math.cos(angle) if channel % 2 else math.sin(angle)
            assert abs(table[position, channel].item() - exact) < 1e-5


@torch.inference_mode()
def test_only_the_time_code_tells_before_from_after() -> None:
    model, frames = untrained(SMALL), clip(6)

    def change() -> float:
        """By how much the context changes if the first two frames change places."""
        in_order, swapped = (frames[:, [*order, 2, 3, 4, 5]].unbind(1) for order in ((0, 1), (1, 0)))
        made = [model.relate([model.embed(frame) for frame in context])[0] for context in (in_order, swapped)]
        return (made[0] - made[1]).abs().max().item()

    told = change()
    model.time_code_s16.zero_()
    assert told > 20 * change()


@pytest.mark.parametrize("frames", [2, 4, 10, 30])
@pytest.mark.parametrize("window", [None, 8])
def test_any_even_number_of_frames(frames: int, window: int | None) -> None:
    model = untrained(Layout(frames=frames, layers=2, window=window))
    with torch.inference_mode():
        made = model(clip(frames), half())
    assert made.frame.shape == (1, 3, 32, 64)
    assert made.aux["importance"].shape == (1, frames)


@pytest.mark.parametrize("frames", [0, 1, 15])
def test_an_odd_number_of_frames_is_refused(frames: int) -> None:
    with pytest.raises(BadOption, match=f"LIFT with {frames} frames.*each side of the gap"):
        Layout(frames=frames)


# ---- windows


def window_of(frame: int, lengths: list[int]) -> int:
    ends = np.cumsum(lengths)
    return int(np.searchsorted(ends, frame, side="right"))


@pytest.mark.parametrize("frames", range(2, 66, 2))
def test_windows_cover_and_the_middle_meets(frames: int) -> None:
    plain, shifted = windows(frames, 8, shifted=False), windows(frames, 8, shifted=True)
    assert sum(plain) == sum(shifted) == frames
    assert min(plain + shifted) > 0
    assert max(plain + shifted) <= 8
    middle = (frames // 2 - 1, frames // 2)
    assert any(window_of(middle[0], lengths) == window_of(middle[1], lengths) for lengths in (plain, shifted))


def reach(layout: Layout) -> list[int]:
    """Frames whose tokens change, after all layers, if the frame left of the gap changes."""
    model = untrained(layout)
    seen: list[Tensor] = []
    model.temporal.layers[-1].register_forward_hook(lambda _module, _inputs, tokens: seen.append(tokens))
    frames = clip(layout.frames, (32, 32))
    other = frames.clone()
    other[:, model.left] = 1 - other[:, model.left]
    with torch.inference_mode():
        for one in (frames, other):
            model.relate([model.embed(frame) for frame in one.unbind(1)])
    change = (seen[0] - seen[1]).abs().amax(dim=(0, 2, 3))
    return [index for index, amount in enumerate(change.tolist()) if amount > 0]


def test_fixed_windows_part_the_neighbours_and_shifted_ones_join_them() -> None:
    assert reach(ORIGINAL_64) == list(range(24, 32))  # frame 32, the other neighbour, is never told
    assert reach(LIFT_64) == list(range(12, 44))
    assert reach(SMALL) == list(range(6))


# ---- one encoding a frame


class Direct:
    """A backend that runs the model as it stands, and counts."""

    name, device, precision = "direct", "cpu", "fp32"

    def __init__(self, model: Lift) -> None:
        self.model, self.spec = model, model.spec
        self.calls = {"embed": 0, "relate": 0, "render": 0}
        self.fine = 0  # the most embeddings of one context that were still whole

    def embed(self, frame: Tensor) -> Tensors:
        self.calls["embed"] += 1
        return self.model.embed(frame)

    def relate(self, context: Sequence[Tensors]) -> Tensors:
        self.calls["relate"] += 1
        self.fine = max(self.fine, len({id(embedding) for embedding in context if len(embedding) > 1}))
        return self.model.relate(context)

    def render(self, scene: Tensors, t: Tensor) -> Tensor:
        self.calls["render"] += 1
        return self.model.render(scene, t).frame


def video(frames: int) -> list[Frame]:
    pictures = torch.randint(0, 256, (frames, 3, 30, 37), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
    return [Frame(picture, Fraction(index, 25)) for index, picture in enumerate(pictures)]


@pytest.mark.parametrize("times", [2, 3])
@torch.inference_mode()
def test_a_clip_costs_one_encoding_a_frame(times: int) -> None:
    model = untrained(SMALL)
    convolutions = [module for module in model.encoder.modules() if isinstance(module, nn.Conv2d)]
    runs = dict.fromkeys(convolutions, 0)

    def count(module: nn.Module, *_: object) -> None:
        runs[module] += 1

    for module in convolutions:
        module.register_forward_hook(count)
    backend = Direct(model)
    made = list(Interpolator(backend, Times(times))(video(11)))
    assert len(made) == 10 * times + 1
    assert backend.calls == {"embed": 11, "relate": 10, "render": 10 * (times - 1)}
    assert set(runs.values()) == {11}  # every layer of the encoder, the fine scales' too
    assert backend.fine == 4  # of the 6 frames: 0 ... 3; those behind 0 keep their coarse scale only


@torch.inference_mode()
def test_a_window_that_slides_equals_every_gap_by_itself() -> None:
    model, frames = untrained(SMALL), video(9)
    streamed = list(Interpolator(Direct(model), Times(2))(frames))
    for gap in (0, 3, 7):
        near = frames[max(gap - 5, 0) : gap + 6]
        alone = list(Interpolator(Direct(model), Times(2))(near))
        place = 2 * (gap - max(gap - 5, 0)) + 1
        assert torch.equal(streamed[2 * gap + 1].data, alone[place].data)


@pytest.mark.parametrize("name", ENTRIES)
@torch.inference_mode()
def test_verbs_equal_forward_and_far_frames_are_read_coarse_only(name: str) -> None:
    model = ENTRIES[name].build(1.0).eval()
    frames = clip(len(model.spec.context), (32, 32), batch=2)
    once = model(frames, half(2)).frame
    embeddings = [model.embed(frame) for frame in frames.unbind(1)]
    near = [place in (0, 1) for place in model.spec.context]
    cut = [whole if kept else whole[: model.spec.kept_behind] for whole, kept in zip(embeddings, near, strict=True)]
    assert torch.equal(once, model.render(model.relate(cut), half(2)).frame)
    assert once.dtype == torch.float32
    assert torch.equal(once, once.clamp(0, 1))


# ---- training


@pytest.mark.parametrize("name", ENTRIES)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    torch.manual_seed(1)
    model = ENTRIES[name].build(1.0).train()
    frames = 0.25 + 0.5 * clip(len(model.spec.context), (32, 32))
    made = model(frames, half())
    (made.frame - torch.rand_like(made.frame)).square().mean().backward()
    without = [key for key, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert without == []


def test_a_few_steps_fit_a_batch() -> None:
    """Two white squares on grey, the right one further along: the middle is learnt from the neighbours."""
    torch.manual_seed(0)
    model = Lift(Layout(frames=4, layers=1, dropout=0.0)).train()
    frames = torch.full((1, 5, 3, 32, 32), 0.3)
    for index in range(5):
        frames[:, index, :, 8:20, 4 + 3 * index : 14 + 3 * index] = 0.9
    target, seen = frames[:, 2], frames[:, [0, 1, 3, 4]]
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4)
    losses = []
    for _ in range(12):
        loss = (model(seen, half()).frame - target).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


# ---- what our layouts add


def with_flow(layout: Layout, pixels: float) -> Lift:
    """A network whose flow is `pixels` of the full picture to the right for frame 0 and to the left for frame 1."""
    model = untrained(layout)
    heads = [model.flow.block_s8.output_conv, model.flow.block_s4.output_conv, model.synthesis.conv2]
    for head in [*heads, model.refinement.conv_out]:
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    with torch.no_grad():  # the block doubles its flow, and a pixel of the 1/4 grid is 4 of the picture
        model.flow.block_s4.output_conv.bias[:4] = torch.tensor([1.0, 0.0, -1.0, 0.0]) * pixels / 8
    return model


def far_apart(pixels: int) -> tuple[Tensor, Tensor]:
    """Six frames of noise that moves `2 * pixels` to the right in the gap, and the truth halfway."""
    noise = torch.rand(1, 3, 64, 160, generator=torch.Generator().manual_seed(9))
    at = [noise[..., 32 - shift : 128 - shift] for shift in (-pixels, 0, pixels)]
    return torch.stack([at[0], at[0], at[0], at[2], at[2], at[2]], dim=1), at[1]


@torch.inference_mode()
def test_full_size_warping_keeps_every_pixel_of_detail() -> None:
    frames, truth = far_apart(8)
    inside = (..., slice(None), slice(16, -16))
    sharp = with_flow(SMALL, -8.0)(frames, half())
    torch.testing.assert_close(sharp.frame[inside], truth[inside], rtol=0, atol=1e-4)
    flow = sharp.aux["flow"]
    torch.testing.assert_close(flow[0, :, 20, 40], torch.tensor([-8.0, 0.0, 8.0, 0.0]), rtol=0, atol=1e-4)
    blurred = with_flow(Layout(frames=6, layers=2, warp_full=False), -8.0)(frames, half()).frame
    assert (blurred[inside] - truth[inside]).abs().mean() > 0.1


@pytest.mark.parametrize("layout", [SMALL, Layout(frames=6, layers=2, window=4, body=None)])
@torch.inference_mode()
def test_any_t_ends_in_the_frames_themselves(layout: Layout) -> None:
    model, frames = with_flow(layout, 0.0), clip(6)
    left, right = frames[:, 2], frames[:, 3]
    for t, frame in ((0.0, left), (1.0, right), (0.25, 0.75 * left + 0.25 * right)):
        torch.testing.assert_close(model(frames, torch.tensor([t])).frame, frame, rtol=0, atol=1e-4)


@torch.inference_mode()
def test_each_row_of_a_batch_has_its_own_t() -> None:
    model, frames = untrained(SMALL), clip(6, batch=2)
    both = model(frames, torch.tensor([0.2, 0.7])).frame
    for index, t in enumerate((0.2, 0.7)):
        alone = model(frames[index : index + 1], torch.tensor([t])).frame
        torch.testing.assert_close(both[index : index + 1], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", [LIFT_15, LIFT_64])
@torch.inference_mode()
def test_a_new_network_starts_as_the_blend(layout: Layout) -> None:
    rough = clip(layout.frames, (4, 4))[0]
    frames = nn.functional.interpolate(rough, size=(64, 64), mode="bilinear")[None]
    model = untrained(layout)
    made = model(frames, half())
    blend = frames[:, model.left : model.left + 2].mean(dim=1)
    assert (made.frame - blend).abs().mean() < 0.02
    assert 0 < made.aux["flow"].abs().max() < 2  # pixels


@torch.inference_mode()
def test_reduced_precision_keeps_flows_in_full() -> None:
    model, frames = untrained(SMALL), clip(6)
    with torch.autocast("cpu", torch.bfloat16):
        made = model(frames, half())
    assert made.frame.dtype == made.aux["flow"].dtype == made.aux["flow_s8"].dtype == torch.float32
    assert (made.frame - copy.deepcopy(model)(frames, half()).frame).abs().max() < 0.02


# ---- export, memory


@pytest.mark.slow
@pytest.mark.parametrize("layout", [SMALL, Layout(frames=6, layers=2, window=4, body=None)])
@torch.no_grad()
def test_the_verbs_export(layout: Layout) -> None:
    model, frames = untrained(layout), clip(6, (64, 64))
    embeddings = [model.embed(frame) for frame in frames.unbind(1)]
    scene = model.relate(embeddings)

    class Verb(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.model, self.verb = model, name

        def forward(self, *inputs: object) -> object:
            made = getattr(self.model, self.verb)(*inputs)
            return made.frame if self.verb == "render" else made

    for name, inputs in (("embed", (frames[:, 0],)), ("relate", (embeddings,)), ("render", (scene, half()))):
        program = torch.export.export(Verb(name), inputs).module()
        eager = getattr(model, name)(*inputs)
        for got, wanted in zip(program(*inputs), [eager.frame[0]] if name == "render" else eager, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


MEASURE = """
import resource, torch
from tween.models.lift import LIFT_64, Lift
model = Lift(LIFT_64).eval()
with torch.inference_mode():
    window = [model.embed(torch.rand(1, 3, 256, 448)) for _ in range(64)]
    for _ in range(2):
        frame = model.render(model.relate(window), torch.tensor([0.5])).frame
        window = [*window[1:], model.embed(torch.rand(1, 3, 256, 448))]
assert frame.shape == (1, 3, 256, 448)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_64_frames_of_448x256_stay_small() -> None:
    """Under 6 GB is the promise; 1.0 GB was measured, with every embedding kept whole."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=280, check=True)
    assert int(done.stdout) * 1024 < 1.5e9
