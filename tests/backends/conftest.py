"""Compiled models of the tests go to a folder of their own, never to the user's."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWEEN_HOME", str(folder))
        yield folder
