"""Each set is found in a tiny tree of its true layout, and a wrong folder is told what was looked for."""

import pickle
from pathlib import Path

import pytest
import torch
import trees
from clips import Clip as Made

from tween.data import highspeed
from tween.data.clips import PictureClip, VideoClip
from tween.data.sets import SETS, open_set
from tween.errors import BadOption, BrokenPicture, WrongLayout


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path_factory.mktemp("home")))


def levels(clip):
    """The grey of each of its pictures."""
    return [int(frame[0, 0, 0]) for frame in clip.read(range(clip.length))]


def names(found):
    return [clip.name for clip in found.clips]


# Vimeo-90K


def test_vimeo90k(tmp_path):
    found = open_set("vimeo90k", trees.vimeo90k(tmp_path), "train")
    assert names(found) == ["00001/0001", "00001/0002", "00002/0001"]
    assert [clip.group for clip in found.clips] == ["00001", "00001", "00002"]
    assert (found.gap, found.targets) == (2, (1,))
    assert levels(found.clips[1]) == [10, 11, 12]
    assert found.clips[0].flow(1, 0, 2) is None
    assert names(open_set("vimeo90k", tmp_path, "test")) == ["00003/0007"]
    assert "val is the test list" in " ".join(open_set("vimeo90k", tmp_path, "val").notes)


def test_vimeo90k_with_flow_labels(tmp_path):
    found = open_set("vimeo90k", trees.vimeo90k(tmp_path, flow=True), "train")
    flow = found.clips[0].flow(1, 0, 2)
    assert flow.shape == (4, *trees.SIZE)
    assert flow[:, 0, 0].tolist() == [-1, -1, 1, 1]  # flow_t0 goes to im1, flow_t1 to im3
    assert found.clips[0].flow(0, 1, 2) is None
    assert "flow labels" in found.notes[1]


def test_vimeo90k_is_found_a_folder_further_down(tmp_path):
    trees.vimeo90k(tmp_path / "vimeo_triplet")
    assert len(open_set("vimeo90k", tmp_path, "train").clips) == 3


def test_vimeo90k_without_its_pictures(tmp_path):
    (tmp_path / "tri_trainlist.txt").write_text("00001/0001\n")
    with pytest.raises(WrongLayout, match=r"sequences/00001/0001 is not there.*try: unpack the whole archive"):
        open_set("vimeo90k", tmp_path, "train")


def test_vimeo90k_septuplet(tmp_path):
    found = open_set("vimeo90k-septuplet", trees.septuplets(tmp_path), "train")
    assert levels(found.clips[0]) == list(range(7))
    assert (found.gap, found.targets) == (None, None)
    assert names(open_set("vimeo90k-septuplet", tmp_path, "test")) == ["00001/0002"]


# GoPro, Adobe240, X4K1000FPS, Xiph


def test_the_published_gopro_lists_are_22_and_11_videos_of_33():
    assert (len(highspeed.GOPRO_TRAIN), len(highspeed.GOPRO_TEST)) == (22, 11)
    assert len({*highspeed.GOPRO_TRAIN, *highspeed.GOPRO_TEST}) == 33


@pytest.mark.parametrize("layout", ["flat", "split", "sharp"])
def test_gopro(tmp_path, layout):
    trees.gopro(tmp_path, layout)
    found = open_set("gopro", tmp_path, "test")
    assert (found.gap, found.targets) == (8, tuple(range(1, 8)))
    assert len(found.clips) == 11 * 2  # 20 frames: 0 to 8 and 8 to 16
    assert levels(found.clips[0]) == list(range(9))
    assert levels(found.clips[1]) == list(range(8, 17))
    assert found.clips[1].name == "GOPR0384_11_00/000055"
    assert len(open_set("gopro", tmp_path, "train").clips) == 22 * 2


def test_gopro_tells_what_is_missing(tmp_path):
    trees.numbered(tmp_path / "GOPR0384_11_00", 9)
    found = open_set("gopro", tmp_path, "test")
    assert len(found.clips) == 1
    assert "1 of the 11 videos" in found.notes[0]
    assert "missing: GOPR0384_11_05, GOPR0385_11_01" in found.notes[1]


