"""What the package imports is what pyproject.toml declares, and nothing more."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

import pytest
from helpers import ROOT

from ghostexp.config.explain import EXTRAS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# named by conf/hydra, and loaded by Hydra
PLUGINS = {"hydra-joblib-launcher", "hydra-submitit-launcher", "hydra-ray-launcher"}
OF_AN_EXTRA = {  # what our code does not import by itself -> who needs it
    "faster-coco-eval": "torchmetrics computes mAP by it",
    "wandb": "Lightning's logger imports it",
    "onnxscript": "torch exports by it",
    "s3fs": "fsspec reads s3:// by it",
}


FOR_DEVELOPERS = {
    "docs",
    "lint",
    "test",
    "test-extras",
    "test-ray",
}  # extras of tools, which the package does not import


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    """Names of the requirements, without our own extras."""
    names = {normal(re.match(r"[\w.-]+", each)[0]) for each in requirements}
    return names - {"ghostexp"}


@cache
def imported() -> dict[str, set[str]]:
    """Foreign modules that the package imports, with the distributions that hold them."""
    owners, found = packages_distributions(), set()
    for path in sorted((ROOT / "ghostexp").rglob("*.py")):
        if "template" in path.relative_to(ROOT / "ghostexp").parts:
            continue  # text for other packages, not ours to import
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module.split(".")[0])
    return {
        top: {normal(name) for name in owners.get(top, [top])}
        for top in found - set(sys.stdlib_module_names) - {"ghostexp"}
    }


def used() -> set[str]:
    return set().union(*imported().values())


def test_every_import_is_declared():
    extras = PROJECT["optional-dependencies"]
    known = declared(PROJECT["dependencies"]).union(*map(declared, extras.values()))
    assert {top for top, names in imported().items() if not names & known} == set()


def test_what_every_installation_brings_is_imported():
    assert declared(PROJECT["dependencies"]) - used() == set()


@pytest.mark.parametrize("extra", sorted(set(PROJECT["optional-dependencies"]) - FOR_DEVELOPERS))
def test_what_an_extra_brings_is_used(extra):
    names = declared(PROJECT["optional-dependencies"][extra])
    assert names - used() - PLUGINS - set(OF_AN_EXTRA) == set()


def test_extras_that_a_sentence_names_are_there():
    for package, extra in EXTRAS.items():
        names = declared(PROJECT["optional-dependencies"][extra])
        assert any(normal(package) in name for name in names), package
