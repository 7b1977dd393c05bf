"""Output never ends a training, and a script whose reader goes away ends quietly."""

import io
import os
import subprocess
import sys

import pytest
from helpers import ROOT, SMALL

from ghostexp.config.cli import script
from ghostexp.config.output import SteadyStream, steady_output

PLAIN = [each for each in SMALL if "callbacks" not in each]
TRAIN = [sys.executable, str(ROOT / "train.py"), *PLAIN, "trainer.max_epochs=1"]


def finished(folder):
    return [path.name for path in folder.glob("outputs/train/*/checkpoints/last.ckpt")]


@pytest.mark.parametrize("end", ["> /dev/full 2>&1"])
def test_a_training_outlives_its_output(tmp_path, end):
    if "full" in end and not os.path.exists("/dev/full"):
        pytest.skip("the system has no /dev/full")
    command = f"set -o pipefail; {' '.join(TRAIN)} {end}"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception" not in done.stdout + done.stderr
    assert finished(tmp_path) == ["last.ckpt"]


class Broken(io.StringIO):
    """A stream that takes nothing."""

    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise OSError(28, "No space left on device")


def test_a_steady_stream_swallows_what_its_stream_refuses():
    stream = SteadyStream(Broken())
    assert stream.write("abc") == 3
    stream.writelines(["a", "b"])
    stream.flush()
    assert stream.encoding == io.StringIO().encoding
    closed = io.StringIO()
    closed.close()
    assert SteadyStream(closed).write("abc") == 3


def test_an_ascii_terminal_gets_escapes(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with steady_output():
        print("5 × 3 ±")
    assert raw.getvalue() == b"5 \\xd7 3 \\xb1\n"


def test_closed_streams_lead_nowhere(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    with steady_output():
        print("nothing")
        sys.stdout.close()
    assert sys.stdout is None


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BrokenPipeError(), 141, ""),
        (KeyboardInterrupt(), 130, ""),
        (OSError(28, "No space left on device", "x.png"), 1, "error: "),
    ],
)
def test_how_a_script_ends(capsys, monkeypatch, error, code, said):
    monkeypatch.setattr("ghostexp.config.cli.drop", lambda stream: None)

    @script
    def main(arguments):
        raise error

    assert main([]) == code
    printed = capsys.readouterr().err
    assert printed.startswith(said)
    assert printed.count("\n") == bool(said)


def test_a_bug_in_a_script_keeps_its_trace():
    @script
    def main(arguments):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        main([])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_script_on_a_full_disk_says_so_once():
    code = (
        "import sys; from ghostexp.config.cli import script\n"
        "sys.exit(script(lambda arguments: print('x' * 100_000) or print('more') or 0)())\n"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "error: [Errno 28] No space left on device\n"
