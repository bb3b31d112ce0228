"""int8 by nncf: what is in int8 and what is not, what it costs, and what cannot be."""

import io
import re
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
import torch
from clips import Clip
from networks import decibels, long, moving, run, straight
from PIL import Image

from tween.backends import calibrate, int8, openvino, prepare
from tween.backends.export import export
from tween.backends.formats import Order
from tween.backends.graph import whole_to_onnx
from tween.cli import main
from tween.errors import (
    BadOption,
    BadWeights,
    CannotExport,
    Conflict,
    MissingFile,
    MissingPackage,
    NotAVideo,
    TooShort,
)
from tween.evaluate.subjects import enliven
from tween.models import exported, weights, zoo
from tween.models.exported import Card
from tween.models.ir import IrSession, core
from tween.models.model import Spec

pytestmark = pytest.mark.slow  # each compiles networks, or starts processes

SIZE = (64, 96)
HALF = torch.tensor([0.5])
PAIR = Spec(context=(0, 1), multiple=8)
FOUR = Spec(context=(-1, 0, 1, 2), multiple=8, any_time=False)

CARD = Card(
    "lightvfi-16", "lightvfi", (-1, 0, 1, 2), 2, False, (32, 48), weights="l.pth", weights_sha256="", licence=""
)


def folder_of(folder, offsets, size=SIZE, seeds=None):
    """A folder of pictures: a scene `offsets` pixels to the right, in each; another one where the seed changes."""
    folder.mkdir()
    for k, offset in enumerate(offsets):
        world = scene(size[0], size[1] + max(offsets), seeds[k] if seeds else 0)
        picture = world[:, :, offset : offset + size[1]].permute(1, 2, 0)
        Image.fromarray((255 * picture).round().byte().numpy()).save(folder / f"{k:04d}.png", compress_level=1)
    return folder


