"""A process that has imported everything, and forks a launch of train.py or a script on request.

It reads one request per line of its standard input, a JSON object, and answers with one line when
the launch has begun (`{"pid": ...}`) and one when it has ended (`{"code": ..., "hung": ..., "left":
...}`). The forked child leaves `main` like any other script: the interpreter shuts down as it does
after `python train.py`, with its exit handlers, its last flush and its exit code.
"""

import json
import os
import resource
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

MODULES = (  # what a launch imports, now or when it comes to it
    *("hydra.main", "matplotlib.pyplot", "rich.progress", "sklearn.datasets"),
    *("torch.utils.tensorboard", "torch.utils.flop_counter", "torchvision"),
    *("ghostexp.runs.experiment", "ghostexp.runs.evaluate", "ghostexp.runs.predict"),
    *("ghostexp.runs.export_run", "ghostexp.results.report", "ghostexp.sweeps.sweeper"),
    *("ghostexp.sweeps.preflight", "ghostexp.models", "ghostexp.analysis.embeddings"),
    *("ghostexp.analysis.redundancy", "ghostexp.pictures.ghosts"),
)
STACK_SECONDS = 0.05
STACK_BYTES = 8192
GRACE_SECONDS = 2  # for processes of a launch that has ended, such as workers


def main() -> None:
    """Serve until the input ends; in a child, be the launch."""
    _import_all()
    _answer({"ready": os.getpid()})
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(request)
            runpy.run_path(sys.argv[0], run_name="__main__")
            return
        _answer({"pid": pid})
        _answer(_wait(pid, request["limit"]))


def _import_all() -> None:
    """Import `MODULES` without a further thread, which a fork would not take along.

    torchmetrics imports ONNX Runtime, whose thread is waited for when the interpreter ends.
    """
    import_module("torch._dynamo")  # looks for ONNX Runtime as well, and finds the real one
    sys.modules["onnxruntime"] = SimpleNamespace(InferenceSession=None)
    import_module("torchmetrics")
    del sys.modules["onnxruntime"]
    sys.modules["pandas"] = None  # scikit-learn imports it where it is, and pyarrow with its thread
    for name in MODULES:
        import_module(name)
    assert len(os.listdir("/proc/self/task")) == 1


def become(request: dict[str, Any]) -> None:
    """Take the folder, environment, arguments and streams that the request names."""
    os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.umask(0o022)
    tempfile.tempdir = None  # look at TMPDIR again
    if request["file_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"],) * 2)
    sys.argv[:] = [request["script"], *request["arguments"]]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if request["stack"] is not None:
        threading.Thread(target=_note_stack, args=[request["stack"]], daemon=True).start()
    _redirect("stderr", 2, request["stderr"])
    _redirect("stdout", 1, request["stdout"])


def _note_stack(path: str) -> None:
    """Keep in a file the names of the functions that the main thread is in, innermost first."""
    main = threading.main_thread().ident
    with open(path, "wb", buffering=0) as file:
        while True:
            frame, names = sys._current_frames()[main], []
            while frame is not None:
                names.append(frame.f_code.co_name)
                frame = frame.f_back
            os.pwrite(file.fileno(), " ".join(names).ljust(STACK_BYTES).encode(), 0)
            time.sleep(STACK_SECONDS)


def _redirect(name: str, number: int, target: str) -> None:
    """Put a file, `closed`, or `head FILE` (a pipe that is closed after one line) there."""
    if target == "closed":
        os.close(number)
        setattr(sys, name, None)  # as the interpreter does when it starts
        return
    if target.startswith("head "):
        reader, descriptor = os.pipe()
        with open(target.removeprefix("head "), "wb") as file:
            subprocess.Popen(["head", "-1"], stdin=reader, stdout=file)
        os.close(reader)
    else:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, number)
    os.close(descriptor)
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "utf-8").partition(":")
    strict, lines = ("backslashreplace", 1) if name == "stderr" else ("strict", -1)
    stream = open(number, "w", lines, encoding, errors or strict, closefd=False)  # noqa: SIM115
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def _wait(pid: int, limit: float) -> dict[str, Any]:
    """How the launch ended, within `limit` seconds, and whether processes of it are left."""
    descriptor = os.pidfd_open(pid)
    hung = not select.select([descriptor], [], [], limit)[0]
    os.close(descriptor)
    if hung:
        os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    others = [process for process in psutil.process_iter() if _session(process.pid) == pid]
    _, left = psutil.wait_procs(others, timeout=0 if hung else GRACE_SECONDS)
    names = [name for process in left if (name := _ended_name(process))]
    return {"code": code, "hung": hung, "left": names}


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _ended_name(process: psutil.Process) -> str | None:
    """End a process that is left; its command, or None where it has ended by itself."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        command = " ".join(process.cmdline())
        process.kill()
    except psutil.NoSuchProcess:
        return None
    return command


def _answer(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
