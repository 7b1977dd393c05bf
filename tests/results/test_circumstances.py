"""Circumstances of runs, and the line that a figure carries."""

import pytest

from ghostexp.results.circumstances import caption, circumstances
from ghostexp.results.collect import collect
from ghostexp.results.rows import make_rows


@pytest.fixture
def runs_of(tmp_path):
    return lambda: collect(tmp_path).runs


def test_facts_count_their_runs(make_run, runs_of):
    make_run("a", ratio=2)
    make_run("b", ratio=3, device="1 x GPU", git={"revision": "f" * 40, "dirty": True})
    facts = circumstances(runs_of())
    assert facts["device"] == ["cpu, 2 threads (1 run)", "1 x GPU (1 run)"]
    assert "ffffffffffff with uncommitted changes (1 run)" in facts["git"]
    assert facts["versions"] == ["torch 2.15.0"]


def test_code_without_a_revision_says_why(make_run, runs_of):
    git = {"revision": None, "dirty": None, "code": "f0c9", "problem": "no git checkout tracks x"}
    make_run("a", git=git)
    assert circumstances(runs_of())["git"] == ["no revision: no git checkout tracks x, code f0c9"]


def test_commands_can_be_pasted(make_run, runs_of):
    make_run("a", command="train.py +callbacks.fast={_target_:a,b:c} seed=1")
    assert circumstances(runs_of())["command"] == [
        "train.py '+callbacks.fast={_target_:a,b:c}' seed=1"
    ]


def test_data_and_launches(make_run, runs_of):
    data = {"num_train": 45_000, "root": "data/x", "fingerprint": "abcdef0123456789"}
    changed = ["optimizer.lr: 0.1 -> 0.01"]
    segments = [{"epochs": [0, 1]}, {"epochs": [2, 3], "changed": changed}, "no segment"]
    make_run("a", dataset=data, segments=segments)
    facts = circumstances(runs_of())
    assert facts["data"] == [
        "image_folder data/x, 45000 training examples, fingerprint abcdef012345"
    ]
    assert facts["launches"] == ["runs/a: 3 segments, changed optimizer.lr: 0.1 -> 0.01"]


def test_a_run_that_moved_names_all_machines(make_run, runs_of):
    before = {"device": "1 x GPU", "precision": "bf16-mixed", "versions": {"torch": "2.11.0"}}
    git = {"revision": "e" * 40, "dirty": False}
    for name in ("a", "b"):
        segments = [{"epochs": [1, 1]}, before | {"git": git}, {"epochs": [2, 2]}]
        make_run(name, segments=segments, precision="32-true", git={"revision": "f" * 40})
    facts = circumstances(runs_of())
    assert facts["device"] == ["1 x GPU, then cpu, 2 threads"]
    assert facts["precision"] == ["bf16-mixed, then 32-true"]
    assert facts["versions"] == ["torch 2.11.0, then torch 2.15.0"]
    assert facts["git"] == ["eeeeeeeeeeee, then ffffffffffff"]


def test_caption_names_data_epochs_and_n(make_run, runs_of):
    for ratio, seeds in ((2, 3), (3, 1)):
        for seed in range(seeds):
            make_run(f"{ratio},{seed}", ratio=ratio, seed=seed)
    _, rows = make_rows(runs_of())
    assert caption(rows) == "image_folder; 2 epochs; n = 1 to 3 runs each"
    assert caption(rows[1:]) == "image_folder; 2 epochs; n = 1 run each"
    data = {"root": "/somewhere/flowers"}
    make_run("x", ratio=9, choices={"dataset": "image_folder"}, dataset=data, max_epochs=4)
    make_run("y", ratio=9, choices={"dataset": "fsdd_digits"}, dataset={"root": "data/fsdd"})
    _, rows = make_rows(runs_of())
    assert caption(rows) == (
        "image_folder, image_folder flowers, fsdd_digits; 2, 4 epochs; n = 1 to 3 runs each"
    )
    for number in range(4):
        make_run(f"z{number}", ratio=20, choices={"dataset": f"d{number}"}, max_epochs=number + 5)
    _, rows = make_rows(runs_of())
    assert caption(rows) == "7 data sets; 6 budgets of epochs; n = 1 to 3 runs each"
