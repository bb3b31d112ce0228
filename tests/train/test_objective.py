"""The objective: IFRNet's published training values, every network's terms, and refusals by name."""

import importlib.util
import json
import math

import pytest
import torch

from tween.errors import BadOption, MissingFile, MissingTerm, NoWeights
from tween.models import zoo
from tween.models.cost import FIGURES
from tween.models.model import Batch, Prediction
from tween.ops.canvas import Canvas
from tween.ops.features import FILES
from tween.train.objective import Objective, accepted
from tween.train.terms import TERMS

SLOW = pytest.mark.slow
IFRNET = {"charbonnier": 1.0, "census": 1.0, "geometry": 0.01}
WITH_FLOW = {**IFRNET, "flow_distillation": 0.01}


@pytest.fixture(scope="module")
def published(shared):
    """The rule of IFRNet's reference runs, and what they gave."""
    folder = shared / "fixtures" / "ifrnet"
    spec = importlib.util.spec_from_file_location("ifrnet_rule", folder / "fixture_rule.py")
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    return folder, rule, json.loads((folder / "losses.json").read_text())


def filled(name, published_name, published):
    """A network with the reference run's weights."""
    folder, rule, _ = published
    shapes = json.loads((folder / f"{published_name}_keys_shapes.json").read_text())
    model = zoo.create(name)
    model.load_state_dict({key: torch.from_numpy(rule.weight_value(key, shape)) for key, shape in shapes.items()})
    return model


def reference_batch(rule, tau, times=(0, 1)):
    frames = torch.stack([torch.from_numpy(rule.frame(when)) for when in times])[None]
    flow = torch.from_numpy(rule.flow_target(tau))[None]
    return Batch(frames, torch.tensor([float(tau)]), torch.from_numpy(rule.frame(tau))[None], flow)


def norms(model, terms):
    """The length of the gradient of a few parameters and of all of them."""
    model.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    found = {key: value.grad.norm().item() for key, value in model.named_parameters() if value.grad is not None}
    return found | {"__total_norm__": math.hypot(*found.values())}


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("name", "kong", "case"),
    [
        ("ifrnet-s", "IFRNet_S", "t050_flow"),
        ("ifrnet-s", "IFRNet_S", "t025_noflow"),
        ("ifrnet-b", "IFRNet", "t025_flow"),
        pytest.param("ifrnet-b", "IFRNet", "t050_noflow", marks=SLOW),
        pytest.param("ifrnet-l", "IFRNet_L", "t050_flow", marks=SLOW),
    ],
)
@pytest.mark.slow
def test_ifrnet_learns_from_what_its_authors_had(published, name, kong, case):
    expected = published[2][kong][case]
    model, batch = filled(name, kong, published), reference_batch(published[1], int(case[1:4]) / 100)
    labelled = case.endswith("_flow")
    terms = Objective(WITH_FLOW if labelled else IFRNET, model)(batch, model(batch.frames, batch.t))
    assert float(terms["charbonnier"].detach()) == pytest.approx(expected["charbonnier"], rel=1e-5)
    assert float(terms["census"].detach()) == pytest.approx(expected["ternary7"], rel=1e-5)
    assert float(terms["geometry"].detach()) == pytest.approx(expected["loss_geo"], rel=1e-5)
    if labelled:
        assert float(terms["flow_distillation"].detach()) == pytest.approx(expected["loss_dis"], rel=1e-5)
    found = norms(model, terms)
    for key, wanted in expected["grad_norms_of_(rec+geo+dis)"].items():
        assert found[key] == pytest.approx(wanted, rel=2e-3), key


@pytest.mark.needs_shared
def test_ifrvp_learns_from_what_its_authors_had(published):
    expected = published[2]["IFRVP_IFRNet_S"]["interp_t050"]
    model, batch = filled("ifrnet-s", "IFRNet_S", published), reference_batch(published[1], 0.5)
    prediction = model(batch.frames, batch.t)
    terms = Objective({"l1": 1.0, "frequency": 0.1}, model)(batch, prediction)
    assert sum(value.item() for value in terms.values()) == pytest.approx(expected["loss_rec(L1+0.1*L1_fft)"], rel=1e-5)
    found = norms(model, terms)
    for key, wanted in expected["grad_norms"].items():
        assert found[key] == pytest.approx(wanted, rel=2e-3), key
    alone = Objective({"laplacian": 1.0, "mse": 1.0, "focal_frequency": 1.0}, model)(batch, prediction)
    assert alone["laplacian"].item() == pytest.approx(expected["laploss"], rel=1e-5)
    assert alone["mse"].item() == pytest.approx(expected["mse"], rel=1e-5)
    assert alone["focal_frequency"].item() == pytest.approx(expected["focal_frequency"], rel=1e-5)


