"""What only OpenVINO has: a cache on disk, verbs that are not compiled, bf16."""

import hashlib
import logging
import os
import shutil
import threading

import pytest
import torch
from networks import Small, decibels, ifrnet_s, moving, run, small, straight

from tween.backends import cache, openvino
from tween.backends.graph import Verb
from tween.backends.openvino import OpenVinoBackend, settings
from tween.errors import BadOption
from tween.models.ifrnet import build

pytestmark = pytest.mark.slow  # each compiles networks, or starts processes

SIZE = (16, 24)
HALF = torch.tensor([0.5])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path))
    return tmp_path / "compiled"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache that holds `small()`, to copy from."""
    home = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWEEN_HOME", str(home))
        OpenVinoBackend(small(), SIZE)
    return home / "compiled"


def refuse(*_):
    raise AssertionError("exported again")


def test_the_second_start_compiles_nothing(folder, monkeypatch, capfd):
    frames = moving(SIZE)
    first = run(OpenVinoBackend(small(), SIZE, label="a/small net"), frames, HALF)
    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")
    names = sorted(path.name.rsplit("-", 1)[0] for path in folder.iterdir())
    assert names == [f"a_small_net-{verb}-16x24-fp32" for verb in ("embed", "relate", "render")]
    monkeypatch.setattr(openvino, "to_onnx", refuse)
    assert torch.equal(run(OpenVinoBackend(small(), SIZE, label="a/small net"), frames, HALF), first)


@pytest.mark.parametrize("harm", ["cut", "flipped", "foreign"])
def test_a_damaged_entry_is_made_again_with_a_word(folder, filled, caplog, harm):
    model, frames = small(), moving(SIZE)
    shutil.copytree(filled, folder)
    (path,) = folder.glob("*-render-*")
    whole = path.read_bytes()
    damaged = {
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:-1] + bytes([whole[-1] ^ 1]),
        "foreign": hashlib.sha256(b"not a blob").digest() + b"not a blob",
    }
    path.write_bytes(damaged[harm])
    with caplog.at_level(logging.WARNING):
        got = run(OpenVinoBackend(model, SIZE), frames, HALF)
    assert "is made again" in caplog.text
    assert decibels(got, straight(model, frames, HALF)) >= 95
    assert hashlib.sha256(path.read_bytes()[32:]).digest() == path.read_bytes()[:32]


def test_a_cache_that_cannot_be_written_costs_a_word_only(tmp_path, monkeypatch, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    monkeypatch.setenv("TWEEN_HOME", str(blocked))
    with caplog.at_level(logging.WARNING):
        cache.store("key", b"payload")
    assert "could not be kept" in caplog.text
    assert cache.fetch("key") is None


def test_the_oldest_entries_make_room(folder):
    for age, key in enumerate(("new", "old", "older")):
        cache.store(key, bytes(100))
        os.utime(folder / key, (1000 - age, 1000 - age))
    cache.prune(folder, most_bytes=2 * (100 + cache.DIGEST_BYTES))
    assert sorted(path.name for path in folder.iterdir()) == ["new", "old"]


def test_a_fingerprint_is_of_all_that_counts():
    assert cache.fingerprint(small()) == cache.fingerprint(small())
    other = small()
    with torch.no_grad():
        other.flow.bias[0] += 1e-6
    assert cache.fingerprint(other) != cache.fingerprint(small())
    weights = build("t", 1.0).state_dict()
    full, half = build("t", 1.0), build("t", 0.5)
    full.load_state_dict(weights)
    half.load_state_dict(weights)
    assert cache.fingerprint(full) != cache.fingerprint(half), "the scale is no weight, and counts"


def test_verbs_that_hand_on_are_not_compiled():
    class Direct(Small):
        embed = Small.__mro__[1].embed
        relate = Small.__mro__[1].relate

        def render(self, scene, t):
            return super().render(super().relate([super(Direct, self).embed(frame) for frame in scene]), t)

    torch.manual_seed(0)
    model, frames = Direct().eval(), moving(SIZE)
    backend = OpenVinoBackend(model, SIZE)
    scene = backend.relate([backend.embed(frame) for frame in frames])
    assert [a.data_ptr() for a in scene] == [b.data_ptr() for b in frames]
    assert decibels(backend.render(scene, HALF), straight(small(), frames, HALF)) >= 95


def test_threads_take_turns():
    model = small()
    backend = OpenVinoBackend(model, SIZE)
    clips = [moving(SIZE, seed=seed) for seed in range(4)]
    wanted, got = [run(backend, clip, HALF) for clip in clips], {}

    def work(i):
        got[i] = [run(backend, clips[i], HALF) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(one, wanted[i]) for i, many in got.items() for one in many)
    assert len(got) == 4


def test_half_precision_other_than_bf16_is_refused():
    with pytest.raises(BadOption, match="it runs fp32 or bf16 here"):
        OpenVinoBackend(small(), SIZE, precision="fp16")


def precisions(model, hint):
    """The numbers that each layer of a compiled model really works in, by its ONNX name."""
    compiled = openvino.core().compile_model(model, "CPU", settings(hint))
    told = [(node.get_rt_info()["originalLayersNames"], node.get_rt_info()["runtimePrecision"])
            for node in compiled.get_runtime_model().get_ordered_ops()]  # fmt: skip
    return {name: str(number) for names, number in told for name in str(names).split(",")}


def test_what_leads_to_a_grid_stays_exact_in_bf16():
    """A CPU without bf16 imitates it, so this holds everywhere that the hint is heeded."""
    size = (16, 1280)
    model, frames = small(), moving(size)
    scene = model.relate([model.embed(frame) for frame in frames])
    onnx = openvino.to_onnx(Verb(model, "render"), [*scene, HALF])
    graph = openvino.core().read_model(onnx)
    exact = {node.get_friendly_name() for node in openvino.grid_arithmetic(graph)}
    kinds = {node.get_type_name() for node in graph.get_ops() if node.get_friendly_name() in exact}
    assert "GridSample" in kinds
    assert not kinds & openvino.HEAVY
    marked = openvino.with_exact_grids(graph)
    infos = {node.get_friendly_name(): set(node.get_rt_info()) for node in marked.get_ops()}
    assert all("DisablePrecisionConversion_0" in infos[name] for name in exact if name in infos)
    got = precisions(marked, "bf16")
    assert {got[name] for name in exact & got.keys()} <= {"f32", "i32", "i64"}


def test_ifrnet_in_bf16_keeps_45_db_where_flows_reach_20_pixels():
    model, frames = ifrnet_s(), moving((256, 448))
    with torch.inference_mode():
        wanted = model(torch.stack(frames, 1), HALF)
    assert wanted.aux["flow"].abs().max() > 15
    backend = OpenVinoBackend(model, (256, 448), precision="bf16")
    assert decibels(run(backend, frames, HALF), wanted.frame) >= 45
