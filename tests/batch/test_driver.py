"""Whatever goes wrong with a worker, a disk, a film or a guess: every good film is finished, and the same."""

import json
import os
import shutil

import pytest
from clips import Clip
from inline_pool import run_inline
from test_resume import decoded, packets_of, with_cuts

from tween.batch import driver as driver_module
from tween.batch import film as film_module
from tween.batch.config import BatchConfig
from tween.pipeline import journal
from tween.pipeline.config import RenderConfig
from tween.pipeline.recipe import render
from tween.video import segments
from tween.video.shown import Shown, shown

SEGMENT = 8


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(journal, "SEGMENT_FRAMES", SEGMENT)


@pytest.fixture
def clip(tmp_path):
    return Clip(frames=30, sound=["aac"]).make(tmp_path / "clip.mp4")


@pytest.fixture
def straight(clip, tmp_path):
    render(RenderConfig(clip, tmp_path / "straight.mp4", times=2, model="blend"))
    return (tmp_path / "straight.mp4").read_bytes()


def asked(*inputs, **options):
    return BatchConfig(inputs=inputs, output=inputs[0].parent / "out", times=2, model="blend", **options)


def left_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".tween-batch.jsonl")


@pytest.mark.parametrize("said", [1, 2, 3, 5, 8])
@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_part_returns(clip, straight, tmp_path, said):
    totals = run_inline(asked(clip), seed=said, kill=lambda _, count: count == said)
    assert totals.exit_code == 0
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == straight
    assert left_in(tmp_path / "out") == ["clip.mp4"]
    assert "died while it rendered clip.mp4: killed" in totals.notes[0]


