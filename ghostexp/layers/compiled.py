"""C++ kernels compiled on this machine, on first use: no header of torch, seconds each."""

import ctypes
import hashlib
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

FLAGS = ["-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC"]


@cache
def load_library(source: Path, **constants: int) -> ctypes.CDLL:
    """The library of a source file, which may include headers that lie beside it.

    `constants` are macros that it is compiled with. It is kept in the user's cache folder per
    source, constants, compiler, CPU and torch. A ValueError says what is missing where it cannot be
    compiled.
    """
    return ctypes.CDLL(str(compile_library(source, constants)))


def compile_library(source: Path, constants: dict[str, int]) -> Path:
    """File of the shared library of `source`, built if it has not been yet."""
    compiler = os.environ.get("CXX", "g++")
    # torch's own OpenMP runtime: a second one would be a second pool of threads
    openmp = [str(path) for path in sorted(Path(torch.__file__).parent.glob("lib/libgomp*"))]
    machine = _run([compiler, *FLAGS, "-dM", "-E", "-x", "c++", os.devnull])  # names the CPU's sets
    texts = [path.read_text() for path in (source, *sorted(source.parent.glob("*.h")))]
    macros = [f"-D{name}={value}" for name, value in constants.items()]
    key = "\n".join([*texts, machine, *FLAGS, *macros, *openmp, torch.__version__])
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    library = cache_home / "ghostexp" / f"{source.stem}-{digest}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            built = Path(folder) / library.name
            _run([compiler, *FLAGS, *macros, str(source), *openmp, "-o", str(built)])
            built.replace(library)  # at once: another process may be building it, too
    return library


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise ValueError(
            f"own kernels need a C++ compiler with OpenMP (the variable CXX, else g++): {error}"
        ) from error
    if done.returncode:
        raise ValueError(
            f"own kernels did not compile with {command[0]}: {done.stderr.strip()[:500]}"
        )
    return done.stdout
