"""Teachers: asked at every step, or once for labels that are found again."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from tween.cli import main as command
from tween.data.clips import PictureClip
from tween.data.labels import Labels, dis_flow, labelled
from tween.data.layouts import DataSet
from tween.data.synthetic import SyntheticClip, SyntheticSet
from tween.errors import BadOption, BrokenPicture, CannotWrite, TooShort, UnknownTime
from tween.models import weights, zoo
from tween.models.model import Batch, Model, Prediction, Spec
from tween.train.teacher import DIRECT, Teacher, write_labels

SIZE = (40, 56)


class Guide(Model):
    """Shows the mean of its first and last frame, and says that everything moves by t."""

    def __init__(self, context=(0, 1), **facts):
        super().__init__()
        self.spec = Spec(context, **facts)
        self.shade = torch.nn.Parameter(torch.zeros(()))

    def render(self, scene, t):
        assert all(side % self.spec.multiple == 0 for side in scene[0].shape[-2:])
        frame = (scene[0] + scene[-1]) / 2 + self.shade
        flow = t.view(-1, 1, 1, 1) * torch.ones_like(frame[:, :1]).repeat(1, 4, 1, 1)
        return Prediction(frame, {"flow": flow, "flow_s4": flow[..., ::4, ::4]})


def batch(frames: int = 2, t: float = 0.5, size=SIZE) -> Batch:
    pictures = torch.rand(3, frames, 3, *size, generator=torch.Generator().manual_seed(0))
    return Batch(frames=pictures, t=torch.full((3,), t), target=pictures[:, 0])


def drawn(length: int = 5, count: int = 2) -> DataSet:
    return DataSet("drawn", tuple(SyntheticSet(size=SIZE, count=count, length=length, seed=3)))


def test_a_teacher_answers_and_never_learns():
    model = Guide(multiple=16).train()
    taught = Teacher(model)(batch())
    assert torch.allclose(taught.frame, batch().frames.mean(1))
    assert taught.aux["flow"].shape == (3, 4, *SIZE)
    assert not taught.frame.requires_grad
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_only_what_has_the_frames_size_is_handed_on():
    assert set(Teacher(Guide(multiple=16))(batch()).aux) == {"flow"}


def test_a_teacher_sees_its_own_frames_of_a_longer_context():
    seen = batch(4)
    taught = Teacher(Guide(), (-1, 0, 1, 2))(seen)
    assert torch.allclose(taught.frame, (seen.frames[:, 1] + seen.frames[:, 2]) / 2)


def test_a_teacher_that_needs_more_frames_is_refused():
    with pytest.raises(BadOption) as error:
        Teacher(Guide((-1, 0, 1, 2)), (0, 1))
    assert str(error.value) == (
        "a teacher that looks at frames at -1, 0, 1, 2; the samples have 0, 1; -1, 2 would be missing; "
        "try: --teacher ifrnet-l, rife-4.25 or dis"
    )


def test_a_predictor_does_not_teach_an_interpolator():
    with pytest.raises(BadOption, match="a teacher that predicts for samples of a network that interpolates"):
        Teacher(Guide((-1, 0)), (-1, 0, 1, 2))


def test_a_midpoint_teacher_says_so():
    teacher = Teacher(Guide(any_time=False))
    assert teacher(batch()).frame.shape == (3, 3, *SIZE)
    with pytest.raises(UnknownTime, match=r"samples at t = 0\.25; this teacher knows t = 0\.5 alone; try: --teacher"):
        teacher(batch(t=0.25))


def test_dis_teaches_frames_and_flows():
    clip = SyntheticClip(5, (64, 96))
    frames = torch.stack([frame / 255 for frame in clip.read([0, 2])])[None]
    taught = Teacher(zoo.load("dis"))(Batch(frames=frames, t=torch.tensor([0.5]), target=frames[:, 0]))
    assert taught.frame.shape == (1, 3, 64, 96)
    assert taught.aux["flow"].shape == (1, 4, 64, 96)


def test_every_window_gets_its_label_once(tmp_path):
    labels, told = Labels(tmp_path), []
    made = write_labels(drawn(), labels, watch=lambda *now: told.append(now))
    assert (made.written, made.kept, made.broken) == (6, 0, 0)
    assert made.megabytes == pytest.approx(sum(p.stat().st_size for p in tmp_path.rglob("*.npz")) / 1e6)
    assert told[-1][:2] == (6, 6)
    clip = drawn().clips[1]
    frames = clip.read(range(5))
    expected = dis_flow(frames[2], frames[1], frames[3])
    assert float((labels.load(clip.name, 2, 1, 3) - expected).abs().max()) <= 1 / 64 + 1e-4
    again = write_labels(drawn(), labels)
    assert (again.written, again.kept) == (0, 6)


def test_a_run_that_broke_off_goes_on(tmp_path):
    labels = Labels(tmp_path)
    write_labels(drawn(), labels)
    gone = sorted(tmp_path.rglob("*.npz"))[:2]
    whole = [path.read_bytes() for path in gone]
    for path in gone:
        path.unlink()
    made = write_labels(drawn(), labels)
    assert (made.written, made.kept) == (2, 4)
    assert [path.read_bytes() for path in gone] == whole


def test_a_wider_gap_labels_all_that_lies_in_it(tmp_path):
    made = write_labels(drawn(count=1), Labels(tmp_path), gap=4)
    assert made.written == 3
    assert sorted(path.stem for path in tmp_path.rglob("*.npz")) == ["1-0-4", "2-0-4", "3-0-4"]


def test_a_sets_own_gap_and_targets_are_kept(tmp_path):
    clips = drawn(length=9, count=1).clips
    write_labels(DataSet("nine", clips, gap=8, targets=(4,)), Labels(tmp_path))
    assert [path.stem for path in tmp_path.rglob("*.npz")] == ["4-0-8"]


def test_the_frame_after_two_can_be_labelled(tmp_path):
    write_labels(drawn(count=1), Labels(tmp_path), predict=True)
    assert sorted(path.stem for path in tmp_path.rglob("*.npz")) == ["2-0-1", "3-1-2", "4-2-3"]


def test_labels_are_found_by_the_clips_they_were_made_for(tmp_path):
    labels = Labels(tmp_path)
    write_labels(drawn(), labels)
    clip = labelled(drawn(), labels).clips[0]
    assert torch.equal(clip.flow(1, 0, 2), labels.load(clip.name, 1, 0, 2))
    truth = drawn().clips[0].flow(1, 0, 2)
    assert not torch.equal(clip.flow(1, 0, 2), truth)


def test_a_network_can_write_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "load", lambda _: Guide((-1, 0, 1, 2), multiple=16))
    labels = Labels(tmp_path)
    made = write_labels(drawn(length=8, count=1), labels, model="guide", gap=2)
    assert made.written == 2
    flow = labels.load(drawn().clips[0].name, 3, 2, 4)
    assert flow.shape == (4, *SIZE)
    assert float((flow - 0.5).abs().max()) == 0
    with np.load(labels.path(drawn().clips[0].name, 3, 2, 4)) as stored:
        assert str(stored["which"]) == "guide"


def test_a_network_of_the_zoo_can_write_labels(tmp_path):
    file = tmp_path / "ifrnet-t.safetensors"
    torch.manual_seed(0)
    network = zoo.create("ifrnet-t").eval()
    weights.write(network.state_dict(), file, name="ifrnet-t", origin="", licence="")
    labels, clip = Labels(tmp_path / "flow"), drawn(count=1).clips[0]
    assert write_labels(drawn(count=1), labels, model=str(file)).written == 3
    frames = torch.stack([frame / 255 for frame in clip.read([1, 2, 3])])
    taught = Teacher(network)(Batch(frames=frames[None, [0, 2]], t=torch.tensor([0.5]), target=frames[None, 1]))
    assert float((labels.load(clip.name, 2, 1, 3) - taught.aux["flow"][0]).abs().max()) <= 1 / 64 + 1e-3


def test_a_model_without_a_flow_is_refused(tmp_path):
    with pytest.raises(BadOption, match="--model blend; it gives no flow of the frame's size; try: --model one of dis"):
        write_labels(drawn(), Labels(tmp_path / "none"), model="blend")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"gap": 1}, "a gap of 1 source frames; a larger gap is needed; try: --gap 2"),
        ({"gap": 0}, "--gap 0; one source frame or more is needed; try: --gap 2"),
        ({"model": "dis", "predict": False, "gap": -3}, "--gap -3; one source frame or more is needed"),
        ({"model": "dis-ahead"}, "--model dis-ahead; it predicts; try: --model dis"),
        ({"model": "blend", "predict": True}, "--model blend; it interpolates; try: without --predict"),
    ],
)
def test_what_cannot_be_labelled_is_refused(tmp_path, more, words):
    with pytest.raises(BadOption) as error:
        write_labels(drawn(), Labels(tmp_path), **more)
    assert words in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "load", lambda _: Guide())
    with pytest.raises(BadOption, match="--device cuda:77; this machine has no such device; try: --device cpu"):
        write_labels(drawn(), Labels(tmp_path), model="guide", device="cuda:77")


def test_clips_too_short_for_a_window_are_refused(tmp_path):
    with pytest.raises(TooShort, match="the longest clip of drawn has 5 frames"):
        write_labels(drawn(), Labels(tmp_path), gap=8)


def test_a_closed_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotWrite, match="try: --out DIR"):
        write_labels(drawn(), Labels(tmp_path / "file"))


def pictures(root, count: int = 4) -> None:
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        frames = SyntheticClip(9, SIZE, count).read(range(count))
        for number, frame in enumerate(frames):
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(root / name / f"{number:03d}.png")


def test_a_broken_picture_costs_its_windows_and_is_told(tmp_path, caplog):
    pictures(tmp_path / "clips", 5)
    paths = [str(path) for path in sorted((tmp_path / "clips" / "a").iterdir())]
    (tmp_path / "clips" / "a" / "004.png").write_bytes(b"no picture")
    made = write_labels(DataSet("one", (PictureClip("a", "a", tuple(paths)),)), Labels(tmp_path / "flow"))
    assert (made.written, made.broken) == (2, 1)
    assert "004.png" in caplog.text
    (tmp_path / "clips" / "a" / "002.png").write_bytes(b"no picture")
    with pytest.raises(BrokenPicture, match="could not be read"):
        write_labels(DataSet("one", (PictureClip("a", "a", tuple(paths)),)), Labels(tmp_path / "other"))


def test_the_command_writes_beside_the_footage_and_goes_on(tmp_path, capsys):
    pictures(tmp_path / "clips")
    line = ["flow", "frames", "--root", str(tmp_path / "clips"), "--json"]
    assert command.main(line) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["written"], told["kept"], told["out"]) == (4, 0, str(tmp_path / "clips.flow"))
    assert (tmp_path / "clips.flow" / "b" / "2-1-3.npz").is_file()
    assert command.main(line[:-1]) == 0
    assert "0 labels" in capsys.readouterr().err
    assert command.main(["flow", "frames", "--root", str(tmp_path / "clips"), "--gap", "1"]) == 2
    assert "try: --gap 2" in capsys.readouterr().err


def test_the_direct_search_is_the_default():
    assert DIRECT == "dis"
