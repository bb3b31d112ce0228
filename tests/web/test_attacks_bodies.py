"""What comes as a video, as options or as a range may be anything: nothing is kept, opened or made that must not be.

The requests themselves: test_attacks.py.
"""

from __future__ import annotations

import struct
import time

import pytest
from clips import Clip
from serving import get, head, post, refused, split

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../evil.mp4", "evil.mp4"),
        ("..%2f..%2fevil.mp4", "evil.mp4"),
        ("%252e%252e%252fevil.mp4", "%2e%2e%2fevil.mp4"),
        ("..%5c..%5cevil.mp4", "evil.mp4"),
        ("%2fetc%2fpasswd", "passwd"),
        ("evil%00.mp4", "evil.mp4"),
        ("evil%0d%0aX-Evil:%201.mp4", "evilX-Evil: 1.mp4"),
        ("%3Cimg%20src=x%20onerror=alert(1)%3E.mp4", "<img src=x onerror=alert(1)>.mp4"),
        ("tween-result.mp4", "tween-result.mp4"),
        ("job.json", "job.json"),
        ("%e2%80%aegnp.mp4", "gnp.mp4"),
        ("..", "video"),
        ("", "video"),
        ("a" * 900 + ".mp4", "a" * 96 + ".mp4"),
    ],
)
def test_a_name_is_text_to_show_and_never_a_path(house, clip, name, shown):
    status, job = house.upload(clip, name)
    try:
        assert (status, job["name"]) == (200, shown)
        kept = sorted(path.name for path in (house.folder / job["id"]).iterdir())
        assert kept[0] == "job.json"
        assert kept[1] in ("tween-upload", "tween-upload.mp4")
        status, top, _ = house.ask("GET", f"/jobs/{job['id']}")
        assert status == 200
        assert "x-evil" not in top
    finally:
        assert house.json("DELETE", f"/jobs/{job['id']}")[0] == 200


TOO_LARGE = ["2000000", "2147483648", "99999999999999999999"]


@pytest.mark.parametrize("length", TOO_LARGE)
def test_too_large_by_what_it_says_is_refused_before_it_comes(house, length):
    begun = time.monotonic()
    reply = refused(post(house, "/jobs?name=big.mp4", length=length), 413)
    assert b"less than 2 MB is taken here; try: the command line, or tween serve --max-upload" in reply
    assert time.monotonic() - begun < 0.9


def test_too_large_by_what_comes_is_refused_and_removed(house):
    own = (f"Host: 127.0.0.1:{house.port}", f"Origin: {house.origin}", "Transfer-Encoding: chunked")
    piece = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    reply = house.raw(head("POST", "/jobs?name=big.mp4", *own) + piece * 40 + b"0\r\n\r\n")
    if reply:  # else the connection was closed in our face while we were sending
        assert b"big.mp4 goes on and on; less than 2 MB is taken here" in refused(reply, 413)


def test_all_jobs_together_are_held_to_a_quota(house):
    ids = []
    try:
        for _ in range(4):
            status, told = house.upload(big_y4m(), "big.y4m")
            if status == 200:
                ids.append(told["id"])
        assert len(ids) in (2, 3)
        assert status == 413
        assert "6 MB are kept here; try: remove some of them, or tween serve --quota" in told["error"]
    finally:
        for one in ids:
            assert house.json("DELETE", f"/jobs/{one}")[0] == 200