@pytest.mark.slow
def test_a_film_that_kills_every_worker_fails_alone(clip, straight, tmp_path):
    other = Clip(frames=10).make(tmp_path / "other.mp4")
    keep = []

    def kill(slot, _):
        task = [task for given, task in keep[1].given if given == slot][-1]
        return task.film == 1

    configs = asked(clip, other)
    from inline_pool import InlinePool

    class Kept(InlinePool):
        def __init__(self, *args, **options):
            keep.extend([None, self])
            super().__init__(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inline_pool.InlinePool", Kept)
        totals = run_inline(configs, kill=kill)
    assert [film.state for film in totals.films] == ["done", "failed"]
    assert "died while it rendered other.mp4" in totals.films[1].reason
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == straight


def stopping(frames):
    def watch(driver, _):
        if driver.films[0].frames >= frames:
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize("frames", [8, 24, 40])
@pytest.mark.slow
def test_a_driver_that_was_stopped_goes_on(clip, straight, tmp_path, frames):
    with pytest.raises(KeyboardInterrupt):
        run_inline(asked(clip), seed=frames, watch=stopping(frames))
    assert not (tmp_path / "out" / "clip.mp4").exists()
    finished = len(list((tmp_path / "out" / "clip.mp4.part").glob("*.packets")))
    keep = []
    totals = run_inline(asked(clip), keep=keep)
    assert totals.films[0].resumed >= frames
    made = sum(task.part.segments or 8 - task.part.number for _, task in keep[1].given)
    assert made <= 8 - finished
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == straight
    assert left_in(tmp_path / "out") == ["clip.mp4"]


@pytest.mark.slow
def test_interpolate_goes_on_with_a_batch_and_a_batch_with_interpolate(clip, straight, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_inline(asked(clip), workers=1, watch=stopping(24))
    out = tmp_path / "out" / "clip.mp4"
    report = render(RenderConfig(clip, out, times=2, model="blend"))
    assert report.resumed >= 16
    assert out.read_bytes() == straight

    out.unlink()

    def stop(status):
        if status.frames == 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(RenderConfig(clip, out, times=2, model="blend"), stop)
    totals = run_inline(asked(clip))
    assert totals.films[0].resumed >= 24
    assert out.read_bytes() == straight


@pytest.mark.slow
def test_results_are_sent_back_where_storage_is_not_shared(clip, straight, tmp_path):
    totals = run_inline(asked(clip), sees=False, seed=4)
    assert totals.exit_code == 0
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == straight


def test_small_films_come_back_too(tmp_path):
    clip = Clip(frames=4, sound=["aac"]).make(tmp_path / "clip.mp4")
    render(RenderConfig(clip, tmp_path / "straight.mp4", times=2, model="blend"))
    assert run_inline(asked(clip), sees=False).exit_code == 0
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == (tmp_path / "straight.mp4").read_bytes()


def test_pictures_need_shared_storage(tmp_path):
    clip = Clip(frames=4).make(tmp_path / "clip.mp4")
    render(RenderConfig(clip, tmp_path / "frames", times=1, model="blend"))
    totals = run_inline(asked(tmp_path / "frames"), sees=False)
    assert "storage that every worker sees is needed" in totals.films[0].reason
    assert run_inline(asked(tmp_path / "frames")).exit_code == 0
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 7


def full(monkeypatch, slots):
    """A disk that is full on some workers: what they write fails as it does there."""
    now, put = [], segments.PacketWriter._put

    def writing(self, data):
        if now and now[-1] in slots:
            raise OSError(28, "No space left on device")
        put(self, data)

    monkeypatch.setattr(segments.PacketWriter, "_put", writing)
    return lambda slot, _: now.append(slot)


@pytest.mark.slow
def test_a_full_disk_on_one_worker(clip, straight, tmp_path, monkeypatch):
    totals = run_inline(asked(clip), sabotage=full(monkeypatch, {1}))
    assert totals.exit_code == 0
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == straight
    assert any("worker 1 is left out: the disk of" in note for note in totals.notes)


@pytest.mark.slow
def test_a_full_disk_everywhere_is_told_and_gone_on_from(clip, straight, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run_inline(asked(clip), workers=1, watch=stopping(16))
    with monkeypatch.context() as patch:
        totals = run_inline(asked(clip), sabotage=full(patch, {0, 1, 2}))
    assert totals.exit_code == 1
    assert "the disk of" in totals.films[0].reason
    assert not (tmp_path / "out" / "clip.mp4").exists()
    totals = run_inline(asked(clip))
    assert totals.films[0].resumed >= 16
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == straight


@pytest.mark.slow
def test_a_corrupt_film_among_good_ones(clip, straight, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no film" * 500)
    totals = run_inline(asked(bad, clip))
    assert [film.state for film in totals.films] == ["failed", "done"]
    assert "bad.mp4 is no video that can be read" in totals.films[0].reason
    assert totals.exit_code == 1
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == straight
    assert left_in(tmp_path / "out") == ["clip.mp4"]


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
@pytest.mark.slow
def test_a_film_that_breaks_off_is_rendered_as_far_as_it_goes(tmp_path, suffix):
    whole = with_cuts(tmp_path / f"whole{suffix}", frames=40)
    torn = tmp_path / f"torn{suffix}"
    torn.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    out = ".mkv" if suffix == ".mkv" else ".mp4"
    straight = render(RenderConfig(torn, tmp_path / f"straight{out}", times=2, model="blend"))
    totals = run_inline(asked(torn))
    assert packets_of(tmp_path / "out" / f"torn{out}", "video") == packets_of(tmp_path / f"straight{out}", "video")
    if straight.damage is not None:
        assert totals.films[0].damage
        assert totals.exit_code == 1


LIES = {
    "too many": lambda pictures: [*pictures, *(Shown(p.pts + 9, False) for p in pictures)],
    "too few": lambda pictures: pictures[:13],
    "every second": lambda pictures: pictures[::2],
    "late": lambda pictures: [Shown(p.pts + 1, p.is_keyframe) for p in pictures],
    "a little late": lambda pictures: [Shown(p.pts + (p.pts / 1000), p.is_keyframe) for p in pictures],
    "none": lambda _: [],
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.slow
def test_packets_that_lie_change_nothing(clip, straight, tmp_path, monkeypatch, lie):
    """What packets say is a guess, checked at every seam."""
    monkeypatch.setattr(film_module, "shown", lambda source: LIES[lie](shown(source)))
    totals = run_inline(asked(clip), seed=2)
    assert totals.exit_code == 0, totals.films[0].reason
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == straight
    assert left_in(tmp_path / "out") == ["clip.mp4"]


@pytest.mark.slow
def test_detectors_that_have_not_settled_are_seen_at_the_seam(tmp_path, monkeypatch):
    """Entered too late, a cut detector remembers too little: such segments are made again."""
    from tween.batch import segments as batch_segments

    monkeypatch.setattr(batch_segments, "SETTLING", 0)
    clip = with_cuts(tmp_path / "clip.mp4", frames=60, every=50)
    straight = RenderConfig(clip, tmp_path / "straight.mkv", times=2, model="blend", codec="ffv1")
    render(straight)
    keep = []
    run_inline(asked(clip, codec="ffv1"), keep=keep)
    assert keep[0].films[0]._chain.wrong > 0
    assert decoded(tmp_path / "out" / "clip.mkv") == decoded(straight.output)


@pytest.mark.slow
def test_what_is_finished_is_skipped_and_what_is_there_is_refused(clip, tmp_path):
    other = Clip(frames=9).make(tmp_path / "other.mp4")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "other.mp4").write_bytes(b"the user's own")
    totals = run_inline(asked(clip, other))
    assert [film.state for film in totals.films] == ["done", "failed"]
    assert "other.mp4 is there already" in totals.films[1].reason
    assert (tmp_path / "out" / "other.mp4").read_bytes() == b"the user's own"
    before = (tmp_path / "out" / "clip.mp4").stat().st_mtime_ns

    (tmp_path / "out" / "other.mp4").unlink()
    totals = run_inline(asked(clip, other))
    assert [film.state for film in totals.films] == ["skipped", "done"]
    assert (tmp_path / "out" / "clip.mp4").stat().st_mtime_ns == before

    totals = run_inline(asked(clip, other, crf=30))
    assert [film.state for film in totals.films] == ["failed", "failed"]  # made otherwise: not what is asked for now
    totals = run_inline(asked(clip, other, crf=30, overwrite=True))
    assert [film.state for film in totals.films] == ["done", "done"]
    Clip(frames=31).make(clip)
    assert [film.state for film in run_inline(asked(clip, other, crf=30)).films] == ["failed", "skipped"]


@pytest.mark.slow
def test_workers_that_are_not_alike_do_not_share_a_film(clip, monkeypatch):
    from tween.batch import work

    ready, made = work.Worker.ready, []

    def other(self):
        made.append(self)
        said = ready(self)
        if len(made) == 2:
            return driver_module.Ready(**{**said.__dict__, "runs": "torch on cuda:0, fp16", "device": "cuda:0"})
        return said

    monkeypatch.setattr(work.Worker, "ready", other)
    totals = run_inline(asked(clip))
    assert totals.exit_code == 0
    assert "worker 1 is left out:" in totals.notes[0]
    assert "runs torch on cuda:0, fp16, others torch on cpu, fp32" in totals.notes[0]


def test_another_version_is_left_out_and_then_nobody_is_left(clip, monkeypatch):
    monkeypatch.setattr(driver_module, "__version__", "9.9")
    totals = run_inline(asked(clip))
    assert totals.exit_code == 1
    assert "no worker is left" in totals.films[0].reason
    assert "this machine 9.9" in totals.films[0].reason


@pytest.mark.slow
def test_the_ledger_survives_a_torn_line(clip, tmp_path):
    run_inline(asked(clip))
    ledger = tmp_path / "out" / ".tween-batch.jsonl"
    assert [*map(json.loads, ledger.read_text().splitlines())][-1]["bytes"]
    with ledger.open("a") as file:
        file.write('{"output": "cl')
    assert run_inline(asked(clip)).films[0].state == "skipped"


@pytest.mark.slow
def test_a_driver_that_was_killed_before_it_took_note(clip, straight, tmp_path):
    """The output is in its place, and the last line of the ledger is not."""
    run_inline(asked(clip))
    ledger = tmp_path / "out" / ".tween-batch.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text(lines[0])
    assert run_inline(asked(clip)).films[0].state == "skipped"
    (tmp_path / "out" / "clip.mp4").write_bytes(b"the user's own, from before")
    os.utime(tmp_path / "out" / "clip.mp4", (1, 1))
    totals = run_inline(asked(clip))
    assert "is there already" in totals.films[0].reason
    assert run_inline(asked(clip, overwrite=True)).exit_code == 0
    assert (tmp_path / "out" / "clip.mp4").read_bytes() == straight


@pytest.mark.slow
def test_storage_of_a_batch_that_died_is_removed(clip, tmp_path):
    left = tmp_path / "out" / ".tween-batch-0123"
    left.mkdir(parents=True)
    (left / "lock").touch()
    (left / "worker-1").mkdir()
    run_inline(asked(clip))
    assert left_in(tmp_path / "out") == ["clip.mp4"]
    shutil.rmtree(tmp_path / "out")
