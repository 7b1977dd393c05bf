"""C++ sources, compiled on this machine when they are first used.

They include no header of torch, so compiling takes seconds. The code is for this machine's
processor. The environment variable GHOSTEXP_MARCH names another target, one that g++ knows
(`-march`): x86-64-v3 is any processor with AVX2, x86-64-v4 any with AVX-512. Machines with one
target compute the same bits.
"""

import hashlib
import os
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

from ghostexp.files.caches import user_cache

FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fopenmp", "-shared", "-fPIC"]
NATIVE = "native"
INSTRUCTIONS = re.compile(r"__(AVX\w*|AMX\w*|FMA|BMI2|F16C)__")  # macros of instruction sets


def target() -> str:
    """The processor that kernels are compiled for, as g++ calls it."""
    return os.environ.get("GHOSTEXP_MARCH") or NATIVE


def compile_library(source: Path, constants: dict[str, int], generated: str = "") -> Path:
    """File of the shared library of `source`, built if it has not been yet.

    `generated` is C++ that follows the source, `constants` are macros that it is compiled with. The
    library is kept in the user's cache folder for its source, generated code, constants, compiler,
    target and version of torch. A ValueError says what is missing where it cannot be compiled.
    """
    # torch's own OpenMP runtime: a second one would be a second pool of threads
    openmp = [str(path) for path in sorted(Path(torch.__file__).parent.glob("lib/libgomp*"))]
    macros = [f"-D{name}={value}" for name, value in constants.items()]
    key = "\n".join([texts(source), generated, *macros, *openmp, circumstances()])
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    library = cache_folder() / f"{source.stem}-{digest}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            built = Path(folder) / library.name
            text = ["-x", "c++", "-", "-x", "none"]  # from the standard input
            command = [*_compiler(), *macros, *text, *openmp, "-o", str(built)]
            _run(command, f'#include "{source}"\n{generated}')
            built.replace(library)  # at once: another process may be building it, too
    return library


def texts(source: Path) -> str:
    """The text of a source, and of the headers beside it, which it may include."""
    paths = (source, *sorted(source.parent.glob("*.h")))
    return "\n".join(path.read_text() for path in paths)


def circumstances() -> str:
    """What the compiled code depends on, besides its source: compiler, target, version of torch."""
    return "\n".join([machine_macros(), *FLAGS, target(), torch.__version__])


def machine_macros() -> str:
    """What the compiler predefines for the target; it names the CPU's instruction sets.

    ValueError where this machine lacks an instruction set of the target.
    """
    macros = _macros(target())
    if target() != NATIVE:
        wanted, present = (set(INSTRUCTIONS.findall(text)) for text in (macros, _macros(NATIVE)))
        if missing := sorted(wanted - present):
            raise ValueError(
                f"GHOSTEXP_MARCH={target()} needs a CPU with {', '.join(missing)}, which this one"
                " lacks: unset the variable to compile for this machine"
            )
    return macros


def multiplies_bf16() -> bool:
    """Whether the target has an instruction that multiplies bfloat16 (AVX512_BF16)."""
    return "__AVX512BF16__" in _macros_once(target())


def cache_folder() -> Path:
    """Where libraries, and what is known of them, are kept; made if it is missing."""
    folder = user_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"our kernels are kept in {folder}, which cannot be made ({error.strerror}): the"
            " variable XDG_CACHE_HOME names another place"
        ) from error
    return folder


def _macros(march: str) -> str:
    return _run([*_compiler(march), "-dM", "-E", "-x", "c++", os.devnull])


@cache
def _macros_once(march: str) -> str:
    return machine_macros()


def _compiler(march: str | None = None) -> list[str]:
    return [os.environ.get("CXX", "g++"), f"-march={march or target()}", *FLAGS]


def _run(command: list[str], text: str = "") -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True)
    except OSError as error:
        raise ValueError(
            f"our kernels need a C++ compiler with OpenMP (the variable CXX, else g++): {error}"
        ) from error
    if done.returncode:
        wanted = "" if target() == NATIVE else f" for GHOSTEXP_MARCH={target()}"
        raise ValueError(
            f"our kernels did not compile with {command[0]}{wanted}: {done.stderr.strip()[:500]}"
        )
    return done.stdout
