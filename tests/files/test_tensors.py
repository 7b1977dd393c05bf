"""What torch.save wrote is read; of anything else nothing is executed, and one sentence says so."""

import argparse
import io
import os
import pickle
import subprocess
import sys
import zipfile

import pytest
import torch
from helpers import ROOT

from ghostexp.files.tensors import read_tensors, write_tensors


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def zipped(pickled):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("mmap", [False, True])
def test_tensors_in_plain_containers_are_read(tmp_path, mmap):
    path = tmp_path / "x.pt"
    path.write_bytes(saved({"a": torch.arange(3), "b": [1, "c", None]}))
    read = read_tensors(path, mmap=mmap)
    assert torch.equal(read["a"], torch.arange(3))
    assert read["b"] == [1, "c", None]


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("wrap", [bytes, zipped])
def test_a_pickle_of_more_is_refused_and_not_executed(tmp_path, monkeypatch, protocol, wrap):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.pt").write_bytes(wrap(pickle.dumps(Evil(), protocol)))
    named = (
        "it names posix.mkdir" if protocol == 2 else "it is damaged, or torch.save did not write it"
    )
    with pytest.raises(ValueError, match=f"x.pt is refused: {named}"):
        read_tensors(tmp_path / "x.pt")
    assert not (tmp_path / "executed").exists()


def test_a_class_is_read_where_it_is_allowed(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(saved(argparse.Namespace(a=1)))
    assert read_tensors(path, classes=[argparse.Namespace]).a == 1
    with pytest.raises(ValueError, match="it names argparse.Namespace"):
        read_tensors(path)


def test_a_full_disk_is_named_and_the_old_file_stays(tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(b"before")
    code = (
        "import resource, torch; from pathlib import Path\n"
        "from ghostexp.files.tensors import write_tensors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "write_tensors(Path('x.pt'), {'a': torch.zeros(1_000_000)})\n"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "OSError: [Errno 27] File too large"
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_is_read(tmp_path):
    write_tensors(tmp_path / "x.pt", {"a": torch.arange(3)})
    assert torch.equal(read_tensors(tmp_path / "x.pt")["a"], torch.arange(3))


WHOLE = saved({"a": torch.zeros(1000)})


@pytest.mark.parametrize("content", [b"", b"text", WHOLE[:2000], WHOLE[:-20], b"\x00" * 50])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x.pt is (damaged|refused)"):
        read_tensors(path)


def test_a_missing_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "x.pt")
