"""Imports point one way (the table in README's "Architecture")."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ghostexp"
MAY_IMPORT = {  # first name below ghostexp -> what of ghostexp it may import besides itself
    "files": set(),
    "layers": set(),
    "download": set(),
    "data": {"download"},
    "tasks": set(),
    "results": {"files"},
    "models": {"download", "layers"},
    "analysis": {"layers"},
    "deploy": {"analysis", "layers"},
    "training": {"analysis", "files"},
    "config": {"training"},
    "sweeps": {"analysis", "config", "files", "results", "training"},
    "runs": {
        *("analysis", "config", "data", "deploy", "files", "layers", "models", "results", "sweeps"),
        "training",
    },
}
FILES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem[0] != "_"
)


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("ghostexp.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_package_imports_only_what_it_may(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert imported(path) <= MAY_IMPORT[part] | {part}


@pytest.mark.parametrize("path", sorted(ROOT.glob("scripts/*.py")), ids=lambda path: path.name)
def test_nobody_imports_scripts(path):
    words = re.compile(rf"^\s*(import|from) {path.stem}\b", re.MULTILINE)
    assert not any(words.search(other.read_text()) for other in FILES)


def test_cfg_stops_at_experiment():
    readers = {"config", "sweeps", "runs"}
    readers.add("results")  # saved configs, as material of a report
    for path in FILES:
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        text = path.read_text()
        assert part in readers or ("import hydra" not in text and "omegaconf" not in text), path
