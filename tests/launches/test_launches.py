"""A representative sample of the launches; `python -m launches`, in the folder tests, tries all."""

import pytest
from launches.bad import BAD
from launches.good import GOOD
from launches.harness import warm_process
from launches.judge import CANARY, Ended, Launch, complaints, files_of, refusal
from launches.places import Bases, can_mount
from launches.trial import attempt

SAMPLE = [*BAD[7::230], *GOOD[5::90]]


@pytest.fixture(scope="module")
def warm():
    with warm_process() as process:
        yield process


@pytest.fixture(scope="module")
def bases(warm, tmp_path_factory):
    return Bases(warm, tmp_path_factory.mktemp("bases"))


@pytest.mark.parametrize("launch", SAMPLE, ids=lambda launch: f"{launch.kind}: {launch.title}"[:90])
def test_a_launch_keeps_all_rules(launch, warm, bases, tmp_path):
    if launch.mounts and not can_mount():
        pytest.skip("a full disk is a file system of its own, which this user may not mount")
    trial = attempt(launch, warm, bases, tmp_path)
    assert not trial.broken, str(trial)


def test_there_are_hundreds_of_launches_and_none_twice():
    titles = [
        (
            launch.script,
            launch.arguments,
            launch.place,
            launch.stdout,
            launch.stderr,
            str(launch.environment),
        )
        for launch in (*BAD, *GOOD)
    ]
    assert len(BAD) >= 300
    assert len(set(titles)) == len(titles)


def _ended(**told):
    facts = {"code": 1, "hung": False, "left": [], "stdout": "", "stderr": "error: x=1\n"}
    return Ended(**facts | told, seconds=0.0)


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        ({"stderr": "Traceback (most recent call last):\nerror: x\n"}, "stack trace"),
        ({"stderr": "x is wrong\n"}, "no line says error:"),
        ({"stderr": "error: y is wrong\n"}, "the refusal does not name x"),
        ({"stderr": "error: x\nand much\nmore\n"}, "3 lines instead of a sentence"),
        ({"stderr": f"error: x{'x' * 2000}\n"}, "a line of 2008 characters"),
        ({"code": 0}, "exit code 0, not 1 or 2"),
        ({"hung": True, "code": -9}, "it hung"),
        ({"left": ["python worker"]}, "a process is left: python worker"),
    ],
)
def test_the_judge_sees_what_a_launch_says(told, rule, tmp_path):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "folder").mkdir()
    launch = Launch("kind", ("x=1",), "x")
    told = complaints(launch, _ended(**told), tmp_path / "folder", {}, tmp_path / "tmp")
    assert told == [rule]


def test_the_judge_sees_what_a_launch_does(tmp_path):
    folder, temporary = tmp_path / "folder", tmp_path / "tmp"
    (folder / "run").mkdir(parents=True)
    temporary.mkdir()
    for name in ("weights", "notes", "train.log"):
        (folder / "run" / name).write_text("before")
    before = files_of(folder)
    (folder / "run" / "weights").write_text("after")
    (folder / "run" / "notes").unlink()
    (folder / "run" / "train.log").write_text("before and more")
    (folder / "outputs" / "train" / "2026").mkdir(parents=True)
    (folder / CANARY).touch()
    (temporary / "x").touch()
    launch = Launch("kind", ("x=1",), "x")
    assert complaints(launch, _ended(), folder, before, temporary) == [
        "foreign code was executed",
        "lost or changed: run/notes",
        "lost or changed: run/weights",
        "left over: canary",
        "left over: outputs/train/2026",
        "left in the temporary folder: x",
    ]


def test_a_refusal_begins_at_its_error():
    assert refusal("usage: x.py RUN\nx.py: error: no RUN\n") == ["x.py: error: no RUN"]
    assert refusal("fine\n") == []
