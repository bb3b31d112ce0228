"""The worst and the best of an evaluation as HTML: crops, an error map, motion, a slider between ours and truth."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import Final

from PIL import Image
from torch import Tensor

from . import look
from .gallery import Gallery, Shot
from .sections import score_words

# (WebP quality, of how many a gallery's pictures are kept): tried in turn until a page is small enough.
PRESSES: Final = ((90, 1.0), (80, 1.0), (65, 1.0), (50, 1.0), (50, 0.7), (40, 0.45), (30, 0.25), (25, 0.1))
METHOD: Final = 1  # of WebP: half the time of the usual 4, for 2 % more bytes
TRIED: Final = 4  # shots that tell whether the others are worth pressing
WORDS: Final = 900  # bytes around a picture
Pressed = dict[int, dict[str, str]]  # id of a shot -> picture -> data URI


def fitted(galleries: Sequence[Sequence[Shot]], budget: int) -> Pressed:
    """The pictures of galleries as data URIs, as good as `budget` bytes allow; shots that do not fit are not in it."""
    for quality, part in PRESSES:
        shots = [shot for gallery in galleries for shot in _thinned(gallery, part)]
        tried = shots[:: max(1, len(shots) // TRIED)]
        if _bytes({id(shot): _pictures(shot, quality) for shot in tried}) * len(shots) > 1.25 * budget * len(tried):
            continue
        pressed = {id(shot): _pictures(shot, quality) for shot in shots}
        if _bytes(pressed) <= budget:
            return pressed
    return {}


def _bytes(pressed: Pressed) -> int:
    """Of the cards: the pictures and the words around each."""
    return sum(len(data) + WORDS for of_shot in pressed.values() for data in of_shot.values())


def _thinned(shots: Sequence[Shot], part: float) -> Sequence[Shot]:
    return shots[: max(1, round(len(shots) * part))]


def _pictures(shot: Shot, quality: int) -> dict[str, str]:
    found = {
        "ours": shot.ours,
        "truth": shot.truth,
        "error": look.error_map(shot.ours, shot.truth),
        "inputs": shot.inputs,
        "motion": shot.motion,
        "whole": shot.whole,
    }
    return {name: uri(picture, quality) for name, picture in found.items() if picture is not None}


def uri(picture: Tensor, quality: int) -> str:
    """uint8 `[3, H, W]` -> a WebP picture as `data:image/webp;base64,...`."""
    stored = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(stored, "WEBP", quality=quality, method=METHOD)
    return f"data:image/webp;base64,{base64.b64encode(stored.getvalue()).decode()}"


def cases(galleries: Sequence[Gallery | None], labels: Sequence[str], pressed: Pressed) -> str:
    """Cards of every gallery, or "" where there is nothing to show."""
    parts = []
    for gallery, label in zip(galleries, labels, strict=True):
        if gallery is None:
            continue
        for title, shots in ((f"{label}: the worst", gallery.worst), (f"{label}: the best", gallery.best)):
            cards = [_card(shot, pressed[id(shot)], label) for shot in shots if id(shot) in pressed]
            if cards:
                parts.append(f'<h3>{escape(title)}</h3><div class="cases">{"".join(cards)}</div><br>')
    if not parts:
        return ""
    return _scales(any("motion" in found for found in pressed.values())) + "".join(parts)


def _scales(has_motion: bool) -> str:
    scale, circle = uri(look.error_scale(), 90), uri(look.wheel(), 90)
    parts = [
        f'<span>error:&nbsp;0 <img src="{scale}" width="128" height="10" alt="from black to bright">'
        f" {look.ERROR_TOP} levels of 255 and more</span>"
    ]
    if has_motion:
        parts.append(
            f'<span><img class="round" src="{circle}" width="56" height="56" alt="colour wheel">'
            " motion: hue and arrow are its direction, strength its length</span>"
        )
    return f'<div class="scales">{"".join(parts)}</div>'


_WORDS: Final = {
    "inputs": "inputs, overlaid",
    "ours": "ours",
    "truth": "truth",
    "error": "error",
    "motion": "motion",
}


def _card(shot: Shot, pictures: dict[str, str], label: str) -> str:
    name = f"{shot.row.name}, frame {shot.row.place}"
    scores = ", ".join(score_words(metric, value) for metric, value in shot.row.scores.items())
    strip = "".join(_figure(kind, pictures[kind], shot, name) for kind in _WORDS if kind in pictures)
    return (
        f'<article class="card case" data-name="{escape(name)}, {escape(label)}"><h3>{escape(name)}</h3>'
        f'<p class="scores">t = {shot.row.t:.4g} · {scores}</p><div class="split">'
        f'<div class="compare" hidden></div><div class="strip">{strip}{_whole(shot, pictures)}</div></div></article>'
    )


def _figure(kind: str, data: str, shot: Shot, name: str) -> str:
    words = _WORDS[kind] + (f", up to {shot.motion_px:.3g} px" if kind == "motion" else "")
    height, width = shot.box.height, shot.box.width
    return (
        f'<figure><button type="button"><img class="{kind}" src="{data}" alt="{escape(words)}: {escape(name)}" '
        f'width="{width}" height="{height}"></button><figcaption>{escape(words)}</figcaption></figure>'
    )


def _whole(shot: Shot, pictures: dict[str, str]) -> str:
    if "whole" not in pictures or shot.whole is None:
        return ""
    height, width = shot.size
    box = shot.box
    place = (
        f"left:{100 * box.left / width:.2f}%;top:{100 * box.top / height:.2f}%;"
        f"width:{100 * box.width / width:.2f}%;height:{100 * box.height / height:.2f}%"
    )
    return (
        f'<figure><span class="where"><img src="{pictures["whole"]}" alt="the whole picture; the crop is marked" '
        f'width="{shot.whole.shape[2]}" height="{shot.whole.shape[1]}"><i style="{place}"></i></span>'
        f"<figcaption>where, of {width}x{height}</figcaption></figure>"
    )
