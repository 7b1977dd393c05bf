"""The sentence on what is taken for a run and is none: it names the run that may be meant."""

import os
from pathlib import Path

import pytest
from helpers import ROOT

from ghostexp.results.no_run import no_run

CONFIG = Path(".hydra/config.yaml")


@pytest.fixture
def sweep(make_run):
    """Folder of two runs; the one named `older` is older."""
    older, newer = make_run("older"), make_run("newer")
    os.utime(older / "result.json", (0, 0))
    return newer.parent


def test_the_folder_of_a_sweep_names_its_newest_run(sweep):
    said = "is no run, but holds 2 runs: give the folder of one, such as"
    assert no_run(sweep, CONFIG) == f"{sweep} {said} {sweep / 'newer'}"
    outputs = sweep.parent
    assert no_run(outputs, CONFIG) == f"{outputs} {said} {sweep / 'newer'}"


def test_what_lies_in_a_run_names_the_run(sweep):
    file = sweep / "older" / "checkpoints" / "last.ckpt"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    for path in (file, file.parent):
        expected = f"{path} is no run, but lies in one: give the folder {sweep / 'older'}"
        assert no_run(path, CONFIG) == expected


def test_what_is_missing_is_named(tmp_path):
    absent = tmp_path / "absent"
    assert no_run(absent, CONFIG) == f"{absent} is no run: there is no such folder"
    expected = f"{tmp_path} is no run: {tmp_path / CONFIG} is missing"
    assert no_run(tmp_path, CONFIG) == expected
    file = tmp_path / "net.pt"
    file.touch()
    assert no_run(file, CONFIG) == f"{file} is a file and no run: give the folder of a run"


def test_a_published_record_is_no_run_to_load():
    folder = next((ROOT / "outputs" / "published" / "ratio_ablation_short").glob("model.ratio=*"))
    expected = f"{folder} is no run that can be loaded: {folder / CONFIG} is missing"
    assert no_run(folder, CONFIG) == expected