def test_adobe240_as_folders_of_pictures_with_its_list(tmp_path):
    for split, video in (("train", "IMG_0001"), ("test", "720p_240fps_1"), ("test", "GOPR9635")):
        trees.numbered(tmp_path / "frame" / split / video, 17, "{}.png")  # 9.png comes before 10.png
    (tmp_path / "adobe240fps_folder_test.txt").write_text("720p_240fps_1\n")
    found = open_set("adobe240", tmp_path, "test")
    assert names(found) == ["720p_240fps_1/0", "720p_240fps_1/8"]
    assert levels(found.clips[1]) == list(range(8, 17))
    assert found.notes == ("the videos of adobe240fps_folder_test.txt",)
    assert (found.gap, found.targets) == (8, tuple(range(1, 8)))
    train = open_set("adobe240", tmp_path, "train")
    assert [clip.group for clip in train.clips] == ["IMG_0001"] * 2
    assert "no adobe240fps_folder_train.txt there: the split train is every video" in train.notes


def test_adobe240_as_video_files(tmp_path):
    (tmp_path / "original_high_fps_videos").mkdir()
    for name in ("IMG_0003.mov", "720p_240fps_2.mp4"):
        Made(frames=18, size=(32, 48)).make(tmp_path / "original_high_fps_videos" / name)
    (tmp_path / "test_list.txt").write_text("IMG_0003.mov\n")
    found = open_set("adobe240", tmp_path, "test")
    assert names(found) == ["IMG_0003/000000", "IMG_0003/000008"]
    assert len(found.clips[1].read(range(9))) == 9


def test_x4k1000fps(tmp_path):
    trees.x4k(tmp_path)
    train = open_set("x4k1000fps", tmp_path, "train")
    assert names(train) == ["002/occ008.320", "003/occ001.100"]
    assert [clip.length for clip in train.clips] == [65, 65]
    assert train.gap is None
    test = open_set("x4k1000fps", tmp_path, "test")
    assert names(test) == ["Type1/TEST01", "Type2/TEST06", "Type3/TEST11"]
    assert (test.gap, test.targets) == (32, (4, 8, 12, 16, 20, 24, 28))
    assert "published test set has 15" in test.notes[0]
    assert len(open_set("x4k1000fps", tmp_path / "test", "test").clips) == 3


def test_x4k1000fps_as_the_video_files_of_its_archives(tmp_path):
    (tmp_path / "train" / "002").mkdir(parents=True)
    Made(frames=65, size=(32, 32)).make(tmp_path / "train" / "002" / "occ008.320.mp4")
    (clip,) = open_set("x4k1000fps", tmp_path, "train").clips
    assert (clip.name, clip.group, clip.length) == ("002/occ008.320", "002", 65)


@pytest.mark.parametrize("layout", ["flat", "folders"])
def test_xiph_hides_every_second_of_99_frames(tmp_path, layout):
    for name in ("FoodMarket", "FoodMarket2"):
        form = f"{name}-{{:03d}}.png" if layout == "flat" else f"{name}/{{:03d}}.png"
        for k in range(1, 101):
            trees.picture(tmp_path / form.format(k), k, (4, 4))
    found = open_set("xiph", tmp_path, "test")
    market = [clip for clip in found.clips if clip.group == "FoodMarket"]
    assert len(market) == 49
    assert [levels(clip) for clip in (market[0], market[1], market[-1])] == [[1, 2, 3], [3, 4, 5], [97, 98, 99]]
    assert len(found.clips) == 98
    assert "missing: BoxingPractice" in found.notes[1]
    assert "2K: shrink to 2048x1080 by area; 4K: the middle 2048x1080" in found.notes


def test_xiph_as_files(tmp_path):
    Made(frames=7, size=(32, 64), codec="rawvideo").make(tmp_path / "Netflix_Tango_4096x2160_60fps_10bit_420.avi")
    found = open_set("xiph", tmp_path, "test")
    assert names(found) == ["Tango/001", "Tango/003", "Tango/005"]
    assert [clip.start for clip in found.clips] == [0, 2, 4]


# UCF101, SNU-FILM, Middlebury


