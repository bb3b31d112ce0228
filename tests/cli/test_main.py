"""The command as a user meets it: a process of its own, its words, its exit codes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from clips import Clip

from tween.cli.main import COMMANDS


def tween(*args, **options):
    options = {"capture_output": True, "text": True, "timeout": 120, **options}
    return subprocess.run([sys.executable, "-m", "tween", *map(str, args)], **options)


def test_help_imports_no_torch_and_nothing_else_that_is_heavy():
    code = (
        "import sys; from tween.cli.main import main; main(['--help']); "
        "heavy = {'torch', 'av', 'numpy', 'cv2', 'openvino', 'tyro', 'rich', 'onnx'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_the_package_imports_no_torch():
    code = "import sys, tween; tween.Times(2); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_is_quick():
    begun = time.perf_counter()
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        tween("--help")
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.3


LIGHT = ("interpolate", "predict", "train", "adapt", "batch", "flow", "extract", "demo", "weights")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in LIGHT])
@pytest.mark.slow
def test_every_command_tells_its_options(name):
    done = tween(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"usage: tween {name}" in done.stdout


def test_what_a_command_can_do_is_told_without_torch():
    """It takes seconds to import. (The others tell what hangs on it.)"""
    look = f"""
import contextlib, importlib, sys
for name in {LIGHT}:
    with contextlib.suppress(SystemExit):
        importlib.import_module(f"tween.cli.{{name}}").run(["--help"])
    assert "torch" not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(f"usage: tween {name}" in done.stdout for name in LIGHT)


def test_a_command_that_is_not_there():
    done = tween("interpolte")
    assert done.returncode == 2
    assert "no command 'interpolte' (did you mean interpolate" in done.stderr


def test_the_main_job(tmp_path):
    clip = Clip(frames=8, sound=["aac"]).make(tmp_path / "clip.mp4")
    done = tween("interpolate", clip, "--rate", 60, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["frames_in"], report["frames_out"], report["model"]) == (8, 20, "tweennet")
    assert (tmp_path / "clip-60fps.mp4").is_file()
    assert report["output"] == str(tmp_path / "clip-60fps.mp4")


@pytest.mark.slow
def test_progress_goes_to_stderr_and_quiet_is_quiet(tmp_path):
    clip = Clip(frames=4).make(tmp_path / "clip.mp4")
    done = tween("interpolate", clip, "--times", 2, "--model", "blend")
    assert done.stdout == ""
    assert "4 -> 7 frames" in done.stderr
    assert "peak memory" in done.stderr
    quiet = tween("interpolate", clip, "--times", 2, "--model", "blend", "--quiet", "--overwrite")
    assert (quiet.stdout, quiet.stderr, quiet.returncode) == ("", "", 0)


@pytest.mark.slow
def test_a_mistake_is_one_line_and_two(tmp_path):
    done = tween("interpolate", tmp_path / "nothing.mp4", "--rate", 60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("tween: ")
    assert "nothing.mp4 is not there" in done.stderr
    told = json.loads(tween("interpolate", tmp_path / "nothing.mp4", "--rate", 60, "--json").stdout)
    assert (told["error"], told["exit"]) == ("MissingFile", 2)


@pytest.mark.slow
def test_a_truncated_file_ends_with_1(tmp_path):
    path = Clip(frames=60, size=(120, 160)).make(tmp_path / "clip.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    done = tween("interpolate", path, "--times", 2, "--model", "blend", "-o", tmp_path / "out.mkv")
    assert done.returncode == 1
    assert "warning" in done.stderr
    assert (tmp_path / "out.mkv").is_file()


@pytest.mark.slow
def test_a_closed_folder(tmp_path):
    clip = Clip(frames=4).make(tmp_path / "clip.mp4")
    done = tween("interpolate", clip, "--times", 2, "-o", "/proc/out.mp4")
    assert done.returncode == 2
    assert "/proc" in done.stderr


@pytest.mark.slow
def test_a_full_disk(tmp_path):
    """A limit on file size is what a full disk looks like to the muxer."""
    clip = Clip(frames=48, size=(360, 640)).make(tmp_path / "clip.mp4")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)); "
        "from tween.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    args = ["interpolate", str(clip), "--times", "2", "--model", "blend", "--crf", "0", "-o", str(tmp_path / "out.mp4")]
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "tween: " in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there")
@pytest.mark.parametrize(
    ("there", "model"),
    [
        pytest.param("*.part/*.packets", "default", id="while it renders"),
        pytest.param("*.part/journal", "blend", id="with something finished"),
    ],
)
@pytest.mark.slow
def test_ctrl_c_is_clean(tmp_path, there, model):
    """Nothing stays but what a later run goes on from, and the words say which. (While this waits for the first segment
    to begin, a machine may get as far as to finish it.)"""
    clip = Clip(frames=100, size=(360, 640)).make(tmp_path / "clip.mp4")
    command = [sys.executable, "-m", "tween", "interpolate", str(clip), "--times", "16", "--model", model, "--quiet"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a job in the background has none
    )
    deadline = time.monotonic() + 200
    while not list(tmp_path.glob(there)) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=80)
    assert process.returncode == 130, words
    left = sorted(path.name for path in tmp_path.iterdir())
    if "journal" in there or "kept" in words:
        assert "interrupted; what is finished is kept in" in words
        assert left == ["clip-x16.mp4.part", "clip.mp4"]
        assert len((tmp_path / "clip-x16.mp4.part" / "journal").read_text().splitlines()) > 1
    else:
        assert "interrupted; nothing was left behind" in words
        assert left == ["clip.mp4"]


@pytest.mark.parametrize("words", ["--help", "--version", pytest.param("models", marks=pytest.mark.slow)])
def test_a_reader_who_has_gone_is_told_nothing(words):
    """`tween --help | head -1`: no trace of Python's, and no 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tween", words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1


@pytest.mark.parametrize(("told", "seen"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
@pytest.mark.slow
def test_a_render_has_torchs_threads_wait_asleep_before_torch_is_there(told, seen):
    look = "import os, sys; from tween.cli import main as m; 'torch' in sys.modules and exit(9); "
    look += "m.main(['interpolate', 'nowhere.mp4', '--times', '2']); print(os.environ['OMP_WAIT_POLICY'])"
    plain = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", look], env={**plain, **told}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[-1] == seen
