"""LIFT: equal to the published networks, one encoding a frame, and windows that meet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import published_others
import pytest
import torch
from small_lift import SMALL, clip, half, untrained
from torch import Tensor, nn

from tween.errors import BadOption
from tween.frame import Frame
from tween.models.lift import LIFT_64, ORIGINAL_64, ROWS, Layout, Lift, rename
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


@pytest.fixture(scope="module")
def others(shared: Path) -> Path:
    return shared / "fixtures" / "others"


# ---- parity with the published networks


def published_frames(name: str, others: Path) -> list[Tensor]:
    if name.startswith("lift15"):
        kept = published_others.frames(others, 15, 64, 96, vx=0.6, vy=-0.3).unbind(1)
        return [frame for index, frame in enumerate(kept) if index != 7]
    height, width = (32, 48) if "seed" in name else (64, 96)
    return list(published_others.frames(others, 64, height, width, vx=0.3, vy=-0.3).unbind(1))


def published_model(name: str, others: Path) -> Lift:
    model = ENTRIES[PUBLISHED[name]].build(1.0).eval()
    assert isinstance(model, Lift)
    told = model.load_state_dict(rename(published_others.weights(others, name)), strict=False)
    assert not told.unexpected_keys
    assert {key.rpartition("_")[0] for key in told.missing_keys} == {"time_code"}  # tables, which no rule fills
    if "seed" in name:  # its head forgot to halve, and so its picture is twice the size: arithmetic of this test only
        head = model.encoder.conv_init[0][0]
        head.stride = (1, 1)
    return model


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.slow
def test_parity(name: str, others: Path) -> None:
    model, frames = published_model(name, others), published_frames(name, others)
    wanted = published_others.arrays(others, name)
    changes: list[Tensor] = []
    model.refinement.register_forward_hook(lambda _module, _inputs, change: changes.append(change))
    with torch.inference_mode():
        embeddings = [model.embed(frame) for frame in frames]
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
        assert published_others.furthest(value, wanted[key]) < 1e-4, key
    for key, value in flows.items():
        assert published_others.furthest(value, wanted[key]) < 5e-4, key
    assert set(wanted) == set(got) | set(flows)  # nothing of the fixture was overlooked


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.slow
def test_published_keys_load_strictly(name: str, others: Path) -> None:
    state = {key: torch.zeros(shape) for key, shape in published_others.shapes(others, name).items()}
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
@pytest.mark.slow
def test_parameters(name: str) -> None:
    model = ENTRIES[name].build(1.0)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


# ---- when the frames are


@pytest.mark.slow
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
@pytest.mark.slow
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


@pytest.mark.slow
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
@pytest.mark.slow
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
@pytest.mark.slow
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
@pytest.mark.slow
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
