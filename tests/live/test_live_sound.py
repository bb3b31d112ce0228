"""Sound beside the picture: the samples of what is seen, silence where it is held, no device is no end."""

import time
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from clips import Clip

pytest.importorskip("pygame")
from tween.live import sound
from tween.live.sound import CHUNK, RATE, Speaker, Track
from tween.video.doors import open_source
from tween.video.looping import Looping

DELAY = Fraction(1, 20)
LATER = DELAY - sound.CARD_S  # what the card asks for then is heard when the picture is seen


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return Clip(frames=60, size=(48, 64), rate=Fraction(30), sound=("pcm_s16le",)).make(
        tmp_path_factory.mktemp("sound") / "beep.mov"
    )


@pytest.fixture(scope="module")
def samples(clip):
    """All of the file's sound `[n, 2]`."""
    return np.concatenate([block.samples for block in sound._decoded(str(clip))])


class Watch:
    """The machine's clock, which only the test moves."""

    def __init__(self, monkeypatch) -> None:
        self.time = Fraction(500)
        monkeypatch.setattr(sound, "now", lambda: self.time)

    def play(self, track, chunks: int) -> np.ndarray:
        """So many chunks, one after the other, as a card takes them."""
        taken = []
        for _ in range(chunks):
            taken.append(track.due(CHUNK))
            self.time += Fraction(CHUNK, RATE)
        return np.concatenate(taken)


def playing(source, begun=Fraction(500)):
    run = SimpleNamespace(pace=SimpleNamespace(delay=DELAY), is_paused=False)
    return SimpleNamespace(source=source, run=run, capture=SimpleNamespace(begun=begun, is_paced=True))


def ready(track, seconds):
    """Wait until so much is decoded."""
    end = time.monotonic() + 30
    while not track._blocks or track._end(track._blocks[-1]) < seconds:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def watch(monkeypatch):
    return Watch(monkeypatch)


@pytest.fixture
def track(watch, clip):  # noqa: ARG001
    with open_source(clip) as source:
        made = Track(playing(source))
        made.start()
        yield made
        made.stop()


def test_what_is_heard_is_what_is_seen(track, samples, watch):
    ready(track, Fraction(8, 10))
    watch.time += LATER + Fraction(1, 4)  # the picture of 0.25 s is shown now
    heard = watch.play(track, 20)
    assert np.array_equal(heard, samples[RATE // 4 :][: len(heard)])
    assert np.abs(heard).max() > 1000


def test_before_the_first_picture_it_is_silent(track, watch):
    ready(track, Fraction(1, 2))
    assert not watch.play(track, 1).any()  # 21 ms, heard from 21 on: the picture is 50 ms late


def test_while_the_picture_is_held_it_is_silent(track, samples, watch):
    ready(track, Fraction(8, 10))
    watch.time += LATER + Fraction(1, 4)
    assert watch.play(track, 4).any()
    track._session.capture.begun = None
    assert not watch.play(track, 10).any()
    track._session.capture.begun = watch.time - Fraction(1, 2)  # it goes on, at half a second
    watch.time += LATER
    heard = watch.play(track, 4)
    assert np.array_equal(heard, samples[RATE // 2 :][: len(heard)])


def test_a_card_whose_clock_runs_off_is_brought_back(track, samples, watch):
    ready(track, Fraction(8, 10))
    watch.time += LATER
    watch.play(track, 2)
    watch.time += Fraction(15, 1000)  # 15 ms: not worth a jump
    assert np.array_equal(watch.play(track, 1), samples[2 * CHUNK :][:CHUNK])
    watch.time += Fraction(100, 1000)
    place = round((watch.time - 500 - LATER) * RATE)
    assert np.array_equal(watch.play(track, 1), samples[place : place + CHUNK])


def test_a_loop_is_heard_again(clip, samples, watch):
    with Looping(lambda: open_source(clip)) as source:
        source.round_s = Fraction(2)  # as the picture told at the end of its first round
        track = Track(playing(source))
        track.start()
        watch.time += LATER + Fraction(3, 2)
        ready(track, Fraction(2) + Fraction(3, 10))
        heard = watch.play(track, 35)  # 0.75 s, over the seam
        track.stop()
    left = samples[3 * RATE // 2 : 2 * RATE]
    assert np.array_equal(heard[: len(left)], left)
    again = heard[RATE // 2 :]
    assert np.array_equal(again, samples[: len(again)])


def test_no_device_is_said_and_the_picture_goes_on(clip, monkeypatch):
    monkeypatch.setenv("SDL_AUDIODRIVER", "there-is-no-such-driver")
    said = []
    with open_source(clip) as source:
        session = playing(source)
        session.say = said.append
        with Speaker(session):
            pass
    assert len(said) == 1
    assert said[0].startswith("no sound here, the picture goes on alone: ")


def test_a_file_without_sound_opens_no_device(tmp_path):
    silent = Clip(frames=3, size=(48, 64)).make(tmp_path / "silent.mp4")
    with open_source(silent) as source, Speaker(playing(source)) as speaker:
        assert speaker._device is None


def test_a_device_plays_it(clip, monkeypatch):
    """SDL's own driver without a card asks for samples as one does."""
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    asked = []
    with open_source(clip) as source:
        session = playing(source, begun=sound.now())
        session.say = print
        real = Track.due
        monkeypatch.setattr(Track, "due", lambda self, count: asked.append(real(self, count)) or asked[-1])
        with Speaker(session):
            end = time.monotonic() + 30
            while not any(block.any() for block in asked):
                assert time.monotonic() < end
                time.sleep(0.05)
    assert all(len(block) == CHUNK for block in asked)
