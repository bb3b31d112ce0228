"""Frames to a device and back: nothing is read before it is there, nothing written over while it is needed."""

import gc

import pytest
import torch
from networks import ifrnet_s, moving, run

from tween.backends.pinned import AT_ONCE, CudaLink, Downloads, Uploads
from tween.backends.torch import TorchBackend

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


class Late:
    """A link whose copies are done when somebody waits for them, and not before: the slowest device there could be."""

    def __init__(self):
        self.begun, self.hosts, self.waits = [], [], 0

    def host(self, shape):
        self.hosts.append(tuple(shape))
        return torch.full(shape, -1.0)

    def send(self, held):
        there = torch.full(held.shape, -2.0)
        self.begun.append(lambda: there.copy_(held))
        return there

    def fetch(self, picture, into):
        self.begun.append(lambda: into.copy_(picture))

    def mark(self):
        count = len(self.begun)
        return lambda: self.finish(count)

    def finish(self, count):
        """What was begun up to then, in order."""
        self.waits += 1
        with torch.inference_mode():
            for k, copy in enumerate(self.begun[:count]):
                if copy is not None:
                    copy()
                    self.begun[k] = None


def pictures(count, size=(4, 5)):
    return [torch.full((1, 3, *size), float(k)) for k in range(count)]


def test_a_buffer_is_not_filled_again_before_the_device_has_read_it():
    link, frames = Late(), pictures(7)
    uploads = Uploads(link)
    there = [uploads(frame) for frame in frames]
    link.finish(len(link.begun))
    assert [float(one.mean()) for one in there] == [float(k) for k in range(7)]
    assert len(link.hosts) == AT_ONCE == 2


def test_two_frames_are_on_their_way_before_anything_is_waited_for():
    link = Late()
    uploads = Uploads(link)
    for frame in pictures(2):
        uploads(frame)
    assert link.waits == 0
    uploads(*pictures(1))
    assert link.waits == 1
    assert [copy is None for copy in link.begun] == [True, False, False]  # the older one, and it alone


def test_a_frame_may_be_written_over_at_once():
    link, (frame,) = Late(), pictures(1)
    there = Uploads(link)(frame)
    frame.fill_(9)
    link.finish(1)
    assert (there == 0).all()


def test_sizes_and_kinds_may_change_and_so_may_the_mode():
    """What was made in inference mode may be written in it only."""
    link = Late()
    uploads = Uploads(link)
    with torch.inference_mode():
        uploads(torch.zeros(1, 3, 4, 5))
    given = [torch.rand(2, 3, 6, 7), torch.rand(1, 3, 4, 5, dtype=torch.float64), torch.rand(3), torch.rand(3)]
    there = [uploads(one) for one in given]
    link.finish(len(link.begun))
    for one, other in zip(given, there, strict=True):
        assert other.dtype == torch.float32
        assert torch.equal(one.float(), other)


def test_a_picture_is_done_when_it_is_handed_over():
    with torch.inference_mode():
        picture = torch.rand(1, 3, 4, 5).to(memory_format=torch.channels_last)
    back = Downloads(Late())(picture)
    assert back.is_contiguous()
    assert torch.equal(back, picture)
    back.zero_()  # outside of inference mode, as any tensor


def test_what_is_held_is_never_written_over_be_it_a_view():
    downloads = Downloads(Late())
    views = [downloads(picture)[0, 0, :1] for picture in pictures(9)]
    gc.collect()
    assert [float(view.mean()) for view in views] == [float(k) for k in range(9)]


def test_no_more_than_two_that_are_held_are_page_locked():
    link = Late()
    downloads = Downloads(link)
    held = [downloads(picture) for picture in pictures(5)]
    assert len(link.hosts) == AT_ONCE == 2
    assert [float(one.mean()) for one in held] == [0, 1, 2, 3, 4]
    del held
    gc.collect()
    for picture in pictures(5):
        assert torch.equal(downloads(picture), picture)
    assert len(link.hosts) == 7  # none was held: each was page-locked


def test_a_backend_gives_the_same_over_a_late_link():
    """Times go the same way as frames."""
    model, t = ifrnet_s(), torch.tensor([0.3])
    frames = moving((32, 48))
    backend = TorchBackend(model)
    wanted = run(backend, frames, t)
    link = Late()

    def sent(held):
        there = held.clone()
        link.begun.append(None)
        return there

    link.send = sent  # what computes on the CPU reads at once
    backend._frames, backend._times, backend._back = Uploads(link), Uploads(link), Downloads(link)
    for _ in range(3):
        assert torch.equal(run(backend, frames, t), wanted)


@pytest.mark.needs_cuda
@needs_cuda
def test_on_a_gpu_frames_come_and_go_unharmed():
    """Never run yet. A stream that is behind makes a copy that nobody waits for show."""
    link, work = CudaLink("cuda:0"), torch.rand(8192, 8192, device="cuda:0")
    uploads, downloads = Uploads(link), Downloads(link)
    frames = [torch.rand(1, 3, 1080, 1920) for _ in range(6)]
    there = []
    for frame in frames:
        given = frame.clone()
        work.mm(work)
        there.append(uploads(given))
        given.zero_()
    back = []
    for one in there:
        work.mm(work)
        back.append(downloads(one))
    assert [one.is_pinned() for one in back] == [True] * AT_ONCE + [False] * 4
    assert all(torch.equal(one, frame) for one, frame in zip(back, frames, strict=True))


@pytest.mark.needs_cuda
@needs_cuda
def test_on_a_gpu_a_render_lies_in_page_locked_memory():
    """Never run yet."""
    got = run(TorchBackend(ifrnet_s(), device="cuda:0"), moving((96, 160)), torch.tensor([0.5]))
    assert got.device.type == "cpu"
    assert got.is_pinned()
