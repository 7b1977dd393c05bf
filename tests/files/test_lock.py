"""A lock that ends with its process, whatever numbers, names and clocks say."""

import json
import os
import signal
import time

import pytest
from helpers import lock_holder

from ghostexp.files.lock import Busy, Lock, is_locked, read_owner


def test_one_holder_at_a_time_and_the_other_waits_less_than_a_second(tmp_path, monkeypatch):
    path = tmp_path / ".lock"
    slept, sleep = [], time.sleep
    with lock_holder(path) as process:
        assert is_locked(path)
        monkeypatch.setattr(time, "sleep", lambda seconds: (slept.append(seconds), sleep(seconds)))
        with pytest.raises(Busy, match=f"process {process.pid} of "):
            Lock(path).acquire()
    assert 0 < sum(slept) < 1


def test_a_killed_holder_leaves_the_lock_free(tmp_path):
    path = tmp_path / ".lock"
    with lock_holder(path) as process:
        process.send_signal(signal.SIGKILL)
    assert not is_locked(path)
    with Lock(path):
        assert read_owner(path)["pid"] == os.getpid()
        assert is_locked(path)
    assert not is_locked(path)


def test_a_child_of_the_holder_does_not_keep_the_lock(tmp_path):
    path = tmp_path / ".lock"
    fork = "import os; pid = os.fork(); time.sleep(2 if pid == 0 else 0.3); os._exit(0)"
    with lock_holder(path, then=fork) as process:
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
