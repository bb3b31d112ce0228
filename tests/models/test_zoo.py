"""The table of names: what loads, what is recognised, and what is said where nothing does."""

import json
import logging
import os

import pytest
import torch
from published_ifrnet import NAMES
from published_ifrnet import weights as published

from tween.errors import BadOption, BadWeights, MissingFile, NoWeights, UnknownModel
from tween.models import shelf, weights, zoo
from tween.models.entry import Entry, Weights

TRAINED = [row.name for row in zoo.entries().values() if row.trained]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "fixtures" / "ifrnet"


@pytest.fixture
def small():
    """A network that is quick to build, with weights of its own."""
    torch.manual_seed(3)
    return zoo.create("ifrnet-elan")


def same(model, state):
    own = model.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[key], state[key]) for key in own)


# --- names ------------------------------------------------------------------------------------------------------


def test_names_are_the_promised_ones():
    promised = "nearest blend dis ifrnet-s ifrnet-b ifrnet-l ifrnet-t ifrnet-elan ifrvp ifrvp-fast lightvfi deformvfi "
    promised += "lift-15 lift-64 rife-4.0 rife-4.6 rife-4.25 rife-4.26 rife-4.26-heavy emavfi emavfi-small"
    assert set(promised.split()) <= zoo.entries().keys()


def test_every_row_is_whole():
    for name, row in zoo.entries().items():
        assert name == row.name
        assert name.lower() == name
        assert "@" not in name
        assert row.about
        assert not row.about.endswith(".")
        tags = [known.tag for known in row.weights]
        assert len(tags) == len(set(tags))
        for known in row.weights:
            assert known.licence, f"{name}@{known.tag} says nothing of its licence"
            assert known.origin, f"{name}@{known.tag} says nothing of its origin"
            assert not known.url or known.url.startswith(("https://", "hf://"))
            assert known.sha256 == "" or len(known.sha256) == 64


def test_shipped_weights_are_there_with_their_hash():
    for name, row in zoo.entries().items():
        for known in row.weights:
            if known.file:
                path = shelf.at_hand(name, known)
                assert path is not None, f"{name}@{known.tag}: {known.file} is not under models/assets"
                assert weights.sha256(path) == known.sha256


def test_defaults_have_names():
    assert zoo.find("default").entry.name == zoo.DEFAULT
    assert zoo.entry(zoo.DEFAULT_PREDICTOR).build(1.0).spec.predicts


@pytest.mark.parametrize("load", [zoo.load, zoo.create])
def test_an_unknown_name_is_told_with_what_it_may_be(load):
    with pytest.raises(UnknownModel, match=r"no model is called ifrnet-xs \(did you mean .*ifrnet-s"):
        load("ifrnet-xs")


def test_a_network_without_weights_says_what_to_type():
    with pytest.raises(NoWeights) as caught:
        zoo.load("ifrnet-t")
    for words in ("ifrnet-t has no trained weights here", "never run", "tween weights import FILE --as ifrnet-t@mine"):
        assert words in str(caught.value)


def test_a_published_file_without_an_address_says_where_it_comes_from():
    with pytest.raises(NoWeights) as caught:
        zoo.load("ifrnet-b@gopro")
    for words in ("IFRNet_GoPro.pth", "dropbox.com", "tween weights import FILE --as ifrnet-b@gopro"):
        assert words in str(caught.value)


def test_a_bare_name_never_goes_to_the_network(monkeypatch):
    monkeypatch.setattr(shelf, "fetch", lambda *_, **__: pytest.fail("it fetched"))
    monkeypatch.setattr(shelf, "at_hand", lambda *_: None)
    with pytest.raises(NoWeights, match="type ifrnet-s@vimeo90k to fetch them"):
        zoo.load("ifrnet-s")
    assert zoo.find("ifrnet-s@vimeo90k").path is None


def test_an_unknown_tag_is_told_with_the_known_ones():
    with pytest.raises(UnknownModel, match=r"no weights are called ifrnet-s@vimeo \(did you mean .*known: .*@gopro"):
        zoo.load("ifrnet-s@vimeo")
    with pytest.raises(UnknownModel, match="dis has no weights, and so none called x"):
        zoo.load("dis@x")


def test_a_scale_for_a_network_without_one_is_refused():
    with pytest.raises(BadOption, match=r"--scale 0\.5 for blend.*models that can: .*ifrnet-s"):
        zoo.create("blend", scale=0.5)


