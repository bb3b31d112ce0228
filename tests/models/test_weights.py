"""Weights files: what is read, what is refused and in which words, what is fetched from a server."""

import hashlib
import os
import pickle
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from tween import __version__
from tween.errors import BadOption, BadWeights, CannotWrite, MissingFile, MissingPackage, NoWeights
from tween.models import ifrnet, shelf, weights
from tween.models.entry import Weights

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path / "home"))


def saved(path, content):
    torch.save(content, path)
    return path


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".pt", ".ckpt"])
@pytest.mark.parametrize("wrap", [None, "state_dict", "model", "params"])
def test_pickles_of_tensors_are_read(tmp_path, suffix, wrap):
    content = {wrap: STATE, "step": 7, "lr": [0.1]} if wrap else STATE
    assert same(weights.read(saved(tmp_path / f"w{suffix}", content)).state, STATE)


def test_old_pickles_are_read(tmp_path):
    torch.save(STATE, tmp_path / "old.pkl", _use_new_zipfile_serialization=False)
    assert same(weights.read(tmp_path / "old.pkl").state, STATE)


def test_parameters_are_tensors_too(tmp_path):
    content = {key: torch.nn.Parameter(value) for key, value in STATE.items()}
    read = weights.read(saved(tmp_path / "w.pth", content)).state
    assert same(read, STATE)
    assert not any(value.requires_grad for value in read.values())


@pytest.mark.parametrize("prefix", ["module.", "module.module.", "_orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_go(tmp_path, prefix):
    content = {prefix + key: value for key, value in STATE.items()}
    assert same(weights.read(saved(tmp_path / "w.pth", content)).state, STATE)


def test_two_networks_in_one_are_refused(tmp_path):
    content = {**STATE, **{"module." + key: value for key, value in STATE.items()}}
    with pytest.raises(BadWeights, match=r"a\.weight twice, with and without a prefix"):
        weights.read(saved(tmp_path / "w.pth", content))


def test_what_is_written_is_read_back_with_its_name(tmp_path):
    turned = {"a.weight": torch.arange(6.0).view(3, 2).T, "a.bias": torch.ones(2)}  # not contiguous
    weights.write(turned, tmp_path / "w.safetensors", name="ifrnet-s", origin="a test")
    stored = weights.read(tmp_path / "w.safetensors")
    assert same(stored.state, turned)
    assert stored.metadata == {"name": "ifrnet-s", "tween": __version__, "origin": "a test"}
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_a_folder_that_is_not_there_cannot_be_written(tmp_path):
    with pytest.raises(CannotWrite, match=r"w\.safetensors cannot be written.*may write to"):
        weights.write(STATE, tmp_path / "no" / "w.safetensors", name="x")


def test_a_missing_file(tmp_path):
    with pytest.raises(MissingFile, match=r"no weights file .*nothing\.pth.*\.safetensors, \.pth or \.pkl"):
        weights.read(tmp_path / "nothing.pth")


class Burglar:
    """A pickle that would run a command."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("wrap", ["torch", "pickle"])
def test_a_pickle_that_runs_programs_is_refused_unrun(tmp_path, wrap):
    trace, path = tmp_path / "trace", tmp_path / "w.pkl"
    if wrap == "torch":
        torch.save({"state_dict": STATE, "extra": Burglar(trace)}, path)
    else:
        path.write_bytes(pickle.dumps({"extra": Burglar(trace)}, protocol=2))
    with pytest.raises(BadWeights, match=r"holds Python objects \(\w+\.system\).*plain state dict.*state_dict\(\)"):
        weights.read(path)
    assert not trace.exists()


def test_a_whole_model_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(BadWeights, match=r"holds Python objects \(torch\.nn\.modules.*Linear\), not only tensors"):
        weights.read(saved(tmp_path / "w.pth", torch.nn.Linear(2, 2)))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404 Not Found</html>", b"PK\x03\x04 broken"])
def test_files_that_broke_off_are_told(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(BadWeights, match=rf"w\{suffix} \({len(content)} bytes\) cannot be read.*fetch the file again"):
        weights.read(path)


def test_half_a_file_is_told(tmp_path):
    for path in (saved(tmp_path / "w.pth", STATE), tmp_path / "w.safetensors"):
        if path.suffix == ".safetensors":
            weights.write(STATE, path, name="x")
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(BadWeights, match="cannot be read as weights"):
            weights.read(path)


@pytest.mark.parametrize(
    ("content", "seen"),
    [([torch.ones(1)], "a list"), ({"step": 3, "lr": 0.1}, "a dict of step, lr"), ({}, "a dict of "), (3, "a int")],
)
def test_other_contents_are_told(tmp_path, content, seen):
    with pytest.raises(BadWeights, match=rf"holds {seen}.*names of tensors and tensors"):
        weights.read(saved(tmp_path / "w.pth", content))


def test_a_misfit_says_what_is_missing_left_over_and_misshapen():
    model = ifrnet.build("elan", 1.0)
    state = dict(model.state_dict())
    del state["decoder1.convblock.0.0.bias"]
    state["head.weight"] = torch.ones(1)
    state["encoder.pyramid1.0.0.weight"] = torch.ones(12, 3, 7, 7)
    with pytest.raises(BadWeights) as caught:
        weights.fit(model, state, what="w.pth", name="ifrnet-elan")
    assert str(caught.value).startswith(
        "w.pth does not fit ifrnet-elan: 1 missing (decoder1.convblock.0.0.bias); 1 unexpected (head.weight); "
        "1 of another shape (encoder.pyramid1.0.0.weight is 12x3x7x7, not 12x3x3x3)"
    )
    assert "153 tensors" in str(caught.value)


def test_many_misfits_are_counted_and_a_few_shown():
    with pytest.raises(BadWeights, match=r"104 missing \(encoder\S+, encoder\S+, encoder\S+, \.\.\.\); 1 unexpected"):
        weights.fit(ifrnet.build("s", 1.0), {"x": torch.ones(1)}, what="w", name="ifrnet-s")


# --- a server on this machine -----------------------------------------------------------------------------------


@pytest.fixture
def server():
    """Serves `pages` (path -> bytes), and counts what was asked. A path in `short` promises more than it sends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            content = self.server.pages.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + (self.path in self.server.short) * 100))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.pages, server.short, server.asked = {}, set(), []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def published(server, tmp_path):
    content = saved(tmp_path / "published.pth", STATE).read_bytes()
    server.pages["/w.pth"] = content
    return Weights("test", url=f"{server.url}/w.pth", sha256=hashlib.sha256(content).hexdigest())


