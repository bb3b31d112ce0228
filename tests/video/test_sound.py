"""Sound where it cannot stay as it is: its length, its pitch, and that it stays with the picture."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import Clip, packets

from tween.curve import Curve, at_rate
from tween.errors import UnsupportedStream
from tween.timeline import Slow
from tween.video.doors import open_sink, open_source
from tween.video.stream import Encoding
from tween.video.stretch import Stretcher

F = Fraction


def stretched(samples, rate, factor, block=1000):
    """Samples `[C, n]` through a Stretcher, fed in blocks."""
    one = Stretcher(rate, shown=lambda seconds: seconds / factor, lasts=lambda seconds: seconds * factor)
    parts = [one.feed(samples[:, k : k + block]) for k in range(0, samples.shape[1], block)]
    return np.concatenate([*parts, one.finish()], axis=1)


def tone(hertz, seconds, rate):
    return np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * hertz / rate).astype(np.float32)[None] * 0.5


@pytest.mark.parametrize("factor", [F(1, 4), F(1, 2), F(4, 5), F(5, 4), F(2), F(5, 2), F(4), F(8)])
@pytest.mark.parametrize("hertz", [110, 440, 3000])
@pytest.mark.slow
def test_length_changes_and_pitch_and_level_do_not(factor, hertz):
    rate = 16000
    made = stretched(tone(hertz, 2, rate), rate, factor)
    assert made.shape == (1, 2 * rate * factor)
    spectrum = np.abs(np.fft.rfft(made[0] * np.hanning(made.shape[1])))
    assert np.argmax(spectrum) * rate / made.shape[1] == pytest.approx(hertz, rel=0.02)
    inner = made[0, rate // 8 : -rate // 8]
    level = np.sqrt((inner[: len(inner) // 400 * 400].reshape(-1, 400) ** 2).mean(1))
    assert level.mean() == pytest.approx(0.3535, rel=0.05)
    assert level.min() > 0.25, "no holes"


def test_at_speed_1_nothing_changes():
    noise = np.random.default_rng(1).normal(size=(2, 20_000)).astype(np.float32)
    assert np.abs(stretched(noise, 48000, F(1)) - noise).max() < 1e-6


@pytest.mark.parametrize("block", [1, 333, 100_000])
def test_blocks_do_not_matter(block):
    noise = np.random.default_rng(2).normal(size=(1, 4000 if block > 1 else 900)).astype(np.float32)
    assert np.array_equal(stretched(noise, 8000, F(3), block), stretched(noise, 8000, F(3), 1000))


@pytest.mark.parametrize("factor", [F(1, 2), F(5, 4), F(2), F(4), F(8)])
def test_a_beep_stays_in_its_place(factor):
    rate, at, lasts = 16000, F(13, 10), F(1, 5)
    sound = np.random.default_rng(0).normal(size=(1, 3 * rate)).astype(np.float32) * 0.002
    sound[:, int(at * rate) : int((at + lasts) * rate)] += tone(880, float(lasts), rate)
    made = stretched(sound, rate, factor)[0] ** 2
    centre = (made * np.arange(len(made))).sum() / made.sum() / rate
    assert abs(centre - (at + lasts / 2) * factor) < 0.004 * max(1, factor)


@pytest.mark.slow
def test_memory_does_not_grow():
    one = Stretcher(8000, shown=lambda seconds: seconds / 2, lasts=lambda seconds: seconds * 2)
    for _ in range(200):
        one.feed(np.zeros((1, 8000), np.float32) + 0.1)
        assert one._buffer.shape[1] < 20_000


def through(source_path, sink_path, clock=None, **encoding):
    """A whole video in the clock's time, its pictures at their new places; gives back the sink's notes."""
    with open_source(source_path) as source:
        rate = source.info.rate if clock else None
        options = Encoding(
            clock=clock, rate=rate, preset="ultrafast" if sink_path.suffix != ".webm" else "12", **encoding
        )
        with open_sink(sink_path, like=source, encoding=options) as sink:
            frames = list(source)
            for frame in frames:
                span = (lambda a, b: b - a) if clock is None else clock.span
                lasts = span(frame.pts, frame.pts + frame.duration)
                sink.write(replace(frame, pts=frames[0].pts + span(frames[0].pts, frame.pts), duration=lasts))
    return sink.notes


def heard(path, index=0):
    """A sound stream decoded: (mono samples from time 0 on, samples a second), and the codec's name."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[index]
        name, rate = stream.codec_context.name, stream.codec_context.sample_rate
        parts = []
        for frame in container.decode(stream):
            parts.append(
                (float(frame.pts * frame.time_base), frame.to_ndarray(), frame.layout.nb_channels, frame.format)
            )
    samples = np.zeros(round((parts[-1][0] + 1) * rate), np.float32)
    for pts, block, channels, form in parts:
        block = block.reshape(-1, channels).T if not form.is_planar else block
        mono = block.astype(np.float32).mean(0) / (1 if "flt" in form.name else 2 ** (8 * form.bytes - 1))
        at = round(pts * rate)
        mono = mono[max(0, -at) :]
        samples[max(0, at) : max(0, at) + len(mono)] = mono
    return samples, rate, name


