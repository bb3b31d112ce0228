"""The table of loss terms: what each is, what it needs, what can be set."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import BadOption, near
from ..losses import census, flow, perceptual, terms
from ..metrics import image
from ..models.model import Batch, Model, Prediction
from ..ops.features import FILES, State
from ..ops.lpips import HEADS, STACK, lpips
from ..ops.warp import backward_warp

Settings = Mapping[str, Any]
LABEL, TEACHER = "label flow", "teacher"
COARSE_FLOW = re.compile(r"flow_(?:s\d+|[2-9]\d*)")  # flow_2, flow_3, ... of IFRNet; flow_s4, flow_s8 of LIFT

WORDS: Final = {  # needs that are no name of `aux`, in words
    "own flow": "a flow of the network's own (aux `flow`)",
    "coarse flows": "flows of the network's own at several scales (aux `flow`, `flow_2`, ... or `flow_s4`, ...)",
    "features": "features of the target's place and an encoder to hold them against (aux `feature_1`, ..., `mean`)",
    "visibility": "logits of what is visible, and their flow (aux `visible_s4`, `flow_s4`)",
    "stages": "pictures before the last one (aux `merged`, ...)",
    LABEL: "flow labels",
    TEACHER: "a teacher",
    f"{TEACHER} flow": "a teacher that gives a flow",
    "frame picture": "a frame",
}


class Seen(NamedTuple):
    """What a term may look at, all in float32 and on one device.

    Attributes:
        batch: the truth. prediction: the network's. model: the network.
        states: weights of classifiers by their name in `ops.features.FILES`.
        teacher: the teacher's prediction, if there is one.
    """

    batch: Batch
    prediction: Prediction
    model: Model
    states: Mapping[str, State]
    teacher: Prediction | None


@dataclass(frozen=True)
class Term:
    """One loss term.

    Attributes:
        about: what it is, in one line.
        value: what is seen and the settings -> a scalar, unweighted.
        needs: the settings -> names of what it needs, of `aux` or of `WORDS`.
        settings: what can be set, and what holds if it is not.
        choices: setting -> the words it can be.
        files: the settings -> weights files it needs, names of `ops.features.FILES`.
    """

    about: str
    value: Callable[[Seen, Settings], Tensor]
    needs: Callable[[Settings], tuple[str, ...]]
    settings: Settings = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Callable[[Settings], tuple[str, ...]] = lambda _: ()


# Pictures against pictures.

PICTURE: Final = {"of": "frame", "stages": 0.0}


def picture_needs(settings: Settings) -> tuple[str, ...]:
    """The picture of `aux` that is judged; for stages, those before the last."""
    of = f"{settings['of']} picture"
    return (of, "stages") if settings["stages"] else (of,)


def pairs(seen: Seen, settings: Settings) -> list[tuple[float, Tensor, Tensor]]:
    """Weight, picture, target at its size: of the picture asked for, then of the stages before it."""
    of, aux = settings["of"], seen.prediction.aux
    judged = [(1.0, seen.prediction.frame if of == "frame" else aux[of])]
    if settings["stages"]:
        judged += [(settings["stages"], value) for name, value in aux.items() if name.startswith("merged")]
    return [(weight, picture, fit(seen.batch.target, picture)) for weight, picture in judged]


def fit(target: Tensor, like: Tensor) -> Tensor:
    """`target` at the height and width of `like`."""
    size = like.shape[-2:]
    return (
        target if target.shape[-2:] == size else F.interpolate(target, size=size, mode="bilinear", align_corners=False)
    )


def judged(function: Callable[..., Tensor]) -> Callable[[Seen, Settings], Tensor]:
    """A function of two pictures as a term; settings other than `PICTURE`'s are its keywords."""

    def value(seen: Seen, settings: Settings) -> Tensor:
        own = {name: setting for name, setting in settings.items() if name not in PICTURE}
        found = [weight * function(picture, target, **own) for weight, picture, target in pairs(seen, settings)]
        return torch.stack(found).sum()

    return value


def pictures(about: str, function: Callable[..., Tensor], *, choices: Any = None, **settings: Any) -> Term:
    """The row of a term that compares two pictures and needs nothing else."""
    return Term(about, judged(function), picture_needs, {**PICTURE, **settings}, choices or {})


