"""The page, driven as a person drives it, in a real browser against a real server."""

from __future__ import annotations

import re
import time
from fractions import Fraction

import pytest
from browsing import LOOK_MS, RENDER_MS, await_result, browser, download, send, visit
from clips import Clip
from serving import TOKEN, House

from tween.cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect


@pytest.fixture(scope="module")
def opened():
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    one = House(tmp_path_factory.mktemp("page") / "jobs")
    yield one
    one.end()
    assert "a fault of ours" not in one.log()
    assert "Traceback" not in one.log()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "my clip.mp4"
    return Clip(frames=24, size=(96, 160), sound=("aac",)).make(path)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "long.mp4"
    return Clip(frames=150, size=(180, 320), rate=Fraction(30)).make(path)


def by_command(path, target, *options):
    assert main(["interpolate", str(path), "-o", str(target), "--quiet", *options]) == 0
    return target.read_bytes()


def test_a_video_goes_in_and_the_command_lines_file_comes_out(opened, house, clip, tmp_path):
    with visit(opened, house) as page:
        send(page, clip)
        expect(page.locator("#facts")).to_contain_text("160×96 · 24 frames a second · 24 frames")
        expect(page.locator("#outcome")).to_contain_text("60 frames a second · 60 frames · 1 s long · by tweennet")
        expect(page.locator("#outcome")).to_contain_text("takes about", timeout=LOOK_MS)
        page.click("#render")
        expect(page.locator("#running")).to_be_visible()
        await_result(page)
        file, name = download(page, tmp_path / "downloaded.mp4")
        assert name == "my clip-60fps.mp4"
        assert file.read_bytes() == by_command(clip, tmp_path / "by-command.mp4", "--rate", "60")


@pytest.mark.long
def test_before_and_after_play_in_step_and_split_by_keyboard(opened, house, clip):
    with visit(opened, house) as page:
        send(page, clip)
        page.click("label[for=kind-slow]")
        page.click("label[for=slow-4]")
        expect(page.locator("#outcome")).to_contain_text("93 frames")
        page.click("#render")
        await_result(page)
        expect(page.locator("#clock")).to_have_text("0:00.00")
        page.wait_for_timeout(1000)
        page.focus("#split")
        for _ in range(10):
            page.keyboard.press("ArrowLeft")
        assert page.eval_on_selector("#compare", "one => one.style.getPropertyValue('--at')") == "40%"
        page.click("#next")
        page.wait_for_timeout(300)
        after, before = times(page)
        assert after == pytest.approx(1 / 24, abs=0.002)
        assert before == pytest.approx(after / 4, abs=0.03)
        page.click("#play")
        expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
        page.wait_for_timeout(1500)
        page.click("#play")
        after, before = times(page)
        assert after > 0.5
        assert before == pytest.approx(after / 4, abs=0.1)


def times(page):
    return page.evaluate(
        "[document.getElementById('after').currentTime, document.getElementById('before').currentTime]"
    )


@pytest.mark.long
def test_a_reload_in_the_middle_finds_the_job_again(opened, house, long_clip):
    with visit(opened, house) as page:
        send(page, long_clip)
        page.click("label[for=kind-times]")
        page.click("label[for=times-8]")
        page.click("#render")
        expect(page.locator("#running-words")).to_contain_text("%", timeout=LOOK_MS)
        address = page.url
        assert re.search(r"#job=[0-9a-f]{32}$", address)
        page.reload()
        expect(page.locator("#job-h")).to_have_text("long.mp4")
        expect(page.locator("#running-words")).to_contain_text("%")
        page.goto(f"{house.origin}/")  # the address has lost it, this tab has not
        expect(page.locator("#running-words")).to_contain_text("%")
        assert page.url == address or page.evaluate("sessionStorage.getItem('job')") in address
        with visit(opened, house) as other:  # and another browser finds it by its address
            other.goto(address)
            expect(other.locator("#running")).to_be_visible()
            other.click("#stop")
        expect(page.locator("#render")).to_have_text("Go on")


