"""The report: a page of its own, whatever the figures are and whatever clips are called."""

import base64
import io
import math
import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

from tween.errors import CannotWrite
from tween.evaluate import charts, look
from tween.evaluate.gallery import Gallery
from tween.evaluate.report import discreet, discreet_word, page, unlike, write_report
from tween.evaluate.result import Case, Result, Row

VOID = {"meta", "img", "input", "br", "link", "hr"}
EVIL = "<script>alert('x')</script>\"&"


class Page(HTMLParser):
    """Reads a page as strictly as a reader of ours can: every tag that opens closes, in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID and tag not in {"circle", "line", "path", "polygon", "polyline"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in {"circle", "line", "path", "polygon", "polyline"}:
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def named(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def case(k=0, *, name="clip", group="group", psnr=30.0, size=(40, 48), flow=True, place=1, t=0.5, **scores):
    random = torch.Generator().manual_seed(k)
    truth = torch.rand(3, *size, generator=random)
    ours = (truth + 0.1 * torch.randn(3, *size, generator=random)).clamp(0, 1)
    aux = {"flow": torch.full((4, *size), 1.5)} if flow else {}
    row = Row(name, group, place, t, {"psnr": psnr, **scores})
    return Case(row, torch.stack([truth, ours]), ours, truth, aux)


def run(cases, **facts):
    gallery = Gallery()
    for one in cases:
        gallery(one)
    return Result("dis", "middlebury", rows=[one.row for one in cases], **facts), gallery


def test_a_page_stands_alone(tmp_path):
    result, gallery = run([case(k, name=f"clip {k}", group=f"g{k % 3}", psnr=20.0 + k) for k in range(9)])
    path = tmp_path / "out.html"
    write_report([result], gallery, path, command=["tween", "evaluate", "dis", "--root", "/home/me/sets/mb"])
    text = path.read_text("utf-8")
    shown = Page(text)
    assert [p.name for p in tmp_path.iterdir()] == ["out.html"]
    for tag, attrs in shown.tags:
        assert not {"href", "src"} & attrs.keys() or attrs.get("href", "#").startswith("#"), (tag, attrs)
        assert attrs.get("src", "data:").startswith("data:")
        assert tag != "link"
    assert "//" not in re.sub(r"data:image/webp;base64,[A-Za-z0-9+/=]+|<script>.*</script>", "", text, flags=re.S)
    assert "@import" not in text
    assert "url(" not in text
    assert len(set(shown.ids)) == len(shown.ids)
    anchors = {attrs["href"][1:] for attrs in shown.named("a")}
    assert anchors <= set(shown.ids)
    assert {"means", "charts", "cases", "groups", "field", "rows", "facts"} == anchors


def test_what_is_seen_has_words_for_those_who_do_not_see():
    result, gallery = run([case(k, name=f"clip {k}", group=f"g{k}") for k in range(4)])
    shown = Page(page([result], [gallery]))
    assert all(attrs.get("alt") for attrs in shown.named("img") if attrs["src"] != "data:,")
    charts_shown = [attrs for attrs in shown.named("svg") if "chart" in attrs.get("class", "")]
    assert len(charts_shown) == 2
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts_shown)
    assert shown.named("html") == [{"lang": "en"}]


def test_a_clip_may_be_called_anything():
    cases = [case(k, name=EVIL + str(k), group=EVIL, psnr=30 + k) for k in range(2)] + [case(9, group="b")]
    result, gallery = run(cases, broken=[(EVIL, EVIL)], notes=[EVIL])
    result.model, result.protocol, result.backend = EVIL, EVIL, EVIL
    text = page([result, result], [gallery, gallery], command=["tween", EVIL])
    shown = Page(text)
    assert len(shown.named("script")) == 1
    assert "alert(" in "".join(shown.text)
    assert not re.search(r"<script>alert", text)
    assert all('"' not in attrs.get("class", "") for _, attrs in shown.tags)


def test_the_script_cannot_be_ended_by_a_word_of_the_page():
    shown = Page(page([Result("$title", "$body")], [None]))
    assert "$title on $body" in "".join(shown.text)


@pytest.mark.parametrize(
    "values", [[], [30.0], [math.inf], [math.nan], [math.nan, math.inf, 12.0], [30.0, 30.0], [1e300, 1e-300]]
)
def test_any_figures_make_a_page(values):
    result, gallery = run([case(k, name=f"c{k}", group=f"g{k}", psnr=value) for k, value in enumerate(values)])
    text = page([result, result], [gallery, None])
    Page(text)
    for number in re.findall(r'(?:x|y|cx|cy|points|d)="([^"]*)"', text):
        assert "nan" not in number
        assert "inf" not in number


def test_no_result_at_all():
    assert "nothing on nothing" in page([], [])


@pytest.mark.slow
def test_a_large_set_stays_small():
    """Noise cannot be pressed; 379 pictures of it and two models."""
    runs = []
    for model in ("dis", "blend"):
        gallery = Gallery()
        rows = []
        for k in range(379):
            row = Row(f"{k:04d}", f"{k:04d}", 1, 0.5, {"psnr": 20 + k % 17, "ssim_3d": 0.9})
            rows.append(row)
            if k % 17 in (0, 16):
                gallery(case(k, name=row.name, psnr=row.scores["psnr"], size=(192, 192))._replace(row=row))
        runs.append((Result(model, "ucf101", rows=rows), gallery))
    text = page([r for r, _ in runs], [g for _, g in runs])
    assert len(text.encode()) < 5_000_000
    assert text.count('<article class="card case"') > 8
    small = page([r for r, _ in runs], [g for _, g in runs], limit=700_000)
    assert len(small.encode()) < 700_000
    assert 0 < small.count('<article class="card case"') < text.count('<article class="card case"')


def test_a_picture_is_what_it_says():
    result, gallery = run([case(1, size=(48, 64)), case(2, size=(48, 64))])
    shown = Page(page([result], [gallery]))
    by_class = {attrs.get("class"): attrs for attrs in shown.named("img")}
    assert {"inputs", "ours", "truth", "error", "motion"} <= by_class.keys()
    stored = base64.b64decode(by_class["truth"]["src"].partition(",")[2])
    with Image.open(io.BytesIO(stored)) as picture:
        assert picture.size == (64, 48)
        assert (by_class["truth"]["width"], by_class["truth"]["height"]) == ("64", "48")


def test_broken_pictures_are_told():
    result, _ = run([case()], broken=[("000/0007", "im2.png is missing")])
    text = page([result], [None])
    assert "000/0007" in text
    assert "im2.png is missing" in text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/home/me/set/im2.png cannot be decoded", "im2.png cannot be decoded"),
        ("/home/John Smith/set/im2.png cannot be decoded; try", "im2.png cannot be decoded; try"),
        ("'../set/a b.png' is missing", "'a b.png' is missing"),
        ("C:\\Users\\me\\im2.png is missing", "im2.png is missing"),
        ("~/runs/best.safetensors", "best.safetensors"),
        ("00001/0004", "00001/0004"),
        ("30000/1001 fps, and/or more", "30000/1001 fps, and/or more"),
    ],
)
def test_folders_stay_private(text, wanted):
    assert discreet(text) == wanted


@pytest.mark.parametrize(
    ("word", "wanted"),
    [("/home/me/mb", "mb"), ("../a/b/", "b"), ("--root=/home/me/mb", "--root=mb"), ("--set", "--set"), ("dis", "dis")],
)
def test_a_command_tells_only_names(word, wanted):
    assert discreet_word(word) == wanted


def test_the_page_tells_no_folder():
    result, gallery = run([case()], broken=[("a/b", "/secret/place/im1.png is missing")], notes=["/secret/note.txt"])
    result.model = "/secret/runs/best.safetensors"
    text = page([result], [gallery], command=["tween", "evaluate", "/secret/runs/best.safetensors"])
    assert "secret" not in text
    assert "best.safetensors" in text


def test_a_report_that_cannot_be_written(tmp_path):
    with pytest.raises(CannotWrite, match=r"out\.html cannot be written .*; try: another place for the report"):
        write_report([], None, tmp_path / "no" / "out.html")
    (tmp_path / "here.html").mkdir()
    with pytest.raises(CannotWrite):
        write_report([], None, tmp_path / "here.html")
    assert [p.name for p in tmp_path.iterdir()] == ["here.html"]


def test_published_figures_stand_beside_ours():
    result, _ = run([case()])
    text = page([result], [None])
    assert "IFRNet large" in text
    assert "38.18" in text
    assert "Our protocol was not held against theirs in full." in text
    result.checked = True
    assert "Our protocol was held against theirs." in page([result], [None])
    result.protocol = "video"
    assert "Copied, not measured here" not in page([result], [None])


def test_names_are_told_apart():
    results = [Result("dis", "x"), Result("dis", "x", backend="openvino"), Result("dis", "x"), Result("blend", "x")]
    told = unlike([r.model for r in results], results)
    assert told == ["dis (torch, fp32) #1", "dis (openvino, fp32)", "dis (torch, fp32) #3", "blend"]


def test_model_against_model_counts_wins():
    one, _ = run([case(k, name=f"c{k}", psnr=30 + k) for k in range(5)])
    two, _ = run([case(k, name=f"c{k}", psnr=32.0) for k in range(5)])
    two.model = "blend"
    assert "blend is better on 2 of 5 pictures." in page([one, two], [None, None])


def test_several_instants_have_a_curve():
    cases = [case(k, name=f"c{k}", place=k, t=k / 8, psnr=30 + k) for k in range(1, 8)]
    result, _ = run(cases)
    text = page([result], [None])
    assert "Means at each instant of the gap." in text
    result.is_prediction = True
    assert "Running means" in page([result], [None])


# --- the gallery


def test_a_gallery_keeps_the_extremes():
    gallery = Gallery(worst=3, best=2)
    values = [25.0, 31.0, 22.0, math.inf, 28.0, math.nan, 35.0, 27.0, 33.0, 30.0]
    for k, value in enumerate(values):
        gallery(case(k, name=f"c{k}", psnr=value))
    assert [shot.row.name for shot in gallery.worst] == ["c5", "c2", "c0"]
    assert [shot.row.name for shot in gallery.best] == ["c3", "c6"]


def test_a_gallery_knows_that_errors_are_bad():
    gallery = Gallery(worst=1, best=1, metric="ie")
    for k, value in enumerate([3.0, 9.0, 1.0, 5.0]):
        gallery(case(k, name=f"c{k}", ie=value))
    assert (gallery.worst[0].row.name, gallery.best[0].row.name) == ("c1", "c2")


def test_one_bad_clip_does_not_fill_a_gallery():
    gallery = Gallery(worst=3, best=0)
    for k in range(20):
        gallery(case(k, name="bad", place=k, psnr=10 + k / 10))
        gallery(case(k, name=f"c{k}", psnr=30 + k))
    assert [(shot.row.name, shot.row.place) for shot in gallery.worst] == [("bad", 0), ("c0", 1), ("c1", 1)]
    alone = Gallery(worst=3, best=0)
    for k in range(20):
        alone(case(k, name="film", place=k, psnr=30 - k))
    assert [shot.row.place for shot in alone.worst] == [19, 18, 17]


def test_no_case_is_both_worst_and_best():
    gallery = Gallery(worst=12, best=6)
    for k in range(5):
        gallery(case(k, name=f"c{k}", psnr=30 + k))
    worst, best = [[shot.row.name for shot in shots] for shots in (gallery.worst, gallery.best)]
    assert (worst, best) == (["c0", "c1", "c2"], ["c4", "c3"])


def test_a_gallery_holds_crops_only():
    gallery = Gallery(worst=2, best=1, side=32)
    gallery(case(size=(200, 300)))
    shot = gallery.worst[0]
    assert shot.ours.shape == shot.truth.shape == shot.inputs.shape == shot.motion.shape == (3, 32, 32)
    assert shot.ours.dtype == torch.uint8
    assert shot.ours.untyped_storage().nbytes() == 3 * 32 * 32


# --- pictures


def test_the_crop_is_where_it_is_worst():
    truth = torch.zeros(3, 100, 150)
    ours = truth.clone()
    ours[:, 64:96, 100:132] = 1
    box = look.worst_box(ours, truth, 32)
    assert box == (64, 100, 32, 32)
    assert look.worst_box(ours, truth, 256) == (0, 0, 100, 150)
    errors = {(t, le): float(ours[0, t : t + 20, le : le + 20].sum()) for t in range(81) for le in range(131)}
    assert errors[look.worst_box(ours, truth, 20)[:2]] == max(errors.values())


def test_an_error_grows_brighter():
    truth = torch.zeros(3, 1, 80, dtype=torch.uint8)
    ours = torch.arange(80, dtype=torch.uint8).expand(3, 1, 80)
    bright = look.error_map(ours, truth).float()[:, 0].T @ torch.tensor([0.2126, 0.7152, 0.0722])
    assert bright[0] < 2
    assert (bright[1:65] > bright[:64]).all()
    assert (bright[64:] == bright[64]).all()


def test_motion_is_white_at_rest_and_red_to_the_right():
    moved = torch.zeros(2, 8, 8)
    moved[0, :, 4:] = 5.0
    picture = look.motion_picture(moved, 5.0)
    assert picture[:, 1, 1].tolist() == [255, 255, 255]
    assert picture[:, 1, 6].tolist() == [255, 0, 0]
    flow = torch.stack([torch.full((4, 4), v) for v in (-2.0, 1.0, 2.0, -1.0)])
    assert look.motion(flow)[:, 0, 0].tolist() == [4.0, -2.0]


# --- charts


def test_marks_lie_where_their_values_are():
    axis = charts.Axis([10.0, 20.0], 0, 100)
    assert axis.at(15.0) == pytest.approx(50)
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks())
    logarithmic = charts.Axis([1.0, 100.0], 0, 100, is_log=True)
    assert logarithmic.at(10.0) == pytest.approx(50)
    assert logarithmic.ticks() == [1, 5, 20, 100] or 10 in logarithmic.ticks()


def test_a_histogram_counts_everyone():
    drawing = charts.histogram({"a": [1.0] * 7 + [2.0] * 3}, title="t", unit="dB")
    heights = [float(v) for v in re.findall(r"V([\d.]+)H", drawing)]
    base, top = max(heights), min(heights)
    others = sorted({h for h in heights if h not in (base, top)})
    assert len(others) == 1
    assert (base - others[0]) / (base - top) == pytest.approx(3 / 7, abs=0.01)


def test_series_are_told_apart_without_colour():
    shapes = [re.sub(r"s\d", "", charts.mark(charts.Point(10, 10, k))) for k in range(charts.COLOURS)]
    assert len(set(shapes)) == charts.COLOURS
