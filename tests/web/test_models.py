"""The table of models: a figure stands beside the weights that it is of."""

from tween.models import zoo
from tween.web.shelf import models


def rows():
    return {row["name"]: row for row in models()["models"]}


def test_published_scores_are_of_published_weights(monkeypatch):
    monkeypatch.setattr(zoo, "mine", lambda _: [])
    ours = rows()
    assert ours["ifrnet-s"]["tags"] == ["tween"]
    assert ours["ifrnet-s"]["scores"] == {}, "ours run, and were never scored there"
    assert ours["ifrnet-b"]["scores"]["Vimeo-90K"] == 35.80
    at_hand = zoo.shelf.at_hand
    monkeypatch.setattr(zoo.shelf, "at_hand", lambda name, one: "here" if one.tag == "vimeo90k" else at_hand(name, one))
    assert rows()["ifrnet-s"]["tags"] == ["vimeo90k", "tween"]
    assert rows()["ifrnet-s"]["scores"]["Vimeo-90K"] > 35
