"""Laws of adapters: fresh they change nothing, worn they are merged, and the base's own weights never move."""

import copy
import sys

import pytest
import torch
from published_others import weights as published
from safetensors.torch import save_file

import tween
from tween.backends.cache import fingerprint
from tween.backends.prepare import prepare
from tween.errors import BadOption, BadWeights, MissingPackage
from tween.models import adapters, lightvfi, lora, weights, zoo
from tween.models.adapters import Card, Wardrobe
from tween.models.lift import Layout, Lift
from tween.models.lora_config import LoraConfig

METHODS = ("lora", "rslora", "dora", "loha", "lokr")
FAMILIES = (
    "ifrnet-t", "ifrvp-fast", "rife-4.14-lite", "lightvfi-16", "deformvfi", "tweennet", "tweennet-m",
    pytest.param("emavfi-small", marks=pytest.mark.slow), pytest.param("lift", marks=pytest.mark.slow),
)  # fmt: skip
SMALL = "lightvfi-16"  # where one network stands for all
pytest.importorskip("peft")


def network(name, seed=0):
    """A seeded network with no layer that is silent."""
    if name == "tweennet" and name not in zoo.entries():
        pytest.skip("tweennet is not in the zoo yet")
    torch.manual_seed(seed)
    model = (Lift(Layout(frames=6, layers=1)) if name == "lift" else zoo.create(name)).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.01 * torch.randn_like(value))
    return model


def shown(model):
    """What a model makes of a seeded clip."""
    side = max(32, model.spec.multiple)
    count = len(model.spec.context)
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    frames = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        return model(frames[None], torch.tensor([1.0 if model.spec.predicts else 0.5])).frame


