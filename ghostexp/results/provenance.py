"""Which code made a result: the revision of its checkout, or the reason why there is none."""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any


def code_state(package: Path) -> dict[str, Any]:
    """Revision and dirty flag of the checkout that tracks `package`, and a digest of its code.

    Where no revision is known, `problem` says why: a copied tree, a checkout of another user, no
    git. The digest covers every Python and C++ file of the package, so that two copies of the same
    code can be told from two versions.
    """
    state: dict[str, Any] = {"revision": None, "dirty": None, "code": code_digest(package)}
    try:
        tracked = _git(package, "ls-files", "--", "__init__.py")
        if not tracked:
            return state | {"problem": f"no git checkout tracks {package}"}
        state["revision"] = _git(package, "rev-parse", "HEAD")
        state["dirty"] = bool(_git(package, "status", "--porcelain", "--untracked-files=no"))
    except FileNotFoundError:
        return state | {"problem": "the command git is not installed"}
    except subprocess.CalledProcessError as error:
        return state | {"problem": _first_sentence(error.stderr) or "git failed"}
    return state


def code_digest(package: Path) -> str:
    """16 hexadecimal digits that follow from the package's source files and their names."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in (".py", ".cpp", ".h"):
            digest.update(f"{path.relative_to(package)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _git(folder: Path, *arguments: str) -> str:
    """Output of git in `folder`, whatever GIT_DIR or its like say of another checkout."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True, text=True, check=True, env={**environment, "LC_ALL": "C"},
    )  # fmt: skip
    return done.stdout.strip()


def _first_sentence(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0].removeprefix("fatal: ") if lines else ""
