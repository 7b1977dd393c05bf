"""Our trained weights, which are files of this project."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ghostexp.config.build import build_network
from ghostexp.config.facts import completed_config
from ghostexp.models import published
from ghostexp.models.published import INCLUDED, PUBLISHED, Published, fetch_published, locate

OURS = [name for name, entry in PUBLISHED.items() if entry.url is None]


def test_each_file_of_the_folder_has_a_name_and_each_name_a_file():
    assert sorted(path.stem for path in INCLUDED.glob("*.safetensors")) == sorted(OURS)


@pytest.mark.parametrize("name", OURS)
def test_weights_of_a_name_fit_the_network_that_is_named(name):
    words = PUBLISHED[name].fits.split()
    net = build_network(completed_config([*words, f"model.weights={name}"]))
    given = load_file(INCLUDED / f"{name}.safetensors")
    state = net.state_dict()
    assert given.keys() == state.keys()
    assert all(torch.equal(state[key], value.to(state[key].dtype)) for key, value in given.items())


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A file of ours, and its path."""
    path = tmp_path / "ours" / "small.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setattr(published, "INCLUDED", path.parent)
    monkeypatch.setitem(PUBLISHED, "small", Published(None, digest, "model=small"))
    return path


def test_a_file_of_ours_is_read_where_it_lies_and_copied_on_demand(small, tmp_path):
    assert locate("small") == small
    copied = fetch_published("small", tmp_path / "here")
    assert copied == tmp_path / "here" / "small.safetensors"
    assert copied.read_bytes() == b"weights"


def test_a_file_of_ours_is_not_copied_onto_itself(small, monkeypatch):
    monkeypatch.chdir(small.parent.parent)
    assert fetch_published("small", Path(small.parent.name)) == small


def test_a_changed_file_of_ours_is_refused(small):
    small.write_bytes(b"other weights")
    with pytest.raises(ValueError, match=r"small\.safetensors has SHA-256 \w+ instead of \w+: it"):
        locate("small")


def test_a_missing_file_of_ours_is_named(small):
    shutil.rmtree(small.parent)
    with pytest.raises(ValueError, match=r"small\.safetensors is missing: it is a file of this"):
        locate("small")
