"""Laws of backends around backends: tiles leave no seam, shrink when memory runs out, and mirrors change nothing that
has no direction."""

from itertools import pairwise

import pytest
import torch
from networks import long, moving, run, small

from tween.backends.torch import TorchBackend
from tween.backends.wrappers import Layout, Mirrored, Tiled, is_want_of_memory, tile_for
from tween.errors import BadOption
from tween.models import zoo
from tween.models.model import Spec
from tween.ops.canvas import to_float
from tween.video.doors import open_source

HALF = torch.tensor([0.5])


@pytest.mark.parametrize("size", [(128, 128), (200, 300), (129, 511), (64, 400)])
@pytest.mark.parametrize("tile", [(128, 128), (96, 160)])
@pytest.mark.parametrize("overlap", [0, 16, 24])
def test_tiles_cover_the_canvas_and_join_to_it(size, tile, overlap):
    tile = tuple(min(t, n) for t, n in zip(tile, size, strict=True))
    layout = Layout(size, tile, overlap)
    frame = torch.rand(2, 3, *size)
    assert {tuple(part.shape[-2:]) for part in layout.cut(frame)} == {tile}
    torch.testing.assert_close(layout.join(layout.cut(frame)), frame)
    tops = sorted({y for y, _ in layout.places()})
    assert tops[0] == 0
    assert tops[-1] + tile[0] == size[0]
    assert all(after - before <= tile[0] - overlap for before, after in pairwise(tops))


def tiled(model, size, tile, **options):
    return Tiled(lambda _: TorchBackend(model, **options), size, tile)


def seams(picture, whole, layout):
    """How much larger the mean step across any edge of a tile is than in the whole picture, grey levels, at most."""
    found = [0.0]
    for axis, begins in enumerate(zip(*layout.places(), strict=True)):
        edges = {at for begin in begins for at in (begin, begin + layout.tile[axis])} - {0, layout.size[axis]}
        steps, usual = ((p.mean(1)[0] * 255).diff(dim=axis).abs().mean(1 - axis) for p in (picture, whole))
        found += [float(steps[at - 1] - usual[at - 1]) for at in edges]
    return max(found)


def test_no_seam_is_a_grey_level():
    """Tiles that do not overlap show that there is one to be seen. (Random networks look too near to make any.)"""
    size = (256, 384)
    frames, network = moving(size), TorchBackend(zoo.load("dis"))
    backend, hard = tiled(zoo.load("dis"), size, (160, 192)), Layout(size, (128, 192), 0)
    whole, parted = run(network, frames, HALF), run(backend, frames, HALF)
    butted = hard.join(run(network, list(pair), HALF) for pair in zip(*map(hard.cut, frames), strict=True))
    assert seams(butted, whole, hard) > 2
    assert seams(parted, whole, backend._now.layout) < 1


@pytest.mark.needs_shared
@pytest.mark.parametrize(("clip", "levels"), [("sintel_trailer_001", 0.2), ("bevy_motion_blur_cars", 2)])
@pytest.mark.slow
def test_no_seam_in_a_real_video(shared, clip, levels):
    """The second moves by a third of a tile a gap: pictures differ, and yet no edge shows."""
    with open_source(shared / "data" / "dev" / f"{clip}.mp4") as source:
        first, second = (to_float(frame.data).unsqueeze(0) for _, frame in zip(range(2), source, strict=False))
    size = tuple(first.shape[-2:])
    backend = tiled(zoo.load("dis"), size, (544, 960))
    whole = run(TorchBackend(zoo.load("dis")), [first, second], HALF)
    parted = run(backend, [first, second], HALF)
    assert seams(parted, whole, backend._now.layout) < 1
    assert (parted - whole).abs().mean() * 255 < levels


def test_one_tile_is_the_network_itself():
    frames = moving((64, 96))
    assert torch.equal(run(tiled(small(), (64, 96), (64, 96)), frames, HALF), run(TorchBackend(small()), frames, HALF))


