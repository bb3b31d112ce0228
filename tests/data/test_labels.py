"""Flow labels: stored within a 64th of a pixel, found again, found on the spot."""

import numpy as np
import pytest
import torch
from smooth import moving, sample

from tween.data.labels import Labelled, Labels, beside, dis_flow, flow_label, labelled
from tween.data.layouts import DataSet
from tween.data.synthetic import SyntheticClip
from tween.errors import BrokenPicture, CannotWrite

SIZE = (40, 56)


class Plain:
    """A clip without labels of its own."""

    name, group, length = "films/a-000", "films", 9

    def size(self):
        return SIZE

    def read(self, places):
        return [torch.full((3, *SIZE), place, dtype=torch.uint8) for place in places]

    def flow(self, *_):
        return None


def field(seed: int = 0, scale: float = 5.0) -> torch.Tensor:
    return scale * torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(seed))


def test_a_label_comes_back_within_a_64th_of_a_pixel(tmp_path):
    labels = Labels(tmp_path / "flow")
    for scale in (0.1, 5.0, 300.0):
        flow = field(1, scale).clamp(-1023, 1023)
        labels.save("films/a-000", 3, 2, 4, flow)
        found = labels.load("films/a-000", 3, 2, 4)
        assert found.dtype == torch.float32
        assert float((found - flow).abs().max()) <= 1 / 64 + 1e-4  # and float32's own step, at 1000 pixels


def test_a_smooth_label_is_small(tmp_path):
    flow = torch.from_numpy(moving(size=(192, 256)).flow(1, 0).transpose(2, 0, 1).copy())
    path = Labels(tmp_path).save("a", 1, 0, 2, torch.cat([flow, -flow]))
    assert path.stat().st_size < 0.2 * 4 * 4 * 192 * 256  # a fifth of .flo


def test_what_is_unknown_stays_unknown(tmp_path):
    flow = field()
    flow[:, 10:20, 5:50] = torch.nan
    labels = Labels(tmp_path)
    labels.save("a", 1, 0, 2, flow)
    found = labels.load("a", 1, 0, 2)
    assert torch.equal(found.isnan(), flow.isnan())
    assert float((found - flow).nan_to_num().abs().max()) <= 1 / 64 + 1e-4


def test_what_was_never_stored_is_none(tmp_path):
    labels = Labels(tmp_path / "nowhere")
    assert labels.load("a", 1, 0, 2) is None
    assert not labels.has("a", 1, 0, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_label_is_told_with_what_to_do(tmp_path):
    labels = Labels(tmp_path)
    path = labels.save("a", 1, 0, 2, field())
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(BrokenPicture, match=r"the flow label .*1-0-2\.npz cannot be read .*; try: delete .* run tween"):
        labels.load("a", 1, 0, 2)


def test_a_label_is_whole_or_not_there(tmp_path, monkeypatch):
    labels = Labels(tmp_path)
    before = labels.save("a", 1, 0, 2, field(0)).read_bytes()

    def full(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(CannotWrite, match=r"cannot be written .No space left on device.; try: --out DIR"):
        labels.save("a", 1, 0, 2, field(1))
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["1-0-2.npz"]
    assert labels.path("a", 1, 0, 2).read_bytes() == before


def test_a_labelled_clip_is_the_clip_with_its_labels(tmp_path):
    labels, flow = Labels(tmp_path), field()
    labels.save("films/a-000", 3, 2, 4, flow)
    clip = Labelled(Plain(), labels)
    assert (clip.name, clip.group, clip.length, clip.size()) == ("films/a-000", "films", 9, SIZE)
    assert torch.equal(clip.read([5])[0], Plain().read([5])[0])
    assert torch.allclose(clip.flow(3, 2, 4), flow, atol=1 / 60)
    assert torch.equal(clip.flow(3, 4, 2), clip.flow(3, 2, 4)[[2, 3, 0, 1]])
    assert clip.flow(4, 3, 5) is None


def test_a_clips_own_label_is_used_where_none_is_stored(tmp_path):
    clip = SyntheticClip(1, SIZE)
    assert torch.equal(Labelled(clip, Labels(tmp_path)).flow(3, 2, 4), clip.flow(3, 2, 4))


def test_a_label_of_another_size_is_refused(tmp_path):
    labels = Labels(tmp_path)
    labels.save("films/a-000", 3, 2, 4, torch.zeros(4, 20, 28))
    with pytest.raises(BrokenPicture, match=r"is 20 x 28; the clip is 40 x 56; try: delete .* and label again"):
        Labelled(Plain(), labels).flow(3, 2, 4)


def test_a_set_finds_its_labels_beside_it(tmp_path):
    root = tmp_path / "my_videos"
    beside(root).save("films/a-000", 3, 2, 4, field())
    assert (tmp_path / "my_videos.flow" / "films" / "a-000" / "3-2-4.npz").is_file()
    found = labelled(DataSet("video", (Plain(),), gap=2), beside(root))
    assert (found.name, found.gap) == ("video", 2)
    assert found.clips[0].flow(3, 2, 4) is not None


@pytest.mark.parametrize("finest", [0, 1])
def test_flow_found_on_the_spot_is_near_the_truth(finest):
    seen = sample(moving(2.0, size=(128, 160)))
    found = dis_flow(seen.target, *seen.frames, finest=finest)
    assert found.shape == seen.flow.shape
    assert found.dtype == torch.float32
    inner = (found - seen.flow)[:, 16:-16, 16:-16].unflatten(0, (2, 2)).square().sum(1).sqrt()
    assert float(inner.median()) < 0.25
    assert float(inner.mean()) < 0.6
    assert float(seen.flow.square().mean().sqrt()) > 2  # there was something to find


def test_a_samples_label_leads_to_its_neighbours():
    between = sample(moving(2.0, size=(96, 128)), context=(-1, 0, 1, 2))
    found = flow_label(between, (-1, 0, 1, 2))
    assert torch.equal(found, dis_flow(between.target, between.frames[1], between.frames[2], finest=1))
    ahead = sample(moving(2.0, size=(96, 128)), t=1.0, context=(-1, 0))
    found = flow_label(ahead, (-1, 0))
    error = (found - ahead.flow)[:, 16:-16, 16:-16].unflatten(0, (2, 2)).square().sum(1).sqrt()
    assert float(error.median()) < 0.6


def test_pictures_too_small_to_search_rest():
    small = torch.zeros(3, 12, 40, dtype=torch.uint8)
    assert dis_flow(small, small, small).abs().max() == 0