def unlike(similarity: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """1 less the mean of a similarity."""
    return lambda prediction, target: 1 - similarity(prediction, target).mean()


def vgg(seen: Seen, settings: Settings) -> Tensor:
    """`losses.perceptual.vgg` with the published layers of the network chosen, unless others are given."""
    net, layers, size = settings["net"], settings["layers"], settings["size"]
    if layers is None and net == "vgg19":
        layers = perceptual.IFRVP_LAYERS
    elif layers is None:
        layers, size = perceptual.DEFORMVFI_LAYERS, size or perceptual.DEFORMVFI_SIZE
    how = {"net": net, "state": seen.states[net], "layers": layers, "size": size}
    found = [weight * perceptual.vgg(p, target, **how) for weight, p, target in pairs(seen, settings)]
    return torch.stack(found).sum()


def vgg_files(settings: Settings) -> tuple[str, ...]:
    """The network whose weights are needed, its layers' names checked."""
    net, layers = settings["net"], settings["layers"] or {}
    known = FILES[net].names()
    if not isinstance(layers, Mapping):
        raise BadOption(f"vgg with layers: {layers}", "names and weights are needed", "layers: {relu2_2: 1.0}")
    if strange := [str(name) for name in layers if name not in known]:
        raise BadOption(f"{net} has no layer {strange[0]}{near(strange[0], known)}", f"known: {', '.join(known)}")
    return (net,)


def looks(seen: Seen, settings: Settings) -> Tensor:
    """LPIPS, the mean over the batch."""
    net = settings["net"]
    state, heads = seen.states[STACK[net]], seen.states[HEADS[net]]
    found = [w * lpips(p, target, net=net, state=state, heads=heads).mean() for w, p, target in pairs(seen, settings)]
    return torch.stack(found).sum()


# Features and flows.


def geometry(seen: Seen, settings: Settings) -> Tensor:
    """The decoder's guess of the features at t against the encoder's of the target, summed over levels.

    The target is centred by the mean of the pair, as the frames were. Both sides learn.
    """
    aux = seen.prediction.aux
    features = [aux[f"feature_{level}"] for level in range(1, len(aux)) if f"feature_{level}" in aux]
    height, width = (2 * side for side in features[0].shape[-2:])
    centred = fit(seen.batch.target - aux["mean"], features[0].new_empty(1, 1, height, width))
    encoded = cast(nn.Module, seen.model.encoder)(centred)
    found = [census.geometry(f, e, patch=settings["patch"]) for f, e in zip(features, encoded, strict=False)]
    return torch.stack(found).sum()


def flow_of(seen: Seen, source: str) -> Tensor:
    """The flow `[B, 4, H, W]` of a label, of the network itself, or of the teacher."""
    if source == "label":
        found = seen.batch.flow
    elif source == "own":
        found = seen.prediction.aux["flow"]
    else:
        found = seen.teacher.aux["flow"] if seen.teacher else None
    assert found is not None, "the objective checks what a term needs"
    return found


def distilled(seen: Seen, settings: Settings) -> Tensor:
    aux, label = seen.prediction.aux, flow_of(seen, settings["source"])
    return flow.flow_distillation(flow.enlarged(aux["flow"], label), coarser(aux), label, beta=settings["beta"])


def coarser(aux: Mapping[str, Tensor]) -> list[Tensor]:
    """The network's own flows but the finest."""
    return [value for name, value in sorted(aux.items()) if COARSE_FLOW.fullmatch(name)]


def endpoints(seen: Seen, settings: Settings) -> Tensor:
    aux, label = seen.prediction.aux, flow_of(seen, settings["source"])
    finest = flow.pyramid_error([aux["flow"]], label, power=settings["power"])
    if not settings["coarse"]:
        return finest
    return finest + settings["coarse"] * flow.pyramid_error(coarser(aux), label, power=settings["power"])


def endpoint_needs(settings: Settings) -> tuple[str, ...]:
    return ("coarse flows" if settings["coarse"] else "own flow", *SOURCES[settings["source"]])


def followed(seen: Seen, settings: Settings) -> Tensor:
    first, second = neighbours(seen)
    along = flow_of(seen, settings["source"])
    truth = seen.batch.target if settings["visible_only"] else None
    return flow.temporal(seen.prediction.frame, first, second, along, target=truth)


def smooth(seen: Seen, settings: Settings) -> Tensor:
    return flow.smoothness(seen.prediction.aux[settings["of"]], seen.batch.target, edges=settings["edges"])


def visibility(seen: Seen, settings: Settings) -> Tensor:  # noqa: ARG001
    aux = seen.prediction.aux
    small = [fit(frame, aux["flow_s4"]) for frame in neighbours(seen)]
    warped = [backward_warp(frame, aux["flow_s4"][:, 2 * i : 2 * i + 2]) for i, frame in enumerate(small)]
    return flow.occlusion(aux["visible_s4"], warped[0], warped[1], seen.batch.target)


def neighbours(seen: Seen) -> tuple[Tensor, Tensor]:
    """The two frames that flows lead to: those at 0 and 1, or, predicting, at -1 and 0."""
    spec = seen.model.spec
    at = spec.context.index(-1 if spec.predicts else 0)
    return seen.batch.frames[:, at], seen.batch.frames[:, at + 1]


def taught(seen: Seen, settings: Settings) -> Tensor:
    assert seen.teacher is not None, "the objective checks what a term needs"
    return terms.charbonnier(seen.prediction.frame, seen.teacher.frame, eps=settings["eps"])


SOURCES: Final = {"label": (LABEL,), "own": ("own flow",), "teacher": (TEACHER, f"{TEACHER} flow")}


def source(own: str = "") -> Callable[[Settings], tuple[str, ...]]:
    """What a term needs that follows a flow, beside a need of its own."""
    return lambda settings: (*([own] if own else []), *SOURCES[settings["source"]])


TERMS: Final[dict[str, Term]] = {
    "charbonnier": pictures("sqrt(d^2 + eps^2), a round L1", terms.charbonnier, eps=1e-3),
    "l1": pictures("absolute difference", terms.l1),
    "mse": pictures("squared difference", terms.mse),
    "log_mse": pictures("its logarithm, a picture at a time: PSNR, turned round", terms.log_mse, eps=1e-5),
    "census": pictures(
        "soft census of the grey picture: structure in any light", census.census, patch=7, luma=False, border=None
    ),
    "laplacian": pictures(
        "L1 of the band-passes of a Laplacian pyramid; blind to the overall brightness",
        terms.laplacian, blur="binomial", levels=5, choices={"blur": tuple(terms.BLURS)},
    ),
    "gradient": pictures("L1 of the Sobel gradients: edges", terms.gradient),
    "frequency": pictures("L1 of plain Fourier transforms; grows with the crop", terms.frequency),
    "focal_frequency": pictures("squared Fourier distance, the wrongest first", terms.focal_frequency, alpha=1.0),
    "colour": pictures("L1 of soft colour histograms", terms.colour, levels=64),
    "ssim": pictures("1 - SSIM 2-D", unlike(image.ssim_2d)),
    "ms_ssim": pictures("1 - MS-SSIM; crops of 161 pixels or more", unlike(image.ms_ssim)),
    "vgg": Term(
        "L1 of what a VGG sees: IFRVP's layers of vgg19, deformvfi's of vgg16",
        vgg, picture_needs, {**PICTURE, "net": "vgg19", "layers": None, "size": None},
        {"net": ("vgg19", "vgg16")}, vgg_files,
    ),
    "lpips": Term(
        "learned perceptual distance",
        looks, picture_needs, {**PICTURE, "net": "vgg"},
        {"net": ("vgg", "alex")}, lambda settings: (STACK[settings["net"]], HEADS[settings["net"]]),
    ),
    "geometry": Term(
        "soft census of the decoder's features against the encoder's of the target (IFRNet)",
        geometry, lambda _: ("features",), {"patch": 3},
    ),
    "flow_distillation": Term(
        "coarse flows follow a label as far as the task agrees with it (IFRNet)",
        distilled, source("coarse flows"), {"source": "label", "beta": 0.3}, {"source": ("label", "teacher")},
    ),
    "flow": Term(
        "endpoint error of the flow against a label, pixels; `coarse` weighs coarser flows, `power` below 1 is robust",
        endpoints, endpoint_needs, {"source": "label", "coarse": 0.0, "power": 1.0}, {"source": ("label", "teacher")},
    ),
    "smoothness": Term(
        "slope of a flow; with `edges` it may change where the picture does (LIFT)",
        smooth, lambda settings: (settings["of"],), {"of": "flow", "edges": 0.0},
    ),
    "occlusion": Term(
        "a neighbour is visible where it, warped, is nearer to the target than the other (LIFT)",
        visibility, lambda _: ("visibility",),
    ),
    "temporal": Term(
        "difference from both neighbours followed along a flow, where they are visible",
        followed, source(), {"source": "label", "visible_only": True}, {"source": ("label", "own", "teacher")},
    ),
    "teacher_frame": Term("Charbonnier distance from a teacher's frame", taught, lambda _: (TEACHER,), {"eps": 1e-3}),
    "teacher_flow": Term(
        "endpoint error against a teacher's flow, pixels",
        endpoints, endpoint_needs, {"source": "teacher", "coarse": 0.0, "power": 1.0}, {"source": ("teacher",)},
    ),
}  # fmt: skip
