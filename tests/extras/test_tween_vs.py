"""The VapourSynth filter: the exported network says what the model says, without torch; the filter keeps originals."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tween.models import zoo

EXTRAS = Path(__file__).parents[2] / "extras"
sys.path.insert(0, str(EXTRAS))

import tween_vs  # noqa: E402

SIZE = (40, 50)


@pytest.fixture(scope="module")
def blend(tmp_path_factory):
    path = tmp_path_factory.mktemp("exports") / "blend.onnx"
    tween_vs.export("blend", SIZE, path)
    return path


@pytest.fixture(scope="module")
def ifrnet(tmp_path_factory):
    """Untrained, but with motion: what is compared is arithmetic."""
    torch.manual_seed(0)
    model = zoo.entry("ifrnet-s").build(1.0).eval()
    path = tmp_path_factory.mktemp("exports") / "ifrnet.onnx"
    tween_vs.write(model, SIZE, path)
    return model, path


def pictures(count=2, size=SIZE):
    rng = np.random.default_rng(5)
    return [rng.random((3, *size), dtype=np.float32) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_it_says_what_the_model_says(ifrnet, runtime):
    pytest.importorskip(runtime)
    model, path = ifrnet
    network = tween_vs.Network(path, runtime)
    assert network.context == (0, 1)
    frames = pictures()
    for t in (0.25, 0.5):
        padded = [torch.from_numpy(np.pad(f, ((0, 0), (4, 4), (7, 7)), mode="edge")) for f in frames]
        with torch.inference_mode():
            wanted = model(torch.stack(padded)[None], torch.tensor([t])).frame[0, :, 4:-4, 7:-7].clamp(0, 1).numpy()
        found = network.between(frames, t)
        assert found.shape == (3, *SIZE)
        assert np.abs(found - wanted).max() < 2e-3


@pytest.mark.slow
def test_smaller_pictures_are_padded_and_larger_refused(blend):
    network = tween_vs.Network(blend)
    a, b = pictures(size=(31, 17))
    assert np.abs(network.between([a, b], 0.25) - (0.75 * a + 0.25 * b)).max() < 1e-5
    with pytest.raises(ValueError, match=r"pictures of 60x41, and an export for 50x40 at most"):
        network.between(pictures(size=(41, 60)), 0.5)


@pytest.mark.slow
def test_a_network_that_knows_only_the_middle(tmp_path):
    torch.manual_seed(0)
    tween_vs.write(zoo.entry("lightvfi").build(1.0), (16, 16), tmp_path / "half.onnx")
    network = tween_vs.Network(tmp_path / "half.onnx")
    assert network.context == (-1, 0, 1, 2)
    assert not network.any_time
    assert network.between(pictures(4, (16, 16)), 0.5).shape == (3, 16, 16)
    with pytest.raises(ValueError, match="knows only the middle, times=2"):
        network.between(pictures(4, (16, 16)), 0.25)


@pytest.mark.slow
def test_a_network_that_predicts_is_refused(tmp_path):
    torch.manual_seed(0)
    tween_vs.write(zoo.entry("ifrvp").build(1.0), (16, 16), tmp_path / "ahead.onnx")
    with pytest.raises(ValueError, match="shows nothing between two frames"):
        tween_vs.Network(tmp_path / "ahead.onnx")


@pytest.mark.slow
def test_it_needs_no_torch(blend):
    code = (
        f"import sys; sys.path.insert(0, {str(EXTRAS)!r}); import numpy as np, tween_vs; "
        f"n = tween_vs.Network({str(blend)!r}); a = np.zeros((3, 40, 50), np.float32); "
        "print(float(n.between([a, a + 1], 0.25).mean())); assert not {'torch', 'tween'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(0.25)


@pytest.mark.parametrize("times", [2, 3])
def test_in_vapoursynth(blend, times):
    vs = pytest.importorskip("vapoursynth")
    base = vs.core.std.BlankClip(width=50, height=40, format=vs.YUV420P10, length=5, fpsnum=24, fpsden=1)
    slope = np.arange(50)[None]

    def paint(n, f):
        shown = f.copy()
        for plane, value in enumerate((100 * n + 100 + slope, 512 + n, 500)):
            np.asarray(shown[plane])[:] = value
        if n == 2:
            shown.props["_SceneChangeNext"] = 1
        return shown

    clip = base.std.ModifyFrame(base, paint)
    out = tween_vs.interpolate(clip, blend, times=times)
    assert out.num_frames == 4 * times + 1
    assert (out.fps, out.format.id) == (24 * times, clip.format.id)
    for n in range(out.num_frames):
        luma = np.asarray(out.get_frame(n)[0]).astype(int)
        place = n / times
        if 2 < place < 3:
            place = 2 if place < 2.5 else 3  # a cut is held
        wanted = 100 * place + 100 + slope
        assert np.abs(luma - wanted).max() <= (0 if n % times == 0 else 1)


def test_what_it_is_not_made_for(blend):
    vs = pytest.importorskip("vapoursynth")
    with pytest.raises(ValueError, match="times of 2 and more"):
        tween_vs.interpolate(vs.core.std.BlankClip(), blend, times=1)
