"""An encoder that takes the highest priority there is for all that its caller does (SVT-AV1, run by root) gets none."""

import os
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Clip

from tween.video.doors import open_sink, open_source
from tween.video.priority import kept_priority
from tween.video.stream import Encoding

if not hasattr(os, "sched_getscheduler") or not Path("/proc/self/task").is_dir():
    pytest.skip("nobody does so here", allow_module_level=True)


def policies():
    return {int(task): os.sched_getscheduler(int(task)) for task in os.listdir("/proc/self/task")}


def opened():
    encoder = av.CodecContext.create("libsvtav1", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 128, 96, "yuv420p", Fraction(1, 30)
    encoder.options = {"preset": "13"}
    encoder.open()
    return encoder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take it")
def test_threads_of_av1_and_the_one_that_opens_it_stay_ordinary():
    before = policies()
    with kept_priority():
        encoder = opened()
        inside = os.sched_getscheduler(0)
    try:
        after = policies()
        assert inside == os.SCHED_FIFO, "the encoder no longer does so: this file and priority.py can go"
        assert len(after) > len(before)
        assert set(after.values()) == set(before.values()) == {os.SCHED_OTHER}
    finally:
        encoder.encode(None)


@pytest.mark.parametrize("policy", ["SCHED_RR", "SCHED_FIFO"])
def test_a_thread_that_is_a_real_time_one_by_its_own_will_stays_so(policy):
    own = getattr(os, policy)
    try:
        os.sched_setscheduler(0, own, os.sched_param(1))
    except PermissionError:
        pytest.skip("only root may take it")
    try:
        with kept_priority():
            opened().encode(None)
        assert (os.sched_getscheduler(0), os.sched_getparam(0).sched_priority) == (own, 1)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def test_a_whole_render_to_av1(tmp_path):
    source = Clip(frames=3, size=(64, 96)).make(tmp_path / "in.mkv")
    with (
        open_source(source) as read,
        open_sink(tmp_path / "out.mkv", like=read, encoding=Encoding(codec="av1", preset="13")) as sink,
    ):
        for frame in read:
            sink.write(frame)
            assert set(policies().values()) == {os.SCHED_OTHER}
    with av.open(str(tmp_path / "out.mkv")) as written:
        assert sum(1 for _ in written.decode(video=0)) == 3
