"""What a launch settles: no two living ones do the same job, and YAML is read once."""

import json
import os
import socket

import psutil
import pytest
from ghostexp.sweeps.launch import claim


def note_of(pid, jobs, folder, *, host=None, started=None):
    """Leave the note that another launch would leave in `folder`."""
    started = started or psutil.Process(pid).create_time()
    launch = {"pid": pid, "host": host or socket.gethostname(), "process_started": started}
    (folder / ".sweep").mkdir(exist_ok=True)
    path = folder / ".sweep" / f"launch-{launch['host']}-{pid}.json"
    path.write_text(json.dumps({**launch, "jobs": jobs}))
    return path


def test_a_claim_is_noted_beside_the_jobs(tmp_path):
    jobs = [tmp_path / "a" / "seed=0", tmp_path / "a" / "seed=1", tmp_path / "b" / "seed=0"]
    notes = claim(jobs)
    launches = [json.loads(note.read_text()) for note in notes]
    assert [note.parent for note in notes] == [tmp_path / "a/.sweep", tmp_path / "b/.sweep"]
    assert [launch["jobs"] for launch in launches] == [["seed=0", "seed=1"], ["seed=0"]]
    assert {launch["pid"] for launch in launches} == {os.getpid()}
    assert claim(jobs) == notes  # this process's own notes are no obstacle


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [(["seed=0", "seed=1"], ["seed=1"]), (["*"], ["*"]), (["*"], ["seed=0"]), (["seed=0"], ["*"])],
)
def test_a_job_of_a_living_launch_is_refused(tmp_path, mine, theirs):
    note_of(os.getppid(), theirs, tmp_path)
    sentence = rf"process {os.getppid()} of {socket.gethostname()} is at work on .* already"
    with pytest.raises(ValueError, match=sentence):
        claim([tmp_path / name for name in mine])
    assert len(list((tmp_path / ".sweep").iterdir())) == 1  # nothing claimed


def test_launches_of_other_jobs_share_a_folder(tmp_path):
    other = note_of(os.getppid(), ["seed=0"], tmp_path)
    (note,) = claim([tmp_path / "seed=1"])
    assert {path.name for path in note.parent.iterdir()} == {other.name, note.name}


def test_the_note_of_a_dead_launch_is_removed(tmp_path):
    stale = note_of(os.getppid(), ["seed=0"], tmp_path, started=1.0)  # its number was given anew
    claim([tmp_path / "seed=0"])
    assert not stale.exists()


def test_another_host_is_believed_alive_and_its_note_named(tmp_path):
    other = note_of(4, ["seed=0"], tmp_path, host="node7", started=1.0)
    with pytest.raises(ValueError, match=f"process 4 of node7 .* remove .*{other.name}"):
        claim([tmp_path / "seed=0"])


def test_a_sweep_beside_a_living_one_is_refused(app, tmp_path, capfd):
    (tmp_path / "outputs" / "train").mkdir(parents=True)
    note_of(os.getppid(), ["seed=1"], tmp_path / "outputs" / "train")
    tiny = ("model=linear", "dataset.image_size=8", "debug=fast")
    assert app("-m", *tiny, "seed=0,1") == 1
    assert "is at work on seed=1 already: wait for it" in "".join(capfd.readouterr())
    assert not list(tmp_path.rglob("result.json"))
    assert app("-m", *tiny, "seed=2,3") == 0
    assert len(list((tmp_path / "outputs/train/.sweep").glob("launch-*"))) == 1  # ours is gone