@pytest.mark.long
def test_a_stopped_render_goes_on_to_the_same_file(opened, house, long_clip, tmp_path):
    with visit(opened, house) as page:
        send(page, long_clip)
        page.click("label[for=kind-times]")
        page.click("label[for=times-4]")
        page.click("#render")
        expect(page.locator("#running-words")).to_contain_text(re.compile(r"(4|5|6|7)\d %"), timeout=RENDER_MS)
        page.click("#stop")
        expect(page.locator("#render")).to_have_text("Go on")
        expect(page.locator("#running")).to_be_hidden()
        expect(page.locator("#jobs li.open span")).to_contain_text("stopped")
        page.click("#render")
        await_result(page)
        expect(page.locator("#made")).to_contain_text("frames were finished before")
        file, _ = download(page, tmp_path / "downloaded.mp4")
        assert file.read_bytes() == by_command(long_clip, tmp_path / "by-command.mp4", "--times", "4")


def test_a_bad_file_is_told_in_the_command_lines_words(opened, house, tmp_path, capsys):
    bad = tmp_path / "holiday.mp4"
    bad.write_text("this is no video\n" * 100)
    assert main(["interpolate", str(bad), "--rate", "60"]) == 2
    words = capsys.readouterr().err.strip().splitlines()[-1].removeprefix("tween: ")
    with visit(opened, house, complains=True) as page:  # the browser notes the refusal itself
        page.set_input_files("#file", str(bad))
        expect(page.locator("#sending-error")).to_have_text(words, timeout=LOOK_MS)
        assert page.get_attribute("#sending-error", "role") == "alert"
        expect(page.locator("#drop")).to_be_visible()


def test_a_bad_choice_is_told_in_the_command_lines_words(opened, house, clip, capsys):
    assert main(["interpolate", str(clip), "--rate", "-3"]) == 2
    words = capsys.readouterr().err.strip().splitlines()[-1].removeprefix("tween: ")
    with visit(opened, house, complains=True) as page:
        send(page, clip)
        page.click("label[for=rate-own]")
        page.fill("#own-rate", "-3")
        expect(page.locator("#plan-error")).to_have_text(words)
        page.fill("#own-rate", "48")
        expect(page.locator("#plan-error")).to_be_hidden()
        expect(page.locator("#outcome")).to_contain_text("48 frames a second")


@pytest.mark.parametrize(("rate", "label"), [(60, "rate-120"), (120, "times-2")])
def test_what_is_suggested_makes_a_smooth_video_smoother(opened, house, tmp_path, rate, label):
    smooth = Clip(frames=12, size=(96, 160), rate=Fraction(rate)).make(tmp_path / "smooth.mp4")
    with visit(opened, house) as page:
        send(page, smooth)
        expect(page.locator(f"#{label}")).to_be_checked()
        expect(page.locator("#outcome")).to_contain_text(f"{2 * rate} frames a second")


def test_two_gigabytes_are_refused(opened, house, tmp_path):
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(2 << 30)
    before = len(list(house.folder.iterdir()))
    with visit(opened, house) as page:
        expect(page.locator("#limit")).to_contain_text("Less than 2 GB")
        page.set_input_files("#file", str(large))
        expect(page.locator("#sending-error")).to_contain_text("large.mp4 has 2.15 GB; less than 2 GB is taken here")
        expect(page.locator("#job")).to_be_hidden()
    assert len(list(house.folder.iterdir())) == before


@pytest.mark.long
def test_what_a_browser_cannot_play_is_shown_as_a_copy(opened, house, tmp_path):
    path = Clip(frames=12, size=(96, 160), codec="ffv1", pixel_format="yuv444p").make(tmp_path / "master.mkv")
    with visit(opened, house) as page:
        send(page, path)
        page.click("label[for=kind-times]")
        page.click("summary")
        page.select_option("#codec", "ffv1")
        page.click("#render")
        await_result(page)
        expect(page.locator("#compare-note")).to_contain_text("a copy of the first minute")
        expect(page.locator("#compare")).to_be_visible()
        page.wait_for_timeout(1000)
        ready = "[...document.querySelectorAll('.stack video')].map(one => [one.readyState >= 2, one.error])"
        assert page.evaluate(ready) == [[True, None], [True, None]]
        file, name = download(page, tmp_path / "downloaded.mkv")
        assert name == "master-x2.mkv"
        made = by_command(path, tmp_path / "by-command.mkv", "--times", "2", "--codec", "ffv1")
        assert len(file.read_bytes()) == len(made)
        assert frames_of(file) == frames_of(tmp_path / "by-command.mkv")


