"""Hardware encoders: taken when asked for and there, told with a way out when not, never replaced in silence."""

import av
import pytest
from clips import Clip

from tween.errors import BadOption, UnsupportedStream
from tween.video.codecs import ENCODERS, choose_format, plan_for
from tween.video.doors import open_sink, open_source
from tween.video.hardware import HARDWARE, check_opens
from tween.video.stream import Encoding

SIZE = (256, 256)


def opens(codec):
    encoder = HARDWARE[codec]
    try:
        check_opens(codec, encoder, SIZE, encoder.formats[0], encoder.quality(20))
    except (UnsupportedStream, ValueError):
        return False
    return encoder.library in av.codecs_available


@pytest.mark.parametrize("codec", HARDWARE)
def test_what_the_machine_lacks_is_told_at_the_door(tmp_path, codec):
    if opens(codec):
        pytest.skip("this machine has it")
    clip = Clip(frames=3, size=SIZE).make(tmp_path / "in.mp4")
    software = HARDWARE[codec].software
    words = rf"--codec {codec}.*; .*needed; try: --codec {software}"
    with pytest.raises(UnsupportedStream, match=words), open_source(clip) as source:
        open_sink(tmp_path / "out.mp4", like=source, encoding=Encoding(codec=codec))
    assert software in ENCODERS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


@pytest.mark.parametrize("codec", [codec for codec in HARDWARE if opens(codec)])
def test_what_the_machine_has_is_used(tmp_path, codec):
    clip = Clip(frames=6, size=SIZE).make(tmp_path / "in.mp4")
    with (
        open_source(clip) as source,
        open_sink(tmp_path / "out.mp4", like=source, encoding=Encoding(codec=codec)) as sink,
    ):
        for frame in source:
            sink.write(frame)
    with open_source(tmp_path / "out.mp4") as again, open_source(clip) as was:
        assert again.info.codec == codec.partition("_")[0]
        for a, b in zip(again, was, strict=True):
            assert a.pts == b.pts
            assert (a.data.float() - b.data.float()).abs().mean() < 4


@pytest.mark.parametrize(
    ("codec", "quality", "options"),
    [
        ("h264_nvenc", 23, {"rc": "vbr", "cq": "23", "b": "0"}),
        ("h264_qsv", 23, {"global_quality": "23"}),
        ("h264_vaapi", 23, {"rc_mode": "CQP", "global_quality": "23"}),
        ("hevc_videotoolbox", 0, {"flags": "+qscale", "global_quality": "11800"}),
        ("hevc_videotoolbox", 51, {"flags": "+qscale", "global_quality": "0"}),
    ],
)
def test_quality_is_each_encoders_own_dial(codec, quality, options):
    assert HARDWARE[codec].quality(quality) == options


@pytest.mark.parametrize("codec", [codec for codec in HARDWARE if HARDWARE[codec].library in av.codecs_available])
def test_formats_are_formats_of_the_encoder(codec):
    known = {pixels.name for pixels in av.Codec(HARDWARE[codec].library, "w").video_formats}
    assert set(HARDWARE[codec].formats) <= known


@pytest.mark.parametrize(
    ("codec", "source", "target", "said"),
    [
        ("h264_nvenc", "yuv420p", "yuv420p", ""),
        ("h264_nvenc", "yuv444p", "yuv444p", ""),
        ("h264_nvenc", "yuv420p10le", "yuv420p", "holds 8 bits at most: 10 are rounded"),
        ("hevc_nvenc", "yuv420p10le", "p010le", ""),
        ("hevc_nvenc", "yuv420p12le", "p010le", "holds 10 bits at most: 12 are rounded"),
        ("av1_nvenc", "yuv422p10le", "p010le", "holds no yuv422p"),
        ("hevc_qsv", "yuv420p10le", "p010le", ""),
        ("h264_qsv", "yuv420p", "nv12", ""),
    ],
)
def test_pixel_formats(codec, source, target, said):
    if HARDWARE[codec].library not in av.codecs_available:
        pytest.skip("this PyAV was built without it")
    chosen, notes = choose_format(source, HARDWARE[codec], SIZE)
    assert chosen == target
    assert (said in " ".join(notes)) if said else notes == ()


@pytest.mark.skipif("h264_nvenc" not in av.codecs_available, reason="this PyAV was built without it")
def test_odd_sizes_and_wild_dials(tmp_path):
    with pytest.raises(UnsupportedStream, match=r"33x18 is odd, and h264_nvenc takes even sizes only.*--codec h264"):
        plan_for(tmp_path / "o.mp4", Encoding(codec="h264_nvenc"), "yuv420p", (18, 33))
    with pytest.raises(BadOption, match=r"--crf 52; 0 \(best\) to 51 is needed for h264_nvenc"):
        plan_for(tmp_path / "o.mp4", Encoding(codec="h264_nvenc", crf=52), "yuv420p", SIZE)
    with pytest.raises(BadOption, match=r"--preset p9 \(did you mean"):
        plan_for(tmp_path / "o.mp4", Encoding(codec="h264_nvenc", preset="p9"), "yuv420p", SIZE)
    with pytest.raises(BadOption, match=r"h264_nvenc goes into \.mp4"):
        plan_for(tmp_path / "o.webm", Encoding(codec="h264_nvenc"), "yuv420p", SIZE)