def scene(high, wide, seed):
    """Large shapes and small ones, in [0, 1]."""
    made, total = torch.Generator().manual_seed(seed), torch.zeros(3, high, wide)
    for share, cell in ((0.5, 48), (0.25, 24), (0.25, 8)):
        noise = torch.rand(1, 3, high // cell + 2, wide // cell + 2, generator=made)
        total += share * torch.nn.functional.interpolate(noise, size=(high, wide), mode="bilinear")[0]
    return total


def pictures_of(folder):
    """Of a folder, in their order: their bytes."""
    return [Image.open(path).tobytes() for path in sorted(folder.iterdir())]


def places(found, shown):
    """Where the frames of each window stand in a film."""
    return [tuple(shown.index(frame.permute(1, 2, 0).numpy().tobytes()) for frame in one.frames) for one in found]


def test_windows_are_neighbours_that_move_and_are_spread_over_the_film(tmp_path):
    offsets = [0] * 20 + list(range(0, 60, 3)) + [57] * 20 + list(range(57, 117, 3))
    film = folder_of(tmp_path / "film", offsets)
    found = calibrate.windows(film, PAIR, SIZE)
    stood = [tuple(offsets[place] for place in pair) for pair in places(found, pictures_of(film))]
    assert all(b - a == 3 for a, b in stood)
    assert stood == sorted(stood)
    assert stood[0][0] < 15
    assert stood[-1][0] > 100
    assert {one.t for one in found} == {0.25, 0.5, 0.75}
    x0, x1, t = found[0].tensors(PAIR)
    assert (x0.shape, x1.dtype, t.tolist()) == ((1, 3, *SIZE), torch.float32, [0.5])
    assert 0 <= x0.min() < x0.max() <= 1


def test_no_window_lies_across_a_cut(tmp_path):
    size = (144, 256)
    film = folder_of(tmp_path / "film", [2 * k for k in range(16)], size, seeds=[k // 4 for k in range(16)])
    found = calibrate.windows(film, FOUR, size)
    assert places(found, pictures_of(film)) == [(k, k + 1, k + 2, k + 3) for k in (0, 4, 8, 12)]
    assert {one.t for one in found} == {0.5}
    assert len(found[0].tensors(FOUR)) == 4


def test_a_long_film_is_read_here_and_there(tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "SPOTS", 3)
    monkeypatch.setattr(calibrate, "WINDOWS", 9)
    film = Clip(frames=150, options={"g": "10"}).make(tmp_path / "film.mp4")
    found = calibrate.windows(film, PAIR, SIZE)
    assert len(found) == 9
    spots = list(calibrate._spots(film, 1, 9))
    assert [part for part, _ in spots] == [calibrate.PART] * 3


def test_frames_are_fitted_to_the_size(tmp_path):
    film = folder_of(tmp_path / "film", [3 * k for k in range(8)], size=(61, 91))
    assert calibrate.size_of(film, 8) == (64, 96)
    padded = calibrate.windows(film, PAIR, (64, 96))[0].frames[0]
    assert torch.equal(padded[:, 0], padded[:, 1])
    scaled = calibrate.windows(film, PAIR, (32, 96))[0].frames[0]
    assert scaled.shape == (3, 32, 96)


@pytest.mark.parametrize(
    ("offsets", "spec", "error", "words"),
    [
        ([0], PAIR, TooShort, "film: 1 frame; a context of 2 frames and 4 windows of it need 5 or more"),
        ([0, 3, 6, 9, 12, 15], FOUR, TooShort, "6 frames; a context of 4 frames and 4 windows of it need 7 or more"),
        ([5] * 30, PAIR, BadOption, "0 parts of it move, without a cut; 4 or more are needed"),
    ],
)
def test_a_film_that_says_nothing_is_refused(tmp_path, offsets, spec, error, words):
    with pytest.raises(error, match=words):
        calibrate.windows(folder_of(tmp_path / "film", offsets), spec, SIZE)


def test_standard_input_is_refused():
    with pytest.raises(BadOption, match="it is read more than once"):
        calibrate.size_of(calibrate.PIPE, 8)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return Clip(frames=24).make(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Weights that move pixels."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    weights.write(enliven(zoo.create("ifrnet-t")).state_dict(), path, name="ifrnet-t", licence="MIT")
    return path


def installed():
    return pytest.importorskip("nncf", reason="nncf is not installed: pip install tween[int8]")


@pytest.fixture(scope="module")
def told(network, film, tmp_path_factory):
    """The path of an int8 file, and what was printed when it was made."""
    installed()
    path, shown = tmp_path_factory.mktemp("int8") / "m.xml", io.StringIO()
    with redirect_stderr(shown), redirect_stdout(shown):
        code = main.main(["export", str(network), "--int8", "--calibrate", str(film), "-o", str(path)])
    assert code == 0, shown.getvalue()
    return path, shown.getvalue()


@pytest.fixture
def made(told):
    return exported.read(told[0])


def above(node):
    """All that a node is computed from, up to other convolutions."""
    todo, found = [value.get_node() for value in node.input_values()], []
    while todo:
        one = todo.pop()
        if one.get_type_name() not in openvino.HEAVY and one not in found:
            found.append(one)
            todo += [value.get_node() for value in one.input_values()]
    return found


def kinds(nodes):
    return {node.get_type_name() for node in nodes}


def test_convolutions_are_int8_and_heads_and_grids_are_not(made):
    graph = core().read_model(made.path)
    nodes, heads = int8.heavy(graph), int8.heads(graph)
    assert len(heads) == 3  # one a level of the pyramid
    assert len(nodes) == 24
    for name, node in nodes.items():
        given = kinds(above(node))
        scale, weight = (node.input_value(port).get_node() for port in (0, 1))
        assert (scale.get_type_name() == "FakeQuantize") == (name not in heads)
        stored = [one.get_element_type().get_type_name() for one in above_weight(weight) if is_constant(one)]
        assert ("i8" in stored) == (name not in heads)
        assert ("FakeQuantize" in given) == (name not in heads)
    for node in graph.get_ops():
        if node.get_type_name() == "GridSample":
            assert "FakeQuantize" not in kinds(above(node))
    assert "FakeQuantize" not in kinds(above(graph.get_results()[0]))


def above_weight(node):
    return [node, *above(node)]


def is_constant(node):
    return node.get_type_name() == "Constant"


def test_the_engine_really_computes_in_int8(made):
    compiled = core().compile_model(made.path, "CPU", openvino.settings("fp32"))
    ran = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    numbers = [info["runtimePrecision"].value for info in ran if info["layerType"].value == "Convolution"]
    assert set(numbers) == {"u8"}
    assert len(numbers) == 21


def test_a_file_says_what_it_was_measured_on(made, film, network):
    said = made.card.calibration
    assert (said.film, said.windows + said.held) == ("film.mp4", len(calibrate.windows(film, PAIR, SIZE)))
    assert said.held >= 1
    assert said.decibels >= 40
    assert said.share == "21 of 24"
    assert (made.card.precision, made.card.size, made.card.licence) == ("int8", SIZE, "MIT")
    assert made.path.with_suffix(".bin").stat().st_size < 0.5 * network.stat().st_size
    assert sorted(path.name for path in made.path.parent.iterdir()) == ["m.bin", "m.xml"]


def test_it_shows_what_the_network_shows(made, network):
    """On pictures that it was not measured on; at any t, and in any batch."""
    backend = prepare.prepare(made, (60, 90))
    assert (backend.name, backend.device, backend.precision) == ("openvino", "cpu", "int8")
    frames, t = moving(SIZE, batch=2, seed=3), torch.tensor([0.25, 0.75])
    wanted = straight(zoo.load(network), frames, t)
    got = run(backend, frames, t)
    assert 40 <= decibels(got, wanted) < 75
    assert torch.equal(straight(made, frames, t), got)


def test_interpolate_runs_it_and_says_int8(made, film, tmp_path, capfd):
    out = tmp_path / "out.mp4"
    assert main.main(["interpolate", str(film), "--times", "2", "--model", str(made.path), "-o", str(out)]) == 0
    assert "by openvino on cpu, int8" in capfd.readouterr().err
    other = Clip(frames=3, size=(96, 96)).make(tmp_path / "other.mp4")
    assert main.main(["interpolate", str(other), "--model", str(made.path), "--times", "2"]) == 2
    words = "tween export net.safetensors --format openvino --size 96,96 --int8 --calibrate film.mp4 -o m.xml"
    assert words in " ".join(capfd.readouterr().err.split())


def test_the_command_tells_what_it_costs_and_gains_and_nncf_is_silent(told):
    path, shown = told
    assert re.search(r"21 of 24 convolutions in int8, by \d+ windows of film.mp4; on \d others \d+\.\d dB", shown)
    assert re.search(r"a frame of 96x64 on this machine: fp32 \d+\.\d ms.*, int8 \d+\.\d ms: int8 is ", shown)
    assert f"run it: tween interpolate in.mp4 --times 2 --model {path}" in shown
    assert "for this size only: it is that of the video" in shown
    assert "nncf" not in shown.lower()
    assert len(shown.splitlines()) == 11


def test_another_picture_is_not_kept(tmp_path, monkeypatch):
    installed()
    film = Clip(frames=12, size=(32, 48)).make(tmp_path / "film.mp4")
    monkeypatch.setattr(int8, "LEAST_DB", 200)
    words = (
        r"lightvfi-16 in int8 is \d+\.\d dB from torch, on 1 windows of film.mp4 at 48x32; 200 dB or more are needed"
    )
    with pytest.raises(CannotExport, match=words):
        int8.export(long(), CARD, film, tmp_path / "m.xml")
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("-o m.xml --int8", "--int8 without --calibrate; a video to measure the network on is needed"),
        ("-o m.xml --calibrate FILM", "--calibrate without --int8; only int8 is measured on a video"),
        ("-o m.onnx --int8 --calibrate FILM", "--int8 for onnx; onnx files are fp32 or fp16; try: --format openvino"),
        ("-o m.param --int8 --calibrate FILM", "--int8 for ncnn; ncnn files are fp32; try: --format openvino -o m.xml"),
        ("-o m.xml --int8 --precision fp16 --calibrate FILM", "--int8 and --precision fp16 together"),
        ("-o m.xml --int8 --dynamic --calibrate FILM", "--int8 and --dynamic together; an int8 file is for one size"),
        ("-o m.xml --int8 --calibrate gone.mp4", "gone.mp4"),
        ("-o m.xml --int8 --calibrate SHORT", "2 frames; a context of 2 frames and 4 windows of it need 5 or more"),
        ("-o m.xml --int8 --calibrate NET", "net.safetensors"),
        ("-o m.xml --int8 --calibrate FILM --size 60,90", "it takes multiples of 8; try: --size 64,96"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(network, film, tmp_path, monkeypatch, capsys, line, words):
    installed()
    short = Clip(frames=2).make(tmp_path / "short.mp4")
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)
    line = line.replace("FILM", str(film)).replace("SHORT", str(short)).replace("NET", str(network))
    assert main.main(["export", str(network), *line.split()]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not list(folder.iterdir())


@pytest.mark.parametrize("model", ["dis", "blend", "tweennet"])
def test_what_is_no_graph_is_refused(model, film, tmp_path):
    installed()
    with pytest.raises(CannotExport):
        export(Order(model, tmp_path / "m.xml", precision="int8", calibrate=film))
    assert not list(tmp_path.iterdir())


def test_nncf_that_is_missing_is_named(network, film, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(
        MissingPackage, match=r"nncf is not installed; --int8 needs it; try: pip install \"tween\[int8\]"
    ):
        export(Order(str(network), tmp_path / "m.xml", precision="int8", calibrate=film))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """An fp32 file of OpenVINO's, of a network of ours."""
    path = tmp_path_factory.mktemp("plain") / "m.xml"
    openvino.export(long(), (32, 48), CARD, path)
    return path


def test_a_plain_file_of_openvino_is_a_model_too(plain):
    model = exported.read(plain)
    assert (model.card, model.spec.context, model.engine) == (CARD, (-1, 0, 1, 2), "openvino")
    backend = prepare.prepare(model, (32, 48))
    assert (backend.name, backend.precision) == ("openvino", "fp32")
    frames = moving((32, 48), count=4)
    wanted = straight(long(), frames, HALF)
    assert decibels(run(backend, frames, HALF), wanted) >= 95
    with pytest.raises(Conflict, match="OpenVINO runs what was exported to OpenVINO; try: --backend openvino"):
        prepare.choose(model, backend="onnx")
    with pytest.raises(Conflict, match="OpenVINO runs on the CPU here"):
        prepare.choose(model, device="cuda")
    with pytest.raises(Conflict, match="OpenVINO runs on the CPU here"):
        IrSession(plain, "cuda")


def test_a_file_that_is_none_of_ours_is_refused(plain, tmp_path):
    bare = tmp_path / "bare.xml"
    bare.write_bytes(plain.read_bytes())
    with pytest.raises(MissingFile, match=r"no file .*bare.bin, which holds the weights of bare.xml"):
        exported.read(bare)
    bare.with_suffix(".bin").write_bytes(plain.with_suffix(".bin").read_bytes())
    assert exported.read(bare).card == CARD
    text = plain.read_text()
    bare.write_text(re.sub(r"<tween>.*?</tween>", "", text, flags=re.DOTALL))
    with pytest.raises(
        BadWeights, match=r"it does not say which frames it looks at; .*try: tween export MODEL -o bare.xml"
    ):
        exported.read(bare)
    bare.write_text("<net>")
    with pytest.raises(BadWeights, match="cannot be read as OpenVINO's"):
        exported.read(bare)
    with pytest.raises(MissingFile, match=r"no file .*gone.xml"):
        zoo.load(tmp_path / "gone.xml")


def test_heads_and_those_before_them():
    """The last convolution of this network makes the frame; it is fed by all others: two, for each of four frames."""
    graph = core().read_model(whole_to_onnx(long(), (32, 48)))
    assert len(int8.heads(graph)) == 1
    assert int8.heads(graph, 2) == int8.heavy(graph).keys()
    assert 4 <= len(int8.heavy(graph)) - 1 <= 8
    assert int8.heads(graph, 3) == int8.heads(graph, 2)


def test_not_a_film():
    """Words of `open_source`, before anything is traced."""
    with pytest.raises((NotAVideo, MissingFile)):
        calibrate.size_of(calibrate.Path("gone.mp4"), 8)


NETWORKS = [
    pytest.param("rife-4.6", marks=pytest.mark.long),
    *(pytest.param(name, marks=pytest.mark.long) for name in ("ifrnet-s", "rife-4.25", "lightvfi", "lift-15-kubin")),
    *(pytest.param(name, marks=pytest.mark.long) for name in ("emavfi-small", "ifrvp-fast-any", "deformvfi")),
]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_keep_40_db(name, tmp_path):
    installed()
    torch.manual_seed(0)
    path, model = tmp_path / "net.safetensors", enliven(zoo.create(name))
    if name.startswith("lift"):  # else by a thousand pixels, where rounding decides what is seen
        for block in (model.flow.block_s8, model.flow.block_s4):
            block.output_conv.weight.data.mul_(0.02)
    weights.write(model.state_dict(), path, name=name)
    film = Clip(frames=40, size=(128, 192)).make(tmp_path / "film.mp4")
    multiple = model.spec.multiple
    size = tuple(-(-side // multiple) * multiple for side in (128, 192))
    written = export(Order(str(path), tmp_path / "m.xml", size=size, precision="int8", calibrate=film))
    assert written.card.calibration.decibels >= 40
    quantised, layers = map(int, written.card.calibration.share.split(" of "))
    assert quantised >= layers / 2
    scales = [node for node in core().read_model(written.path).get_ops() if node.get_type_name() == "FakeQuantize"]
    assert len(scales) >= quantised / 2  # those that share an input share its scale
