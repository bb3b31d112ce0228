"""Footage is cut where it must be, and every frame that is thrown away has its reason."""

import json
import logging
import os

import numpy as np
import pytest
import torch
import trees
from clips import Clip as Made
from PIL import Image

from tween.data import gaps as gaps_room
from tween.data import remember
from tween.data.clips import PictureClip, VideoClip
from tween.data.gaps import Gaps, measured
from tween.data.index import index_of
from tween.data.mine import FOR_SCORES, WHY, Limits, cut_up, even_runs, mine, mined, repeats
from tween.data.sets import open_set
from tween.errors import WrongLayout

SIZE = (72, 128)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path / "home"))


def moving(k, seed=0, speed=3):
    """Picture k of a scene of its own, which wanders."""
    picture = np.random.default_rng(seed).integers(0, 255, (12, 20, 3)).astype(np.uint8)
    big = np.asarray(Image.fromarray(picture).resize((512, 320), Image.Resampling.BICUBIC))
    return big[20 : 20 + SIZE[0], 10 + speed * k : 10 + speed * k + SIZE[1]]


def clip_of(folder, pictures):
    folder.mkdir(exist_ok=True)
    paths = []
    for k, picture in enumerate(pictures):
        paths.append(str(folder / f"{k:04d}.png"))
        Image.fromarray(picture).save(paths[-1])
    return PictureClip("film", "film", tuple(paths))


def kept(found):
    return [(int(clip.name.rpartition("/")[2]), clip.length) for clip in found.clips]


def whys(found):
    return {(one.range.start, one.range.stop): one.why for one in found.thrown}


def accounted(found):
    """Frames in clips or thrown away, as the words add them up."""
    return found.frames - sum(len(one.range) for one in found.thrown)


def test_a_moving_shot_is_kept_whole(tmp_path):
    found = mine(clip_of(tmp_path / "a", [moving(k) for k in range(14)]))
    assert kept(found) == [(0, 14)]
    assert found.thrown == []
    assert found.words() == ("kept 14 of 14 frames in 1 clip",)


def test_cuts_part_clips_and_what_is_between_is_told(tmp_path):
    shots = [(0, 12), (1, 4), (2, 11)]
    clip = clip_of(tmp_path / "a", [moving(k, seed) for seed, count in shots for k in range(count)])
    found = mine(clip)
    assert kept(found) == [(0, 12), (16, 11)]
    assert whys(found) == {(12, 16): "between cuts too close to each other"}
    assert found.words()[1] == "left out: 4 frames that lie between cuts too close to each other"
    assert [kept(mine(clip, FOR_SCORES)), found.clips[1].group] == [[(0, 12), (12, 4), (16, 11)], "film"]
    assert found.clips[1].paths == clip.paths[16:]


def test_stills_are_left_out_and_their_edges_kept_apart(tmp_path):
    rng = np.random.default_rng(3)
    at = [*range(14), *[13] * 24, *range(14, 28)]

    def noisy(k):  # the sensor's noise is no motion
        return np.clip(moving(k).astype(int) + rng.integers(-1, 2, (*SIZE, 3)), 0, 255).astype(np.uint8)

    found = mine(clip_of(tmp_path / "a", [noisy(k) for k in at]))
    assert len(found.clips) == 2
    assert [length >= 12 for _, length in kept(found)] == [True, True]
    (still,) = [one for one in found.thrown if one.why == "stand still"]
    assert still.range.start in range(14, 20)
    assert still.range.stop in range(32, 39)


