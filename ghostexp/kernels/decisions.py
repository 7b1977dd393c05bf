"""Where our kernels are faster than torch's operators: measured once for each kind of layer.

Which of the two is faster depends on the processor, the type and the shape of the maps. So the
first training step measures both, on maps of the same size as the layer's, and what was measured is
kept in two files of lines, each a JSON object:

- one beside the compiled libraries, so that no run of this machine measures the same again;
- one in the folder of a run, so that the run computes the same bits when it is resumed, whatever
  has become of the first file.

Of two lines about the same thing the first one counts, so that processes that measure at the same
time agree. A busy machine may measure wrong. That makes runs slower and no result wrong, because
both forms compute the same up to rounding. `ghostexp benchmark steps` measures everything anew.
"""

import hashlib
import json
import time
from collections.abc import Callable
from math import log2
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ghostexp.files.append import append
from ghostexp.kernels import BATCH_NORM, GHOST_MODULE
from ghostexp.kernels.compiler import cache_folder, circumstances, texts

FASTER = 1.05  # times as fast as torch that our kernels must be; less is noise
ROUNDS = 5  # both take turns; the fastest round counts, because other work only adds time
MAX_VALUES = 2**21  # of the maps that are measured: larger ones take as long per value
FILE_NAME = "kernels.jsonl"

Step = Callable[..., Tensor]  # maps [N, C, H, W] and weights -> outputs


class Decisions:
    """What was decided for each kind of layer, on this machine and for this run."""

    def __init__(self, record: Path | None = None) -> None:
        """`record` is the file of a run, which need not exist; None decides for no run."""
        self.record = record
        self.machine = _machine()
        self.known: dict[str, bool] = {}

    def is_ours(self, kind: str, measure: Callable[[], tuple[float, float]]) -> bool:
        """Whether our kernel computes layers of this kind; `measure` is called if nobody knows.

        It returns the seconds of our kernel and of torch's operators.
        """
        if kind not in self.known:
            self.known[kind] = self._decide(kind, measure)
        return self.known[kind]

    def _decide(self, kind: str, measure: Callable[[], tuple[float, float]]) -> bool:
        """What the run has decided, wherever it was; else what is known of this machine."""
        line = _first_line(self.record, {"kind": kind})
        if line is None:
            here = {"kind": kind, "machine": self.machine, "threads": torch.get_num_threads()}
            line = _add_line(self.record, {"kind": kind}, _measured_once(here, measure))
        return line["ours"]


def _measured_once(
    here: dict[str, Any], measure: Callable[[], tuple[float, float]]
) -> dict[str, Any]:
    """What this machine's file says about a kind of layer; measured if it says nothing."""
    cache = cache_folder() / FILE_NAME
    line = _first_line(cache, here)
    if line is None:
        ours, torchs = measure()
        times = {"ours_ms": round(ours * 1e3, 4), "torch_ms": round(torchs * 1e3, 4)}
        line = _add_line(cache, here, {"ours": torchs >= FASTER * ours} | times)
    return line


def _machine() -> str:
    """A digest of what the speed of both depends on, except the number of threads."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = ("vendor_id", "cpu family", "model", "cache size")
    processor = sorted({line for line in lines if line.startswith(names)})
    parts = [*processor, circumstances(), texts(BATCH_NORM), texts(GHOST_MODULE)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def forget_measurements() -> None:
    """Measure everything anew on this machine; runs that have begun keep what they decided."""
    (cache_folder() / FILE_NAME).unlink(missing_ok=True)


def time_both(ours: Step, torchs: Step, *tensors: Tensor) -> tuple[float, float]:
    """Seconds of a forward and a backward pass of both, in turn, the fastest of ROUNDS.

    Both compute outputs of the same `tensors`, the maps and the weights. Nothing is left behind: no
    gradient, and no random number is drawn.
    """
    fastest = {ours: float("inf"), torchs: float("inf")}
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        grads = torch.ones_like(torchs(*leaves))
        for index in range(ROUNDS + 1):
            for step in fastest:
                started = time.perf_counter()
                torch.autograd.grad(step(*leaves), leaves, grads)
                if index > 0:  # first calls prepare much
                    fastest[step] = min(fastest[step], time.perf_counter() - started)
    return fastest[ours], fastest[torchs]


def typical_size(size: int) -> int:
    """The power of two that is nearest to a size of maps: sizes near to each other share it."""
    return 2 ** round(log2(size))


def _first_line(path: Path | None, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The first line of a file that decides, and holds all values of `wanted`."""
    if path is None or not path.exists():
        return None
    for text in path.read_text(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:  # half a line: the process was killed while it wrote
            continue
        values = line if isinstance(line, dict) else {}
        if isinstance(values.get("ours"), bool) and wanted.items() <= values.items():
            return values
    return None


def _add_line(path: Path | None, wanted: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Add a line, and return the first one that holds `wanted`: another process may be earlier."""
    line = wanted | found
    if path is None:
        return line
    is_torn = path.exists() and not path.read_bytes().endswith(b"\n")
    append(path, f"{chr(10) * is_torn}{json.dumps(line)}\n".encode())
    return _first_line(path, wanted)