def big_y4m():
    frame = b"FRAME\n" + bytes(320 * 180 * 3 // 2)
    return b"YUV4MPEG2 W320 H180 F24:1 C420jpeg\n" + frame * 21


LENGTHS = ["-1", "+5", "5, 6", "0x10", "5\r\nContent-Length: 6", "5\r\nTransfer-Encoding: chunked", "1e3", ""]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_that_is_none_is_refused(house, length):
    refused(post(house, "/jobs?name=x.mp4", body=b"hello", length=length), 0, 400, 408, 422)


@pytest.mark.parametrize(
    "kind", ["text/html", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "x" * 300]
)
def test_a_body_of_another_kind_is_refused(house, clip, kind):
    refused(post(house, "/jobs?name=x.mp4", f"Content-Type: {kind}", body=clip), 422)


def not_videos(house):
    secret = house.folder / house.job / "tween-upload.mp4"
    return {
        "nothing": b"",
        "a text": b"hello, this is a text\n" * 50,
        "a page": b"<!doctype html><script>alert(1)</script>" * 20,
        "a program": b"\x7fELF" + bytes(range(256)) * 20,
        "a playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode(),
        "a list of pieces": f"ffconcat version 1.0\nfile '{secret}'\n".encode(),
        "a relative list": f"ffconcat version 1.0\nfile ../{house.job}/tween-upload.mp4\n".encode(),
        "a session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "a manifest": f'<?xml version="1.0"?><MPD><Period><BaseURL>file://{secret}</BaseURL></Period></MPD>'.encode(),
        "a drawing": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{secret}"/></svg>'.encode(),
        "a zip": b"PK\x03\x04" + bytes(2000),
        "half a video": CLIP_HEAD,
    }


CLIP_HEAD = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0\0\x10\0moov"
WRONG = ["nothing", "a text", "a page", "a program", "a playlist", "a list of pieces", "a relative list", "a session",
         "a manifest", "a drawing", "a zip", "half a video"]  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("name", ["x.mp4", "x.m3u8"])
def test_what_is_no_video_is_refused_and_removed(house, what, name):
    if what == "nothing" and name == "x.m3u8":
        return
    status, told = house.upload(not_videos(house)[what], name)
    assert status == 422
    assert told["error"].startswith(name)
    assert "tween-upload" not in told["error"]
    assert str(house.folder) not in told["error"]


def bombs(tmp_path):
    gif = b"GIF89a" + struct.pack("<HH", 30000, 30000) + b"\xf0\0\0\0\0\0\xff\xff\xff!\xf9\x04\0\x0a\0\0\0,\0\0\0\0"
    many = Clip(frames=240, size=(16, 16)).make(tmp_path / "many.mp4").read_bytes()
    wide = Clip(frames=2, size=(1024, 1024)).make(tmp_path / "wide.mp4").read_bytes()
    return {
        "a header of 30000x30000": b"YUV4MPEG2 W30000 H30000 F25:1 C420jpeg\nFRAME\n" + bytes(4096),
        "an animation of 30000x30000": gif + struct.pack("<HH", 30000, 30000) + b"\0\x02\x02D\x01\0;",
        "more frames than are taken": many,
        "larger pictures than are taken": wide,
    }


BOMBS = ["a header of 30000x30000", "an animation of 30000x30000", "more frames than are taken",
         "larger pictures than are taken"]  # fmt: skip


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(house, tmp_path, what):
    begun = time.monotonic()
    status, told = house.upload(bombs(tmp_path)[what], "bomb.mp4")
    assert status in (413, 422), told
    assert told["error"].startswith("bomb.mp4")
    assert time.monotonic() - begun < 15


def test_hours_between_two_frames_make_no_hours_of_frames(house, tmp_path):
    video = Clip(frames=2, size=(16, 16), ticks=(0, 24 * 3600)).make(tmp_path / "hours.mp4").read_bytes()
    status, job = house.upload(video, "hours.mp4")
    if status != 200:
        return
    try:
        for verb in ("plan", "render", "measure"):
            status, told = house.json("POST", f"/jobs/{job['id']}/{verb}", {"rate": "60"})
            assert status == 413, told
            assert "frames would come out; 200 at most are made here" in told["error"]
    finally:
        house.json("DELETE", f"/jobs/{job['id']}")


BAD_JSON = {
    "half": b"{", "a list": b"[1]", "null": b"null", "a word": b'"rate"', "nothing": b"", "not text": b"\xff\xfe{}",
    "deep": b"[" * 15_000, "deep objects": b'{"a":' * 3_000, "long": b'{"rate":"' + b"6" * 20_000 + b'"}',
    "an object inside": b'{"rate": {"a": 1}}', "no number": b'{"times": NaN}', "a huge number": b'{"times": 1e999}',
    "many times": b'{"times": 1000000000}', "true": b'{"times": true}', "an unknown option": b'{"rates": "60"}',
    "an output": b'{"times": 2, "output": "/evil.mp4"}', "an input": b'{"times": 2, "input": "/etc/passwd"}',
    "a report": b'{"times": 2, "report": "/evil.json"}', "a curve": b'{"curve": "/etc/passwd"}',
    "a model by path": b'{"times": 2, "model": "../../evil.pth"}', "a model by file": b'{"times": 2, "model": "x.pth"}',
    "a model elsewhere": b'{"times": 2, "model": "/etc/passwd"}',
    "a fetched model": b'{"times": 2, "model": "rife-4.6@practical"}',
    "an endless rate": b'{"rate": "1e30"}', "a rate by nothing": b'{"rate": "1/0"}',
    "a hidden letter": b'{"rate": "60\\u0000"}', "a preset": b'{"times": 2, "preset": "fast:x264opts"}',
    "two kinds": b'{"times": 2, "slow": "2"}', "many digits": b'{"times": ' + b"9" * 6000 + b"}",
}  # fmt: skip


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON)
def test_what_cannot_be_asked_for_is_refused(house, body):
    for verb in ("plan", "render"):
        reply = post(house, f"/jobs/{house.job}/{verb}", "Content-Type: application/json", body=body)
        refused(reply, 409, 413, 422)