QUICK = {"ifrnet-t", "ifrvp-fast", "rife-4.25-lite", "lightvfi-16"}  # of most families the smallest


def kinds():
    """Every trained network once: versions that differ in nothing but their weights (of RIFE) are one."""
    found = {}
    for name in FIGURES:
        shapes, spec = zoo.signature(name)
        found.setdefault((tuple(sorted(shapes.items())), spec), name)
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in found.values()]


def sample(model):
    """A random batch of a network's context, with flow labels."""
    generator = torch.Generator().manual_seed(2)
    size = Canvas((64, 64), model.spec.multiple).size
    batch = 5 if model.spec.predicts and model.spec.any_time else 1
    frames = torch.rand(batch, len(model.spec.context), 3, *size, generator=generator)
    flow = torch.randn(batch, 4, *size, generator=generator)
    t = torch.arange(1.0, batch + 1) if model.spec.predicts else torch.full((batch,), 0.5)
    return Batch(frames, t, torch.rand(batch, 3, *size, generator=generator), flow)


OF_FILES = {name for name, term in TERMS.items() if term.files(term.settings)}
LARGE_CROPS = {"ms_ssim"}


@pytest.mark.parametrize("name", kinds())
@pytest.mark.slow
def test_every_network_learns_from_every_term_it_accepts(name):
    torch.manual_seed(0)
    model = zoo.create(name)
    batch = sample(model)
    known = [term for term in accepted(model) if term not in OF_FILES | LARGE_CROPS]
    assert {"charbonnier", "l1", "mse", "census", "laplacian", "colour", "temporal"} <= set(known)
    objective = Objective(dict.fromkeys(known, 1.0), model)
    prediction = model(batch.frames, batch.t)
    shown = {name: value.detach().requires_grad_() for name, value in prediction.aux.items()}
    frame = prediction.frame.detach().requires_grad_()
    terms = objective(batch, Prediction(frame, shown))
    assert list(terms) == known
    for term, value in terms.items():
        assert (value.shape, value.dtype) == ((), torch.float32), term
        slopes = torch.autograd.grad(value, [frame, *shown.values()], retain_graph=True, allow_unused=True)
        given = [slope for slope in slopes if slope is not None]
        assert all(slope.isfinite().all() for slope in given), term
        assert max(float(slope.abs().max()) for slope in given) > 0, term
    torch.stack(list(objective(batch, prediction).values())).sum().backward()
    slopes = [value.grad for value in model.parameters() if value.grad is not None]
    assert len(slopes) > 0.9 * len(list(model.parameters()))
    assert all(slope.isfinite().all() for slope in slopes)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("ifrnet-t", {"occlusion"}),
        ("rife-4.25-lite", {"occlusion", "geometry", "flow_distillation"}),
        ("lightvfi-16", {"occlusion", "geometry", "flow_distillation", "flow", "smoothness"}),
        pytest.param("emavfi-small", {"occlusion", "geometry", "flow_distillation"}, marks=SLOW),
        pytest.param("deformvfi", {"occlusion", "geometry", "flow_distillation", "flow", "smoothness"}, marks=SLOW),
        pytest.param("ifrvp-steps", {"occlusion", "geometry"}, marks=SLOW),
        pytest.param("lift-15", {"geometry"}, marks=SLOW),
    ],
)
@pytest.mark.slow
def test_what_each_family_cannot_take(name, refused):
    model = zoo.create(name)
    assert set(TERMS) - set(accepted(model)) == refused | {"teacher_frame", "teacher_flow"}


def test_a_term_that_the_network_cannot_take_is_refused_with_those_that_it_can():
    with pytest.raises(MissingTerm) as told:
        Objective({"l1": 1.0, "geometry": 0.01}, zoo.create("lightvfi-16"))
    words = str(told.value)
    assert "the loss term geometry needs features of the target's place and an encoder" in words
    assert "this model gives frame; try: one of: charbonnier, l1, mse, log_mse, census" in words
    assert "flow_distillation" not in words
    with pytest.raises(MissingTerm, match="laplacian needs aux `coarse`; this model gives frame, feature_1"):
        Objective({"laplacian": {"of": "coarse"}}, zoo.create("ifrnet-t"))
    with pytest.raises(MissingTerm, match=r"teacher_frame needs a teacher; .* try: --teacher NAME, or one of"):
        Objective({"teacher_frame": 1.0}, zoo.create("lightvfi-16"))