def sounding(samples, rate, level=0.05):
    """First and last moment at which something is heard, seconds."""
    loud = np.flatnonzero(np.abs(samples) > level)
    return loud[0] / rate, loud[-1] / rate


@pytest.mark.parametrize(
    ("suffix", "codec", "wanted"),
    [(".mp4", "aac", "aac"), (".mov", "pcm_s16le", "alac"), (".mkv", "aac", "opus"), (".mkv", "flac", "flac")],
)
@pytest.mark.slow
def test_slowed_sound_is_stretched_in_its_place_at_its_pitch(tmp_path, suffix, codec, wanted):
    source = Clip(frames=24, sound=(codec,), sound_from=F(1, 4)).make(
        tmp_path / f"in{'.mkv' if suffix == '.mkv' else '.mov'}"
    )
    notes = through(source, tmp_path / f"out{suffix}", Slow(2))
    assert notes == [
        f"the sound stream 1 ({codec} in eng) is stretched with the picture, and encoded anew as"
        f" {'Opus' if wanted == 'opus' else wanted.upper()}"
    ]
    samples, rate, name = heard(tmp_path / f"out{suffix}")
    assert name.removeprefix("lib") == wanted
    first, last = sounding(samples, rate)
    shift = opened_at(tmp_path / f"out{suffix}")
    assert first - shift == pytest.approx(0.5, abs=0.03)
    assert last - shift == pytest.approx(2.5, abs=0.05)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * rate / len(samples) == pytest.approx(440, rel=0.02)
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert container.streams.audio[0].language == "eng"


def opened_at(path):
    """When the first picture is shown: Matroska moves a film by the encoder's delay of its sound."""
    with open_source(path) as source:
        return float(next(iter(source)).pts)


