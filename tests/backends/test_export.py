"""Export, then run: every network in every format is the network, in whatever program runs the file."""

import json
import re
from pathlib import Path

import numpy as np
import onnx as onnx_format
import openvino
import pytest
import torch
from networks import decibels, moving, run, straight

from tween.backends import export as room
from tween.backends import half, onnx, prepare
from tween.backends.export import export
from tween.backends.formats import FORMATS, ONE_SIZE, Order
from tween.backends.prepare import family
from tween.errors import (
    BadOption,
    BadWeights,
    CannotExport,
    CannotWrite,
    Conflict,
    MissingFile,
    MissingPackage,
    NoWeights,
)
from tween.evaluate.subjects import enliven, pictures
from tween.models import adapters, weights, zoo
from tween.models.exported import moment
from tween.models.lora_config import LoraConfig
from tween.ops.canvas import Canvas

pytestmark = pytest.mark.slow  # each compiles networks, or starts processes

SMALL = (64, 96)
HALF = torch.tensor([0.5])
ONE, ANY = "one size", "any size"  # to trace for any size takes four times as long
QUICK = {(name, "ncnn", ANY) for name in ("ifrnet-t", "lightvfi-16")}
SLOW = {  # what has something of its own in its graph; the rest, and all for any size, takes minutes
    ("rife-4.6", "onnx", ONE),
    *((name, "ncnn", ANY) for name in ("rife-4.6", "ifrvp-fast-any")),
}
LEAST_DB = {"onnx": 80, "openvino": 80, "ncnn": 80}
SEARCHING = {"tweennet", "tweennet-m"}
OPENVINO_ANY = ("ifrnet-t", "lightvfi-16")  # it reads the ONNX graphs that are tried for any size anyway
NOT_IN_NCNN = ("emavfi", "lift", "deformvfi", "ifrvp-steps")


def by_onnx(path, inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["frame"], inputs)[0]


def by_openvino(path, inputs):
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(inputs)["frame"]


def by_ncnn(path, inputs):
    import ncnn

    net = ncnn.Net()
    net.opt.use_bf16_storage = net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    assert net.load_param(path) == 0
    assert net.load_model(path.replace(".param", ".bin")) == 0
    high, wide = inputs["x0"].shape[2:]
    y, x = np.meshgrid((2 * np.arange(high) + 1) / high - 1, (2 * np.arange(wide) + 1) / wide - 1, indexing="ij")
    fed = {name: array[0] for name, array in inputs.items() if name != "t"}
    fed |= {"grid": np.stack((x, y)), "step": np.array([2 / wide, 2 / high]).reshape(2, 1, 1)}
    if "t" in inputs:
        fed["t"] = np.full((1, high, wide), inputs["t"][0])
    extractor = net.create_extractor()
    held = {name: np.ascontiguousarray(array, np.float32) for name, array in fed.items()}  # a Mat only borrows them
    for name, array in held.items():
        extractor.input(name, ncnn.Mat(array).clone())
    status, frame = extractor.extract("frame")
    assert status == 0
    return np.array(frame)[None]


RUN = {"onnx": by_onnx, "openvino": by_openvino, "ncnn": by_ncnn}  # as a program does that knows nothing of tween


def each():
    """Every network that can be exported, in every format that it can be in, for one size and for any."""
    for name in zoo.networks():
        for form in RUN:
            for sizing in {"both": (ONE, ANY), "any": (ANY,)}[FORMATS[form].sizes]:
                case = name, form, sizing
                if name in SEARCHING or (form == "ncnn" and name.startswith(NOT_IN_NCNN)):
                    continue
                if form != "openvino" or sizing == ONE or name in OPENVINO_ANY:
                    mark = [] if case in QUICK else pytest.mark.slow if case in SLOW else pytest.mark.long
                    yield pytest.param(*case, marks=mark)


def file_of(name: str, folder: Path) -> Path:
    """Weights that move pixels, by no more than some."""
    path, model = folder / f"{name}.safetensors", enliven(zoo.create(name))
    if name.startswith("lift"):  # else by a thousand, where rounding decides what is seen
        for block in (model.flow.block_s8, model.flow.block_s4):
            block.output_conv.weight.data.mul_(0.02)
    weights.write(model.state_dict(), path, name=name, licence="MIT")
    return path


def inputs_for(model, size, t):
    """What a program feeds, by name."""
    frames = pictures(size, len(model.spec.context))
    fed = {f"x{k}": frame.numpy() for k, frame in enumerate(frames)}
    return frames, fed | ({"t": np.array([t], np.float32)} if model.spec.any_time else {})