@pytest.mark.parametrize("above", [True, False])
def test_ucf101(tmp_path, above):
    trees.ucf101(tmp_path)
    found = open_set("ucf101", tmp_path if above else tmp_path / "ucf101_interp_ours", "test")
    assert names(found) == ["1", "2", "10"]
    assert levels(found.clips[2]) == [10, 11, 12]
    assert (found.gap, found.targets) == (2, (1,))
    assert "the published set has 379" in found.notes[0]


@pytest.mark.parametrize("before", ["test/", "data/SNU-FILM/test/", "/home/somebody/data/SNU-FILM/test/", ""])
def test_snu_film_with_any_path_before_its_pictures(tmp_path, before):
    found = open_set("snu-film", trees.snu_film(tmp_path, before), "test")
    assert names(found)[:3] == ["easy/001", "easy/002", "medium/001"]
    assert list(dict.fromkeys(clip.group for clip in found.clips)) == ["easy", "medium", "hard", "extreme"]
    assert [levels(clip) for clip in found.clips[-2:]] == [[0, 8, 16], [16, 24, 32]]
    one = open_set("snu-film-hard", tmp_path, "test")
    assert (names(one), one.name) == (["hard/001", "hard/002"], "snu-film-hard")


def test_snu_film_without_its_pictures_names_the_one_it_looked_for(tmp_path):
    trees.snu_film(tmp_path, "data/other/")
    for path in (tmp_path / "test").rglob("*.png"):
        path.unlink()
    with pytest.raises(WrongLayout, match=r"data/other/GOPRO_test/.*000001\.png, or a later part of that path"):
        open_set("snu-film", tmp_path, "test")


def test_a_list_with_a_broken_line_is_refused(tmp_path):
    trees.snu_film(tmp_path)
    (tmp_path / "test-easy.txt").write_text("a.png b.png\n")
    with pytest.raises(WrongLayout, match=r"three paths a line in test-easy\.txt"):
        open_set("snu-film-easy", tmp_path, "test")


@pytest.mark.parametrize("flat", [False, True])
def test_middlebury(tmp_path, flat):
    found = open_set("middlebury", trees.middlebury(tmp_path, flat=flat), "test")
    assert names(found) == ["Beanbags", "Dimetrodon", "Venus"]
    assert levels(found.clips[0]) == [10, 5, 11]  # frame10, frame10i11, frame11
    assert (found.gap, found.targets) == (2, (1,))
    assert "the published set has 12" in found.notes[0]
    motion = found.clips[2].motion(0, 2)
    assert motion[:, 1, 1].tolist() == [1.5, 1.5]
    assert motion[:, 0, 0].isnan().all()
    assert found.clips[0].motion(0, 2) is None


@pytest.mark.parametrize("folder", ["other-data", "other-color-allframes/other-data"])
def test_middlebury_to_train_is_three_frames_in_a_row(tmp_path, folder):
    found = open_set("middlebury", trees.middlebury(tmp_path, folder=folder), "train")
    assert len(found.clips) == 6  # eight frames, 07 to 14
    assert levels(found.clips[-1]) == [12, 13, 14]
    assert found.clips[-1].name == "Beanbags/frame12"
    assert found.notes == ("scenes of two frames left out: Dimetrodon, Venus",)
    assert len(open_set("middlebury", tmp_path, "test").clips) == 3


def test_middlebury_eval(tmp_path):
    found = open_set("middlebury-eval", trees.middlebury_eval(tmp_path), "val")
    assert len(found.clips) == 6
    assert found.notes == ("scenes of two frames left out: Teddy",)


@pytest.mark.needs_shared
def test_the_true_middlebury_scenes(shared):
    found = open_set("middlebury", shared / "data" / "eval" / "middlebury-other", "test")
    assert len(found.clips) == 12
    assert found.notes == ()
    blend = []
    for clip in found.clips:
        first, middle, last = (frame.double() / 255 for frame in clip.read([0, 1, 2]))
        blend.append(-10 * torch.log10(((first + last) / 2 - middle).square().mean()))
    assert torch.stack(blend).mean() == pytest.approx(28.02, abs=0.01)  # what the data's README says of the blend


