"""A store shows what the set shows, made smaller, and flows that lead from frame to frame."""

import json

import cv2
import numpy as np
import pytest
import torch

from tween.cli.main import main
from tween.data.layouts import DataSet
from tween.data.sets import open_set
from tween.data.store import StoredClip, store
from tween.data.synthetic import SyntheticSet
from tween.errors import BrokenPicture, CannotWrite, Conflict

SIZE = (96, 128)


@pytest.fixture(scope="module")
def scenes():
    drawn = SyntheticSet(SIZE, length=6, count=2, seed=3)
    return DataSet("drawn", drawn.clips)


@pytest.fixture(scope="module")
def root(scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("store")
    store(scenes, out, side=48, reach=2)
    return out


def test_pictures_are_the_sets_each_pixel_the_mean_of_what_falls_on_it(scenes, root):
    found = open_set("store", root)
    assert [(clip.name, clip.group, clip.length) for clip in found.clips] == [
        (clip.name, clip.group, clip.length) for clip in sorted(scenes.clips, key=lambda clip: clip.name)
    ]
    for small in found.clips:
        clip = next(clip for clip in scenes.clips if clip.name == small.name)
        assert small.size() == (48, 64)
        for shown, true in zip(small.read([4, 0, 4]), clip.read([4, 0, 4]), strict=True):
            assert shown.dtype == torch.uint8
            means = true.float().unfold(1, 2, 2).unfold(2, 2, 2).mean((-1, -2))
            assert float((shown.float() - means).abs().max()) <= 0.75  # of which half is rounding


class Sliding:
    """A texture that moves 6 pixels to the right and 4 up from frame to frame."""

    name, group, length = "sliding", "s", 6

    def size(self):
        return 192, 256

    def read(self, places):
        wall = np.random.default_rng(0).uniform(20, 235, (192, 256, 3)).astype(np.float32)
        wall = cv2.GaussianBlur(np.tile(wall, (3, 3, 1)), (0, 0), 5)[192:384, 256:512]
        wall = cv2.normalize(wall, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)
        moved = [np.roll(wall, (-4 * place, 6 * place), (0, 1)) for place in places]
        return [torch.from_numpy(one.transpose(2, 0, 1).copy()) for one in moved]


def test_a_flow_leads_to_where_its_pixels_are(tmp_path):
    store(DataSet("sliding", (Sliding(),)), tmp_path, side=96)
    (clip,) = open_set("store", tmp_path).clips
    flow = clip.flow(3, 2, 5)
    assert flow.shape == (4, 48, 64)
    middle = flow[:, 8:-8, 8:-8].float().flatten(1)
    expected = torch.tensor([-3.0, 2.0, 6.0, -4.0])  # in the store's pixels, half as many as the clip's
    assert float((middle.median(1).values - expected).abs().max()) < 0.15


def test_flows_end_where_the_store_does(root):
    clip = open_set("store", root).clips[0]
    assert torch.equal(clip.flow(3, 2, 5), clip.flow(3, 5, 2)[[2, 3, 0, 1]])
    assert torch.equal(clip.flow(2, 0, 1)[2:], clip.flow(2, 1, 3)[:2])
    assert clip.flow(3, 2, 3) is None
    assert clip.flow(0, 1, 3) is None
    assert clip.flow(0, 1, -1).isnan().any(1).any(1).tolist() == [False, False, True, True]
    with pytest.raises(IndexError, match="has places 0 to 5, not 6"):
        clip.read([6])


def test_small_pictures_stay_and_odd_ones_become_even(tmp_path):
    class Odd:
        name, group, length = "a/b", "a", 2

        def size(self):
            return 31, 46

        def read(self, places):
            return [torch.full((3, 31, 46), 9 * place, dtype=torch.uint8) for place in places]

    store(DataSet("odd", (Odd(),)), tmp_path, side=288, reach=0)
    (clip,) = open_set("store", tmp_path).clips
    assert clip.name == "a/b"
    assert clip.size() == (32, 46)
    assert int(clip.read([1])[0].max()) == 9
    assert not (tmp_path / "a/b/flows.npy").exists()
    assert clip.flow(1, 0, 2) is None


def test_what_is_there_stays_and_a_broken_run_goes_on(scenes, tmp_path):
    class Torn(Exception):
        pass

    def torn(done, total, _):
        if done == 1:
            raise Torn
        assert total == 2

    with pytest.raises(Torn):
        store(scenes, tmp_path, side=32, reach=1, watch=torn)
    (clip,) = open_set("store", tmp_path).clips
    marked = tmp_path / clip.name / "pictures.npy"
    changed = marked.stat().st_mtime_ns
    done = store(scenes, tmp_path, side=32, reach=1)
    assert (done.written, done.kept, done.frames) == (1, 1, 6)
    assert marked.stat().st_mtime_ns == changed
    assert len(open_set("store", tmp_path).clips) == 2
    assert not list(tmp_path.rglob("*.part"))


def test_a_store_of_another_kind_is_not_mixed_with(scenes, root):
    with pytest.raises(
        Conflict, match=r"was written with --side 48 --reach 2, and --side 64 --reach 2 is asked for.*-o"
    ):
        store(scenes, root, side=64)


def test_a_full_disk_leaves_no_clip_behind(scenes, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(CannotWrite, match="cannot be written"):
        store(scenes, tmp_path / "s", side=32, reach=0)
    assert list((tmp_path / "s").rglob("*.*")) == []


def test_a_torn_file_is_told(root, tmp_path):
    clip = open_set("store", root).clips[0]
    (tmp_path / "pictures.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(BrokenPicture, match=r"pictures\.npy cannot be read .*write it again"):
        StoredClip(clip.name, "g", str(tmp_path), 6).read([0])
    (tmp_path / "about.json").write_text("{}")
    with pytest.raises(BrokenPicture, match=r"about\.json cannot be read"):
        open_set("store", tmp_path)


def test_the_command(tmp_path, capsys):
    for place in range(4):
        (tmp_path / "in/a").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / f"in/a/{place}.png"), np.full((40, 60, 3), 20 * place, np.uint8))
    assert main(["store", "frames", "--root", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["written"], said["frames"], said["broken"]) == (1, 4, 0)
    (clip,) = open_set("store", tmp_path / "out").clips
    assert [int(frame.max()) for frame in clip.read(range(4))] == [0, 20, 40, 60]
    assert main(["store", "frames", "--root", str(tmp_path / "in"), "-o", str(tmp_path / "o"), "--side", "4"]) == 2
    assert "--side 4 --reach 2; a side of 16" in capsys.readouterr().err
