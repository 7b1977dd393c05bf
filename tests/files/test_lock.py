"""A lock that ends with its process, whatever numbers, names and clocks say."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ghostexp.files.lock import Busy, Lock, is_locked, read_owner

HOLDER = (
    "import sys, time; from pathlib import Path; from ghostexp.files.lock import Lock\n"
    "Lock(Path(sys.argv[1])).acquire(); print('held', flush=True); {then}\n"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a lock; gives the process and the lock's path."""
    started = []

    def hold(then="time.sleep(60)"):
        path = tmp_path / ".lock"
        command = [sys.executable, "-c", HOLDER.format(then=then), str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process, path

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def test_one_holder_at_a_time_and_the_other_waits_less_than_a_second(holder, monkeypatch):
    process, path = holder()
    assert is_locked(path)
    slept, sleep = [], time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: (slept.append(seconds), sleep(seconds)))
    with pytest.raises(Busy, match=f"process {process.pid} of "):
        Lock(path).acquire()
    assert 0 < sum(slept) < 1


def test_a_killed_holder_leaves_the_lock_free(holder):
    process, path = holder()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not is_locked(path)
    with Lock(path):
        assert read_owner(path)["pid"] == os.getpid()
        assert is_locked(path)
    assert not is_locked(path)


def test_a_child_of_the_holder_does_not_keep_the_lock(holder):
    fork = "import os; pid = os.fork(); time.sleep(2 if pid == 0 else 0.3); os._exit(0)"
    process, path = holder(then=fork)
    process.wait()
    assert not is_locked(path)  # while the child sleeps


def test_a_lock_of_another_host_is_judged_by_the_system_alone(tmp_path):
    path = tmp_path / ".lock"
    path.write_text(json.dumps({"pid": 1, "host": "node7"}))
    assert not is_locked(path)
    Lock(path).acquire()


def test_who_waits_for_a_file_that_its_holder_removes_opens_a_new_one(tmp_path):
    path = tmp_path / ".lock"
    first, second = Lock(path), Lock(path)
    first.acquire()
    first.remove()
    assert not path.exists()
    second.acquire()
    assert is_locked(path)
    with pytest.raises(Busy):
        Lock(path).acquire(patience=0)


def test_looking_makes_no_file(tmp_path):
    assert not is_locked(tmp_path / ".lock")
    assert not list(tmp_path.iterdir())