@pytest.mark.parametrize(("name", "form", "sizing"), list(each()))
def test_what_was_exported_runs_and_is_the_network(name, form, sizing, tmp_path):
    file = file_of(name, tmp_path)
    model = zoo.load(file, name=name)
    if sizing == ANY and family(model) in ONE_SIZE:
        pytest.skip(ONE_SIZE[family(model)])
    spec = model.spec
    size = tuple(-(-side // spec.multiple) * spec.multiple for side in SMALL)
    out = tmp_path / f"m{FORMATS[form].suffix}"
    written = export(Order(str(file), out, size=size if sizing == ONE else None))
    assert written.card.size == (size if sizing == ONE else None)
    t = (2.0 if spec.predicts else 0.3) if spec.any_time else moment(spec)
    for one in (size,) if sizing == ONE else (size, (size[0] + 2 * spec.multiple, size[1] + spec.multiple)):
        frames, fed = inputs_for(model, one, t)
        got = torch.from_numpy(RUN[form](str(out), fed))
        with torch.inference_mode():
            wanted = model(torch.stack(frames, 1), torch.tensor([t])).frame
        assert decibels(got, wanted) >= LEAST_DB[form]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [file.name, out.name, *(f"m{besides}" for besides in FORMATS[form].besides)]
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small network's weights, and an ONNX file of it."""
    folder = tmp_path_factory.mktemp("exported")
    file = file_of("ifrnet-t", folder)
    return file, export(Order(str(file), folder / "m.onnx", size=SMALL))


def sides_of(proto):
    """Shapes of the inputs and the output, by name."""
    ports = (*proto.graph.input, *proto.graph.output)
    return {port.name: [side.dim_param or side.dim_value for side in port.type.tensor_type.shape.dim] for port in ports}


def test_a_file_says_what_it_is(made):
    file, written = made
    proto = onnx_format.load(written.path)
    onnx_format.checker.check_model(proto, full_check=True)
    assert sides_of(proto) == {name: [1, 3, *SMALL] for name in ("x0", "x1", "frame")} | {"t": [1]}
    told = {entry.key.removeprefix("tween."): entry.value for entry in proto.metadata_props}
    assert told["model"] == "ifrnet-t"
    assert (told["context"], told["multiple"], told["instants"], told["size"]) == ("0,1", "8", "0 to 1", "64,96")
    assert told["weights_sha256"] == weights.sha256(file)
    assert told["licence"] == "MIT"
    assert not any(tensor.external_data for tensor in proto.graph.initializer)
    assert zoo.load(written.path).card == written.card
    assert written.likeness.largest <= 1e-4
    assert written.likeness.sizes == (SMALL,)


def test_a_file_for_any_size_names_its_sides(tmp_path):
    file = file_of("lightvfi-16", tmp_path)
    written = export(Order(str(file), tmp_path / "any.onnx", any_size=True, precision="fp16"))
    sides = sides_of(onnx_format.load(written.path))
    assert sides == {name: [1, 3, "8*h", "8*w"] for name in ("x0", "x1", "x2", "x3", "frame")}
    assert len(written.likeness.sizes) == 2
    assert written.path.stat().st_size < 0.65 * file.stat().st_size
    model, network = zoo.load(written.path), zoo.load(file)
    assert (model.card.size, model.card.precision, model.card.instants) == (None, "fp16", "0.5")
    for size in ((61, 90), (90, 61)):
        backend = prepare.prepare(model, size)
        assert backend.precision == "fp16"
        frames = moving(Canvas(size, 8).size, count=4)
        assert decibels(run(backend, frames, HALF), straight(network, frames, HALF)) >= 55


def test_a_program_that_knows_nothing_of_tween_runs_it(made):
    file, written = made
    frames, fed = inputs_for(zoo.load(file), SMALL, 0.3)
    wanted = straight(zoo.load(file), frames, torch.tensor([0.3]))
    assert (torch.from_numpy(by_onnx(str(written.path), fed)) - wanted).abs().max() <= 1e-4


PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")


@pytest.mark.parametrize("form", ["onnx", "ncnn", pytest.param("openvino", marks=pytest.mark.slow)])
def test_the_lines_of_the_page_run(made, form, tmp_path, monkeypatch, capsys):
    suffix = FORMATS[form].suffix
    (lines,) = (block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if f'"m{suffix}"' in block)
    monkeypatch.chdir(tmp_path)
    if form == "onnx":
        Path("m.onnx").write_bytes(made[1].path.read_bytes())
    else:
        export(Order(str(made[0]), Path(f"m{suffix}"), size=SMALL if form == "openvino" else None))
    exec(compile(lines, "docs/export.md", "exec"), {})
    assert "3, 64, 96)" in capsys.readouterr().out
    if form == "openvino":
        told = openvino.Core().read_model("m.xml")
        assert told.get_rt_info(["tween", "model"]).value == "ifrnet-t"
        assert any("DisablePrecisionConversion_0" in node.get_rt_info() for node in told.get_ops())
    if form == "ncnn":
        assert json.loads(Path("m.json").read_text())["tween.model"] == "ifrnet-t"


def test_a_file_is_a_model(made):
    """At any t and in any batch it shows what the network shows."""
    file, written = made
    model, network = zoo.load(str(written.path)), zoo.load(file)
    assert model.spec == network.spec
    backend = prepare.prepare(model, (60, 90))
    assert (backend.name, backend.device, backend.precision) == ("onnx", "cpu", "fp32")
    frames, t = moving(SMALL, batch=2), torch.tensor([0.25, 0.75])
    wanted = straight(network, frames, t)
    assert (straight(model, frames, t) - wanted).abs().max() <= 1e-4
    assert (run(backend, frames, t) - wanted).abs().max() <= 1e-4


def test_half_precision_is_for_convolutions(made, tmp_path):
    file, written = made
    mixed, out = half.to_half(onnx_format.load(written.path)), tmp_path / "half.onnx"
    onnx_format.save(mixed, out)
    proto = onnx_format.shape_inference.infer_shapes(mixed)
    values = (*proto.graph.input, *proto.graph.value_info, *proto.graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    kinds |= {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    float32, float16 = onnx_format.TensorProto.FLOAT, onnx_format.TensorProto.FLOAT16
    samplers = [node for node in proto.graph.node if node.op_type == "GridSample"]
    assert len(samplers) == 6
    assert {kinds[name] for node in samplers for name in node.input} == {float32}
    heavy = [node for node in proto.graph.node if node.op_type in half.HEAVY]
    assert {kinds[name] for node in heavy for name in node.input} == {float16}
    assert {kinds[port.name] for port in (*proto.graph.input, *proto.graph.output)} == {float32}
    frames, fed = inputs_for(zoo.load(file), SMALL, 0.5)
    got = torch.from_numpy(by_onnx(str(out), fed))
    assert 55 <= decibels(got, straight(zoo.load(file), frames, HALF)) < 120


def test_a_flow_stays_exact_from_its_convolution_to_its_grid():
    """Conv -> Mul -> Add -> GridSample: the two in the middle are neither rounded nor cast; Conv -> Relu -> Conv is."""
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.full((2, 2, 1, 1), 0.1, np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["c"]),
        helper.make_node("Mul", ["c", "c"], ["d"]),
        helper.make_node("Transpose", ["d"], ["g"], perm=[0, 2, 3, 1]),
        helper.make_node("GridSample", ["b", "g"], ["frame"]),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 4, 4]) for name in ("x", "frame")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [weight])
    mixed = half.to_half(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    casts = {node.input[0] for node in mixed.graph.node if node.op_type == "Cast"}
    assert casts == {"x", "c", "b"}
    assert [node.op_type for node in mixed.graph.node if node.op_type != "Cast"] == [node.op_type for node in nodes]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"format": "onx"}, BadOption, r"--format onx \(did you mean onnx\?\); one of onnx, openvino, ncnn"),
        ({"output": "m.pt"}, BadOption, "-o .*m.pt without --format; a name that ends in one of .onnx, .xml, .param"),
        ({"output": "m.pt", "format": "onnx"}, BadOption, "a name that ends in .onnx is needed; try: -o .*m.onnx"),
        ({"size": (90, 96)}, BadOption, "it takes multiples of 8; try: --size 96,96"),
        ({"size": (64, 96), "any_size": True}, Conflict, "--size and --dynamic together"),
        ({"precision": "fp16", "output": "m.xml"}, BadOption, "openvino files are fp32"),
        ({"precision": "int8"}, BadOption, "onnx files are fp32 or fp16"),
        ({"output": "m.param", "size": (64, 96)}, BadOption, "--size for ncnn; its files are for every size"),
        ({"output": "nowhere/m.onnx"}, CannotWrite, "has no folder to lie in; try: mkdir -p"),
        ({"model": "dis"}, CannotExport, "dis has no network that could be exported"),
        ({"model": "default"}, CannotExport, "tweennet cannot be exported"),
        ({"model": "blend"}, CannotExport, "ifrnet-s or rife-4.25 say, is needed"),
        ({"model": "tweennet"}, CannotExport, "it searches motion with OpenCV, outside the network"),
        ({"model": "ifrnet-b"}, NoWeights, "ifrnet-b has no trained weights here"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(made, tmp_path, changes, error, words):
    asked = {"model": str(made[0]), "output": "m.onnx", **changes}
    output = tmp_path / asked.pop("output")
    with pytest.raises(error, match=words):
        export(Order(output=output, **asked))
    assert not list(tmp_path.iterdir())


def test_a_family_for_one_size_says_why(tmp_path):
    file = file_of("emavfi-small", tmp_path)
    with pytest.raises(CannotExport, match="emavfi-small for any size, as onnx: its attention is cut into windows"):
        export(Order(str(file), tmp_path / "m.onnx", any_size=True))
    with pytest.raises(CannotExport, match="this model as ncnn: its frames lie in one batch"):
        export(Order(str(file), tmp_path / "m.param"))


def test_a_folder_that_is_closed_is_told(made, tmp_path, monkeypatch):
    monkeypatch.setattr(room.os, "access", lambda *_: False)
    with pytest.raises(CannotWrite, match="is closed to us; a folder that you may write to is needed; try: another -o"):
        export(Order(str(made[0]), tmp_path / "m.onnx"))


def test_a_package_that_is_missing_is_named(made, tmp_path, monkeypatch):
    with pytest.raises(MissingPackage, match="tensorrt not installed; --format tensorrt needs it; try: pip install"):
        export(Order(str(made[0]), tmp_path / "m.engine"))
    monkeypatch.setattr(room, "find_spec", lambda _: None)
    with pytest.raises(MissingPackage, match=r'ncnn, pnnx not installed; .*try: pip install "tween\[export\]"'):
        export(Order(str(made[0]), tmp_path / "m.param"))
    with pytest.raises(MissingPackage, match="openvino not installed; --format openvino needs it; try: pip install"):
        export(Order(str(made[0]), tmp_path / "m.xml"))


@pytest.mark.parametrize("harm", ["fault", "disk", "picture"])
def test_what_was_there_stays_until_the_new_file_is_whole(made, tmp_path, monkeypatch, harm):
    out = tmp_path / "m.onnx"
    out.write_bytes(b"the old one")

    def broken(*asked):
        asked[-1].write_bytes(b"half of it")
        raise OSError(28, "No space left on device") if harm == "disk" else RuntimeError("a fault")

    if harm == "picture":
        monkeypatch.setattr(onnx, "export", lambda *asked: asked[-1].write_bytes(b"another network"))
        monkeypatch.setattr(onnx, "run_file", lambda *asked: torch.zeros(asked[-1]["x0"].shape))
    else:
        monkeypatch.setattr(onnx, "export", broken)
    raised, words = {
        "fault": (RuntimeError, "a fault"),
        "disk": (CannotWrite, "No space left on device"),
        "picture": (CannotExport, "shows another picture than torch"),
    }[harm]
    with pytest.raises(raised, match=words):
        export(Order(str(made[0]), out, size=SMALL))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("m.onnx", b"the old one")]