def frames_of(path):
    """Pictures and their times: Matroska writes a random number into every file."""
    from tween.video.doors import open_source

    with open_source(path) as source:
        return [(frame.pts, frame.data.numpy().tobytes()) for frame in source]


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_a_phone_shows_all_of_it(opened, house, clip, scheme):
    small = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": scheme}
    with visit(opened, house, **small) as page:
        send(page, clip)
        page.click("summary")
        fits(page)
        page.tap("#render")
        await_result(page)
        fits(page)
        paper = page.eval_on_selector("body", "one => getComputedStyle(one).backgroundColor")
        assert paper == {"light": "rgb(246, 245, 242)", "dark": "rgb(20, 22, 26)"}[scheme]


def fits(page) -> None:
    """Nothing sticks out sideways; what is touched is large enough."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    controls = page.locator(
        "button:visible, a.button:visible, select:visible, .pills label:visible, .tabs label:visible"
    )
    for box in [controls.nth(k).bounding_box() for k in range(controls.count())]:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert box["height"] >= 38


def test_it_all_works_by_keyboard(opened, house, clip):
    with visit(opened, house) as page:
        page.on("filechooser", lambda _: None)  # so that the browser is told now, not when the key is on its way
        page.keyboard.press("Tab")
        assert focused(page) == "a:To the page's content"
        for _ in range(5):
            page.keyboard.press("Tab")
        assert focused(page) == "input#file:"
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files(str(clip))
        expect(page.locator("#kind-rate")).to_be_focused(timeout=LOOK_MS)
        page.keyboard.press("ArrowRight")
        expect(page.locator("#kind-times")).to_be_checked()
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#times-3")).to_be_checked()
        page.keyboard.press("Enter")
        await_result(page)
        expect(page.locator("#download")).to_be_focused()
        expect(page.locator("#made")).to_contain_text("70 frames")


def focused(page):
    name = "one.tagName.toLowerCase() + (one.id ? '#' + one.id : '') + ':' + one.textContent"
    return page.evaluate(f"(one => {name})(document.activeElement)")


def test_an_answer_that_comes_late_does_not_undo_what_the_server_has_told_since(opened, house, clip):
    """The render is over before the answer to the request for it is here, which still calls it waiting."""
    with visit(opened, house) as page:
        send(page, clip)
        identity = re.search(r"#job=([0-9a-f]{32})$", page.url)[1]

        def late(route):
            answer = route.fetch()
            assert answer.json()["state"] == "waiting"
            house.wait(identity, "done")
            time.sleep(1)  # the page has been told
            route.fulfill(response=answer)

        page.route("**/render", late)
        with page.expect_response("**/render"):
            page.click("#render")
        page.wait_for_timeout(500)
        expect(page.locator("#result")).to_be_visible()
        expect(page.locator("#running")).to_be_hidden()
        expect(page.locator("#download")).to_be_focused()


@pytest.mark.long
def test_everything_that_is_touched_has_a_name(opened, house, clip):
    with visit(opened, house) as page:
        send(page, clip)
        nameless = page.evaluate(
            """[...document.querySelectorAll('input, select, button, progress, canvas, a, [role=region]')]
               .filter(one => !(one.getAttribute('aria-label') || one.getAttribute('aria-labelledby')
                                || one.textContent.trim() || one.labels?.length))
               .map(one => one.outerHTML)"""
        )
        assert nameless == []
        heads = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(one => one.tagName)")
        assert heads[0] == "H1"
        assert heads.count("H1") == 1
        assert page.get_attribute("html", "lang") == "en"
        for live in ("running-live", "sending-live", "outcome"):
            assert page.get_attribute(f"#{live}", "role") == "status"


@pytest.mark.long
def test_the_queue_waits_its_turn_and_can_be_emptied(opened, house, long_clip, clip):
    with visit(opened, house, removes=True) as page:
        page.on("dialog", lambda dialog: dialog.accept())
        for path in (long_clip, clip):
            send(page, path)
            page.click("label[for=kind-times]")
            page.click("label[for=times-8]")
            page.click("#render")
            expect(page.locator("#running")).to_be_visible()
        expect(page.locator("#running-words")).to_contain_text("Waiting for 1 other job")
        expect(page.locator("#jobs li.open span")).to_contain_text("waiting · 1 job before it")
        page.click("#stop")
        while count := page.locator("#jobs li").count():
            page.locator("#jobs li button").first.click()
            expect(page.locator("#jobs li")).to_have_count(count - 1)
        expect(page.locator("#no-jobs")).to_be_visible()
        expect(page.locator("#job")).to_be_hidden()
    assert [path.name for path in house.folder.iterdir()] == ["lock"]


@pytest.mark.long
def test_a_part_is_compared_with_that_part(opened, house, long_clip, tmp_path):
    with visit(opened, house) as page:
        send(page, long_clip)
        page.click("label[for=kind-slow]")
        page.click("summary")
        page.fill("#start", "1")
        page.fill("#end", "0:02")
        expect(page.locator("#outcome")).to_contain_text("about 59 frames · 1.97 s long", timeout=LOOK_MS)
        page.click("#render")
        await_result(page)
        page.wait_for_timeout(1500)
        after, before = times(page)
        assert after == 0
        assert before == pytest.approx(1, abs=0.05)
        page.click("#play")
        page.wait_for_timeout(1200)
        page.click("#play")
        page.wait_for_timeout(300)
        after, before = times(page)
        assert before == pytest.approx(1 + after / 2, abs=0.1)
        expect(page.locator("#mute")).to_be_hidden()
        file, _ = download(page, tmp_path / "downloaded.mp4")
        options = ("--slow", "2", "--start", "1", "--end", "0:02")
        assert file.read_bytes() == by_command(long_clip, tmp_path / "by-command.mp4", *options)


@pytest.mark.long
def test_a_video_can_be_dropped(opened, house, clip):
    with visit(opened, house) as page:
        page.evaluate(
            """(bytes) => {
                 const moved = new DataTransfer();
                 moved.items.add(new File([new Uint8Array(bytes)], 'dropped.mp4'));
                 const event = new DragEvent('drop', { dataTransfer: moved, bubbles: true, cancelable: true });
                 document.getElementById('drop').dispatchEvent(event);
               }""",
            list(clip.read_bytes()),
        )
        expect(page.locator("#job-h")).to_have_text("dropped.mp4", timeout=LOOK_MS)
        expect(page.locator("#facts")).to_contain_text("24 frames")


@pytest.mark.long
def test_the_printed_address_opens_the_page_and_no_other_does(opened, tmp_path, clip):
    house = House(tmp_path / "jobs", host="0.0.0.0", token=TOKEN)
    try:
        with visit(opened, house, complains=True) as page:
            expect(page.locator("body")).to_have_text("open the address that tween serve printed, with its token")
            page.goto(f"{house.origin}/?token={TOKEN}")
            assert page.url == f"{house.origin}/"
            send(page, clip)
            page.click("label[for=kind-times]")
            page.click("#render")
            await_result(page)
            assert TOKEN not in page.content()
            assert page.evaluate("document.cookie") == ""
    finally:
        house.end()


def test_the_models_are_listed_with_their_scores(opened, house):
    with visit(opened, house) as page:
        row = page.locator("#model-rows tr", has_text="ifrnet-b")
        expect(row).to_contain_text("35.80")
        few = page.locator("#model-rows tr").count()
        page.click("#all-models")
        expect(page.locator("#all-models")).to_have_attribute("aria-expanded", "true")
        assert page.locator("#model-rows tr").count() > few