def test_a_classic_method_loads_as_it_is():
    model = zoo.load("blend")
    assert not model.training


# --- files ------------------------------------------------------------------------------------------------------


def test_our_own_file_says_whose_it_is(tmp_path, small):
    path = tmp_path / "w.safetensors"
    weights.write(small.state_dict(), path, name="ifrvp-fast")
    loaded = zoo.load(path)
    assert loaded.spec.predicts
    assert not loaded.training
    assert same(loaded, small.state_dict())


def test_a_checkpoint_may_say_whose_it_is(tmp_path, small):
    torch.save({"name": "ifrvp-fast", "model": small.state_dict(), "step": 5}, tmp_path / "last.pt")
    assert zoo.load(tmp_path / "last.pt").spec.predicts


@pytest.mark.parametrize("wrong", ["missing.pth", "no/such/folder", "C:\\weights.pkl", "x.safetensors"])
def test_a_path_that_is_not_there(wrong):
    with pytest.raises(MissingFile, match="no weights file"):
        zoo.load(wrong)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.slow
def test_published_files_of_ifrnet_just_work(tmp_path, folder, name, prefix):
    state = published(folder, NAMES[name])
    path = tmp_path / "checkpoint.pth"
    torch.save({prefix + key: value for key, value in state.items()}, path)
    model = zoo.load(path)
    assert model.spec.context == (0, 1)
    assert same(model, state)


def test_the_published_predictor_just_works_and_its_loss_network_goes_with_a_word(tmp_path, folder, caplog):
    extra = json.loads((folder / "keys" / "IFRVP_extra_vggloss_keys.json").read_text())
    state = published(folder, "IFRNet_S")
    torch.save({**state, **{key: torch.zeros(2) for key in extra}}, tmp_path / "IFRNet_S_latest.pth")
    with caplog.at_level(logging.WARNING, logger="tween"):
        model = zoo.load(tmp_path / "IFRNet_S_latest.pth")
    assert model.spec.context == (-1, 0)
    assert same(model, state)
    assert "34 tensors of 138 are not ifrvp's and were left out" in caplog.text


def test_a_file_of_two_uses_is_taken_for_the_interpolator_unless_told(tmp_path, small):
    torch.save(small.state_dict(), tmp_path / "w.pth")
    assert zoo.load(tmp_path / "w.pth").spec.context == (0, 1)
    assert zoo.load(tmp_path / "w.pth", name="ifrvp-fast").spec.context == (-1, 0)
    torch.save(small.state_dict(), tmp_path / "my-ifrvp-fast-any.pth")
    assert zoo.load(tmp_path / "my-ifrvp-fast-any.pth").spec == zoo.create("ifrvp-fast-any").spec


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.slow
def test_every_network_is_told_by_its_tensors(name):
    with torch.device("meta"):
        state = zoo.entry(name).build(1.0).state_dict()
    found = zoo.identify(state)
    assert zoo.signature(found.name).shapes == zoo.signature(name).shapes
    assert zoo.identify(state, what=f"folder/{name.upper()}.pth").name == name