# Cityscapes, KITTI, UCF101's videos


def test_cityscapes(tmp_path):
    trees.cityscapes(tmp_path)
    train = open_set("cityscapes", tmp_path, "train")
    assert names(train) == ["aachen_000000_000000", "aachen_000001_000000"]
    assert [clip.length for clip in train.clips] == [30, 30]
    assert train.gap == 1
    val = open_set("cityscapes", tmp_path, "val")
    assert names(val) == ["frankfurt_000000_000275", "frankfurt_000000_000305", "frankfurt_000000_000557"]
    assert {clip.group for clip in val.clips} == {"frankfurt"}
    assert levels(val.clips[1]) == list(range(30, 60))
    assert "500 are published for val" in val.notes[0]


def test_cityscapes_as_prepared_for_prediction(tmp_path):
    trees.numbered(tmp_path / "train" / "000000", 30, "{:010d}.png")
    trees.numbered(tmp_path / "test" / "000000", 30, "{:010d}.png")
    assert open_set("cityscapes", tmp_path, "train").clips[0].length == 30


def test_kitti_prepared_and_raw(tmp_path):
    for k in range(2):
        trees.numbered(tmp_path / "a" / "train" / f"{k:06d}", 9, "{:010d}.png")
    found = open_set("kitti", tmp_path / "a", "train")
    assert (names(found), found.gap) == (["000000", "000001"], 1)
    drive = tmp_path / "b" / "2011_09_26" / "2011_09_26_drive_0001_sync"
    for camera in ("image_00", "image_02", "image_03"):
        trees.numbered(drive / camera / "data", 4, "{:010d}.png")
    found = open_set("kitti", tmp_path / "b", "train")
    assert names(found) == ["2011_09_26/2011_09_26_drive_0001_sync/image_02/data"]
    assert "no folder train there" in found.notes[0]


def ucf_videos(root: Path) -> Path:
    for action in ("ApplyEyeMakeup", "YoYo"):
        (root / action).mkdir(parents=True)
        for k in range(1, 11):
            Made(frames=4, size=(32, 48)).make(root / action / f"v_{action}_g01_c{k:02d}.avi")
    return root


def test_lift_ucf101_by_shares_and_by_the_official_lists(tmp_path):
    root = ucf_videos(tmp_path / "UCF-101")
    parts = {split: set(names(open_set("lift-ucf101", root, split))) for split in ("train", "val", "test")}
    assert [len(parts[split]) for split in ("train", "val", "test")] == [14, 3, 3]
    assert len(set.union(*parts.values())) == 20
    assert "YoYo/v_YoYo_g01_c01" in set.union(*parts.values())
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "trainlist01.txt").write_text("YoYo/v_YoYo_g01_c02.avi 101\nYoYo/v_YoYo_g09_c02.avi 101\n")
    (lists / "testlist01.txt").write_text("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\n")
    for place in (root, tmp_path):
        found = open_set("lift-ucf101", place, "train")
        assert names(found) == ["YoYo/v_YoYo_g01_c02"]
        assert found.notes == ("the videos of trainlist01.txt",)
    (clip,) = open_set("lift-ucf101", tmp_path, "test").clips
    assert (clip.group, clip.length) == ("ApplyEyeMakeup", 4)


# the user's own footage


def test_frames_in_folders_at_any_depth_or_in_one(tmp_path):
    trees.numbered(tmp_path / "film" / "shot-0000", 11, "{}.png")
    trees.numbered(tmp_path / "film" / "shot-0001", 3)
    trees.numbered(tmp_path / "other", 4, "{:03d}.jpg")
    trees.picture(tmp_path / "alone" / "a.png", 1)
    (tmp_path / "notes.txt").write_text("no picture")
    found = open_set("frames", tmp_path)
    assert names(found) == ["film/shot-0000", "film/shot-0001", "other"]
    assert [clip.group for clip in found.clips] == ["film", "film", "other"]
    assert levels(found.clips[0]) == list(range(11))
    assert names(open_set("frames", tmp_path / "other")) == ["other"]