def test_a_file_is_fetched_once_with_progress(server, published):
    told = []
    path = shelf.fetch("net", published, progress=lambda done, total: told.append((done, total)))
    assert same(weights.read(path).state, STATE)
    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert shelf.fetch("net", published) == path
    assert server.asked == ["/w.pth"]
    assert os.listdir(shelf.folder()) == ["net@test.pth"]


def test_a_changed_file_is_refused_and_not_kept(server, published):
    server.pages["/w.pth"] += b"!"
    with pytest.raises(BadWeights, match=r"has sha256 .* is expected.*fetch it again"):
        shelf.fetch("net", published)
    assert os.listdir(shelf.folder()) == []
    assert shelf.at_hand("net", published) is None


@pytest.mark.parametrize("trouble", ["missing", "short", "gone"])
@pytest.mark.slow
def test_a_server_in_trouble_is_told_and_nothing_kept(server, published, trouble):
    if trouble == "missing":
        server.pages.clear()
    elif trouble == "short":
        server.short.add("/w.pth")
    else:
        published = Weights("test", url="http://127.0.0.1:9/w.pth")
    words = {"missing": "404", "short": "broke off after|IncompleteRead", "gone": "refused"}[trouble]
    with pytest.raises(NoWeights, match=rf"w\.pth could not be fetched \(.*({words}).*tween weights import FILE"):
        shelf.fetch("net", published)
    assert os.listdir(shelf.folder()) == []


@pytest.mark.parametrize("url", ["http://example.org/w.pth", "ftp://example.org/w.pth", "file:///etc/passwd"])
def test_only_https_is_fetched_from_elsewhere(url):
    with pytest.raises(BadOption, match="an https address is needed"):
        shelf.fetch("net", Weights("test", url=url))


def test_the_hub_needs_its_package_or_answers(monkeypatch, tmp_path):
    calls = []

    class Hub:
        @staticmethod
        def hf_hub_download(repository, file, local_files_only):
            calls.append((repository, file, local_files_only))
            if local_files_only:
                raise FileNotFoundError("not cached")
            return str(saved(tmp_path / "hub.pth", STATE))

    row = Weights("hub", url="hf://owner/repo/folder/w.pth")
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingPackage, match="pip install huggingface_hub"):
        shelf.fetch("net", row)
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", Hub)
    assert same(weights.read(shelf.fetch("net", row)).state, STATE)
    assert calls == [("owner/repo", "folder/w.pth", True), ("owner/repo", "folder/w.pth", False)]


def test_a_folder_that_cannot_be_made_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TWEEN_HOME", str(tmp_path / "file"))
    with pytest.raises(CannotWrite, match=r"a folder for weights is needed.*TWEEN_HOME"):
        shelf.open_folder()
