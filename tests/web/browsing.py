"""A browser on a running server, which must not complain and must ask nobody else for anything."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
LOOK_MS = 120_000  # of a browser, and of a machine that has much else to do
RENDER_MS = 180_000
EXPECT_MS = 30_000


@contextmanager
def browser():
    """One browser for several pages."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    with playwright.sync_playwright() as running:
        playwright.expect.set_options(timeout=EXPECT_MS)
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *FAKE_CAMERA])
        yield opened
        opened.close()


@contextmanager
def visit(opened, house, *, complains: bool = False, removes: bool = False, **context):
    """A page of its own; at the end it has complained of nothing and asked nobody else. Where it `removes` jobs, what
    it asked of them just before may be gone when the answer comes, which the browser writes down by itself."""
    room = opened.new_context(accept_downloads=True, **context)
    page = room.new_page()
    page.set_default_navigation_timeout(90_000)  # ms: two busy cores start a browser in their own time
    words, foreign = [], []
    page.on("console", lambda message: words.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: words.append(str(error)))
    page.on("request", lambda request: None if is_own(house, request.url) else foreign.append(request.url))
    page.goto(f"{house.origin}/")
    try:
        yield page
        assert not foreign
        words = [word for word in words if not (removes and "404 (Not Found)" in word)]
        assert complains or not words, words
    finally:
        room.close()


def is_own(house, url: str) -> bool:
    return url.startswith((f"{house.origin}/", f"blob:{house.origin}/", f"ws://127.0.0.1:{house.port}/"))


def send(page, path) -> None:
    """Choose a video, and wait until the server has looked at it."""
    from playwright.sync_api import expect

    page.set_input_files("#file", str(path))
    expect(page.locator("#job-h")).to_have_text(path.name, timeout=LOOK_MS)
    expect(page.locator("#outcome")).not_to_be_empty(timeout=LOOK_MS)


def await_result(page) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#result")).to_be_visible(timeout=RENDER_MS)


def download(page, target):
    """The file that the download gives, and the name that it has."""
    with page.expect_download() as coming:
        page.click("#download")
    coming.value.save_as(target)
    return target, coming.value.suggested_filename
