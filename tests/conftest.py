"""The application in this process: importing torch once, not once a test."""

import gc
import logging
import os
import sys

import pytest
from absl.logging import get_absl_handler
from helpers import DRAWN, ROOT, SMALL

gc.set_threshold(100_000, 20, 50)  # collections would take a tenth of the time
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors, and processes side by side

# Hydra closes every log handler; absl's (TensorBoard's and OpenVINO's) then closes its stream too,
# unless it is the process's own: pytest's would be gone
get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(autouse=True)
def _levels_of_loggers():
    """A command's main chooses what its process says: the next test of this process starts anew."""
    before = {logger: logger.level for logger in _loggers()}
    yield
    for logger in _loggers():
        logger.setLevel(before.get(logger, logging.NOTSET))


def _loggers() -> list[logging.Logger]:
    known = list(logging.root.manager.loggerDict.values())
    return [logger for logger in known if isinstance(logger, logging.Logger)]


@pytest.fixture
def app(tmp_path, monkeypatch):
    """Call train.py with overrides, in an empty folder; returns the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    from ghostexp.commands import train

    def call(*arguments):
        before = logging.root.handlers[:]
        monkeypatch.setattr("sys.argv", [str(ROOT / "train.py"), *arguments])
        try:
            return train.main()
        except SystemExit as stop:
            if isinstance(stop.code, str):
                print(stop.code)
                return 1
            return stop.code
        finally:
            for handler in set(logging.root.handlers) - set(before):  # Hydra's, of streams to close
                logging.root.removeHandler(handler)
                handler.close()

    return call


@pytest.fixture
def one_core():
    """This process may use one core only, like a small job of a cluster."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity of processes")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


@pytest.fixture(params=["native", "x86-64-v3"])
def march(request, monkeypatch):
    """Kernels are compiled for this machine's CPU, and for any CPU with AVX2."""
    from ghostexp.kernels.compiler import machine_macros

    monkeypatch.setenv("GHOSTEXP_MARCH", request.param)
    try:
        machine_macros()
    except ValueError as error:
        pytest.skip(str(error))
    return request.param


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folder of a small Ghost-ResNet-56 run, trained once: copy it before anything changes it."""
    from ghostexp.commands import train

    folder = tmp_path_factory.mktemp("trained")
    before = logging.root.handlers[:]
    arguments = [*SMALL, "model=ghost_resnet56", "trainer.max_epochs=1", "callbacks.lr=null"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("sys.argv", [str(ROOT / "train.py"), *arguments])
        assert train.main() == 0
    for handler in set(logging.root.handlers) - set(before):  # Hydra's
        logging.root.removeHandler(handler)
        handler.close()
    return next(folder.glob("outputs/train/*"))


@pytest.fixture
def small_run(app, tmp_path):
    """One small finished run with overrides, and with pictures if `drawn`; returns its folder."""

    def run(*overrides, drawn=False):
        before = set(tmp_path.glob("outputs/train/*"))
        assert app(*(DRAWN if drawn else SMALL), "trainer.max_epochs=2", *overrides) == 0
        (folder,) = set(tmp_path.glob("outputs/train/*")) - before
        return folder

    return run