def state_of(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def teach(model, seed=1, much=0.02):
    """Give the adapter in a network something to say."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in lora.parameters(model).values():
            parameter.add_(much * torch.randn(parameter.shape, generator=generator))
    return {key: value.clone() for key, value in lora.learned(model).items()}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    """A network of each family, its weights, and what it shows."""
    model = network(request.param)
    return model, state_of(model), shown(model)


@pytest.mark.parametrize("method", METHODS)
class TestEveryFamily:
    @pytest.mark.slow
    def test_a_fresh_adapter_changes_nothing(self, family, method):
        """Bit for bit; and only what is its own can learn."""
        model, base, before = family
        tuned = copy.deepcopy(model)
        names = lora.add(tuned, LoraConfig(rank=4, method=method))
        assert torch.equal(shown(tuned), before)
        assert equal(lora.base_state(tuned), base)
        learns = {name for name, parameter in tuned.named_parameters() if parameter.requires_grad}
        assert len(learns) == len(lora.parameters(tuned)) > 0
        assert {lora.split(key)[0] for key in lora.learned(tuned)} == set(names)

    @pytest.mark.slow
    def test_merged_equals_added(self, family, method):
        """To 1e-5; and what is merged does change something."""
        model, base, before = family
        config = LoraConfig(rank=4, alpha=6, method=method)
        tuned = copy.deepcopy(model)
        lora.add(tuned, config)
        learnt = teach(tuned)
        plain = copy.deepcopy(model)
        plain.load_state_dict(lora.merged(base, lora.changes(base, learnt, config)))
        torch.testing.assert_close(shown(plain), shown(tuned), atol=1e-5, rtol=0)
        assert not torch.equal(shown(plain), before)

    @pytest.mark.slow
    def test_the_arithmetic_is_pefts(self, family, method):
        """Weight by weight, what peft itself merges."""
        model, base, _ = family
        config = LoraConfig(rank=3, alpha=5, method=method)
        tuned = copy.deepcopy(model)
        names = lora.add(tuned, config)
        ours = lora.merged(base, lora.changes(base, teach(tuned), config))
        for name in names:
            layer = tuned.get_submodule(name)
            layer.merge()
            torch.testing.assert_close(ours[f"{name}.weight"], layer.get_base_layer().weight, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.slow
def test_learning_moves_the_adapter_alone(method):
    """Ten steps of Adam: the base is as it was, the loss falls, every factor has moved."""
    model = network(SMALL)
    base = state_of(model)
    lora.add(model.train(), LoraConfig(rank=4, method=method))
    before = {key: value.clone() for key, value in lora.learned(model).items()}
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    frames = torch.rand(1, 4, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    losses = []
    for _ in range(10):
        loss = (model(frames, torch.tensor([0.5])).frame - frames[:, 1]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert equal(lora.base_state(model), base)
    assert all(not torch.equal(before[key], value) for key, value in lora.learned(model).items())


def test_an_adapter_of_ifrnet_s_is_small(tmp_path):
    made = saved(tmp_path / "s.safetensors", "ifrnet-s", rank=8)[0]
    assert made.stat().st_size < 1e6
    assert adapters.read(made).megabytes == pytest.approx(made.stat().st_size / 1e6, rel=0.05)


# Which layers.


def test_targets_are_listed_before_anything_is_touched():
    model = network("emavfi-small")
    kinds = {name: type(module) for name, module in model.named_modules()}
    names = lora.targets(model, LoraConfig(rank=4))
    assert {name: type(module) for name, module in model.named_modules()} == kinds
    layers = [model.get_submodule(name) for name in names]
    assert {type(layer) for layer in layers} == {torch.nn.Conv2d, torch.nn.Linear}
    convolutions = [layer for layer in layers if isinstance(layer, torch.nn.Conv2d)]
    assert all(layer.groups == 1 and layer.dilation == (1, 1) for layer in convolutions)
    left = [m for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d) and n not in names]
    assert left
    assert all(layer.groups > 1 or layer.dilation != (1, 1) for layer in left)


def test_only_the_parts_that_are_asked_for():
    model = network(SMALL)
    assert lora.targets(model, LoraConfig(rank=4, targets=("enc1", "dec1.conv.0"))) == [
        "enc1.conv.0", "enc1.conv.2", "dec1.conv.0",
    ]  # fmt: skip


def test_a_part_that_names_no_layer_is_an_error():
    with pytest.raises(BadOption, match=r"--lora.targets enc9 \(did you mean enc\d.*names no layer.*out_conv"):
        lora.add(network(SMALL), LoraConfig(rank=4, targets=("enc9",)))


def test_a_network_without_such_layers_is_an_error():
    with pytest.raises(BadOption, match="no layer that an adapter could change; convolutions or linear layers"):
        lora.targets(torch.nn.Sequential(torch.nn.ConvTranspose2d(1, 1, 2)), LoraConfig(rank=4))


def test_dora_leaves_out_what_has_no_direction():
    model = network(SMALL)
    with torch.no_grad():
        model.enc1.conv[0].weight[0].zero_()
    assert "enc1.conv.0" in lora.targets(model, LoraConfig(rank=4))
    assert "enc1.conv.0" not in lora.targets(model, LoraConfig(rank=4, method="dora"))


def test_one_adapter_learns_at_a_time():
    model = network(SMALL)
    lora.add(model, LoraConfig(rank=4))
    with pytest.raises(BadOption, match="has an adapter already; one at a time"):
        lora.add(model, LoraConfig(rank=4))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (LoraConfig(rank=0), "--lora.rank 0; at least 1 is needed"),
        (LoraConfig(rank=4, alpha=-1), "--lora.alpha -1; a number above 0"),
        (LoraConfig(rank=4, dropout=1.0), "--lora.dropout 1; a share from 0 to below 1"),
    ],
)
def test_values_that_cannot_be_are_told(config, words):
    with pytest.raises(BadOption, match=words):
        lora.add(network(SMALL), config)


def test_without_peft_learning_says_so_and_wearing_works(tmp_path, monkeypatch):
    made, base = saved(tmp_path / "a.safetensors")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingPackage, match=r'peft is not installed.*pip install "tween\[lora\]"'):
        lora.add(network(SMALL), LoraConfig(rank=4))
    assert not equal(zoo.load(base, lora=[made]).state_dict(), weights.read(base).state)


# Files.


def saved(path, name=SMALL, *, seed=1, rank=4, method="lora", base=None, much=0.02):
    """An adapter's file, and the file of the base that it is for."""
    base = base or path.with_name(f"{name}.safetensors")
    model = network(name)
    if not base.is_file():
        weights.write(model.state_dict(), base, name=name)
    config = LoraConfig(rank=rank, method=method)
    card = Card(config, name, adapters.hash_of(model.state_dict()), str(base), facts={"gain_db": "0.5"})
    lora.add(model, config)
    adapters.write(path, teach(model, seed, much), card)
    return path, base


@pytest.mark.parametrize("method", METHODS)
def test_save_load_save_is_byte_equal(tmp_path, method):
    made, _ = saved(tmp_path / "a.safetensors", method=method)
    for _ in range(3):  # a table in memory may be written in another order each time
        again = adapters.read(made)
        adapters.write(tmp_path / "b.safetensors", again.state, again.card)
        assert (tmp_path / "b.safetensors").read_bytes() == made.read_bytes()
    assert again.card.config == LoraConfig(rank=4, method=method)
    assert again.card.facts == {"gain_db": "0.5"}


def test_a_file_says_what_it_is(tmp_path):
    made, base = saved(tmp_path / "a.safetensors")
    card = adapters.read(made).card
    assert (card.base, card.label, card.config.rank) == (SMALL, str(base), 4)
    assert card.base_sha256 == adapters.hash_of(weights.read(base).state)
    assert card.tween


def test_the_wrong_base_is_refused_by_name(tmp_path):
    made, base = saved(tmp_path / "a.safetensors")
    other = tmp_path / "other.safetensors"
    weights.write(network("ifrnet-t").state_dict(), other, name="ifrnet-t")
    with pytest.raises(BadWeights, match=rf"was made for {SMALL} \(.*and this is ifrnet-t.*--model {base}"):
        zoo.load(other, lora=[made])
    weights.write(network(SMALL, seed=9).state_dict(), other, name=SMALL)
    with pytest.raises(BadWeights, match=f"and these are other weights of {SMALL}; an adapter fits its own base"):
        zoo.load(other, lora=[made])


def test_what_has_no_weights_wears_nothing(tmp_path):
    made, base = saved(tmp_path / "a.safetensors")
    with pytest.raises(BadWeights, match=rf"--lora {made} for blend; it has no weights.*--model {base}"):
        zoo.load("blend", lora=[made])


def test_files_that_are_no_adapters_are_told(tmp_path):
    made, base = saved(tmp_path / "a.safetensors")
    with pytest.raises(BadWeights, match=r"and no adapter; a file of `tween lora` or `tween adapt` is needed"):
        adapters.read(base)
    with pytest.raises(BadWeights, match=rf"is an adapter; it changes a network.*try: --model {base} --lora"):
        zoo.load(made)
    save_file({"a": torch.zeros(1)}, tmp_path / "odd.safetensors", metadata={"lora": "{}"})
    with pytest.raises(BadWeights, match=r"what .*odd.safetensors says of its adapter cannot be read"):
        adapters.read(tmp_path / "odd.safetensors")


def test_an_adapter_whose_factors_do_not_fit_is_told(tmp_path):
    made, base = saved(tmp_path / "a.safetensors")
    adapter = adapters.read(made)
    key = next(key for key in adapter.state if "lora_A" in key)
    adapters.write(made, {**adapter.state, key: torch.zeros(4, 1, 3, 3)}, adapter.card)
    with pytest.raises(BadWeights, match=r"the adapter's \S+ holds .*what lora of rank 4 makes of that layer"):
        zoo.load(base, lora=[made])


# Wearing.


@pytest.fixture
def wardrobe(tmp_path):
    """A network with two adapters at hand, and its own weights."""
    first, base = saved(tmp_path / "first.safetensors", seed=1)
    second, _ = saved(tmp_path / "second.lora.safetensors", seed=2, method="dora", base=base)
    made = Wardrobe(zoo.load(base), SMALL)
    made.add(first)
    made.add(second)
    return made, weights.read(base).state, (first, second)


def test_switching_back_and_forth_is_exact(wardrobe):
    made, base, _ = wardrobe
    assert made.names() == ["first", "second"]
    seen = {}
    for name in ("", "first", "second", "first", "", "second", "first", ""):
        made.wear(name)
        state = made.merged()
        assert equal(state, seen.setdefault(name, state))
    assert equal(seen[""], base)
    assert not equal(seen["first"], seen["second"])
    assert made.worn == {}


def test_merging_twice_is_merging_once(wardrobe, tmp_path):
    made, base, (first, _) = wardrobe
    made.wear("first")
    once = made.merged()
    made.wear("first")
    assert equal(made.merged(), once)
    assert not equal(once, base)
    made.add(first)
    made.wear("first")
    assert equal(made.merged(), once)
    with pytest.raises(BadOption, match=r"first.safetensors twice; each is worn once; try: --lora .*:2"):
        adapters.mix_of([first, f"{first}:0.5"])
    weights.write(once, tmp_path / "merged.safetensors", name=SMALL)
    with pytest.raises(BadWeights, match="these are other weights"):
        zoo.load(tmp_path / "merged.safetensors", lora=[first])


def test_a_mix_is_the_weighted_sum(wardrobe):
    made, base, (first, second) = wardrobe
    made.wear({"first": 0.7, "second": 0.3})
    mixed = made.merged()
    made.wear({"second": 0.3, "first": 0.7})
    assert equal(made.merged(), mixed)
    alone = []
    for name in ("first", "second"):
        made.wear(name)
        alone.append(made.merged())
    for key, value in base.items():
        summed = value + 0.7 * (alone[0][key] - value) + 0.3 * (alone[1][key] - value)
        torch.testing.assert_close(mixed[key], summed, atol=1e-6, rtol=0)
    by_load = zoo.load(first.with_name(f"{SMALL}.safetensors"), lora=[f"{first}:0.7", f"{second}:0.3"])
    assert equal(by_load.state_dict(), mixed)
    made.wear({"first": 0.0})
    assert equal(made.merged(), base)


def test_an_unknown_adapter_is_told(wardrobe):
    with pytest.raises(BadOption, match=r"no adapter frist is here \(did you mean first"):
        wardrobe[0].wear("frist")


def test_a_compiled_model_knows_what_it_wears(wardrobe):
    """So a cached graph of the bare model is never taken for that of the dressed one."""
    made, _, _ = wardrobe
    seen = set()
    for mix in ({}, {"first": 1.0}, {"first": 0.5}, {"second": 1.0}):
        made.wear(mix)
        seen.add(fingerprint(made.model))
    assert len(seen) == 4


def test_mixes_are_read_as_they_are_written(tmp_path):
    mix = adapters.mix_of(["a.safetensors:0.7", "b.safetensors:-1", "c.safetensors", tmp_path / "d.safetensors"])
    assert [worn.weight for worn in mix] == [0.7, -1, 1, 1]
    assert [worn.path.name for worn in mix] == [f"{letter}.safetensors" for letter in "abcd"]
    assert adapters.mix_of([r"C:\films\a.safetensors"])[0].weight == 1
    (tmp_path / "odd:2").write_bytes(b"")
    assert adapters.mix_of([tmp_path / "odd:2"])[0] == (tmp_path / "odd:2", 1.0)
    assert adapters.called(["x/a.safetensors:0.7", "b.safetensors"]) == " + a.safetensors:0.7 + b.safetensors"
    for wrong in ("a.safetensors:loud", "a.safetensors:", "a.safetensors:inf"):
        with pytest.raises(BadOption, match=r"--lora a\.safetensors"):
            adapters.mix_of([wrong])


@pytest.mark.needs_shared
def test_light_vfis_own_files_are_worn(shared, tmp_path):
    """Their published pair, by name: merged as `tween lora merge` and `--lora` merge any other."""
    others = shared / "fixtures" / "others"
    base, adapter = published(others, "light_c32"), published(others, "light_lora_r8")
    weights.write(base, tmp_path / "base.safetensors", name="lightvfi")
    torch.save(adapter, tmp_path / "scene.pth")
    dressed = zoo.load(tmp_path / "base.safetensors", lora=[tmp_path / "scene.pth"])
    assert equal(dressed.state_dict(), lightvfi.merge_lora(base, adapter))
    half = zoo.load(tmp_path / "base.safetensors", lora=[f"{tmp_path / 'scene.pth'}:0.5"])
    key = "enc1.conv.0.weight"
    middle = (base[key] + dressed.state_dict()[key]) / 2
    torch.testing.assert_close(half.state_dict()[key], middle, atol=1e-6, rtol=0)
    weights.write(network("ifrnet-t").state_dict(), tmp_path / "other.safetensors", name="ifrnet-t")
    with pytest.raises(BadWeights, match="which the base weights do not have"):
        zoo.load(tmp_path / "other.safetensors", lora=[tmp_path / "scene.pth"])


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_every_backend_sees_merged_weights(tmp_path, monkeypatch, backend):
    """What it shows is what the dressed network shows, and nothing of the bare one is taken from the cache."""
    if backend == "openvino":
        pytest.importorskip("openvino")
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path / "home"))
    made, base = saved(tmp_path / "a.safetensors", much=0.2)
    frames = torch.rand(4, 1, 3, 32, 48, generator=torch.Generator().manual_seed(3))
    seen = []
    for worn in ([], [made]):
        model = zoo.load(base, lora=worn)
        ready = prepare(model, (32, 48), backend=backend, precision="fp32", label=SMALL)
        seen.append(ready.render(ready.relate([ready.embed(frame) for frame in frames]), torch.tensor([0.5])))
        with torch.no_grad():
            expected = model(frames.transpose(0, 1), torch.tensor([0.5])).frame
        torch.testing.assert_close(seen[-1], expected, atol=1e-4, rtol=0)
    assert (seen[0] - seen[1]).abs().max() > 1e-3


@pytest.mark.long
def test_the_python_face_wears(tmp_path):
    """One file or several, by path or by text."""
    made, base = saved(tmp_path / "a.safetensors", much=0.2)
    a, b = torch.zeros(3, 16, 16, dtype=torch.uint8), torch.full((3, 16, 16), 255, dtype=torch.uint8)
    bare, half = tween.load(base), tween.load(base, lora=f"{made}:0.5")
    for worn in (made, [made], [str(made)]):
        dressed = tween.load(base, lora=worn)
        assert equal(dressed.model.state_dict(), zoo.load(base, lora=[made]).state_dict())
    shown = [model.between(a, b) for model in (bare, half, dressed)]
    assert not torch.equal(shown[0], shown[2])
    assert not equal(half.model.state_dict(), dressed.model.state_dict())


def test_an_adapter_knows_what_it_was_made_for(tmp_path):
    made, base = saved(tmp_path / "a.safetensors")
    assert adapters.made_for([f"{made}:0.5"]) == str(base)
    assert adapters.made_for([]) == ""