def test_samples_without_labels_are_refused_by_a_term_that_learns_from_them():
    model = zoo.create("ifrnet-t")
    objective = Objective({"l1": 1.0, "flow_distillation": 0.01}, model)
    assert objective.needs_flow
    assert not Objective({"l1": 1.0}, model).needs_flow
    batch = sample(model)._replace(flow=None)
    with pytest.raises(MissingTerm, match=r"flow_distillation and samples without flow labels; .* `tween flow SET`"):
        objective(batch, model(batch.frames, batch.t))


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (
            {"charbonier": 1.0},
            r"no loss term is called charbonier \(did you mean charbonnier\?\); known: charbonnier, l1",
        ),
        ({"census": {"pach": 3}}, r"census has no setting pach \(did you mean patch\?\); known: weight, term, of"),
        ({"temporal": {"source": "lable"}}, r"temporal with source: lable \(did you mean label\?\); one of these is"),
        ({"l1": -1}, "l1 with weight -1; a number from 0 up is needed"),
        ({"l1": "much"}, "l1 with weight much; a number"),
        ({"l1": {"weight": True}}, "l1 with weight True; a number"),
        ({"laplacian": {"levels": "five"}}, "laplacian with levels: 'five'; a value like 5 is needed"),
        ({"vgg": {"layers": {"relu9_1": 1}}}, r"vgg19 has no layer relu9_1 \(did you mean relu"),
        ({"vgg": {"layers": 3}}, "vgg with layers: 3; names and weights are needed; try: layers: {relu2_2: 1.0}"),
        ({"l1": 0}, r"losses with nothing in them; one term or more is needed; try: losses: \{charbonnier"),
    ],
)
def test_mistakes_in_a_recipe_are_told(losses, words):
    with pytest.raises(BadOption, match=words):
        Objective(losses, zoo.create("lightvfi-16"))


def given(model, seed=0):
    """A batch and a random picture that stands for a network's prediction."""
    batch = sample(model)
    return batch, Prediction(torch.rand(batch.target.shape, generator=torch.Generator().manual_seed(seed)), {})


def test_a_term_can_come_twice_and_weigh_nothing():
    model = zoo.create("lightvfi-16")
    batch, prediction = given(model)
    prediction.aux["coarse"] = torch.rand(1, 3, 16, 16)
    model.render = lambda scene, t: prediction  # noqa: ARG005  (a network that also shows a small picture)
    losses = {"l1": 2.0, "from_1_4": {"term": "l1", "weight": 0.5, "of": "coarse"}, "mse": 0}
    terms = Objective(losses, model)(batch, prediction)
    assert list(terms) == ["l1", "from_1_4"]
    small = torch.nn.functional.interpolate(batch.target, size=(16, 16), mode="bilinear", align_corners=False)
    assert float(terms["l1"]) == pytest.approx(2 * float((prediction.frame - batch.target).abs().mean()))
    assert float(terms["from_1_4"]) == pytest.approx(0.5 * float((prediction.aux["coarse"] - small).abs().mean()))


@pytest.mark.slow
def test_ema_vfi_learns_from_its_stages_too():
    model = zoo.create("emavfi-small")
    batch = sample(model)
    prediction = model(batch.frames, batch.t)
    terms = Objective(
        {
            "laplacian": {"weight": 1.0, "stages": 0.5},
            "last": {"term": "laplacian"},
            "first": {"term": "laplacian", "of": "merged_coarse"},
            "second": {"term": "laplacian", "of": "merged"},
        },
        model,
    )(batch, prediction)
    values = {name: value.item() for name, value in terms.items()}
    assert values["laplacian"] == pytest.approx(values["last"] + 0.5 * (values["first"] + values["second"]), rel=1e-5)
    with pytest.raises(MissingTerm, match="laplacian needs pictures before the last one"):
        Objective({"laplacian": {"stages": 0.5}}, zoo.create("lightvfi-16"))