RANGES = [
    "bytes=" + ",".join("0-0" for _ in range(1000)), "bytes=0-0,1-1", "bytes=0-,0-,0-", "bytes=999999999-", "bytes=5-2",
    "bytes=a-b", "bytes=-", "bytes=" + "9" * 60 + "-", "lines=1-2", "bytes=--1", "bytes=0-0\r\nRange: bytes=1-1",
    "bytes=-99999999999999",
]  # fmt: skip


@pytest.mark.parametrize("span", RANGES)
@pytest.mark.parametrize("role", ["result", "before"])
def test_a_range_gives_no_more_than_the_file(house, span, role):
    file = house.folder / house.job / {"result": "tween-result.mp4", "before": "tween-upload.mp4"}[role]
    reply = get(house, f"/jobs/{house.job}/{role}", f"Range: {span}")
    status, _, body = split(reply)
    assert status in (200, 206, 400, 416), reply[:300]
    assert len(body) <= file.stat().st_size
    if status in (200, 206):
        assert file.read_bytes().endswith(body)


def test_an_honest_range_gives_its_part(house):
    whole = (house.folder / house.job / "tween-result.mp4").read_bytes()
    for span, part in (("0-9", whole[:10]), ("5-", whole[5:]), ("-7", whole[-7:])):
        status, top, body = split(get(house, f"/jobs/{house.job}/result", f"Range: bytes={span}"))
        assert (status, body) == (206, part)
        assert f"/{len(whole)}" in top


def test_every_answer_says_what_browsers_should_know(house):
    for path in ("/", "/page.js", "/about", "/nothing", f"/jobs/{house.job}/result", f"/jobs/{house.job}"):
        _, top, _ = split(get(house, path))
        assert "content-security-policy: default-src 'self';" in top
        assert "unsafe" not in top
        assert "frame-ancestors 'none'" in top
        for header in ("x-content-type-options: nosniff", "referrer-policy: no-referrer", "x-frame-options: deny",
                       "cross-origin-resource-policy: same-origin",
                       "cross-origin-opener-policy: same-origin"):  # fmt: skip
            assert header in top
        assert "access-control-allow" not in top
        assert "\r\nserver:" not in top


def test_a_symbolic_link_in_a_job_is_not_followed(house):
    file = house.folder / house.job / "tween-result.mp4"
    kept = file.read_bytes()
    file.unlink()
    file.symlink_to("/etc/passwd")
    try:
        refused(get(house, f"/jobs/{house.job}/result"), 404)
    finally:
        file.unlink()
        file.write_bytes(kept)
