"""Imports point one way (the table in docs/explanation/architecture.md)."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "ghostexp"
MAY_IMPORT = {  # first name below ghostexp -> what of ghostexp it may import besides itself
    "files": set(),
    "kernels": {"files"},
    "layers": {"kernels"},
    "native": {"kernels", "layers"},
    "download": set(),
    "data": {"download", "files"},
    "tasks": {"layers"},
    "results": {"files"},
    "models": {"download", "files", "layers"},
    "analysis": {"layers", "native"},
    "pictures": {"analysis"},
    "deploy": {"analysis", "kernels", "layers"},
    "training": {"analysis", "files", "pictures"},
    "config": {"models", "tasks", "training"},
    "sweeps": {"analysis", "config", "download", "files", "results", "training"},
    "runs": {
        *("analysis", "config", "data", "deploy", "download", "files", "kernels", "layers"),
        *("models", "pictures", "results", "sweeps", "tasks", "training"),
    },
    "api": {"config", "models", "results", "runs", "sweeps", "training"},
    "commands": {
        *("analysis", "api", "config", "data", "deploy", "files", "models", "pictures"),
        *("results", "runs", "sweeps", "tasks"),
    },
}
EXPECTED_CYCLES: list[list[str]] = []
FILES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if (path.parent != PACKAGE or path.stem[0] != "_") and "template" not in path.parts
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


def modules_of(package: Path) -> dict[str, Path]:
    """Dotted name -> file of every module of a package."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def import_graph(folder: Path) -> dict[str, set[str]]:
    """Module of a package -> modules of it that it imports, at any depth of its functions.

    `from package import name` is an import of `package.name` where that is a module, else of the
    package. Type hints under TYPE_CHECKING count too: they say that two modules know each other.
    """
    modules = modules_of(folder)
    graph = {}
    for name, path in modules.items():
        found = set()
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = package.split(".")[: len(package.split(".")) + 1 - node.level]
                base = ".".join(base) if node.level else ""
                source = ".".join(filter(None, (base, node.module)))
                names = {f"{source}.{alias.name}" for alias in node.names}
                found |= {each if each in modules else source for each in names}
        graph[name] = (found & modules.keys()) - {name}
    return graph


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other by their imports, the names in order."""

    def reached(start: str) -> set[str]:
        seen, waiting = set(), [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    reach = {name: reached(name) for name in graph}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other])) for name in graph
    }
    return sorted(map(list, groups - {()}))


def test_no_modules_import_each_other():
    """Imports inside functions count: a circle that is hidden there is still a circle."""
    assert cycles(import_graph(PACKAGE)) == EXPECTED_CYCLES


def test_a_circle_of_modules_is_found(tmp_path):
    texts = {
        "p/__init__.py": "from p.a import x",
        "p/a.py": "import os\nfrom p import b",
        "p/b.py": "def f():\n    from .c import y",
        "p/c.py": "if True:\n    import p.a",
        "p/d.py": "from .sub import name",
        "p/e.py": "from p.d import e",
        "p/sub/__init__.py": "name = 1",
        "p/sub/f.py": "from ..e import z\nfrom ..sub import name",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert cycles(import_graph(tmp_path / "p")) == [["p.a", "p.b", "p.c"]]
    (tmp_path / "p/sub/__init__.py").write_text("from . import f")
    assert cycles(import_graph(tmp_path / "p")) == [
        ["p.a", "p.b", "p.c"],
        ["p.d", "p.e", "p.sub", "p.sub.f"],
    ]


def test_cfg_stops_at_experiment():
    readers = {"config", "sweeps", "runs", "api", "commands"}
    readers.add("results")  # saved configs, as material of a report
    for path in FILES:
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        text = path.read_text()
        assert part in readers or ("import hydra" not in text and "omegaconf" not in text), path