def test_a_curve_stretches_sound_where_it_slows(tmp_path):
    source = Clip(frames=72, sound=("pcm_s16le",)).make(tmp_path / "in.mov")
    curve = at_rate(Curve.of_speeds([(F(1), F(1)), (F(1), F(1, 3)), (F(2), F(1, 3)), (F(2), F(1))]), 24, F(0))
    through(source, tmp_path / "out.mov", curve)
    samples, rate, _ = heard(tmp_path / "out.mov")
    first, last = sounding(samples, rate)
    assert (first, last) == (pytest.approx(0, abs=0.01), pytest.approx(5, abs=0.05))
    was, _, _ = heard(source)
    assert np.abs(samples[: rate * 9 // 10] - was[: rate * 9 // 10]).max() < 0.01, "untouched until the ramp"


def test_kept_sound_is_copied_with_its_own_length(tmp_path):
    source = Clip(frames=24, sound=("aac",), subtitles=("mov_text",)).make(tmp_path / "in.mp4")
    assert through(source, tmp_path / "out.mp4", Slow(4), sound="keep") == []
    assert packets(tmp_path / "out.mp4", "audio") == packets(source, "audio")
    texts = [pts for pts, data in packets(tmp_path / "out.mp4", "subtitle")[0] if data != b"\0\0"]
    assert texts == [F(0), F(4, 5)]


def test_sound_is_dropped_when_asked_and_only_then(tmp_path):
    source = Clip(frames=6, sound=("aac", "ac3")).make(tmp_path / "in.mp4")
    notes = through(source, tmp_path / "out.mp4", Slow(2), sound="drop")
    assert notes == [f"the sound stream {k} ({c} in {lang}) is left out, as asked"
                     for k, c, lang in ((1, "aac", "eng"), (2, "ac3", "deu"))]  # fmt: skip
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("codec", ["aac", "flac", "ac3", "pcm_s16le"])
def test_webm_gets_opus_of_what_it_cannot_hold(tmp_path, codec):
    source = Clip(frames=24, size=(64, 64), sound=(codec,)).make(tmp_path / "in.mkv")
    notes = through(source, tmp_path / "out.webm")
    assert notes == [f"the sound stream 1 ({codec} in eng) is encoded anew as Opus: a .webm file cannot hold it"]
    samples, rate, name = heard(tmp_path / "out.webm")
    was, _, _ = heard(source)
    shift = opened_at(source) - opened_at(tmp_path / "out.webm")
    first, last = sounding(samples, rate)
    before = sounding(was, 48000)
    assert (name.removeprefix("lib"), rate) == ("opus", 48000)
    assert first + shift == pytest.approx(before[0], abs=0.02)
    assert last + shift == pytest.approx(before[1], abs=0.04)


def test_opus_and_vorbis_go_into_webm_as_they_are(tmp_path):
    source = Clip(frames=12, size=(64, 64), sound=("libopus",)).make(tmp_path / "in.mkv")
    assert through(source, tmp_path / "out.webm") == []
    assert [d for _, d in packets(tmp_path / "out.webm", "audio")[0]] == [d for _, d in packets(source, "audio")[0]]


def test_a_hole_in_the_sound_stays_a_hole(tmp_path):
    """Two beeps, three seconds of no packets between them: each is where it was, twice as late."""
    path = tmp_path / "in.mkv"
    beeps = sparse(path, F(5), [F(1, 2), F(4)])
    through(path, tmp_path / "out.mkv", Slow(2))
    samples, rate, _ = heard(tmp_path / "out.mkv")
    for at, lasts in beeps:
        part = samples[int((at * 2 - F(1, 2)) * rate) : int((at * 2 + F(3, 2)) * rate)] ** 2
        centre = (part * np.arange(len(part))).sum() / part.sum() / rate - 0.5
        assert centre == pytest.approx(float(lasts), abs=0.02)


def sparse(path, duration, moments, *, step=1, rate=8000, kind="matroska"):
    """A long clip in a small file: a picture each `step`, and sound packets around the beeps only. A picture flashes
    (white instead of black) exactly when a beep begins. Gives back (moment, its length) of each beep."""
    lasts = F(3, 10)
    with av.open(str(path), "w", format=kind) as container:
        video = container.add_stream("ffv1" if kind == "matroska" else "libx264", rate=24)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        grid = F(1, 1000) if kind == "matroska" else F(1, 24000)
        video.codec_context.time_base = video.time_base = grid
        sound = container.add_stream("pcm_s16le" if kind == "matroska" else "aac", rate=rate, layout="mono")
        sound.time_base = F(1, rate)
        times = sorted({F(k * step) for k in range(int(duration / step) + 1)} | set(moments))
        times = sorted({*times, *(m - F(1, 100) for m in moments), *(m + F(3, 2) for m in moments)})
        for time in times:
            white = 235 if any(m <= time < m + F(3, 2) for m in moments) else 16
            picture = av.VideoFrame(64, 48, "yuv420p")
            for plane, value in zip(picture.planes, (white, 128, 128), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            picture.pts, picture.time_base = round(time / grid), grid
            container.mux(video.encode(picture))
            if time in moments:
                for packet in beep(sound, time, lasts, rate):
                    container.mux(packet)
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return [(moment, lasts) for moment in moments]


def beep(sound, moment, lasts, rate):
    size = sound.codec_context.frame_size or 1024
    count = -(-int(lasts * rate) // size) * size
    wave = np.zeros((1, count), np.float32)
    wave[:, : int(lasts * rate)] = tone(880, float(lasts), rate)
    for k in range(0, count, size):
        form = sound.codec_context.format.name
        block = wave[:, k : k + size] if form == "fltp" else (wave[:, k : k + size] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(block, format=form, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, int(moment * rate) + k, F(1, rate)
        yield from sound.encode(frame)


def test_what_nothing_decodes_is_refused_by_name(tmp_path):
    """A stream whose codec no decoder here knows: its tag in the file is made unknown."""
    source = Clip(frames=4, sound=("pcm_s16le",)).make(tmp_path / "in.mkv")
    data = source.read_bytes()
    assert b"A_PCM/INT/LIT" in data
    source.write_bytes(data.replace(b"A_PCM/INT/LIT", b"A_XYZ/INT/LIT"))
    with pytest.raises(
        UnsupportedStream, match=r"sound stream 1 .* coded in a way that no decoder here knows.*--sound drop"
    ):
        through(source, tmp_path / "out.mp4", Slow(2))


@pytest.mark.parametrize(
    ("layout", "suffix", "wanted", "mixed"),
    [
        ("mono", ".mkv", "mono", ""),
        ("5.1", ".mkv", "5.1", ""),
        ("7.1", ".mkv", "7.1", ""),
        ("5.1", ".mov", "5.1", ""),
        ("7.1", ".mov", "5.1", ", mixed down to 5.1"),
        ("quad", ".mp4", "stereo", ", mixed down to stereo"),
        ("7.1", ".webm", "7.1", ""),
    ],
)
def test_every_number_of_channels_is_stretched(tmp_path, layout, suffix, wanted, mixed):
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=24)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        sound = container.add_stream("flac", rate=48000, layout=layout)
        count = sound.codec_context.layout.nb_channels
        for k in range(12):
            picture = av.VideoFrame(64, 64, "yuv420p")
            picture.pts, picture.time_base = k, F(1, 24)
            container.mux(video.encode(picture))
        wave = (np.random.default_rng(0).normal(size=(1, 24000 * count)) * 3000).astype(np.int16)
        resampler = av.AudioResampler(format="s16", layout=layout, rate=48000, frame_size=4608)
        block = av.AudioFrame.from_ndarray(wave, format="s16", layout=layout)
        block.sample_rate, block.pts, block.time_base = 48000, 0, F(1, 48000)
        for part in [*resampler.resample(block), *resampler.resample(None)]:
            container.mux(sound.encode(part))
        container.mux([*sound.encode(None), *video.encode(None)])
    (note,) = through(path, tmp_path / f"out{suffix}", Slow(2))
    words = {".mkv": "FLAC", ".mov": "ALAC", ".mp4": "ALAC", ".webm": "Opus"}[suffix]
    assert note.endswith(f"stretched with the picture, and encoded anew as {words}{mixed}")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        stream = container.streams.audio[0]
        assert stream.layout.name.replace("(side)", "") == wanted
        assert sum(frame.samples for frame in container.decode(stream)) / stream.rate == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("clock", [None, Slow(2)])
@pytest.mark.slow
def test_sound_that_changes_on_the_way(tmp_path, suffix, clock):
    """Two transport streams end to end, as receivers record them: stereo at 48 kHz, then 5.1 at 44.1 kHz."""
    parts = []
    for k, (layout, rate) in enumerate((("stereo", 48000), ("5.1", 44100))):
        path = tmp_path / f"{k}.ts"
        with av.open(str(path), "w", format="mpegts") as container:
            video = container.add_stream("mpeg2video", rate=24)
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
            sound = container.add_stream("ac3", rate=rate, layout=layout)
            for n in range(24):
                picture = av.VideoFrame(64, 64, "yuv420p")
                picture.pts, picture.time_base = 24 * k + n, F(1, 24)
                container.mux(video.encode(picture))
            wave = np.tile(tone(440, 1, rate), (sound.codec_context.layout.nb_channels, 1))
            block = av.AudioFrame.from_ndarray(wave, format="fltp", layout=layout)
            block.sample_rate, block.pts, block.time_base = rate, rate * k, F(1, rate)
            resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate, frame_size=1536)
            for part in [*resampler.resample(block), *resampler.resample(None)]:
                container.mux(sound.encode(part))
            container.mux([*sound.encode(None), *video.encode(None)])
        parts.append(path.read_bytes())
    (tmp_path / "in.ts").write_bytes(b"".join(parts))
    through(tmp_path / "in.ts", tmp_path / f"out{suffix}", clock)
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        stream = container.streams.audio[0]
        ends = [(float(f.pts * f.time_base), f.samples / f.rate) for f in container.decode(stream)]
    assert ends[-1][0] + ends[-1][1] - ends[0][0] == pytest.approx(4 if clock else 2, abs=0.1)