def test_frames_with_splits(tmp_path):
    for split in ("train", "val"):
        trees.numbered(tmp_path / split / f"of-{split}", 3)
    assert names(open_set("frames", tmp_path, "train")) == ["of-train"]
    assert names(open_set("frames", tmp_path, "val")) == ["of-val"]
    assert names(open_set("frames", tmp_path, "test")) == ["of-val"]
    assert "the split test is" in open_set("frames", tmp_path, "test").notes[0]
    assert "has no splits: test is all of it" in open_set("frames", tmp_path / "val", "test").notes[0]


def test_a_list_names_folders_videos_rows_and_pictures(tmp_path):
    trees.numbered(tmp_path / "two words", 3)
    trees.numbered(tmp_path / "loose", 4)
    Made(frames=12, size=(64, 96)).make(tmp_path / "film.mp4")
    (tmp_path / "list.txt").write_text(
        "# what to learn from\ntwo words\n\nfilm.mp4\nloose/000000.png loose/000002.png loose/000001.png\n"
        "loose/000001.png\nloose/000002.png\n"
    )
    found = open_set("list", tmp_path / "list.txt", mine=False)
    assert names(found) == ["two words", "film", "loose/000000", "loose"]
    assert [clip.length for clip in found.clips] == [3, 12, 3, 2]
    assert levels(found.clips[2]) == [0, 2, 1]
    assert levels(found.clips[3]) == [1, 2]
    (tmp_path / "list.txt").write_text("nowhere\n")
    with pytest.raises(WrongLayout, match=r"names .*nowhere, which is not there"):
        open_set("list", tmp_path / "list.txt")


def test_video_files_alone_and_in_folders(tmp_path):
    (tmp_path / "more").mkdir()
    for name in ("a.mp4", "more/b.mkv", "more/.hidden.mp4"):
        Made(frames=12, size=(64, 96)).make(tmp_path / name)
    found = open_set("video", tmp_path, mine=False)
    assert [(clip.name, clip.start, clip.length) for clip in found.clips] == [("a", 0, 12), ("more/b", 0, 12)]
    assert names(open_set("video", tmp_path / "a.mp4", mine=False)) == ["a"]
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    assert any("broken.mp4 cannot be read" in note for note in open_set("video", tmp_path, mine=False).notes)


MANIFEST = "clip\tfile\tstart\tframes\tstep\twidth\theight\tcrop\tsplit\tsource\n"


def test_of_a_manifest_only_the_listed_ranges_are_used(tmp_path):
    path = Made(frames=40, size=(48, 64)).make(tmp_path / "a.mp4")
    Made(frames=40, size=(48, 64)).make(tmp_path / "not-listed.mp4")
    rows = "one\ta.mp4\t3\t10\t1\t64\t48\t\ttrain\tfilm\ntwo\ta.mp4\t20\t5\t2\t64\t48\t8,4,40,32\ttrain\tfilm\n"
    (tmp_path / "MANIFEST.tsv").write_text(MANIFEST + rows)
    found = open_set("video", tmp_path)
    whole = VideoClip("", "", str(path), 0, 40)
    one, two = found.clips
    assert (one.name, one.group, one.length, one.size()) == ("one", "film", 10, (48, 64))
    assert torch.equal(one.read([0])[0], whole.read([3])[0])
    assert torch.equal(two.read([4])[0], whole.read([28])[0][:, 4:36, 8:48])
    assert two.size() == (32, 40)


def test_a_manifest_of_several_splits(tmp_path):
    Made(frames=12, size=(48, 64)).make(tmp_path / "a.mp4")
    rows = [f"{split}\ta.mp4\t0\t9\t\t\t\t\t{split}\t\n" for split in ("train", "dev", "test")]
    (tmp_path / "MANIFEST.tsv").write_text(MANIFEST + "".join(rows))
    assert [names(open_set("video", tmp_path, split)) for split in ("train", "val", "test")] == [
        ["train"],
        ["dev"],
        ["test"],
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("one\ta.mp4\tx\t10\n", "line 2 .*invalid literal"),
        ("one\ta.mp4\t0\t0\n", "line 2 .* describes no clip; start >= 0, frames >= 1"),
        ("one\ta.mp4\t0\t5\t1\t\t\t1,2,3\n", "describes no clip"),
        ("one\tb.mp4\t0\t5\n", r"lists .*b\.mp4, which is not there"),
        ("", "lists no clip"),
    ],
)
def test_a_broken_manifest_is_told(tmp_path, row, words):
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "MANIFEST.tsv").write_text(MANIFEST + row)
    with pytest.raises(WrongLayout, match=words):
        open_set("video", tmp_path)
    (tmp_path / "MANIFEST.tsv").write_text("clip\tfile\nx\ty\n")
    with pytest.raises(WrongLayout, match="has no column start, frames"):
        open_set("video", tmp_path)


