"""The package as pip installs it: configs and the command `ghostexp`, away from the repository."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
from helpers import ROOT, main_of, result

from ghostexp import __main__ as command
from ghostexp.commands import OLDEST, obstacle
from ghostexp.models.published import PUBLISHED


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Python of a new environment with our wheel and, by their path, this one's dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", folder, ROOT], check=True
    )
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    (packages,) = (folder / "env").glob("lib/*/site-packages")
    # a .pth file in it is not read, so the repository of an editable installation stays away
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python


def run(python: Path, folder: Path, *words: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    program = [python, *words] if words[0] == "-m" else [python.with_name(words[0]), *words[1:]]
    done = subprocess.run(
        program, cwd=folder, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.extras
def test_a_new_project_trains_and_reports_without_pythonpath(installed, tmp_path):
    run(installed, tmp_path, "ghostexp", "new", "my_project")
    project = tmp_path / "my_project"
    words = ["experiment=stripes", "trainer.max_epochs=1", "model.ratio=1,2"]
    searchpath = ["hydra.searchpath=[file://conf]", "allow_targets=[my_project]"]
    run(installed, project, "ghostexp", "sweep", *words, *searchpath)
    records = [result(path) for path in project.glob("outputs/stripes/*=*")]
    assert len(records) == 2
    assert all(record["metrics"]["test/acc"] > 0.4 for record in records)
    command = "ghostexp train --multirun experiment=stripes "
    assert all(record["command"].startswith(command) for record in records)
    said = run(installed, project, "-m", "ghostexp", "report", "outputs/stripes")
    assert "2 runs: 2 finished" in said


@pytest.mark.extras
@pytest.mark.parametrize("name", [name for name, file in PUBLISHED.items() if file.url is None])
def test_our_weights_are_in_the_wheel(installed, tmp_path, name):
    said = run(installed, tmp_path, "ghostexp", "download", name, "--to", "here")
    assert f"here/{name}.safetensors: " in said
    assert f"for {PUBLISHED[name].fits}" in said
    ours = ROOT / "outputs" / "published" / "weights" / f"{name}.safetensors"
    assert (tmp_path / "here" / ours.name).read_bytes() == ours.read_bytes()


def test_each_command_exists(capsys, monkeypatch):
    modules = {path.stem for path in (ROOT / "ghostexp" / "commands").glob("[a-z]*")}
    assert modules == set(command.COMMANDS)
    assert all(
        callable(importlib.import_module(f"ghostexp.commands.{name}").main)
        for name in command.COMMANDS
    )
    for words, code in ([], 0), (["--version"], 0), (["modles"], 2):
        monkeypatch.setattr("sys.argv", ["ghostexp", *words])
        assert command.main() == code
    said = capsys.readouterr()
    assert "train one network" in said.out
    assert "did you mean models?" in said.err


@pytest.mark.parametrize("path", sorted(ROOT.glob("scripts/*.py")), ids=lambda path: path.stem)
def test_each_script_is_a_command(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    name = {"download_weights": "download"}.get(path.stem, path.stem)
    assert script.main is main_of(name)


@pytest.mark.parametrize("words", ["train.py", "scripts/report.py x", "-m ghostexp models"])
def test_a_python_without_our_packages_is_told_what_to_do(tmp_path, words):
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, *words.split()], cwd=ROOT, env=environment, text=True, capture_output=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {python} lacks torch, torchvision, hydra, ")
    assert "`source .venv/bin/activate`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_older_python_is_refused(monkeypatch):
    assert obstacle() is None
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", (3, 10, 13))
        sentence = obstacle()
    assert sentence.startswith("ghostexp needs Python 3.11 or newer, and ")
    assert "is Python 3.10: install a newer Python" in sentence
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert needed == ">={}.{}".format(*OLDEST)


def test_make_begins_no_environment_with_an_older_python(tmp_path):
    python = tmp_path / "python3.10"
    old = "import sys; sys.version_info = (3, 10, 13); exec(sys.argv[1])"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{old}" "$2"\n')
    python.chmod(0o755)
    words = ["make", "-f", ROOT / "Makefile", ".venv/bin/uv", f"PYTHON={python}"]
    done = subprocess.run(words, cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ghostexp needs Python 3.11 or newer, and ")
    assert not (tmp_path / ".venv").exists()


def test_the_models_are_listed(capsys):
    assert main_of("models")(["ghostnet_v2*"]) == 0
    assert capsys.readouterr().out.split() == ["ghostnet_v2", "ghostnet_v2_130", "ghostnet_v2_160"]
    assert main_of("models")(["x*"]) == 1
    assert "no network has such a name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("my-project", "my-project becomes the name of a Python package"),
        ("torch", "torch is the name of an installed package"),
        ("full", "full exists already"),
    ],
)
def test_a_project_that_cannot_be_made_is_refused(tmp_path, monkeypatch, capsys, name, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    assert main_of("new")([name]) == 1
    assert capsys.readouterr().err.startswith(f"error: {sentence}")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["full", "mine.txt"]