@pytest.mark.slow
def test_networks_of_one_family_that_share_their_tensors_are_one():
    """Which of them a file is taken for then makes no difference."""
    alike = {}
    for name in TRAINED:
        if not zoo.signature(name).spec.predicts:
            alike.setdefault(tuple(sorted(zoo.signature(name).shapes.items())), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            torch.manual_seed(5)
            state = zoo.create(names[0]).state_dict()
            outputs = [rendered(name, state) for name in names]
            assert all(torch.equal(output, outputs[0]) for output in outputs), f"{names} differ, their files do not"


def rendered(name, state):
    with torch.device("meta"):
        model = zoo.create(name).eval()
    model.load_state_dict(state, assign=True)
    torch.manual_seed(6)
    frames = torch.rand(1, len(model.spec.context), 3, model.spec.multiple, model.spec.multiple)
    with torch.inference_mode():
        return model(frames, torch.tensor([0.5])).frame


def test_no_two_families_share_a_key():
    families = [
        {key for row in family if row.trained for key in zoo.signature(row.name).shapes} for family in zoo.families()
    ]
    for number, keys in enumerate(families):
        for other in families[:number]:
            assert not keys & other, f"{sorted(keys & other)[:3]}: a file could be either's"


def test_near_misses_are_told(tmp_path, small):
    state = dict(small.state_dict())
    for key in list(state)[12:]:
        del state[key]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(BadWeights) as caught:
        zoo.load(tmp_path / "w.pth")
    assert "w.pth (12 tensors) fits no network of the zoo; 12 of 69 tensors fit ifrnet-t; " in str(caught.value)
    assert "; 12 of 153 tensors fit ifrnet-elan; " in str(caught.value)


def test_strangers_are_told(tmp_path):
    torch.save({"resnet.conv1.weight": torch.ones(3)}, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match=r"\(1 tensors\) fits no network of the zoo; a file of one of `tween models`"):
        zoo.load(tmp_path / "w.pth")


def test_a_wrong_name_for_a_file_says_what_differs(tmp_path, small):
    torch.save(small.state_dict(), tmp_path / "w.pth")
    with pytest.raises(BadWeights, match=r"w\.pth does not fit ifrnet-s: \d+ missing \(.*unexpected.*another shape"):
        zoo.load(tmp_path / "w.pth", name="ifrnet-s")


@pytest.mark.slow
def test_renames_leave_our_own_keys_alone_and_bear_strangers():
    for row in zoo.entries().values():
        if row.trained:
            row.rename({"a.stranger": torch.ones(1)})
            with torch.device("meta"):
                state = row.build(1.0).state_dict()
            assert row.rename(state).keys() == state.keys(), row.name


# --- imported ---------------------------------------------------------------------------------------------------


def test_an_imported_file_is_kept_under_its_name(tmp_path, small):
    path = tmp_path / "My Best (2).pth"
    torch.save({"module." + key: value for key, value in small.state_dict().items()}, path)
    found = zoo.adopt(path)
    assert (found.entry.name, found.weights.tag) == ("ifrnet-elan", "my-best-2")
    assert found.weights.licence == zoo.UNKNOWN_LICENCE
    path.unlink()
    assert same(zoo.load("ifrnet-elan@my-best-2"), small.state_dict())
    assert same(zoo.load("ifrnet-elan"), small.state_dict())
    stored = weights.read(found.path)
    assert stored.metadata["name"] == "ifrnet-elan"
    assert stored.metadata["origin"] == str(path)
    assert sorted(os.listdir(shelf.folder())) == ["ifrnet-elan@my-best-2.json", "ifrnet-elan@my-best-2.safetensors"]


@pytest.mark.parametrize(
    ("asked", "name", "tag"),
    [
        ("ifrvp-fast@mine", "ifrvp-fast", "mine"),
        ("ifrvp-fast", "ifrvp-fast", "w"),
        ("@x", "ifrnet-elan", "x"),
    ],
)
def test_an_imported_file_may_be_named(tmp_path, small, asked, name, tag):
    torch.save(small.state_dict(), tmp_path / "w.pth")
    found = zoo.adopt(tmp_path / "w.pth", name=asked)
    assert (found.entry.name, found.weights.tag) == (name, tag)
    assert zoo.load(f"{name}@{tag}").spec == zoo.create(name).spec


def test_a_published_file_that_is_imported_keeps_its_licence(tmp_path, monkeypatch, small):
    torch.save(small.state_dict(), tmp_path / "w.pth")
    digest = weights.sha256(tmp_path / "w.pth")
    row = zoo.entry("ifrnet-elan")
    known = Weights("gopro", sha256=digest, licence="MIT", origin="its authors")
    own = Entry(row.name, row.build, row.about, weights=(known,))
    monkeypatch.setattr(zoo, "entries", lambda: {row.name: own})
    found = zoo.adopt(tmp_path / "w.pth", name="ifrnet-elan@gopro")
    assert (found.weights.licence, found.weights.origin) == ("MIT", "its authors")
    assert zoo.find("ifrnet-elan@gopro").path == found.path
    assert zoo.find("ifrnet-elan").path == found.path


@pytest.mark.parametrize("asked", ["ifrnet-elan@a b", "ifrnet-elan@../x", "@-x"])
def test_a_tag_that_no_file_can_be_called_is_refused(tmp_path, small, asked):
    torch.save(small.state_dict(), tmp_path / "w.pth")
    with pytest.raises(BadOption, match=r"a tag of letters.*--as ifrnet-elan@mine"):
        zoo.adopt(tmp_path / "w.pth", name=asked)
    assert not shelf.folder().exists()


def test_a_file_that_fits_nothing_is_not_imported(tmp_path):
    torch.save({"x": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(BadWeights, match="fits no network"):
        zoo.adopt(tmp_path / "w.pth")
    assert not shelf.folder().exists()