def test_a_film_shown_twice_over_becomes_one_of_half_the_rate(tmp_path):
    clip = clip_of(tmp_path / "a", [moving(k // 2, speed=4) for k in range(30)])
    (one,) = mine(clip).clips
    assert one.paths == clip.paths[::2]
    assert whys(mine(clip))[(1, 2)] == WHY[3]


def test_near_repeats_are_repeats_too(tmp_path):
    """A coded repeat is the picture before, but for a few levels."""
    rng = np.random.default_rng(1)
    pictures = [moving(k // 2, speed=6).astype(int) for k in range(30)]
    pictures = [
        np.clip(p + (k % 2) * (rng.random(p.shape) < 0.02), 0, 255).astype(np.uint8) for k, p in enumerate(pictures)
    ]
    clip = clip_of(tmp_path / "a", pictures)
    (one,) = mine(clip).clips
    assert one.paths == clip.paths[::2]


def test_one_repeat_parts_a_clip(tmp_path):
    at = [*range(12), 11, *range(12, 24)]
    found = mine(clip_of(tmp_path / "a", [moving(k) for k in at]))
    assert kept(found) == [(0, 12), (13, 12)]
    assert list(whys(found)) == [(12, 13)]


def test_motion_out_of_reach_is_left_out(tmp_path):
    noise = np.random.default_rng(0)
    flicker = [noise.integers(0, 255, (9, 16, 3)).astype(np.uint8) for _ in range(6)]
    wild = [np.asarray(Image.fromarray(one).resize(SIZE[::-1], Image.Resampling.BICUBIC)) for one in flicker]
    found = mine(clip_of(tmp_path / "a", [*(moving(k) for k in range(12)), *wild, *(moving(k, 5) for k in range(12))]))
    assert [length for _, length in kept(found)] == [12, 12]
    assert accounted(found) == 24


def test_broken_pictures_part_clips_and_are_named(tmp_path, caplog):
    clip = clip_of(tmp_path / "a", [moving(k) for k in range(25)])
    with open(clip.paths[12], "wb") as file:
        file.write(b"broken")
    with caplog.at_level(logging.WARNING):
        found = mine(clip)
    assert [length for _, length in kept(found)] == [12, 12]
    assert "0012.png cannot be read" in caplog.text
    assert "cannot be read" in found.thrown[0].why


def test_video_files_are_cut_by_their_own_places(tmp_path):
    film = tmp_path / "film.mp4"
    write(film, [moving(k, seed) for seed in (0, 1) for k in range(12)])
    whole = VideoClip("film", "film", str(film), 2, 11, 2)
    first, second = mine(whole, Limits(least=4)).clips
    assert (first.start, first.length, first.step) == (2, 5, 2)
    assert (second.start, second.length, second.step) == (12, 6, 2)
    assert torch.equal(second.read([0])[0], whole.read([5])[0])


def test_interlaced_video_is_left_out_to_train_and_scored_as_it_is(tmp_path):
    path = Made(
        frames=24, size=(64, 96), codec="mpeg2video", options={"flags": "+ildct+ilme", "b": "4M", "g": "6"}
    ).make(tmp_path / "a.mkv")
    assert index_of(str(path)).is_interlaced
    with pytest.raises(WrongLayout, match="24 frames that are interlaced: deinterlace the file first"):
        open_set("video", path)
    assert open_set("video", path, "test").clips[0].length == 24


# what was measured is remembered


def test_footage_is_read_once_and_its_limits_may_change(tmp_path, monkeypatch):
    clip = clip_of(tmp_path / "a", [moving(k) for k in range(12)])
    first = measured(clip)
    monkeypatch.setattr(gaps_room, "_measure", lambda _: pytest.fail("measured again"))
    for a, b in zip(measured(clip), first, strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)
    assert mine(clip, Limits(least=13)).clips == []
    monkeypatch.undo()
    os.utime(clip.paths[3], ns=(1, 1))
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path / "home"))
    asked = []
    monkeypatch.setattr(gaps_room, "_measure", lambda clip: asked.append(clip) or first)
    measured(clip)
    assert asked == [clip]


def test_a_cache_that_is_damaged_or_closed_costs_time_alone(tmp_path, monkeypatch, caplog):
    clip = clip_of(tmp_path / "a", [moving(k) for k in range(10)])
    first = mine(clip)
    (file,) = remember.folder().iterdir()
    for content in ("no json", "[]", '{"mark": 3}', json.dumps({**json.loads(file.read_text()), "motion": None})):
        file.write_text(content)
        assert mine(clip).clips == first.clips
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert mine(clip).clips == first.clips
    assert "could not be kept" in caplog.text


def test_raw_footage_is_mined_by_default_and_pictures_if_asked(tmp_path):
    write(tmp_path / "film.mp4", [moving(k, seed) for seed in (0, 1) for k in range(12)])
    found = open_set("video", tmp_path)
    assert [clip.name for clip in found.clips] == ["film/000000", "film/000012"]
    assert {clip.group for clip in found.clips} == {"film"}
    assert found.notes == ("kept 24 of 24 frames in 2 clips",)
    assert [clip.length for clip in open_set("video", tmp_path, mine=False).clips] == [24]
    trees.row(tmp_path / "grey" / "a", [f"{k}.png" for k in range(12)])
    assert len(open_set("frames", tmp_path / "grey").clips) == 1
    with pytest.raises(WrongLayout, match=r"nothing in .*grey can be learnt from: kept 0 of 12.*--data\.mine false"):
        open_set("frames", tmp_path / "grey", mine=True)


def test_mined_sets_name_what_cannot_be_read(tmp_path):
    good = clip_of(tmp_path / "a", [moving(k) for k in range(10)])
    bad = PictureClip("bad", "bad", ("nowhere/1.png", "nowhere/2.png"))
    from tween.data.layouts import DataSet

    found = mined(DataSet("frames", (good, bad), notes=("a note",)))
    assert len(found.clips) == 1
    assert found.notes == ("a note", "kept 10 of 10 frames in 1 clip", "left out: no frame of bad can be read")


# the rules alone


def rows(change, motion=None, cut=()):
    change = np.array(change, float)
    cuts = np.isin(np.arange(len(change)), cut)
    nothing = np.zeros(len(change))
    return Gaps(cuts, nothing > 0, change, change if motion is None else np.array(motion, float), nothing)


def test_every_frame_has_a_fate_and_runs_are_kept():
    rng = np.random.default_rng(0)
    for _ in range(60):
        count = int(rng.integers(1, 80))
        change = rng.choice([0, 0.001, 0.05, 1, 2, 3], count, p=[0.1, 0.1, 0.1, 0.3, 0.2, 0.2])
        gaps = Gaps(
            rng.random(count) < 0.03,
            rng.random(count) < 0.02,
            change,
            change,
            np.where(rng.random(count) < 0.02, 9.0, 0),
        )
        limits = Limits(least=int(rng.integers(2, 9)))
        fates, runs = cut_up(gaps, limits)
        assert len(fates) == count + 1
        in_runs = sorted(place for run in runs for place in run)
        assert in_runs == np.flatnonzero(fates == 0).tolist()
        assert len(set(in_runs)) == len(in_runs)
        for run in runs:
            assert len(run) >= limits.least
            inside = range(run.start, run.stop - run.step)
            assert not gaps.cut[list(inside)].any()
            assert not gaps.broken[list(inside)].any()


def test_a_stumbling_clock_gives_every_second_frame():
    motion = np.tile([1.0, 3.0], 20)
    fates, runs = cut_up(rows(motion), Limits())
    assert runs == [range(0, 41, 2)]
    assert WHY[int(fates[1])] == "lie between steadier ones of half the rate"
    restless = np.random.default_rng(0).uniform(0.8, 4, 40)  # pairs are no steadier: it is the scene, not the clock
    assert cut_up(rows(restless), Limits())[1] == [range(41)]


def test_repeats_are_told_from_calm():
    assert repeats(np.array([0.0, 2, 2, 0.1, 2, 2])).tolist() == [True, False, False, True, False, False]
    assert not repeats(np.full(9, 0.02)).any()
    assert repeats(np.tile([3.0, 0.01], 6)).tolist() == [False, True] * 6
    assert repeats(np.tile([3.0, 0.01, 0.01], 4)).tolist() == [False, True, True] * 4
    assert repeats(np.array([1.0])).tolist() == [False]


def test_even_runs():
    assert list(even_runs([0, 1, 2, 3, 5, 7, 9, 11, 20], 4)) == [range(4), range(5, 12, 2)]
    assert list(even_runs([0, 1, 2], 4)) == []
    assert list(even_runs([0, 9, 18, 27, 36], 4)) == []  # slower than any film


# against the ranges that people chose


@pytest.mark.slow
@pytest.mark.needs_shared
def test_what_people_chose_is_kept(shared):
    """bbb_011: eight ranges between cuts, checked by hand; outside of them lie cuts and stills."""
    listed = [clip for clip in open_set("video", shared / "data" / "train").clips if "bbb_011" in clip.path]
    (film,) = open_set("video", listed[0].path, mine=False).clips
    usable = {clip.start + k for clip in mine(film).clips for k in range(clip.length)}
    chosen = [clip.start + k for clip in listed for k in range(clip.length)]
    assert sum(place in usable for place in chosen) > 0.9 * len(chosen)
    starts = [clip.start for clip in listed]
    for clip in mine(film).clips:
        inside = [start for start in starts if clip.start < start - 1 and start + 1 < clip.start + clip.length]
        assert len(inside) <= 1  # a range may begin within a shot, but no clip runs over a cut


def write(path, pictures):
    """A video file of RGB pictures, without loss."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "10", "preset": "ultrafast"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))
    return path