def test_a_file_that_is_no_model_of_ours_is_refused(made, tmp_path):
    plain = tmp_path / "plain.onnx"
    proto = onnx_format.load(made[1].path)
    del proto.metadata_props[:]
    onnx_format.save(proto, plain)
    with pytest.raises(BadWeights, match="it does not say which frames it looks at; a file that `tween export` wrote"):
        zoo.load(plain)
    plain.write_bytes(b"no ONNX at all")
    with pytest.raises(BadWeights, match="cannot be read as ONNX"):
        zoo.load(plain)
    onnx_format.helper.set_model_props(proto, made[1].card.as_text() | {"tween.multiple": "many"})
    onnx_format.save(proto, plain)
    with pytest.raises(BadWeights, match="what it says of itself is damaged"):
        zoo.load(plain)
    with pytest.raises(MissingFile, match=r"no file .*gone.onnx"):
        zoo.load("gone.onnx")


def test_what_a_file_cannot_do_is_refused(made, tmp_path):
    _, written = made
    model = zoo.load(written.path)
    with pytest.raises(BadOption, match=r"was fixed when it was exported; try: tween export ifrnet-t --scale 0.5"):
        zoo.load(written.path, scale=0.5)
    adapter = tmp_path / "a.safetensors"
    adapters.write(adapter, {"x": torch.zeros(1)}, adapters.Card(LoraConfig(rank=1), "ifrnet-t", "ab"))
    with pytest.raises(BadWeights, match="it has no weights that an adapter could change"):
        zoo.load(written.path, lora=[adapter])
    with pytest.raises(Conflict, match=r"--backend openvino for .*m.onnx; ONNX Runtime runs what was exported to ONNX"):
        prepare.choose(model, backend="openvino")
    with pytest.raises(Conflict, match="it was exported in fp32, which stays so"):
        prepare.choose(model, precision="bf16")
    with pytest.raises(CannotExport, match=r"is exported already; export .* once more"):
        export(Order(str(written.path), tmp_path / "again.onnx"))
    words = r"is for frames of 96x64, and these take 128x64.*; try: tween export ifrnet-t.safetensors .*--size 64,128"
    with pytest.raises(BadOption, match=words):
        prepare.prepare(model, (64, 128))