@pytest.mark.needs_shared
def test_the_shared_footage_by_its_manifests(shared):
    train, dev = (open_set("video", shared / "data", split) for split in ("train", "val"))
    assert (len(train.clips), sum(clip.length for clip in train.clips)) == (256, 14450)
    assert (len(dev.clips), sum(clip.length for clip in dev.clips)) == (45, 3146)
    clip = next(clip for clip in dev.clips if clip.crop)
    assert clip.read([clip.length - 1])[0].shape == (3, *clip.size())


# what holds for every set


TREES = {
    "vimeo90k": trees.vimeo90k,
    "vimeo90k-septuplet": trees.septuplets,
    "gopro": trees.gopro,
    "x4k1000fps": trees.x4k,
    "ucf101": trees.ucf101,
    "snu-film": trees.snu_film,
    "middlebury": trees.middlebury,
    "middlebury-eval": trees.middlebury_eval,
    "cityscapes": trees.cityscapes,
}


@pytest.mark.parametrize("name", TREES)
def test_clips_can_be_pickled_and_have_names_of_their_own(tmp_path, name):
    split = "val" if name == "cityscapes" else "test"
    found = open_set(name, TREES[name](tmp_path), split)
    assert found.name == name
    assert len(set(names(found))) == len(found.clips)
    assert pickle.loads(pickle.dumps(found)) == found
    assert all(clip.size() == trees.SIZE for clip in found.clips[:3])


@pytest.mark.parametrize("name", SETS)
def test_a_wrong_folder_is_told_what_was_looked_for_and_what_was_found(tmp_path, name):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "cat.txt").write_text("meow")
    with pytest.raises(WrongLayout, match=r"not hold the set [a-z0-9-]+: it holds .*; looked for .*; try: ") as told:
        open_set(name, tmp_path, "test")
    assert "cat.txt" in str(told.value)
    assert "holiday/" in str(told.value)
    with pytest.raises(WrongLayout, match="it is not there; looked for"):
        open_set(name, tmp_path / "nowhere", "test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongLayout, match="it is an empty folder; looked for"):
        open_set(name, tmp_path / "empty", "test")


def test_many_names_are_told_in_few_words(tmp_path):
    for k in range(12):
        (tmp_path / f"{k}.txt").write_text("")
    with pytest.raises(WrongLayout, match=r"it holds 0\.txt, 1\.txt, 2\.txt, 3\.txt, 4\.txt and 7 more"):
        open_set("gopro", tmp_path)


@pytest.mark.parametrize("name", ["ucf101", "snu-film", "snu-film-easy", "xiph"])
def test_nobody_trains_on_a_set_of_tests(tmp_path, name):
    with pytest.raises(BadOption, match=f"split train of {name}; that set is for tests alone; try: train on another"):
        open_set(name, tmp_path, "train")


def test_an_unknown_set_is_told_the_near_ones(tmp_path):
    with pytest.raises(BadOption, match=r"no set is called vimeo \(did you mean .*vimeo90k.*\?\); one of vimeo90k, "):
        open_set("vimeo", tmp_path)


def test_a_missing_picture_is_found_out_when_it_is_read(tmp_path):
    trees.vimeo90k(tmp_path)
    (tmp_path / "sequences" / "00001" / "0002" / "im2.png").unlink()
    found = open_set("vimeo90k", tmp_path)
    assert isinstance(found.clips[1], PictureClip)
    with pytest.raises(BrokenPicture, match=r"0002/im2\.png cannot be read"):
        found.clips[1].read([1])
