"""What a server takes, and in which words it refuses the rest: laws that need no server."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tween.cli.main import main
from tween.errors import BadOption, MissingFile, TooMuch, TweenError, UnknownModel
from tween.web.asked import called, checked, config_for, upload_in
from tween.web.guard import names_of
from tween.web.jobs import Jobs, harmless
from tween.web.serve import address
from tween.web.settings import Settings, bytes_of, is_loopback, said_bytes, token_for


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_this_machines_own_address_needs_no_token(host):
    assert is_loopback(host)
    assert token_for(host) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "localhost.evil", ""])
def test_every_other_address_gets_a_new_token_of_many_bits(host):
    first, second = token_for(host), token_for(host)
    assert first != second
    assert len(first) >= 32
    assert first in address(Settings(host=host, token=first))


def test_a_server_is_called_by_its_own_names_alone():
    assert names_of("127.0.0.1") == {"127.0.0.1", "localhost", "[::1]"}
    assert "192.168.1.5" in names_of("192.168.1.5")
    assert "127.0.0.1" not in names_of("192.168.1.5")


@pytest.mark.parametrize(("text", "amount"), [("2GB", 2 * 10**9), ("500 mb", 5 * 10**8), ("1.5kB", 1500), ("42", 42)])
def test_amounts_of_bytes(text, amount):
    assert bytes_of(text, "--quota") == amount


@pytest.mark.parametrize("text", ["", "GB", "-1", "0", "2 elephants", "1e9", "0GB"])
def test_what_is_no_amount_is_told(text):
    with pytest.raises(BadOption) as told:
        bytes_of(text, "--quota")
    assert str(told.value) == f"--quota {text}; an amount such as 500MB or 2GB is needed; try: --quota 2GB"


def test_amounts_are_said_in_three_digits():
    assert [said_bytes(n) for n in (7, 2_000_000_000, 2**31, 1_234_567)] == ["7 bytes", "2 GB", "2.15 GB", "1.23 MB"]


@given(st.text(max_size=300))
def test_a_name_is_one_line_of_text_and_no_path(text):
    name = harmless(text)
    assert 0 < len(name) <= 100
    assert name.isprintable()
    assert not set("/\\\0\r\n") & set(name)
    assert name not in (".", "..")
    assert harmless(name) == name


@given(st.text(max_size=80))
def test_an_upload_lies_in_its_folder_under_a_fixed_name(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp()
    path = upload_in(folder, harmless(text))
    assert path.parent == folder
    assert path.name.startswith("tween-upload")
    assert path.resolve().parent == folder.resolve()


def test_options_are_those_of_the_command_line(tmp_path):
    options = checked({"times": 2, "model": "dis", "codec": "ffv1", "start": "", "end": None})
    assert options == {"times": 2, "model": "dis", "codec": "ffv1"}
    config = config_for(tmp_path, "my clip.mp4", options)
    assert config.input == tmp_path / "tween-upload.mp4"
    assert config.output == tmp_path / "tween-result.mkv"
    assert (config.times, config.model, config.codec) == (2, "dis", "ffv1")
    assert called("my clip.mp4", options) == "my clip-x2.mkv"


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({}, BadOption, "nothing was asked for; say which frames you want; try: --rate 60, --times 2 or --slow 4"),
        ({"rates": "60"}, BadOption, "an option 'rates' (did you mean rate, crf?); one of the page's is needed"),
        ({"times": 0}, BadOption, "--times 0; a whole number from 1 to 64 is needed"),
        ({"times": "2"}, BadOption, "--times 2; a whole number from 1 to 64 is needed"),
        ({"rate": 60}, BadOption, "--rate 60; a text of 40 letters at most is needed"),
        ({"times": 2, "cuts": "x"}, BadOption, "--cuts x; one of hold, blend, off is needed"),
        ({"times": 2, "model": "a/b"}, UnknownModel, "no model is called a/b; a name of `tween models` is needed"),
    ],
)
def test_what_cannot_be_asked_for_is_told(options, kind, words):
    with pytest.raises(kind) as told:
        checked(options)
    assert str(told.value).startswith(words.partition(" (did")[0])
    assert str(told.value).endswith(words.rpartition(") ")[2] if "(did" not in words else "one of the page's is needed")


def shelf(tmp_path, **settings):
    jobs = Jobs(Settings(folder=tmp_path / "jobs", **settings))
    jobs.open()
    return jobs


def test_room_is_told_before_anything_is_written(tmp_path):
    async def run():
        jobs = shelf(tmp_path, max_upload=1000, quota=1500, most_uploads=2)
        with pytest.raises(TooMuch, match=r"^a.mp4 has 1 kB; less than 1 kB is taken here; try: the command line, or"):
            jobs.new("a.mp4", 1000)
        jobs.new("a.mp4", 900)
        with pytest.raises(
            TooMuch, match=r"^all jobs together would have 1.8 kB; 1.5 kB are kept here; try: remove some"
        ):
            jobs.new("b.mp4", 900)
        jobs.new("b.mp4", None)
        with pytest.raises(TooMuch, match=r"^2 videos are being uploaded; one of them has to arrive first; try: again"):
            jobs.new("c.mp4", 10)
        with pytest.raises(MissingFile, match=r"^this job is not here; it was removed, or kept for its time$"):
            jobs.get("0" * 32)

    asyncio.run(run())


def test_jobs_are_found_again_and_what_is_none_is_left_alone(tmp_path):
    async def run():
        jobs = shelf(tmp_path)
        kept, half = jobs.new("kept.mp4", 10), jobs.new("half.mp4", 10)
        kept.state = "running"
        jobs.keep(kept)
        jobs.keep(half)
        stranger = tmp_path / "jobs" / "holiday"
        stranger.mkdir()
        link = tmp_path / "jobs" / ("a" * 32)
        link.symlink_to(stranger)
        broken = tmp_path / "jobs" / ("b" * 32)
        broken.mkdir()
        (broken / "job.json").write_text("{")
        again = shelf(tmp_path)
        assert [(job.name, job.state) for job in again.all()] == [("kept.mp4", "stopped")]
        assert stranger.is_dir()
        assert link.is_symlink()
        assert not broken.exists()
        assert not again.folder(half).exists()

    asyncio.run(run())


def test_a_job_that_was_not_touched_for_its_time_goes(tmp_path):
    async def run():
        jobs = shelf(tmp_path, keep_s=10)
        for state in ("ready", "running"):
            job = jobs.new(f"{state}.mp4", 10)
            job.state = state
            job.touched = time.time() - 11
        jobs.expire()
        assert [job.name for job in jobs.all()] == ["running.mp4"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--port", "70000"], "--port 70000; a number from 0 to 65535 is needed; try: --port 7860"),
        (["--keep", "0"], "--keep 0; hours are needed, a year at most; try: --keep 24"),
        (["--max-upload", "much"], "--max-upload much; an amount such as 500MB or 2GB is needed"),
        (["--host", "203.0.113.9", "--port", "0"], "an address of this machine and a free port are needed"),
    ],
)
def test_a_server_that_cannot_be_is_told(argv, words, capsys):
    assert main(["serve", *argv]) == 2
    assert words in capsys.readouterr().err


def test_without_its_packages_a_server_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", "--port", "0"]) == 2
    words = capsys.readouterr().err
    assert "tween serve without uvicorn; it needs fastapi, uvicorn and websockets" in words
    assert 'try: pip install "tween[web]"' in words


def test_every_mistake_of_the_page_is_a_users():
    assert issubclass(TooMuch, TweenError)
    assert TooMuch.exit_code == 2
