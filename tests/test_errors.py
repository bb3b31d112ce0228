"""A user's mistake is told in three parts, by one class each."""

import inspect

import pytest

from tween import errors
from tween.errors import MissingPackage, TruncatedInput, TweenError, imported, near

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, TweenError)]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (("no file a.mp4",), "no file a.mp4"),
        (("no file a.mp4", "a video is needed"), "no file a.mp4; a video is needed"),
        (("--rate -3", "more than 0 is needed", "--rate 60"), "--rate -3; more than 0 is needed; try: --rate 60"),
        (("--rate -3", "", "--rate 60"), "--rate -3; try: --rate 60"),
    ],
)
@pytest.mark.parametrize("error", CLASSES)
def test_a_message_is_what_we_got_what_we_need_and_what_to_type(error, parts, words):
    told = error(*parts)
    assert str(told) == words
    assert (told.got, told.need, told.fix) == (*parts, "", "")[:3]
    assert "\n" not in str(told)


@pytest.mark.parametrize("error", CLASSES)
def test_mistakes_are_the_users_to_mend_except_damage(error):
    assert error.exit_code == (1 if error is TruncatedInput else 2)
    assert error.__doc__
    assert issubclass(error, TweenError)


def test_near_names_the_likely_and_only_them():
    known = ["ifrnet-s", "ifrnet-b", "rife-4.6", "dis"]
    assert near("ifrnet-x", known[:2] + known[3:]) == " (did you mean ifrnet-s, ifrnet-b?)"
    assert near("ifrnets", known).startswith(" (did you mean ifrnet-s")
    assert near("quokka", known) == ""
    assert near("", []) == ""


def test_a_package_that_is_missing_is_told_with_what_to_type():
    assert imported("json", "JSON", "", "").dumps([1]) == "[1]"
    with pytest.raises(MissingPackage) as caught:
        imported("nobody_has_this", "Nobody", "a test needs it", "pip install nobody")
    assert str(caught.value) == "Nobody is not installed; a test needs it; try: pip install nobody"
    assert isinstance(caught.value.__cause__, ImportError)