def test_losses_are_exact_under_autocast():
    model = zoo.create("ifrnet-t")
    batch = sample(model)
    with torch.autocast("cpu", torch.bfloat16):
        prediction = model(batch.frames, batch.t)
        inside = Objective(WITH_FLOW, model)(batch, prediction)
    outside = Objective(WITH_FLOW, model)(batch, prediction)
    assert {value.dtype for value in inside.values()} == {torch.float32}
    assert {name: value.item() for name, value in inside.items()} == {n: v.item() for n, v in outside.items()}


@SLOW
def test_looking_at_a_network_leaves_it_and_chance_as_they_were():
    torch.manual_seed(5)
    model = zoo.create("lift-15").train()  # it has dropout
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    accepted(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.slow
def test_a_teacher_is_followed():
    torch.manual_seed(0)
    teacher, model = zoo.create("ifrnet-t"), zoo.create("rife-4.25-lite")
    asked = []

    def taught(batch):
        asked.append(batch)
        return teacher(batch.frames, batch.t)

    losses = {"teacher_frame": 1.0, "teacher_flow": 1.0}
    objective = Objective(losses, model, teacher=taught)
    asked.clear()
    batch = sample(model)
    same = Prediction(*teacher(batch.frames, batch.t))
    terms = objective(batch, same)
    assert len(asked) == 1
    assert float(terms["teacher_frame"].detach()) == pytest.approx(1e-3, rel=1e-3)
    assert float(terms["teacher_flow"].detach()) < 1e-4
    prediction = model(batch.frames, batch.t)
    torch.stack(list(objective(batch, prediction).values())).sum().backward()
    assert all(value.grad is None for value in teacher.parameters())
    assert any(float(value.grad.abs().max()) > 0 for value in model.parameters() if value.grad is not None)
    along = Objective({"temporal": {"source": "teacher"}}, model, teacher=taught)
    assert float(along(batch, prediction)["temporal"].detach()) > 0
    assert not along.needs_flow


@pytest.mark.slow
def test_a_teacher_without_a_flow_is_refused_where_a_flow_is_needed_and_not_asked_where_none_is():
    model = zoo.create("rife-4.25-lite")
    blend = zoo.create("blend")
    with pytest.raises(MissingTerm, match="teacher_flow needs a teacher that gives a flow"):
        Objective({"teacher_flow": 1.0}, model, teacher=lambda batch: blend(batch.frames, batch.t))

    def never(_):
        raise AssertionError("nobody asked")

    batch, prediction = given(model)
    Objective({"l1": 1.0}, model, teacher=never)(batch, prediction)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Random weights of the classifiers, as files; nothing in the usual places."""
    for stored in FILES.values():
        monkeypatch.delenv(stored.variable, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    generator, paths = torch.Generator().manual_seed(0), {}
    for name in ("vgg16", "alexnet", "lpips_alex", "lpips_vgg"):
        state = {
            key: torch.rand(shape, generator=generator)
            if name.startswith("lpips")
            else torch.randn(shape, generator=generator) * (2 / math.prod(shape[1:])) ** 0.5
            for key, shape in FILES[name].shapes().items()
        }
        paths[name] = tmp_path / FILES[name].file
        torch.save(state, paths[name])
    return paths


@pytest.mark.slow
def test_perceptual_terms_learn_with_the_users_files(files):
    model = zoo.create("lightvfi-16")
    batch, prediction = given(model)
    frame = prediction.frame.requires_grad_()
    losses = {"vgg": {"net": "vgg16"}, "lpips": 1.0, "alex": {"term": "lpips", "net": "alex"}}
    terms = Objective(losses, model, files=files)(batch, prediction)
    for name, value in terms.items():
        (slope,) = torch.autograd.grad(value, frame)
        assert slope.isfinite().all(), name
        assert float(slope.abs().max()) > 0, name


def test_a_file_that_is_missing_is_told_before_the_first_step(files):
    model = zoo.create("lightvfi-16")
    with pytest.raises(NoWeights, match="no vgg19 weights here"):
        Objective({"vgg": 1.0}, model, files=files)
    with pytest.raises(MissingFile, match=r"no alexnet file gone\.pth"):
        Objective({"lpips": {"net": "alex"}}, model, files={**files, "alexnet": "gone.pth"})


def test_the_table_says_what_every_term_is():
    for name, term in TERMS.items():
        assert term.about, name
        assert set(term.choices) <= set(term.settings), name
        for setting, choices in term.choices.items():
            assert term.settings[setting] in choices, name
