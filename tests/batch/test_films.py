"""Which films a batch is of, where each goes, and where a film may be split."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from tween import errors
from tween.batch.config import BatchConfig
from tween.batch.films import films
from tween.batch.messages import Setup
from tween.batch.run import setups
from tween.batch.segments import Seam, begins, instants
from tween.pipeline.journal import Mark
from tween.timeline import Rate, Slow, Times


@pytest.fixture
def library(tmp_path):
    """Films in folders, beside what is none."""
    for name in ("a.mp4", "deep/b.webm", "deep/c.avi", "deep/readme.txt", ".hidden/d.mp4", "a.mp4.part/a.mp4"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))
    return tmp_path / "in"


def asked(*inputs, out, **options):
    return BatchConfig(inputs=inputs, output=out, times=2, **options)


def named(config):
    folder = config.output.absolute()
    return [(film.input.name, str(film.output.relative_to(folder))) for film in films(config)]


def test_a_folder_with_all_that_lies_in_it(library, tmp_path):
    found = named(asked(library, out=tmp_path / "out"))
    assert found == [("a.mp4", "a.mp4"), ("b.webm", "deep/b.webm"), ("c.avi", "deep/c.mp4")]
    assert (tmp_path / "out").is_dir()


def test_the_results_are_no_films_of_the_next_run(library):
    (library / "smooth").mkdir()
    (library / "smooth" / "a.mp4").write_bytes(b"x")
    assert ("a.mp4", "smooth/a.mp4") not in named(asked(library, out=library / "smooth"))


def test_a_codec_that_needs_another_container(library, tmp_path):
    found = named(asked(library / "a.mp4", out=tmp_path / "out", codec="ffv1"))
    assert found == [("a.mp4", "a.mkv")]


def test_a_folder_of_pictures_is_a_film(tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "1.png").touch()
    assert named(asked(tmp_path / "frames", out=tmp_path / "out")) == [("frames", "frames")]


def test_small_ones_or_large_ones_first(library, tmp_path):
    def order(how):
        return [name for name, _ in named(asked(library, out=tmp_path / "out", order=how))]

    assert order("small") == ["a.mp4", "c.avi", "b.webm"]
    assert order("large") == ["b.webm", "c.avi", "a.mp4"]


def test_options_of_the_batch_are_those_of_each_film(library, tmp_path):
    (tmp_path / "w.safetensors").touch()
    config = asked(library, out=tmp_path / "out", crf=20, cuts="blend", no_resume=True, fallback="hold",
                   model=str(tmp_path / "w.safetensors"))  # fmt: skip
    film = films(config)[0]
    assert (film.crf, film.cuts, film.no_resume, film.fallback, film.times) == (20, "blend", True, "hold", 2)
    assert film.model == str(tmp_path / "w.safetensors")


MISTAKES = [
    ((), {}, errors.BadOption, "no film was named"),
    (("-",), {}, errors.Conflict, "standard input in a batch"),
    (("nowhere.mp4",), {}, errors.MissingFile, "nowhere.mp4 is not there"),
    (("a.mp4",), {"workers": 0}, errors.BadOption, "--workers 0; a whole number from 1"),
    (("a.mp4",), {"segment": 0}, errors.BadOption, "--segment 0; a whole number from 1"),
    (("deep/readme.txt", "empty"), {}, errors.EmptyVideo, "empty holds no video"),
    (("a.mp4", "other/a.mp4"), {}, errors.Conflict, "would both become"),
]


@pytest.mark.parametrize(("inputs", "options", "kind", "words"), MISTAKES)
def test_mistakes_are_told_before_anything_begins(library, tmp_path, monkeypatch, inputs, options, kind, words):
    (library / "empty").mkdir()
    (library / "other").mkdir()
    (library / "other" / "a.mp4").touch()
    monkeypatch.chdir(library)
    with pytest.raises(kind) as told:
        films(asked(*map(Path, inputs), out=tmp_path / "out", **options))
    assert words in str(told.value)


def test_a_film_is_never_written_over_itself(library):
    with pytest.raises(errors.Conflict) as told:
        films(asked(library, out=library))
    assert "a.mp4 would be written over itself; another folder is needed" in str(told.value)


def test_a_folder_that_cannot_be(library):
    with pytest.raises(errors.CannotWrite) as told:
        films(asked(library, out=library / "a.mp4" / "out"))
    assert "a folder that can be made is needed" in str(told.value)


def test_workers_share_the_cores(library, tmp_path):
    setup = Setup(films(asked(library, out=tmp_path / "out"))[0], tmp_path, "token")
    assert setups(setup, 1) == [setup]
    assert len(setups(setup, 3)) == 3
    assert {one.threads for one in setups(setup, 64)} == {1}


@pytest.mark.parametrize("timeline", [Times(3), Rate(Fraction(60)), Slow(Fraction(2)), Rate(Fraction(10))], ids=str)
def test_instants_are_those_of_the_timeline(timeline):
    from copy import deepcopy

    times = [Fraction(k, 24) for k in range(9)]
    asked = deepcopy(timeline)
    wanted = [(i.pts, k) for k in range(8) for i in asked.between(times[k], times[k + 1])]
    found = list(instants(times, [timeline]))
    assert found[: len(wanted)] == wanted
    assert len(found) - len(wanted) == (timeline.tick() is None)


def seam(number, idle):
    return Seam(number, Mark(Fraction(number), (), ()), Fraction(0), idle)


def test_parts_begin_where_little_is_decoded_for_nothing():
    """Segments 2, 5 and 9 begin right after a keyframe."""
    found = [seam(n, 0 if n in (2, 5, 9) else 100) for n in range(1, 12)]
    assert begins(range(12), found, 3) == [0, 2, 5, 9]
    assert begins(range(12), found, 100) == [0]
    assert begins([4, 5, 6], found, 1) == [4, 5, 6]


def test_without_seams_a_film_is_one_part():
    assert begins(range(50), [], 3) == [0]


def test_no_part_is_longer_than_half_as_much_again():
    found = [seam(n, n % 7) for n in range(1, 200)]
    for length in (1, 2, 5, 8):
        starts = [*begins(range(200), found, length), 200]
        assert all(b - a <= length + length // 2 for a, b in pairwise(starts))