def test_a_long_context_drops_what_lies_behind():
    frames = moving((256, 256), count=4)
    backend = tiled(long(), (256, 256), (160, 160))
    context = [backend.embed(frame) for frame in frames]
    whole = backend.render(backend.relate(context), HALF)
    context[0] = context[0][:1]
    assert torch.equal(backend.render(backend.relate(context), HALF), whole)


class Poor(TorchBackend):
    """Has memory for so many pixels."""

    def __init__(self, pixels, verb, error):
        super().__init__(small())
        self.pixels, self.verb, self.error, self.sizes = pixels, verb, error, set()

    def _ask(self, verb, frame):
        self.sizes.add(tuple(frame.shape[-2:]))
        if verb == self.verb and frame.shape[-2] * frame.shape[-1] > self.pixels:
            raise self.error

    def embed(self, frame):
        self._ask("embed", frame)
        return super().embed(frame)

    def relate(self, context):
        self._ask("relate", context[0][0])
        return super().relate(context)

    def render(self, scene, t):
        self._ask("render", scene[0])
        return super().render(scene, t)


WANTS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory"),
]


@pytest.mark.parametrize("verb", ["embed", "relate", "render"])
@pytest.mark.parametrize("error", WANTS, ids=["python", "cuda", "cpu"])
@pytest.mark.slow
def test_out_of_memory_shrinks_tiles_and_goes_on(verb, error):
    size = (512, 512)
    frames = moving(size)
    backend = Tiled(lambda _: Poor(200 * 300, verb, error), size, size)
    got = run(backend, frames, HALF)
    assert backend.tile == (256, 256) or backend.tile == (256, 128) or backend.tile[0] * backend.tile[1] <= 200 * 300
    whole = run(TorchBackend(small()), frames, HALF)
    assert (got - whole).abs().mean() * 255 < 1


def test_what_is_no_want_of_memory_is_raised():
    backend = Tiled(lambda _: Poor(10, "relate", RuntimeError("shape mismatch")), (256, 256), (256, 256))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run(backend, moving((256, 256)), HALF)
    assert not is_want_of_memory(RuntimeError("shape mismatch"))


def test_tiles_that_cannot_shrink_raise():
    backend = Tiled(lambda _: Poor(10, "relate", MemoryError()), (256, 256), (256, 256))
    with pytest.raises(MemoryError):
        run(backend, moving((256, 256)), HALF)
    assert backend.tile == (128, 128)


@pytest.mark.parametrize("network", [small, lambda: zoo.load("blend"), lambda: zoo.load("dis")])
def test_mirrored_is_even_handed(network):
    """A frame turned by half a turn gives the picture turned by half a turn."""
    backend = Mirrored(TorchBackend(network()))
    frames = moving((64, 96))
    straight = run(backend, frames, HALF)
    turned = run(backend, [frame.flip(-2, -1) for frame in frames], HALF)
    torch.testing.assert_close(turned.flip(-2, -1), straight, atol=1e-6, rtol=0)


def test_wrappers_nest():
    frames = moving((256, 256))
    nested = Mirrored(tiled(zoo.load("blend"), (256, 256), (160, 160)))
    torch.testing.assert_close(run(nested, frames, HALF), run(TorchBackend(zoo.load("blend")), frames, HALF))
    assert (nested.spec, nested.name) == (zoo.load("blend").spec, "torch")


SPEC = Spec(multiple=32)


def test_which_tiles():
    def tile(asked, size=(2176, 3840), free=10):
        return tile_for(asked, size, SPEC, bytes_a_pixel=1000, free=free * 1e9)

    assert tile("off") is None
    assert tile("auto", free=100) is None
    assert tile("auto", free=1e-9) == (128, 128)
    height, width = tile("auto", free=5)
    assert height * width * 1000 < 3e9
    assert height % 32 == width % 32 == 0
    assert tile("512,768") == (512, 768)
    assert tile("500x700") == (512, 704)
    assert tile("4000,5000") is None
    for wrong, words in (("big", "auto, off, or height and width"), ("64,64", "tiles of 128 pixels and more")):
        with pytest.raises(BadOption, match=words):
            tile(wrong)
