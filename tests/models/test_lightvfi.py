"""Light_VFI: equal to the published UNet, and to its adapters, loaded and merged."""

import pytest
import torch
from published_others import arrays, frames, furthest, weights

from tween.errors import BadWeights
from tween.models.lightvfi import ROWS, LightVFI, is_lora, merge_lora

ENTRIES = {entry.name: entry for entry in ROWS}
TOLERANCE = {"output": 1e-5, "logits": 5e-5, "bottleneck": 5e-5}


@pytest.fixture(scope="module")
def others(shared):
    return shared / "fixtures" / "others"


@torch.inference_mode()
def shown(model, pictures):
    return model.eval()(pictures, torch.full((len(pictures),), 0.5)).frame


@pytest.mark.parametrize(
    ("fixture", "name", "size"), [("light_c32", "lightvfi", (64, 96)), ("light_c16", "lightvfi-16", (40, 56))]
)
def test_equals_the_published_network(others, fixture, name, size):
    expected = arrays(others, fixture)
    model = ENTRIES[name].build(1.0).eval()
    model.load_state_dict(ENTRIES[name].rename(weights(others, fixture)), strict=True)
    seen = {}
    model.bottleneck.register_forward_hook(lambda *call: seen.update(bottleneck=call[2]))
    model.out_conv.register_forward_hook(lambda *call: seen.update(logits=call[2]))
    seen["output"] = shown(model, frames(others, 4, *size))
    for part, most in TOLERANCE.items():
        assert furthest(seen[part], expected[part]) <= most, part


@pytest.mark.parametrize(("name", "count"), [("lightvfi", 843_939), ("lightvfi-16", 212_307)])
def test_has_the_published_number_of_parameters(name, count):
    assert sum(p.numel() for p in ENTRIES[name].build(1.0).parameters()) == count


def test_the_order_of_the_frames_matters():
    torch.manual_seed(0)
    model, pictures = LightVFI(8), torch.rand(1, 4, 3, 16, 16)
    assert not torch.allclose(shown(model, pictures), shown(model, pictures.flip(1)), atol=1e-4)


@pytest.fixture(scope="module")
def base(others):
    return weights(others, "light_c32")


@pytest.fixture(scope="module")
def lora(others):
    return weights(others, "light_lora_r8")


def test_the_published_file_merges_into_what_the_adapted_network_shows(others, base, lora):
    assert len(lora) == 28
    assert is_lora(lora)
    expected = arrays(others, "light_lora_r8")
    model = LightVFI()
    model.load_state_dict(merge_lora(base, lora), strict=True)
    assert furthest(shown(model, frames(others, 4, 64, 96)), expected["output"]) <= 1e-5
    model.load_state_dict(base)
    assert furthest(shown(model, frames(others, 4, 64, 96)), expected["output_base"]) <= 1e-5
    assert furthest(expected["output"], expected["output_base"]) > 0.01


def test_the_base_stays_as_it_is(base, lora):
    before = {key: value.clone() for key, value in base.items()}
    merged = merge_lora(base, lora)
    assert merged.keys() == base.keys()
    assert all(torch.equal(base[key], before[key]) for key in base)
    changed = {key for key in base if not torch.equal(merged[key], base[key])}
    assert changed == {key.replace(".lora_A", "") for key in lora if ".lora_A" in key}


def test_merging_is_exact_and_its_opposite_restores_the_base(base, lora):
    twice = {key: value.double() for key, value in base.items()}
    away = {key: -value if ".lora_B" in key else value for key, value in lora.items()}
    there_and_back = merge_lora(merge_lora(twice, lora), away)
    assert max((there_and_back[key] - twice[key]).abs().max().item() for key in twice) <= 1e-15


def test_alpha_is_the_strength(base, lora):
    key = "dec1.conv.2.weight"
    half, whole = (merge_lora(base, lora, alpha=alpha)[key] - base[key] for alpha in (8, 16))
    assert torch.allclose(half * 2, whole, atol=1e-6)
    assert whole.abs().max() > 0.01


def test_an_adapter_of_a_larger_base_is_refused_in_words(others, lora):
    small = weights(others, "light_c16")
    with pytest.raises(
        BadWeights, match=r"adapter's bottleneck\.conv\.0 is \[8, 128, 1, 1\].*\[64, 64, 3, 3\].*this base"
    ):
        merge_lora(small, lora)


def test_an_adapter_of_another_network_is_refused_in_words(lora):
    with pytest.raises(BadWeights, match=r"changes bottleneck\.conv\.0, which the base weights do not have"):
        merge_lora({"other.weight": torch.zeros(1)}, lora)


def test_half_a_pair_is_refused_in_words(base, lora):
    half = {key: value for key, value in lora.items() if key != "enc1.conv.0.lora_B.weight"}
    with pytest.raises(BadWeights, match=r"only half of enc1\.conv\.0"):
        merge_lora(base, half)


def test_a_file_that_is_no_adapter_is_refused_in_words(base):
    assert not is_lora(base)
    with pytest.raises(BadWeights, match=r"holds .*(weight|bias).*lora_A and lora_B"):
        merge_lora(base, base)
